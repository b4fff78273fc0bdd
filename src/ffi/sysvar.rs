//! The system variables: the statics that the server writes to, their declarations, and what a SET does.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::declare::ServerCell;
use super::guard::{Answer, guard};
use super::{abi, running, services};
use crate::keystore::VersionStep;
use crate::plugin::Level;
use crate::plugin::settings::{self, Settings, with_system_variables};
use crate::secret::SecretBytes;

macro_rules! declare {
    ($($kind:ident $name:ident $(= $default:tt)? $(, $min:literal, $max:expr)?, $when:ident, $comment:literal;)*) => {
        /// Where the server keeps the values.
        #[allow(non_upper_case_globals, reason = "named like the variables")]
        mod value {
            use super::*;
            $(pub(super) static $name: ServerCell<declare!(@type $kind)> =
                ServerCell::new(declare!(@initial $kind $($default)?));)*
        }

        /// The declarations, which the server completes.
        #[allow(non_upper_case_globals, reason = "named like the variables")]
        mod variable {
            use super::*;
            $(declare!(@variable $kind $name [$($default)?] [$($min, $max)?] $when, $comment);)*
        }

        /// What the plugin's declaration points to: all variables and a null at the end.
        pub(super) static VARIABLES: ServerCell<[*mut abi::kr_sys_var; [$(stringify!($name)),*].len() + 1]> =
            ServerCell::new([$(variable::$name.get().cast(),)* ptr::null_mut()]);
    };

    (@type text) => { *mut c_char };
    (@type secret) => { *mut c_char };
    (@type choice) => { std::ffi::c_ulong };
    (@type number) => { u32 };
    (@type flag) => { c_char };
    (@type key_action) => { i64 };
    (@type flag_action) => { c_char };

    (@initial text $default:literal) => { concat!($default, "\0").as_ptr().cast_mut().cast() };
    (@initial secret $default:literal) => { declare!(@initial text $default) };
    (@initial choice $names:tt) => { 0 };
    (@initial number $default:literal) => { $default };
    (@initial flag $default:literal) => { $default as c_char };
    (@initial key_action) => { 0 };
    (@initial flag_action) => { 0 };

    (@variable text $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_str> = ServerCell::new(abi::kr_sys_var_str {
            header: header(abi::KR_VAR_STR | when::$when, named!($name), named!($comment), None, None),
            value: value::$name.get(),
            // Never null: mariadb-backup builds --name=value from what is shown and crashes on a NULL.
            def_val: concat!($default, "\0").as_ptr().cast(),
        });
    };
    (@variable secret $($row:tt)*) => { declare!(@variable text $($row)*); };
    (@variable choice $name:ident [[$($choice:literal),*]] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_enum> = {
            const COUNT: usize = [$($choice),*].len();
            static NAMES: ServerCell<[*const c_char; COUNT + 1]> =
                ServerCell::new([$(concat!($choice, "\0").as_ptr().cast(),)* ptr::null()]);
            static TYPELIB: ServerCell<abi::kr_typelib> = ServerCell::new(abi::kr_typelib {
                count: COUNT as u32,
                name: c"".as_ptr(),
                type_names: NAMES.get().cast(),
                type_lengths: ptr::null_mut(),
                later: ptr::null(),
            });
            ServerCell::new(abi::kr_sys_var_enum {
                header: header(abi::KR_VAR_ENUM | when::$when, named!($name), named!($comment), None, None),
                value: value::$name.get(),
                def_val: 0,
                typelib: TYPELIB.get(),
            })
        };
    };
    (@variable number $name:ident [$default:literal] [$min:literal, $max:expr] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_uint> = ServerCell::new(abi::kr_sys_var_uint {
            header: header(
                abi::KR_VAR_INT | abi::KR_VAR_UNSIGNED | when::$when, named!($name), named!($comment), None, None,
            ),
            value: value::$name.get(),
            def_val: $default,
            min_val: $min,
            max_val: $max,
            blk_sz: 0,
        });
    };
    (@variable flag $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, $default as c_char, when::$when, $comment, None, None);
    };
    (@variable flag_action $name:ident [] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, 0, when::$when, $comment, Some(action::$name), Some(stay_at_rest));
    };
    (@bool $name:ident, $default:expr, $when:expr, $comment:literal, $check:expr, $update:expr) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_bool> = ServerCell::new(abi::kr_sys_var_bool {
            header: header(
                abi::KR_VAR_BOOL | abi::KR_VAR_OPTIONAL_ARGUMENT | $when,
                named!($name), named!($comment), $check, $update,
            ),
            value: value::$name.get(),
            def_val: $default,
        });
    };
    (@variable key_action $name:ident [] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_longlong> = ServerCell::new(abi::kr_sys_var_longlong {
            header: header(
                abi::KR_VAR_LONGLONG | when::$when,
                named!($name), named!($comment), Some(action::$name), Some(stay_at_rest),
            ),
            value: value::$name.get(),
            def_val: 0,
            min_val: -1,
            max_val: u32::MAX as i64,
            blk_sz: 0,
        });
    };
}

