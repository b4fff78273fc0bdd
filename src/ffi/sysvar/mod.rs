//! The system variables: the statics that the server writes to and their declarations.

mod action;

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicI8, AtomicU32, AtomicU64, Ordering};

use super::declare::ServerCell;
use super::{abi, services};
use crate::keys::{KeySpec, NewVersions, VersionStep};
use crate::plugin::settings::{self, SecretsOfEnvironment, Settings, with_system_variables};
use crate::plugin::{Level, NewKeys, PaceSettings, VaultSettings};
use crate::secret::SecretBytes;
use crate::service::aws::KmsSettings;

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
    (@type adopted_text) => { *mut c_char };
    (@type secret) => { *mut c_char };
    (@type choice) => { std::ffi::c_ulong };
    (@type number) => { u32 };
    (@type wide_number) => { i64 };
    (@type flag) => { c_char };
    (@type key_action) => { i64 };
    (@type flag_action) => { c_char };
    (@type text_action) => { *mut c_char };

    // What a SET does beside storing the value; `None`: the server stores it.
    (@update start $type:ty) => { None };
    (@update live $type:ty) => { None };
    (@update watched $type:ty) => { Some(action::tell_watcher::<$type>) };

    (@initial text $default:literal) => { concat!($default, "\0").as_ptr().cast_mut().cast() };
    (@initial adopted_text $default:literal) => { declare!(@initial text $default) };
    (@initial secret $default:literal) => { declare!(@initial text $default) };
    (@initial choice [$index:literal of $($name:literal),*]) => { $index };
    (@initial number $default:literal) => { $default };
    (@initial wide_number $default:literal) => { $default };
    (@initial flag $default:literal) => { $default as c_char };
    (@initial key_action) => { 0 };
    (@initial flag_action) => { 0 };
    (@initial text_action) => { declare!(@initial text "") };

    (@variable text $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@text $name, $default, when::$when, $comment, None, None);
    };
    (@variable adopted_text $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@text $name, $default, when::$when, $comment, Some(action::$name), Some(action::show_adopted));
    };
    (@text $name:ident, $default:literal, $when:expr, $comment:literal, $check:expr, $update:expr) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_str> = ServerCell::new(abi::kr_sys_var_str {
            header: header(abi::KR_VAR_STR | $when, named!($name), named!($comment), $check, $update),
            value: value::$name.get(),
            // Never null: mariadb-backup builds --name=value from what is shown and crashes on a NULL.
            def_val: concat!($default, "\0").as_ptr().cast(),
        });
    };
    (@variable text_action $name:ident [] [] $when:ident, $comment:literal) => {
        declare!(@text $name, "", when::$when, $comment, Some(action::$name), Some(action::stay_at_rest));
    };
    (@variable secret $($row:tt)*) => { declare!(@variable text $($row)*); };
    (@variable choice $name:ident [[$index:literal of $($choice:literal),*]] [] $when:ident, $comment:literal) => {
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
                def_val: $index,
                typelib: TYPELIB.get(),
            })
        };
    };
    (@variable number $name:ident [$default:literal] [$min:literal, $max:expr] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_uint> = ServerCell::new(abi::kr_sys_var_uint {
            header: header(
                abi::KR_VAR_INT | abi::KR_VAR_UNSIGNED | when::$when,
                named!($name), named!($comment), None, declare!(@update $when u32),
            ),
            value: value::$name.get(),
            def_val: $default,
            min_val: $min,
            max_val: $max,
            blk_sz: 0,
        });
    };
    (@variable wide_number $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        pub(super) static $name: ServerCell<abi::kr_sys_var_longlong> = ServerCell::new(abi::kr_sys_var_longlong {
            header: header(
                abi::KR_VAR_LONGLONG | when::$when, named!($name), named!($comment), None, declare!(@update $when i64),
            ),
            value: value::$name.get(),
            def_val: $default,
            min_val: 0,
            max_val: i64::MAX,
            blk_sz: 0,
        });
    };
    (@variable flag $name:ident [$default:literal] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, $default as c_char, when::$when, $comment, None, declare!(@update $when c_char));
    };
    (@variable flag_action $name:ident [] [] $when:ident, $comment:literal) => {
        declare!(@bool $name, 0, when::$when, $comment, Some(action::$name), Some(action::stay_at_rest));
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
                named!($name), named!($comment), Some(action::$name), Some(action::stay_at_rest),
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
    pub(super) const watched: u32 = 0;
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
pub(super) fn settings(of_environment: SecretsOfEnvironment) -> Settings {
    // SAFETY: the server has written the values before it calls init, and changes none of them meanwhile.
    unsafe {
        Settings {
            filename: text(*value::filename.get()).to_vec(),
            filekey: SecretBytes::new(text(*value::filekey.get()).to_vec()),
            digest: *value::digest.get() as usize,
            use_pbkdf2: *value::use_pbkdf2.get(),
            encryption_algorithm: *value::encryption_algorithm.get() as usize,
            strict_permissions: *value::strict_permissions.get() != 0,
            accept_lost_keys: *value::accept_lost_keys.get() != 0,
            filekey_of_environment: of_environment.filekey,
            vault: VaultSettings {
                url: text(*value::vault_url.get()).to_vec(),
                token: SecretBytes::new(text(*value::token.get()).to_vec()),
                token_of_environment: of_environment.token,
                ca: text(*value::vault_ca.get()).to_vec(),
                pace: pace(),
                check_kv_version: *value::check_kv_version.get() != 0,
                namespace: text(*value::vault_namespace.get()).to_vec(),
                login: *value::vault_login.get() as usize,
                login_mount: text(*value::vault_login_mount.get()).to_vec(),
                role: text(*value::vault_role.get()).to_vec(),
                secret: SecretBytes::new(text(*value::vault_secret.get()).to_vec()),
                secret_of_environment: of_environment.vault_secret,
                client_cert: text(*value::vault_client_cert.get()).to_vec(),
                client_key: text(*value::vault_client_key.get()).to_vec(),
                allow_http: *value::vault_allow_http.get() != 0,
            },
            keystore: text(*value::keystore.get()).to_vec(),
            master_key: text(*value::master_key.get()).to_vec(),
            kms: KmsSettings {
                master_key_id: lossy(*value::master_key_id.get()),
                region: lossy(*value::region.get()),
                endpoint_url: lossy(*value::endpoint_url.get()),
                log_level: *value::log_level.get() as usize,
            },
            request_timeout: *value::request_timeout.get(),
        }
    }
}

/// What the variables say that the thread counts on which looks for new keys.
///
/// # Safety
/// Nobody sets variables meanwhile: the caller is init, or an update function.
unsafe fn pace() -> PaceSettings {
    // SAFETY: by this function's contract.
    unsafe {
        PaceSettings {
            timeout: *value::timeout.get(),
            max_retries: *value::max_retries.get(),
            caching_enabled: *value::caching_enabled.get() != 0,
            cache_timeout: *value::cache_timeout.get(),
            cache_version_timeout: *value::cache_version_timeout.get(),
        }
    }
}

/// # Safety
/// As of [`text`].
unsafe fn lossy(pointer: *const c_char) -> String {
    // SAFETY: by this function's contract. What is not UTF-8 is no key, no region and no URL, and is refused as such.
    String::from_utf8_lossy(unsafe { text(pointer) }).into_owned()
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

/// Puts the place-holder where the server would show a secret, and overwrites the secret in the memory of the
/// server's options, where a core dump or /proc/PID/cmdline would have it.
pub(super) fn hide_secrets() {
    for shown in [
        value::filekey.get(),
        value::token.get(),
        value::vault_secret.get(),
    ] {
        // SAFETY: only init, which the server calls once at a time, reads or writes these variables (they are read
        // only), and a value that is not empty lies in the server's copy of its options, which is writable.
        unsafe {
            if settings::shown_filekey(text(*shown)).is_none() {
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

/// Takes actions back that my.cnf or a command line asks for: a start must not rotate, least of all the one
/// of mariadb-backup.
pub(super) fn rest_actions() {
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
                Level::Warning,
                "keyroll: keyroll_rotate_key, keyroll_rotate_master_key, keyroll_reload_keys and keyroll_save_keys act \
                 by SET GLOBAL alone; their values in my.cnf or on the command line are ignored",
            );
        }
    }
}

/// How new versions are made at this moment.
pub(super) fn new_versions() -> NewVersions<'static> {
    // SAFETY: a static of the right size and alignment; the server writes it with plain stores of one word.
    let step = unsafe { AtomicU32::from_ptr(value::rotate_version_step.get()) }.load(Ordering::Relaxed);
    NewVersions {
        step: VersionStep::new(step).unwrap_or(VersionStep::DEFAULT),
        spec: key_spec(),
        ..NewVersions::DEFAULT
    }
}

/// Algorithm and length of versions that are made at this moment.
pub(super) fn key_spec() -> KeySpec {
    let now = |cell: &ServerCell<std::ffi::c_ulong>| {
        // SAFETY: as in `new_versions`.
        unsafe { AtomicU64::from_ptr(cell.get()) }.load(Ordering::Relaxed) as usize
    };
    settings::key_spec(now(&value::key_algorithm), now(&value::key_spec))
}

/// How keys are made at their first use at this moment.
pub(super) fn new_keys() -> NewKeys {
    // SAFETY: as in `new_versions`.
    let limit = unsafe { AtomicU32::from_ptr(value::auto_create_limit.get()) }.load(Ordering::Relaxed);
    NewKeys {
        spec: key_spec(),
        limit,
    }
}

/// Whether an unknown key is to be made at this moment.
pub(super) fn auto_create_keys() -> bool {
    // SAFETY: as in `new_versions`.
    unsafe { AtomicI8::from_ptr(value::auto_create_keys.get()) }.load(Ordering::Relaxed) != 0
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
