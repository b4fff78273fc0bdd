//! The page ciphers: AES as the server's `file_key_management` plugin uses it, byte for byte.
//!
//! | algorithm | [`Padding::Padded`] | [`Padding::None`] (the server's NOPAD flag) |
//! |---|---|---|
//! | [`Algorithm::AesCbc`] | CBC (NIST SP 800-38A) with PKCS#7 padding | CBC over the whole blocks, the tail XORed with AES(key, IV) |
//! | [`Algorithm::AesCtr`] | GCM (NIST SP 800-38D), tag appended | CTR (NIST SP 800-38A), 128-bit counter |
//! | [`Algorithm::Aes256Xts`] | GCM as above | XTS-AES-256 (NIST SP 800-38E) over the whole blocks, the tail masked |
//!
//! aes_256_xts derives its keys from the data key itself ([`mod@derive`]); the others use the key that the server
//! passes. `docs/ciphers.md` has all of it, byte for byte.
//!
//! [`PageCipher`] lives by value in memory that its owner provides and never allocates. One file per mode:
//! each is generic over AES with one key length, and [`PageCipher`] picks the combination.
//! [`password`] is the cipher of key files that `openssl enc` encrypted with a password, [`wrap`] wraps keys with keys.

mod algorithm;
mod cbc;
mod ctr;
pub mod derive;
mod gcm;
mod hkdf;
mod level;
pub mod password;
mod portable;
pub mod scrub;
pub mod wrap;
#[cfg(target_arch = "x86_64")]
mod x86_64;
mod xts;

use std::fmt;

use cipher::InOutBuf;
use thiserror::Error;
use zeroize::ZeroizeOnDrop;

pub use self::algorithm::{Algorithm, Direction, Padding, encrypted_length};
pub use self::level::Level;
use self::portable::{Aes, Key128, Key192, Key256, ModeOf};
use self::xts::{PortableXts, Xts};

/// The length of an initialisation vector in bytes, in every mode.
pub const IV_LENGTH: usize = 16;

/// The length of an AES block in bytes (FIPS 197).
const BLOCK_LENGTH: usize = 16;

/// Why a cipher refused. The object (file, page, key id) is known to the caller only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CipherError {
    /// The key is not an AES key.
    #[error("the key does not have 16, 24 or 32 bytes")]
    KeyLength,

    /// The algorithm derives its keys from a data key of another length.
    #[error("the data key does not have 256 bits")]
    DataKeyLength,

    /// The algorithm derives its keys from a data key, and there is none.
    #[error("there is no such version of the data key")]
    NoDataKey,

    /// The initialisation vector has another length than [`IV_LENGTH`].
    #[error("the initialisation vector does not have 16 bytes")]
    IvLength,

    /// The ciphertext was not made with this key and IV, or was changed or cut. Which of these it was is not
    /// told, so that nobody can learn plaintext by asking (padding oracle).
    #[error("the data does not decrypt: it is damaged, or the key or the algorithm is another one")]
    BadData,

    /// In-place work while bytes of an earlier update are held back: the output would overtake the input.
    #[error("cannot work in place: bytes of an earlier update are still held back")]
    Overlap,

    /// The destination is shorter than the result. Nothing was done; the call may be repeated.
    #[error("the destination is too small")]
    DestinationTooSmall,

    /// A call after [`PageCipher::finish`].
    #[error("the cipher has finished its message")]
    Finished,
}

/// The encryption or decryption of one message under one key and IV: any number of updates, then one finish.
///
/// Everything secret in it is wiped on drop. It needs no heap, and owns nothing but its own memory.
#[repr(C)]
pub struct PageCipher {
    finished: bool,
    /// Whether every update writes as many bytes as it takes: known here, because short updates are many.
    as_long: bool,
    keyed: Keyed,
}

/// The modes by implementation and length of the key. By value, however large, because there is no heap to put
/// them on; which of them is the largest does not matter, see [`PageCipher::footprint`].
#[repr(u8)]
enum Keyed {
    /// No key yet.
    Idle,
    #[cfg(target_arch = "x86_64")]
    Native(x86_64::ModeOf),
    #[cfg(target_arch = "x86_64")]
    NativeXts(Xts<x86_64::NativeXts>),
    Aes128(ModeOf<Key128>),
    Aes192(ModeOf<Key192>),
    Aes256(ModeOf<Key256>),
    Xts(Xts<PortableXts>),
}

/// The layout of a [`Keyed`] that holds a `T`, as `repr(u8)` defines it.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
struct KeyedWith<T>(u8, T);

