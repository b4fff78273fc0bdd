//! The values of the system variables: where the server keeps them, and how they are read.

use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicI8, AtomicU32, AtomicU64, Ordering};

use super::super::cell::ServerCell;
use super::super::services;
use crate::keys::{KeySpec, NewVersions, VersionStep};
use crate::notify::Notify;
use crate::plugin::{NewKeys, Severity};
use crate::secret::SecretBytes;
use crate::settings::{self, SecretsOfEnvironment, Settings, with_system_variables};
use crate::store::RefreshPolicy;

/// Makes one static for each row of the table.
macro_rules! make_values {
    (
        settings {
            $($kind:ident $name:ident = $default:tt $(, $min:literal, $max:expr)?, $when:ident, $stores:ident, $comment:literal;)*
        }
        actions { $($action:ident $act:ident, $acts_on:ident, $does:literal;)* }
    ) => {
        $(pub(in crate::ffi::sysvar) static $name: ServerCell<make_values!(@type $kind)> =
            ServerCell::new(make_values!(@initial $kind $default));)*
        $(pub(in crate::ffi::sysvar) static $act: ServerCell<make_values!(@type $action)> =
            ServerCell::new(make_values!(@initial $action));)*
    };

    (@type text) => { *mut c_char };
    (@type adopted_text) => { *mut c_char };
    (@type secret) => { *mut c_char };
    (@type choice) => { std::ffi::c_ulong };
    (@type number) => { u32 };
    (@type wide_number) => { i64 };
    (@type flag) => { c_char };
    (@type id_action) => { i64 };
    (@type key_action) => { i64 };
    (@type flag_action) => { c_char };
    (@type text_action) => { *mut c_char };

    (@initial text $default:literal) => { concat!($default, "\0").as_ptr().cast_mut().cast() };
    (@initial adopted_text $default:literal) => { make_values!(@initial text $default) };
    (@initial secret $default:literal) => { make_values!(@initial text $default) };
    (@initial choice [$index:literal of $($name:literal),*]) => { $index };
    (@initial number $default:literal) => { $default };
    (@initial wide_number $default:literal) => { $default };
    (@initial flag $default:literal) => { $default as c_char };
    (@initial id_action) => { 0 };
    (@initial key_action) => { 0 };
    (@initial flag_action) => { 0 };
    (@initial text_action) => { make_values!(@initial text "") };
}

/// The statics, named like their variables.
#[allow(non_upper_case_globals, reason = "named like the variables")]
pub(super) mod value {
    use std::ffi::c_char;

    use super::super::super::cell::ServerCell;
    use crate::settings::with_system_variables;

    with_system_variables!(make_values);
}

/// Makes the function that reads all settings.
macro_rules! read_values {
    (
        settings {
            $($kind:ident $name:ident = $default:tt $(, $min:literal, $max:expr)?, $when:ident, $stores:ident, $comment:literal;)*
        }
        actions { $($action:tt)* }
    ) => {
        /// The values that a start needs.
        pub(in crate::ffi) fn settings(notify: Notify) -> Settings {
            // SAFETY: the server has written the values before it calls init, and changes none of
            // them meanwhile.
            unsafe {
                Settings {
                    $($name: read_values!($kind *value::$name.get()),)*
                    environment: SecretsOfEnvironment::of_this_process(),
                    // A server's working directory is its data directory.
                    data_directory: std::env::current_dir().unwrap_or_default(),
                    notify,
                }
            }
        }
    };
    (text $value:expr) => { text($value).to_vec() };
    (adopted_text $value:expr) => { text($value).to_vec() };
    (secret $value:expr) => { SecretBytes::new(text($value).to_vec()) };
    (choice $value:expr) => { $value as usize };
    (number $value:expr) => { $value };
    (wide_number $value:expr) => { $value };
    (flag $value:expr) => { $value != 0 };
}
with_system_variables!(read_values);

