//! What the server looks up in the library: the plugin's declaration.

use std::ffi::c_int;
use std::mem::size_of;

use super::cell::ServerCell;
use super::{abi, entry, status, sysvar};

/// The version of the plugin's interface that we are built for.
// SAFETY: the server looks these symbols up by their names in this library alone.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the server's")]
pub(super) static _maria_plugin_interface_version_: c_int = abi::KR_PLUGIN_INTERFACE_VERSION as c_int;

/// The size of one declaration, by which the server walks over them.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the server's")]
pub(super) static _maria_sizeof_struct_st_plugin_: c_int = size_of::<abi::kr_plugin>() as c_int;

/// The declarations: one plugin, and zeroes at the end.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the server's")]
pub(super) static _maria_plugin_declarations_: ServerCell<[abi::kr_plugin; 2]> = ServerCell::new([
    abi::kr_plugin {
        type_: abi::KR_ENCRYPTION_PLUGIN as c_int,
        info: (&raw const ENCRYPTION.0).cast_mut().cast(),
        name: c"keyroll".as_ptr(),
        author: c"the keyroll authors".as_ptr(),
        descr: c"Versioned data keys that rotate with one statement".as_ptr(),
        license: abi::KR_LICENSE_BSD as c_int,
        init: Some(entry::init),
        deinit: Some(entry::deinit),
        version: PACKAGE_VERSION_NUMBER,
        status_vars: status::VARIABLES.get().cast(),
        system_vars: sysvar::VARIABLES.get().cast(),
        version_info: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
        maturity: abi::KR_MATURITY_STABLE,
    },
    // SAFETY: its fields are numbers, pointers and optional functions, for all of which 0 is a
    // value.
    unsafe { std::mem::zeroed() },
]);

/// The functions of an encryption plugin. Public for benchmarks and tests, which call them as the
/// server does.
pub static ENCRYPTION: Vtable = Vtable(abi::kr_encryption {
    interface_version: abi::KR_ENCRYPTION_INTERFACE_VERSION as c_int,
    get_latest_key_version: Some(entry::get_latest_key_version),
    get_key: Some(entry::get_key),
    crypt_ctx_size: Some(entry::crypt_ctx_size),
    crypt_ctx_init: Some(entry::crypt_ctx_init),
    crypt_ctx_update: Some(entry::crypt_ctx_update),
    crypt_ctx_finish: Some(entry::crypt_ctx_finish),
    encrypted_length: Some(entry::encrypted_length),
});

/// The vtable as the server reads it.
#[repr(transparent)]
pub struct Vtable(pub abi::kr_encryption);

/// Major version in the high byte, minor in the low one, as INFORMATION_SCHEMA.PLUGINS prints it.
const PACKAGE_VERSION_NUMBER: u32 =
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 8 | number(env!("CARGO_PKG_VERSION_MINOR"));

const fn number(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < digits.len() {
        value = value * 10 + (digits[at] - b'0') as u32;
        at += 1;
    }
    value
}