/// One mode of operation. The methods are those of [`PageCipher`], which has checked what is said here.
trait Mode {
    fn update_length(&self, input: usize) -> usize;
    /// `dst` has exactly `update_length(src.len())` bytes.
    fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<(), CipherError>;
    /// The first `update_length(data.len())` bytes become the output.
    fn update_in_place(&mut self, data: &mut [u8]) -> Result<(), CipherError>;
    fn finish_length(&self) -> usize;
    fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError>;
}

/// Source and destination of a mode whose output is as long as its input.
fn in_out<'i, 'o>(src: &'i [u8], dst: &'o mut [u8]) -> Result<InOutBuf<'i, 'o, u8>, CipherError> {
    InOutBuf::new(src, dst).map_err(|_| CipherError::DestinationTooSmall)
}

/// Runs `$call` on the mode inside a [`Keyed`], whichever it is.
macro_rules! with_mode {
    ($keyed:expr, $mode:ident => $call:expr, idle => $idle:expr) => {
        match $keyed {
            Keyed::Idle => $idle,
            #[cfg(target_arch = "x86_64")]
            Keyed::Native(mode_of) => with_mode!(@mode x86_64::ModeOf, mode_of, $mode => $call),
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeXts($mode) => $call,
            Keyed::Aes128(mode_of) => apart(|| with_mode!(@mode ModeOf, mode_of, $mode => $call)),
            Keyed::Aes192(mode_of) => apart(|| with_mode!(@mode ModeOf, mode_of, $mode => $call)),
            Keyed::Aes256(mode_of) => apart(|| with_mode!(@mode ModeOf, mode_of, $mode => $call)),
            Keyed::Xts($mode) => apart(|| $call),
        }
    };
    (@mode $($modes:ident)::+, $mode_of:expr, $mode:ident => $call:expr) => {
        match $mode_of {
            $($modes)::+::CbcEncrypt($mode) => $call,
            $($modes)::+::CbcDecrypt($mode) => $call,
            $($modes)::+::Ctr($mode) => $call,
            $($modes)::+::GcmEncrypt($mode) => $call,
            $($modes)::+::GcmDecrypt($mode) => $call,
        }
    };
}