/// What the variables say that the refresher depends on.
///
/// # Safety
/// Nobody sets variables meanwhile: the caller is init, or an update function.
pub(super) unsafe fn refresh_policy() -> RefreshPolicy {
    // SAFETY: by this function's contract.
    let settings = unsafe {
        Settings {
            timeout: *value::timeout.get(),
            max_retries: *value::max_retries.get(),
            caching_enabled: *value::caching_enabled.get() != 0,
            cache_timeout: *value::cache_timeout.get(),
            cache_version_timeout: *value::cache_version_timeout.get(),
            ..Settings::default()
        }
    };
    settings.refresh_policy()
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

/// Puts the place-holder where the server would show a secret, and overwrites the secret in the
/// memory of the server's options, where a core dump or /proc/PID/cmdline would have it.
pub(in crate::ffi) fn hide_secrets() {
    for shown in [
        value::filekey.get(),
        value::token.get(),
        value::vault_secret.get(),
    ] {
        // SAFETY: only init, which the server calls once at a time, reads or writes these variables
        // (they are read only), and a value that is not empty lies in the server's copy of its
        // options, which is writable.
        unsafe {
            if settings::shown_secret(text(*shown)).is_none() {
                continue;
            }
            let secret = *shown;
            *shown = HIDDEN.as_ptr().cast_mut();
            let mut at = secret;
            while *at != 0 {
                at.write_volatile(b'x' as c_char);
                at = at.add(1);
            }
        }
    }
}

/// [`settings::HIDDEN`] as a C string.
const HIDDEN: &CStr = c"(hidden)";

/// Takes actions back that my.cnf or a command line asks for: a start must not rotate, least of all
/// the one of mariadb-backup.
pub(in crate::ffi) fn rest_actions() {
    // SAFETY: as in `hide_secrets`; a SET of these variables never writes to them.
    unsafe {
        let asked = *value::rotate_key.get() != 0
            || *value::rotate_master_key.get() != 0
            || *value::reload_keys.get() != 0
            || !text(*value::save_keys.get()).is_empty();
        *value::rotate_key.get() = 0;
        *value::rotate_master_key.get() = 0;
        *value::reload_keys.get() = 0;
        *value::save_keys.get() = c"".as_ptr().cast_mut();
        if asked {
            services::log(
                Severity::Warning,
                "keyroll: keyroll_rotate_key, keyroll_rotate_master_key, keyroll_reload_keys and keyroll_save_keys act \
                 by SET GLOBAL alone; their values in my.cnf or on the command line are ignored",
            );
        }
    }
}

/// How new versions are made at this moment.
pub(in crate::ffi) fn new_versions() -> NewVersions<'static> {
    // SAFETY: a static of the right size and alignment; the server writes it with plain stores of
    // one word.
    let step = unsafe { AtomicU32::from_ptr(value::rotate_version_step.get()) }.load(Ordering::Relaxed);
    NewVersions {
        step: VersionStep::new(step).unwrap_or(VersionStep::DEFAULT),
        spec: key_spec(),
        ..NewVersions::DEFAULT
    }
}

/// Algorithm and length of versions that are made at this moment.
fn key_spec() -> KeySpec {
    let now = |cell: &ServerCell<std::ffi::c_ulong>| {
        // SAFETY: as in `new_versions`.
        unsafe { AtomicU64::from_ptr(cell.get()) }.load(Ordering::Relaxed) as usize
    };
    settings::key_spec(now(&value::key_algorithm), now(&value::key_spec))
}

/// How keys are made at their first use at this moment.
pub(in crate::ffi) fn new_keys() -> NewKeys {
    // SAFETY: as in `new_versions`.
    let limit = unsafe { AtomicU32::from_ptr(value::auto_create_limit.get()) }.load(Ordering::Relaxed);
    NewKeys {
        spec: key_spec(),
        limit,
    }
}

/// Whether an unknown key is to be made at this moment.
pub(in crate::ffi) fn auto_create_keys() -> bool {
    // SAFETY: as in `new_versions`.
    unsafe { AtomicI8::from_ptr(value::auto_create_keys.get().cast()) }.load(Ordering::Relaxed) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_place_holder_is_the_one_that_settings_know() {
        assert_eq!(HIDDEN.to_str().unwrap(), settings::HIDDEN);
    }
}
