//! The status variables, each made when SHOW STATUS asks for it.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::time::SystemTime;

use super::abi;
use super::cell::ServerCell;
use super::guard::guard;
use super::instance::STATUS;
use super::published;
use crate::clock;
use crate::one_line::one_line;
use crate::plugin::status::LatestVersions;
use crate::settings::as_variables;

/// The value of a status variable.
enum Shown {
    Number(u64),
    Text(String),
}

impl Shown {
    /// A number, or an empty text where it is not known.
    fn if_known(number: Option<u64>) -> Shown {
        number.map_or_else(|| Shown::Text(String::new()), Shown::Number)
    }
}

fn latest_versions() -> LatestVersions {
    let of = |ring| LatestVersions::of(ring, SystemTime::now());
    published::current().map(of).unwrap_or_default()
}

/// Days since the master key last wrapped the keystore.
fn wrap_age_days() -> Option<u64> {
    let at = STATUS.store().wrapped_at?;
    Some(clock::days_since(at, SystemTime::now()))
}

macro_rules! status_variables {
    ($($name:ident = $value:expr;)*) => {
        /// What the plugin's declaration points to: all status variables and zeroes at the end.
        pub(super) static VARIABLES: ServerCell<[abi::kr_show_var; [$(stringify!($name)),*].len() + 1]> =
            ServerCell::new([
                $(abi::kr_show_var {
                    name: concat!("Keyroll_", stringify!($name), "\0").as_ptr().cast(),
                    value: {
                        unsafe extern "C" fn show(
                            _thd: *mut c_void,
                            var: *mut abi::kr_show_var,
                            buffer: *mut c_char,
                        ) -> c_int {
                            // SAFETY: the server passes its own copy of the declaration and the
                            // buffer.
                            guard(1, || unsafe { write($value, var, buffer) })
                        }
                        show as *mut c_void
                    },
                    type_: abi::KR_SHOW_FUNC,
                },)*
                abi::kr_show_var { name: ptr::null(), value: ptr::null_mut(), type_: 0 },
            ]);
    };
}

status_variables! {
    store = Shown::Text(STATUS.store().source.clone());
    master_key = Shown::Text(STATUS.store().master_key.clone());
    keys = Shown::Number(published::current().map_or(0, |ring| ring.keys() as u64));
    key_versions = Shown::Number(published::current().map_or(0, |ring| ring.versions() as u64));
    oldest_latest_version_age_days = Shown::if_known(latest_versions().oldest_days);
    latest_versions_of_unknown_age = Shown::Number(latest_versions().of_unknown_age);
    master_key_wrap_age_days = Shown::if_known(wrap_age_days());
    rotations = Shown::Number(STATUS.key_rotations.get());
    master_key_rotations = Shown::Number(STATUS.master_key_rotations.get());
    keys_created = Shown::Number(STATUS.created.get());
    reloads = Shown::Number(STATUS.reloads.get());
    algorithm_downgrades = Shown::Number(STATUS.downgrades.get());
    last_error = Shown::Text(STATUS.last_error());
    last_error_time = Shown::Text(STATUS.last_error_time());
}

/// Puts the value into the buffer and says of which type it is; 0, or 1 where there is no buffer. A
/// text is cut at the buffer's end.
///
/// # Safety
/// `var` is null or writable, `buffer` is null or has `KR_SHOW_BUFFER` bytes, aligned for a number.
unsafe fn write(value: Shown, var: *mut abi::kr_show_var, buffer: *mut c_char) -> c_int {
    // SAFETY: by this function's contract.
    let Some(var) = (unsafe { var.as_mut() }).filter(|_| !buffer.is_null()) else {
        return 1;
    };
    var.value = buffer.cast();
    match value {
        Shown::Number(number) => {
            var.type_ = abi::KR_SHOW_ULONGLONG;
            // SAFETY: the buffer has room for 8 bytes.
            unsafe { buffer.cast::<u64>().write_unaligned(number) };
        }
        Shown::Text(text) => {
            var.type_ = abi::KR_SHOW_CHAR;
            let text = as_variables(&text);
            let text = one_line(&text);
            let room = abi::KR_SHOW_BUFFER as usize - 1;
            // Never in the midst of a character.
            let end = (0..=room.min(text.len())).rfind(|&end| text.is_char_boundary(end));
            let text = &text.as_bytes()[..end.unwrap_or(0)];
            // SAFETY: the text and the NUL after it fit into the buffer, which is apart from both.
            unsafe {
                ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
                buffer.add(text.len()).write(0);
            }
        }
    }
    0
}