/// Does the work in a function of its own: the portable modes are large, and would make the way to the others
/// longer.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl PageCipher {
    /// A cipher at the start of a message, under a key of its own. aes_256_xts is had by
    /// [`derived`](Self::derived).
    ///
    /// # Errors
    /// [`CipherError::IvLength`] unless `iv` has 16 bytes, [`CipherError::KeyLength`] unless `key` has 16, 24
    /// or 32, [`CipherError::NoDataKey`] for an algorithm that derives its keys.
    pub fn new(
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<Self, CipherError> {
        Self::new_at(Level::current(), algorithm, padding, direction, key, iv)
    }

    /// As [`new`](Self::new), at a level that may be lower than the processor's, but not higher. For tests.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn new_at(
        level: Level,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<Self, CipherError> {
        let mut cipher = PageCipher::idle();
        cipher.start_at(
            level.min(Level::available()),
            algorithm,
            padding,
            direction,
            key,
            iv,
        )?;
        Ok(cipher)
    }

    /// A cipher without a key: as if it had finished, until it is [started](Self::start).
    #[inline]
    pub fn idle() -> Self {
        PageCipher {
            finished: true,
            as_long: false,
            keyed: Keyed::Idle,
        }
    }

    /// As [`new`](Self::new), in the place of this cipher: nothing is moved, and a failure leaves no key.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    #[inline]
    pub fn start(
        &mut self,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), CipherError> {
        self.start_at(Level::current(), algorithm, padding, direction, key, iv)
    }

    /// As [`start`](Self::start), at a level that may be lower.
    #[inline]
    fn start_at(
        &mut self,
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_variables, reason = "there is one level")
        )]
        level: Level,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), CipherError> {
        let iv = iv.try_into().map_err(|_| CipherError::IvLength)?;
        if !matches!(self.keyed, Keyed::Idle) {
            *self = PageCipher::idle();
        }
        self.as_long = matches!(
            (algorithm, padding, direction),
            (Algorithm::AesCtr, Padding::None, _) | (Algorithm::AesCtr, _, Direction::Encrypt)
        );
        #[cfg(target_arch = "x86_64")]
        if level >= Level::AesNi {
            self.keyed
                .start_native(level, algorithm, padding, direction, key, iv)?;
            self.finished = false;
            return Ok(());
        }
        self.start_portable(algorithm, padding, direction, key, iv)
    }

    /// Apart, because it is large and where it runs speed is elsewhere.
    #[inline(never)]
    fn start_portable(
        &mut self,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        self.keyed = match key.len() {
            16 => Keyed::Aes128(ModeOf::new(algorithm, padding, direction, key, iv)?),
            24 => Keyed::Aes192(ModeOf::new(algorithm, padding, direction, key, iv)?),
            32 => Keyed::Aes256(ModeOf::new(algorithm, padding, direction, key, iv)?),
            _ => return Err(CipherError::KeyLength),
        };
        self.finished = false;
        Ok(())
    }

    /// How many of the first bytes of this cipher's memory count now. To zero these wipes all that a drop wipes.
    #[inline]
    pub fn footprint(&self) -> usize {
        let keyed = match self.keyed {
            #[cfg(target_arch = "x86_64")]
            Keyed::Native(_) => size_of::<KeyedWith<x86_64::ModeOf>>(),
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeXts(_) => size_of::<KeyedWith<Xts<x86_64::NativeXts>>>(),
            _ => size_of::<Keyed>(),
        };
        std::mem::offset_of!(PageCipher, keyed) + keyed
    }

    /// The exact number of bytes that an update with `input` bytes writes now.
    #[inline(always)]
    pub fn update_length(&self, input: usize) -> usize {
        if self.as_long {
            return input;
        }
        with_mode!(&self.keyed, mode => mode.update_length(input), idle => 0)
    }

    /// Takes `src` in and writes what is ready to the start of `dst`. Returns the number of bytes written,
    /// always `update_length(src.len())`. The decryption of a tagged message takes all of it in one update.
    ///
    /// # Errors
    /// [`CipherError::DestinationTooSmall`] if `dst` is shorter than that; nothing was done then.
    /// [`CipherError::BadData`] if the tag is wrong or missing (the output's place is wiped then), if it is the
    /// second update of a tagged message, or for a message beyond GCM's 64 GiB. [`CipherError::Finished`]
    /// after [`finish`](Self::finish).
    #[inline(always)]
    pub fn update(&mut self, src: &[u8], dst: &mut [u8]) -> Result<usize, CipherError> {
        if self.finished {
            return Err(CipherError::Finished);
        }
        let length = self.update_length(src.len());
        let dst = dst.get_mut(..length).ok_or(CipherError::DestinationTooSmall)?;
        with_mode!(&mut self.keyed, mode => mode.update(src, dst), idle => Err(CipherError::Finished))?;
        Ok(length)
    }

    /// As [`update`](Self::update), with the output at the start of the input's own place. What follows the
    /// output there is unspecified.
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and [`CipherError::Overlap`] if bytes of an earlier update are held
    /// back (CBC and XTS do that; OpenSSL refuses it likewise).
    #[inline(always)]
    pub fn update_in_place(&mut self, data: &mut [u8]) -> Result<usize, CipherError> {
        if self.finished {
            return Err(CipherError::Finished);
        }
        let length = self.update_length(data.len());
        with_mode!(&mut self.keyed, mode => mode.update_in_place(data), idle => Err(CipherError::Finished))?;
        Ok(length)
    }

    /// The largest number of bytes that [`finish`](Self::finish) can write now: at most 16.
    #[inline]
    pub fn finish_length(&self) -> usize {
        with_mode!(&self.keyed, mode => mode.finish_length(), idle => 0)
    }

    /// Ends the message: writes its last bytes to the start of `dst` and returns their exact number.
    ///
    /// # Errors
    /// [`CipherError::BadData`] if the message is no valid ciphertext: wrong padding, wrong length, no verified
    /// tag; nothing was written then. [`CipherError::DestinationTooSmall`] if `dst` is shorter than the output:
    /// the call may be repeated. [`CipherError::Finished`] if the message has ended already.
    #[inline]
    pub fn finish(&mut self, dst: &mut [u8]) -> Result<usize, CipherError> {
        if self.finished {
            return Err(CipherError::Finished);
        }
        let result =
            with_mode!(&mut self.keyed, mode => mode.finish(dst), idle => Err(CipherError::Finished));
        self.finished = result != Err(CipherError::DestinationTooSmall);
        result
    }
}

// No `Drop` of its own: AES, CTR and GCM wipe themselves (the crates' `zeroize` features), and each buffer of
// ours that can hold plaintext or a key is `Zeroizing`.
impl ZeroizeOnDrop for PageCipher {}

impl fmt::Debug for PageCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCipher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
