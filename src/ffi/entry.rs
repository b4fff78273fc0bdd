//! What the server calls: init, deinit and the seven functions of `st_mariadb_encryption`. No
//! logic.

use std::ffi::{c_int, c_uint, c_void};

use super::context::{self, Chunk, Context};
use super::guard::guard;
use super::instance::{self, Host};
use super::sysvar::values;
use super::{abi, published, services};
use crate::crypto::{
    self, Algorithm, CipherError, Direction, Message, MessageCipher, Padding, PageCipher, derive, scrub,
};
use crate::keys::KeyName;
use crate::notify::Notify;
use crate::plugin::{Plugin, PluginError, Severity, log};
use crate::secret::KeyBytes;

/// What init and deinit answer when they failed.
const FAILED: c_int = 1;

pub(super) unsafe extern "C" fn get_latest_key_version(key_id: c_uint) -> c_uint {
    guard(abi::KR_KEY_VERSION_INVALID, || {
        let latest = published::current().and_then(|ring| ring.latest(key_id));
        let latest = latest.or_else(|| instance::first_use(key_id));
        latest.unwrap_or(abi::KR_KEY_VERSION_INVALID)
    })
}

pub(super) unsafe extern "C" fn get_key(
    key_id: c_uint,
    version: c_uint,
    buffer: *mut u8,
    length: *mut c_uint,
) -> c_uint {
    // An invalid version is also an error of get_key.
    guard(abi::KR_KEY_VERSION_INVALID, || {
        match published::current().and_then(|ring| ring.key(key_id, version)) {
            // SAFETY: the server passes a buffer of `*length` bytes and a length of its own, or
            // null for either.
            Some(key) => unsafe { hand_over(key, buffer, length) },
            // SAFETY: as above.
            None => unsafe { get_missing_key(KeyName { id: key_id, version }, buffer, length) },
        }
    })
}

/// The same for a version that the ring lacks: the store may have it by now. Apart from the way
/// that is taken for each page.
///
/// # Safety
/// That of [`hand_over`].
#[cold]
#[inline(never)]
unsafe fn get_missing_key(name: KeyName, buffer: *mut u8, length: *mut c_uint) -> c_uint {
    let look = || published::current().and_then(|ring| ring.key(name.id, name.version));
    let Some(key) = instance::find_version(name).then(look).flatten() else {
        return abi::KR_KEY_VERSION_INVALID;
    };
    // SAFETY: the caller's promise.
    unsafe { hand_over(key, buffer, length) }
}

/// Copies the key if there is a buffer for it, and always tells its true length.
///
/// # Safety
/// `length` is null or writable; where `buffer` is not null, `*length` is initialised and the
/// buffer's size.
#[inline(always)]
unsafe fn hand_over(key: KeyBytes<'_>, buffer: *mut u8, length: *mut c_uint) -> c_uint {
    if length.is_null() {
        return abi::KR_KEY_VERSION_INVALID;
    }
    let room = if buffer.is_null() {
        key.len()
    } else {
        // SAFETY: there is a buffer, so its length is there; without one it may be uninitialised.
        unsafe { *length as usize }
    };
    // SAFETY: `length` is writable. A key has at most 32 bytes.
    unsafe { *length = key.len() as c_uint };
    if room < key.len() {
        return abi::KR_KEY_BUFFER_TOO_SMALL;
    }
    if !buffer.is_null() {
        key.for_each_word(|at, word| {
            // SAFETY: the buffer has room for the key, and it is not the ring's memory.
            unsafe { buffer.cast::<[u8; 8]>().add(at).write(word) };
        });
    }
    0
}

pub(super) unsafe extern "C" fn crypt_ctx_size(_key_id: c_uint, _version: c_uint) -> c_uint {
    Context::SIZE as c_uint
}

#[allow(clippy::too_many_arguments, reason = "the server's signature")]
pub(super) unsafe extern "C" fn crypt_ctx_init(
    ctx: *mut c_void,
    key: *const u8,
    klen: c_uint,
    iv: *const u8,
    ivlen: c_uint,
    flags: c_int,
    key_id: c_uint,
    version: c_uint,
) -> c_int {
    guard(abi::KR_CRYPT_LIBRARY_ERROR, || {
        // SAFETY: the server passes `klen` and `ivlen` bytes, or null.
        let (key, iv) = unsafe { (context::input(key, klen), context::input(iv, ivlen)) };
        let (direction, padding) = read_flags(flags);
        let name = KeyName { id: key_id, version };
        let start = |page_cipher: &mut PageCipher| {
            page_cipher.start(&Message {
                cipher: message_cipher(name, direction).ok_or(CipherError::NoDataKey)?,
                padding,
                direction,
                key: key.ok_or(CipherError::KeyLength)?,
                iv: iv.ok_or(CipherError::IvLength)?,
            })
        };
        // SAFETY: the server has allocated the context with the size that crypt_ctx_size told.
        crypt_status(unsafe { Context::begin(ctx, start) })
    })
}

