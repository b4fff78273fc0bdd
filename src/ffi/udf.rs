//! The function `keyroll_keys()`: all key versions as a JSON array. Anyone may call it, so it shows
//! no key.

use std::ffi::{c_char, c_ulong};
use std::ptr;

use super::guard::guard;
use super::instance::STATUS;
use super::{abi, published};
use crate::plugin::status;

/// What a function answers that cannot run.
const REFUSED: c_char = 1;

/// Prepares one use of the function in a statement: 0, or [`REFUSED`] with a message.
///
/// # Safety
/// The server's contract for `NAME_init`: the structures are its own, the message has 512 bytes.
// SAFETY: the server looks the symbol up by this name in this library alone.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn keyroll_keys_init(
    init: *mut abi::kr_udf_init,
    args: *mut abi::kr_udf_args,
    message: *mut c_char,
) -> c_char {
    guard(REFUSED, || {
        // SAFETY: by this function's contract, or null.
        let (Some(init), Some(args)) = (unsafe { init.as_mut() }, unsafe { args.as_ref() }) else {
            return REFUSED;
        };
        if args.arg_count != 0 {
            let text = c"keyroll_keys() takes no argument";
            debug_assert!(text.count_bytes() < abi::KR_UDF_MESSAGE_ROOM as usize);
            if !message.is_null() {
                // SAFETY: by this function's contract; the text is far shorter.
                unsafe { ptr::copy_nonoverlapping(text.as_ptr(), message, text.count_bytes() + 1) };
            }
            return REFUSED;
        }
        init.maybe_null = 1;
        init.const_item = 0;
        // Above 65535, so that a long list is a LONGTEXT and not cut.
        init.max_length = 16 * 1024 * 1024;
        init.ptr = Box::into_raw(Box::new(String::new())).cast();
        0
    })
}

/// The list: NULL where the plugin does not run.
///
/// # Safety
/// The server's contract for a function that returns a string: `init` went through
/// [`keyroll_keys_init`].
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn keyroll_keys(
    init: *mut abi::kr_udf_init,
    _args: *mut abi::kr_udf_args,
    _buffer: *mut c_char,
    length: *mut c_ulong,
    is_null: *mut c_char,
    _error: *mut c_char,
) -> *const c_char {
    guard(ptr::null(), || {
        // SAFETY: by this function's contract, or null; the list lives until the next call or the
        // end.
        let list = unsafe { init.as_mut().and_then(|init| init.ptr.cast::<String>().as_mut()) };
        // SAFETY: by this function's contract, or null.
        let (length, is_null) = unsafe { (length.as_mut(), is_null.as_mut()) };
        match (list, length, published::current()) {
            (Some(list), Some(length), Some(ring)) => {
                let wrapped_at = STATUS.store().wrapped_at;
                *list = status::keys_as_json(ring, wrapped_at);
                *length = list.len() as c_ulong;
                list.as_ptr().cast()
            }
            _ => {
                if let Some(is_null) = is_null {
                    *is_null = 1;
                }
                ptr::null()
            }
        }
    })
}

/// Ends one use of the function.
///
/// # Safety
/// `init` went through [`keyroll_keys_init`], and once through here at most.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn keyroll_keys_deinit(init: *mut abi::kr_udf_init) {
    guard((), || {
        // SAFETY: by this function's contract, or null.
        let Some(init) = (unsafe { init.as_mut() }) else {
            return;
        };
        let list = std::mem::replace(&mut init.ptr, ptr::null_mut()).cast::<String>();
        if !list.is_null() {
            // SAFETY: it came from Box::into_raw and is taken back once.
            drop(unsafe { Box::from_raw(list) });
        }
    });
}
