//! What a SET of a system variable does: the check functions, named like their variables, which do
//! the actions, and the update functions.
//!
//! The server calls the checks of all assignments of a SET and then, if none failed, their updates.
//! So an action is done before the other assignments are in force, and stays done where a later one
//! fails (docs/rotation.md). An update cannot act instead: it cannot refuse, and holds the server's
//! lock of global variables, for which every new connection would wait.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use super::super::guard::guard;
use super::super::instance::{self, Host, STATUS};
use super::super::{abi, services};
use super::values::{self, new_versions};
use crate::cancel;
use crate::plugin::Plugin;

/// What a check answers where the SET must not go on.
const REFUSED: c_int = 1;

/// The answer of a check: 0, or [`REFUSED`] after the error has been reported.
fn answer(result: Result<(), String>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(text) => {
            services::fail_statement(&text, cancel::is_cancelled());
            REFUSED
        }
    }
}

/// Does what a SET of this connection asks for, until it is killed.
///
/// # Safety
/// `thd` is null or the server's connection whose statement this thread runs.
unsafe fn while_not_killed<T>(thd: *mut c_void, action: impl FnOnce() -> T) -> T {
    // SAFETY: by this function's contract; nobody asks when `action` has ended.
    cancel::while_wanted(move || unsafe { services::is_killed(thd) }, action)
}

/// Reads what a SET asks for, does it, and lets the SET store that nothing is asked for.
///
/// # Safety
/// As for [`while_not_killed`]; `save` is null or has room for a number of 8 bytes, which the
/// server reads as many bytes of as the variable's type has.
unsafe fn check<T>(
    thd: *mut c_void,
    save: *mut c_void,
    request: impl FnOnce() -> Option<T>,
    usage: &str,
    action: impl FnOnce(T) -> Result<(), String>,
) -> c_int {
    guard(REFUSED, || {
        // SAFETY: by this function's contract.
        let request = unsafe { save.cast::<i64>().as_mut() }.and_then(|save| {
            *save = 0;
            request()
        });
        let act = || answer(request.ok_or_else(|| usage.to_string()).and_then(action));
        // SAFETY: by this function's contract.
        unsafe { while_not_killed(thd, act) }
    })
}

/// A check function that does what its variable is named for.
macro_rules! action {
    ($name:ident takes $usage:literal, read by $read:ident: $action:expr) => {
        pub(super) unsafe extern "C" fn $name(
            thd: *mut c_void,
            _var: *mut abi::kr_sys_var,
            save: *mut c_void,
            value: *mut abi::kr_value,
        ) -> c_int {
            const USAGE: &str = concat!("keyroll: keyroll_", stringify!($name), " takes ", $usage);
            // SAFETY: the server passes its connection, a value of its own and a place of 8 bytes
            // to save it.
            unsafe { check(thd, save, || $read(value), USAGE, $action) }
        }
    };
}

action!(rotate_key takes "a key id, or -1 for all keys", read by integer: |request| match request {
    0 => Ok(()),
    request => {
        let doing = match request {
            -1 => "rotation of all keys".into(),
            id => format!("rotation of key {id}"),
        };
        let new = new_versions();
        let rotate = |plugin: &Plugin| plugin.rotate_keys(request, new, &Host, &STATUS);
        instance::run_and_reencrypt(&doing, new.step, rotate)
    }
});

action!(add_key takes "a key id", read by integer: |request| match request {
    0 => Ok(()),
    id => {
        let spec = new_versions().spec;
        instance::run(&format!("adding key {id}"), |plugin| plugin.add_key(id, spec, &Host))
    }
});

action!(reload_keys takes "1", read by switch: |wanted| match wanted {
    true => {
        let reload = |plugin: &Plugin| plugin.reload(&Host, &STATUS);
        instance::run_and_reencrypt("reload of the keys", new_versions().step, reload)
    }
    false => Ok(()),
});

action!(rotate_master_key takes "1", read by switch: |wanted| match wanted {
    true => instance::run("rotation of the master key", |plugin| plugin.rotate_master_key(&Host, &STATUS)),
    false => Ok(()),
});

// An empty text is what the variable shows, and is handed back.
action!(save_keys takes "PATH, or PATH file:MASTERKEYPATH", read by word: |request: Vec<u8>| match request.is_empty() {
    true => Ok(()),
    false => instance::run("saving the keys", |plugin| plugin.save_keys(&request, &Host)),
});