/// A name or a literal as a C string.
macro_rules! named {
    ($name:ident) => {
        concat!(stringify!($name), "\0").as_ptr().cast()
    };
    ($text:literal) => {
        concat!($text, "\0").as_ptr().cast()
    };
}

/// When a variable may be set, as flags.
#[allow(non_upper_case_globals, reason = "the words of the table")]
mod when {
    pub(super) const start: u32 = super::abi::KR_VAR_READONLY;
    pub(super) const live: u32 = 0;
}

with_system_variables!(declare);

const fn header(
    flags: u32,
    name: *const c_char,
    comment: *const c_char,
    check: abi::kr_check_func,
    update: abi::kr_update_func,
) -> abi::kr_sys_var {
    abi::kr_sys_var {
        flags: flags as c_int,
        name,
        comment,
        check,
        update,
    }
}

/// The values that a start needs.
pub(super) fn settings(filekey_of_environment: SecretBytes) -> Settings {
    // SAFETY: the server has written the values before it calls init, and changes none of these later.
    unsafe {
        Settings {
            filename: text(*value::filename.get()).to_vec(),
            filekey: SecretBytes::new(text(*value::filekey.get()).to_vec()),
            digest: *value::digest.get() as usize,
            use_pbkdf2: *value::use_pbkdf2.get(),
            encryption_algorithm: *value::encryption_algorithm.get() as usize,
            strict_permissions: *value::strict_permissions.get() != 0,
            filekey_of_environment,
        }
    }
}

/// # Safety
/// `pointer` is null or a C string that nobody changes while the slice is used.
unsafe fn text<'a>(pointer: *const c_char) -> &'a [u8] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}

/// Puts the place-holder where the server would show a password, and overwrites the password in the memory of
/// the server's options, where a core dump or /proc/PID/cmdline would have it.
pub(super) fn hide_filekey() {
    let shown = value::filekey.get();
    // SAFETY: only init, which the server calls once at a time, reads or writes this variable (it is read
    // only), and a value that is not empty lies in the server's copy of its options, which is writable.
    unsafe {
        if settings::shown_filekey(text(*shown)).is_none() {
            return;
        }
        let password = *shown;
        *shown = HIDDEN.as_ptr().cast_mut();
        let mut at = password;
        while *at != 0 {
            at.write_volatile(b'x' as c_char);
            at = at.add(1);
        }
    }
}

/// [`settings::HIDDEN`] as a C string.
const HIDDEN: &CStr = c"(hidden)";

/// Takes actions back that my.cnf or a command line asks for: a start must not rotate, least of all the one
/// of mariadb-backup.
pub(super) fn rest_actions() {
    // SAFETY: as in `hide_filekey`; a SET of these variables never writes to them.
    unsafe {
        let asked = *value::rotate_key.get() != 0 || *value::reload_keys.get() != 0;
        *value::rotate_key.get() = 0;
        *value::reload_keys.get() = 0;
        if asked {
            services::log(
                Level::Warning,
                "keyroll: keyroll_rotate_key and keyroll_reload_keys act by SET GLOBAL alone; \
                 their values in my.cnf or on the command line are ignored",
            );
        }
    }
}

/// What a new version adds to the latest one at this moment.
fn version_step() -> VersionStep {
    // SAFETY: a static of the right size and alignment; the server writes it with plain stores of one word.
    let step = unsafe { AtomicU32::from_ptr(value::rotate_version_step.get()) }.load(Ordering::Relaxed);
    VersionStep::new(step).unwrap_or(VersionStep::DEFAULT)
}

/// Whether a SET may go on: 0, or not 0 after its error has been reported.
struct CheckStatus(c_int);
impl Answer for CheckStatus {
    const AFTER_PANIC: Self = CheckStatus(1);
}

impl CheckStatus {
    fn of(result: Result<(), String>) -> CheckStatus {
        match result {
            Ok(()) => CheckStatus(0),
            Err(text) => {
                services::fail_statement(&text);
                CheckStatus(1)
            }
        }
    }
}