/// The cipher of this version. That it should not encrypt any more is reported, once.
#[inline(always)]
fn message_cipher(name: KeyName, direction: Direction) -> Option<MessageCipher<'static>> {
    let Some(ring) = published::current() else {
        return MessageCipher::of(Algorithm::BEFORE_THE_START, || None);
    };
    let of_version = ring.message_cipher(name)?;
    if of_version.is_unreported_downgrade && direction == Direction::Encrypt {
        instance::report_downgrade(name, ring);
    }
    Some(of_version.cipher)
}

pub(super) unsafe extern "C" fn crypt_ctx_update(
    ctx: *mut c_void,
    src: *const u8,
    slen: c_uint,
    dst: *mut u8,
    dlen: *mut c_uint,
) -> c_int {
    let chunk = Chunk {
        src,
        slen: slen as usize,
        dst,
    };
    // SAFETY: `dlen` is null or writable; the rest is the vtable's contract, to which the server
    // keeps.
    unsafe { write_length(dlen, || Context::update(ctx, chunk)) }
}

pub(super) unsafe extern "C" fn crypt_ctx_finish(ctx: *mut c_void, dst: *mut u8, dlen: *mut c_uint) -> c_int {
    // SAFETY: as for update; the server does not use the context afterwards.
    unsafe { write_length(dlen, || Context::end(ctx, dst)) }
}

pub(super) unsafe extern "C" fn encrypted_length(slen: c_uint, key_id: c_uint, version: c_uint) -> c_uint {
    // After a panic the server fails to allocate rather than overrun.
    guard(c_uint::MAX, || {
        let algorithm = published::current().and_then(|ring| ring.algorithm(key_id, version));
        crypto::encrypted_length(algorithm.unwrap_or(Algorithm::BEFORE_THE_START), slen)
    })
}

/// Reads the settings and the keys, and publishes them. 0 = the plugin runs.
pub(super) unsafe extern "C" fn init(_plugin: *mut c_void) -> c_int {
    guard(FAILED, || {
        values::rest_actions();
        let started = scrub::around(|| {
            let notify = Notify::new(|line| log::provider_said(&Host, line));
            Plugin::start(values::settings(notify), &Host)
        });
        match started {
            Ok(plugin) => {
                values::hide_secrets();
                instance::start_refresher(&plugin);
                instance::set_plugin(Some(plugin));
                0
            }
            Err(error) => refuse_start(&error),
        }
    })
}

/// Ends the plugin and wipes all keys; the server calls nothing of it afterwards.
pub(super) unsafe extern "C" fn deinit(_plugin: *mut c_void) -> c_int {
    guard(FAILED, || {
        instance::stop_refresher();
        instance::set_plugin(None);
        // SAFETY: the server ends a plugin after all that used it.
        unsafe { published::clear() };
        derive::forget();
        0
    })
}

fn refuse_start(error: &PluginError) -> c_int {
    services::fail_start(&error.to_string());
    services::log(Severity::Note, &format!("keyroll: hint: {}", error.hint()));
    instance::end_before_recovery_without_keys();
    FAILED
}

fn read_flags(flags: c_int) -> (Direction, Padding) {
    let has = |flag: c_uint| flags & flag as c_int != 0;
    (
        match has(abi::KR_FLAG_ENCRYPT) {
            true => Direction::Encrypt,
            false => Direction::Decrypt,
        },
        match has(abi::KR_FLAG_NOPAD) {
            true => Padding::None,
            false => Padding::Padded,
        },
    )
}

fn crypt_status(result: Result<(), CipherError>) -> c_int {
    result.map_or_else(context::code, |()| abi::KR_CRYPT_OK as c_int)
}

/// Runs the work behind the guard and tells how many bytes it wrote: 0 unless it succeeded, as the
/// server uses the number after a failure, too. Without a place for the number the work is done all
/// the same: a finish must always wipe.
///
/// # Safety
/// `dlen` is null or writable.
#[inline(always)]
unsafe fn write_length(dlen: *mut c_uint, work: impl FnOnce() -> Result<usize, CipherError>) -> c_int {
    let mut nowhere = 0;
    // SAFETY: by this function's contract.
    let told = unsafe { dlen.as_mut() };
    let is_told = told.is_some();
    // A place in any case, because a branch here would double the work's code.
    let dlen = told.unwrap_or(&mut nowhere);
    *dlen = 0;
    guard(abi::KR_CRYPT_LIBRARY_ERROR, || {
        let result = work();
        if !is_told {
            return abi::KR_CRYPT_BAD_DATA;
        }
        // At most one block more comes out than the 2^32 - 1 bytes that a call can bring in; that
        // cannot be told.
        crypt_status(result.and_then(|written| {
            *dlen = c_uint::try_from(written).map_err(|_| CipherError::BadData)?;
            Ok(())
        }))
    })
}