/// Texts that a SET has put in force, for as long as the server may show one of them.
static ADOPTED: Mutex<Vec<CString>> = Mutex::new(Vec::new());

pub(super) unsafe extern "C" fn master_key(
    thd: *mut c_void,
    _var: *mut abi::kr_sys_var,
    save: *mut c_void,
    value: *mut abi::kr_value,
) -> c_int {
    guard(REFUSED, || {
        // SAFETY: by the contract of a check: a place for a pointer, or null.
        let Some(save) = (unsafe { save.cast::<*const c_char>().as_mut() }) else {
            return REFUSED;
        };
        *save = ptr::null();
        // SAFETY: a value of the server's.
        let Some(uri) = unsafe { word(value) }.and_then(|uri| CString::new(uri).ok()) else {
            return answer(Err("keyroll: keyroll_master_key takes a URI".into()));
        };
        let text = uri.to_string_lossy().into_owned();
        let adopt = || {
            let adopt = |plugin: &Plugin| plugin.adopt_master_key(&text, &Host);
            answer(instance::run("change of the master key", adopt).map(|()| {
                *save = uri.as_ptr();
                ADOPTED.lock().unwrap_or_else(PoisonError::into_inner).push(uri);
            }))
        };
        // SAFETY: the server passes the connection whose statement this is.
        unsafe { while_not_killed(thd, adopt) }
    })
}

/// The update function of a text that a check has put in force: the server shows it from now on.
/// `SET … = DEFAULT` comes here without a check, and changes nothing.
pub(super) unsafe extern "C" fn show_adopted(
    _thd: *mut c_void,
    _var: *mut abi::kr_sys_var,
    shown: *mut c_void,
    save: *const c_void,
) {
    guard((), || {
        // SAFETY: the server passes the variable's place and the one that the check has written to.
        let (shown, save) = unsafe {
            (
                shown.cast::<*const c_char>().as_mut(),
                save.cast::<*const c_char>().as_ref(),
            )
        };
        let adopted = ADOPTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(shown), Some(&save)) = (shown, save)
            && adopted.iter().any(|text| ptr::eq(text.as_ptr(), save))
        {
            *shown = save;
        }
    });
}

/// The update function of the variables that act: they always show that nothing is asked for.
pub(super) unsafe extern "C" fn stay_at_rest(
    _thd: *mut c_void,
    _var: *mut abi::kr_sys_var,
    _value: *mut c_void,
    _save: *const c_void,
) {
}

/// The update function of a variable that the refresher depends on: stores the value, and tells the
/// refresher.
pub(super) unsafe extern "C" fn tell_refresher<T: Copy>(
    _thd: *mut c_void,
    _var: *mut abi::kr_sys_var,
    place: *mut c_void,
    save: *const c_void,
) {
    guard((), || {
        // SAFETY: the server passes the variable's place and a checked value of its type.
        let (Some(place), Some(save)) = (unsafe { (place.cast::<T>().as_mut(), save.cast::<T>().as_ref()) })
        else {
            return;
        };
        *place = *save;
        // SAFETY: the server holds its lock of global variables around every update function.
        instance::set_refresh_policy(unsafe { values::refresh_policy() });
    });
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
    // SAFETY: as above.
    let word = unsafe { word(value) }?;
    match word.to_ascii_lowercase().as_slice() {
        b"on" | b"true" => Some(true),
        b"off" | b"false" => Some(false),
        _ => None,
    }
}

/// The text that a SET gives; `None` for NULL.
///
/// # Safety
/// As [`integer`].
unsafe fn word(value: *mut abi::kr_value) -> Option<Vec<u8>> {
    // SAFETY: by this function's contract.
    let functions = unsafe { value.as_ref() }?;
    let mut buffer = [0; 512];
    let mut length = buffer.len() as c_int;
    // SAFETY: the buffer has the length told; the answer lies in it or in memory of the statement.
    let text = unsafe { (functions.val_str?)(value, buffer.as_mut_ptr(), &mut length) };
    if text.is_null() {
        return None;
    }
    // SAFETY: the server answers with `length` bytes.
    Some(unsafe { std::slice::from_raw_parts(text.cast::<u8>(), usize::try_from(length).ok()?) }.to_vec())
}