/// Reads what a SET asks for, does it, and lets the SET store that nothing is asked for.
///
/// # Safety
/// `save` is null or has room for a number of 8 bytes, which the server reads as many bytes of as the
/// variable's type has.
unsafe fn check<T>(
    save: *mut c_void,
    request: impl FnOnce() -> Option<T>,
    usage: &str,
    action: impl FnOnce(T) -> Result<(), String>,
) -> c_int {
    guard(|| {
        // SAFETY: by this function's contract.
        let request = unsafe { save.cast::<i64>().as_mut() }.and_then(|save| {
            *save = 0;
            request()
        });
        CheckStatus::of(request.ok_or_else(|| usage.to_string()).and_then(action))
    })
    .0
}

/// The check functions of the variables that act, named like them. Only a check can make the statement fail.
mod action {
    use super::*;

    pub(super) unsafe extern "C" fn rotate_key(
        _thd: *mut c_void,
        _var: *mut abi::kr_sys_var,
        save: *mut c_void,
        value: *mut abi::kr_value,
    ) -> c_int {
        const USAGE: &str = "keyroll: keyroll_rotate_key takes a key id, or -1 for all keys";
        let rotate = |request| match request {
            0 => Ok(()),
            request => running::rotate(request, version_step()),
        };
        // SAFETY: the server passes a value of its own and a place to save it.
        unsafe { check(save, || integer(value), USAGE, rotate) }
    }

    pub(super) unsafe extern "C" fn reload_keys(
        _thd: *mut c_void,
        _var: *mut abi::kr_sys_var,
        save: *mut c_void,
        value: *mut abi::kr_value,
    ) -> c_int {
        let reload = |wanted| {
            if wanted {
                running::reload(version_step())
            } else {
                Ok(())
            }
        };
        // SAFETY: as above.
        unsafe {
            check(
                save,
                || switch(value),
                "keyroll: keyroll_reload_keys takes 1",
                reload,
            )
        }
    }
}

/// The update function of the variables that act: they always show that nothing is asked for.
unsafe extern "C" fn stay_at_rest(
    _thd: *mut c_void,
    _var: *mut abi::kr_sys_var,
    _value: *mut c_void,
    _save: *const c_void,
) {
    guard(|| ());
}

/// The number that a SET gives, saturated where it is above the range of i64; `None` for NULL.
///
/// # Safety
/// `value` is null or the server's.
unsafe fn integer(value: *mut abi::kr_value) -> Option<i64> {
    // SAFETY: by this function's contract.
    let functions = unsafe { value.as_ref() }?;
    let mut number = 0;
    // SAFETY: the functions are the server's own for this value.
    unsafe {
        if (functions.val_int?)(value, &mut number) != 0 {
            return None;
        }
        let unsigned = (functions.is_unsigned?)(value) != 0;
        Some(if unsigned && number < 0 { i64::MAX } else { number })
    }
}

/// ON or OFF, TRUE or FALSE, 1 or 0; `None` for anything else.
///
/// # Safety
/// As [`integer`].
unsafe fn switch(value: *mut abi::kr_value) -> Option<bool> {
    // SAFETY: by this function's contract.
    let functions = unsafe { value.as_ref() }?;
    // SAFETY: the functions are the server's own for this value.
    let value_type = unsafe { (functions.value_type?)(value) };
    if value_type != abi::KR_VALUE_STRING as c_int {
        // SAFETY: as above.
        return match unsafe { integer(value) }? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
    }
    let mut buffer = [0; 16];
    let mut length = buffer.len() as c_int;
    // SAFETY: the buffer has the length told; the answer lies in it or in memory of the statement.
    let word = unsafe { (functions.val_str?)(value, buffer.as_mut_ptr(), &mut length) };
    if word.is_null() {
        return None;
    }
    // SAFETY: the server answers with `length` bytes.
    let word = unsafe { std::slice::from_raw_parts(word.cast::<u8>(), usize::try_from(length).ok()?) };
    match word.to_ascii_lowercase().as_slice() {
        b"on" | b"true" => Some(true),
        b"off" | b"false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_place_holder_is_the_one_that_settings_know() {
        assert_eq!(HIDDEN.to_str().unwrap(), settings::HIDDEN);
    }

    #[test]
    fn the_array_ends_with_a_null_and_holds_every_variable_of_the_table() {
        // SAFETY: nobody writes to the array in a test.
        let array = unsafe { &*VARIABLES.get() };
        let (last, variables) = array.split_last().unwrap();
        assert!(last.is_null());
        for (declared, documented) in variables.iter().zip(settings::variables()) {
            // SAFETY: each pointer is that of a static.
            let name = unsafe { CStr::from_ptr((**declared).name) }.to_str().unwrap();
            assert_eq!(format!("keyroll_{name}"), documented.name);
        }
        assert_eq!(variables.len(), settings::variables().len());
    }
}
