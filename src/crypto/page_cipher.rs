//! The cipher of one message: the modes by implementation, behind one type.

use std::fmt;

use zeroize::ZeroizeOnDrop;

use super::derive::{self, Hctr2Keys, XtsKeys};
use super::hctr2::Hctr2;
use super::message::{AesMessage, AesMode, DataKeyRef, Message, MessageCipher};
use super::mode::{IV_LENGTH, Mode};
use super::portable::{self, PortableHctr2, PortableXts};
#[cfg(target_arch = "x86_64")]
use super::x86_64::{self, NativeHctr2, NativeXts};
use super::xts::Xts;
use super::{Algorithm, CipherError, Direction, Level, Padding};

/// The encryption or decryption of one message under one key and IV: any number of updates, then
/// one finish.
///
/// Everything secret in it is wiped on drop. It needs no heap, and owns nothing but its own memory.
#[repr(C)]
pub struct PageCipher {
    finished: bool,
    /// Whether every update writes as many bytes as it takes: known here, because short updates are
    /// many.
    as_long: bool,
    keyed: Keyed,
}

/// The modes by implementation. By value, however large, because there is no heap to put them on;
/// which of them is the largest does not matter, see [`PageCipher::footprint`].
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is no heap to put a variant on")]
enum Keyed {
    /// No key yet.
    Idle,
    #[cfg(target_arch = "x86_64")]
    Native(x86_64::ModeOf),
    #[cfg(target_arch = "x86_64")]
    NativeXts(Xts<NativeXts>),
    #[cfg(target_arch = "x86_64")]
    NativeHctr2(Hctr2<NativeHctr2, Xts<NativeXts>>),
    Portable(portable::ModeOf),
    PortableXts(Xts<PortableXts>),
    PortableHctr2(Hctr2<PortableHctr2, Xts<PortableXts>>),
}

/// The layout of a [`Keyed`] that holds a `T`, as `repr(u8)` defines it.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
struct KeyedWith<T>(u8, T);

/// Runs `$call` on the mode inside a [`Keyed`], whichever it is.
macro_rules! with_mode {
    ($keyed:expr, $mode:ident => $call:expr, idle => $idle:expr) => {
        match $keyed {
            Keyed::Idle => $idle,
            #[cfg(target_arch = "x86_64")]
            Keyed::Native(mode_of) => with_mode!(@mode x86_64::ModeOf, mode_of, $mode => $call),
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeXts($mode) => $call,
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeHctr2($mode) => apart(|| $call),
            Keyed::Portable(mode_of) => apart(|| with_mode!(@mode portable::ModeOf, mode_of, $mode => $call)),
            Keyed::PortableXts($mode) => apart(|| $call),
            Keyed::PortableHctr2($mode) => apart(|| $call),
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

/// Does the work in a function of its own: the portable modes are large, and would make the way to
/// the others longer.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl PageCipher {
    /// A cipher at the start of a message.
    ///
    /// # Errors
    /// [`CipherError::IvLength`] unless the IV has 16 bytes, [`CipherError::KeyLength`] unless the
    /// key has 16, 24 or 32, [`CipherError::DataKeyLength`] unless a data key that keys are derived
    /// from has 32.
    pub fn new(message: &Message<'_>) -> Result<Self, CipherError> {
        Self::new_at(Level::current(), message)
    }

    /// As [`new`](Self::new), at a level that may be lower than the processor's, but not higher.
    /// For tests.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn new_at(level: Level, message: &Message<'_>) -> Result<Self, CipherError> {
        let mut cipher = PageCipher::idle();
        cipher.start_at(level.min(Level::available()), message)?;
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

    /// As [`new`](Self::new), in the place of this cipher: nothing is moved, and a failure leaves
    /// no key.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    #[inline]
    pub fn start(&mut self, message: &Message<'_>) -> Result<(), CipherError> {
        self.start_at(Level::current(), message)
    }

    /// As [`start`](Self::start), at a level that may be lower.
    #[inline(always)]
    fn start_at(&mut self, level: Level, message: &Message<'_>) -> Result<(), CipherError> {
        let iv = message.iv.try_into().map_err(|_| CipherError::IvLength)?;
        if !matches!(self.keyed, Keyed::Idle) {
            *self = PageCipher::idle();
        }
        let mode = match (message.cipher, message.padding) {
            (MessageCipher::AesCbc, padding) => AesMode::Cbc(padding),
            (MessageCipher::AesCtr, Padding::None) => AesMode::Ctr,
            (MessageCipher::AesCtr, Padding::Padded) => AesMode::Gcm,
            (MessageCipher::Aes256Xts(data_key) | MessageCipher::Aes256Hctr2(data_key), padding) => {
                let algorithm = match message.cipher {
                    MessageCipher::Aes256Hctr2(_) => Algorithm::Aes256Hctr2,
                    _ => Algorithm::Aes256Xts,
                };
                let salted = AesMessage {
                    mode: AesMode::Gcm,
                    direction: message.direction,
                    key: message.key,
                    iv,
                };
                return self.start_derived(level, algorithm, &data_key, padding, &salted);
            }
        };
        let Message { direction, key, .. } = *message;
        self.start_aes(
            level,
            &AesMessage {
                mode,
                direction,
                key,
                iv,
            },
        )
    }

    /// Starts a message whose key is a salt: XTS or HCTR2, or GCM where it is padded. Apart, to
    /// leave the way to the others short.
    #[inline(never)]
    fn start_derived(
        &mut self,
        level: Level,
        algorithm: Algorithm,
        data_key: &DataKeyRef<'_>,
        padding: Padding,
        salted: &AesMessage<'_>,
    ) -> Result<(), CipherError> {
        match padding {
            Padding::None if algorithm == Algorithm::Aes256Hctr2 => self.start_hctr2(level, data_key, salted),
            Padding::None => derive::with_xts_keys(level, data_key, salted.key, |keys| {
                self.start_xts(keys, salted.direction, salted.iv)
            }),
            Padding::Padded => derive::with_gcm_key(algorithm, data_key, salted.key, |key| {
                self.start_gcm(level, &AesMessage { key, ..*salted })
            }),
        }
    }

    /// Apart, because derivations happen on threads with little stack left.
    #[inline(never)]
    fn start_gcm(&mut self, level: Level, message: &AesMessage<'_>) -> Result<(), CipherError> {
        self.start_aes(level, message)
    }

    #[inline(always)]
    fn start_aes(
        &mut self,
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_variables, reason = "there is one level")
        )]
        level: Level,
        message: &AesMessage<'_>,
    ) -> Result<(), CipherError> {
        self.as_long = matches!(
            (message.mode, message.direction),
            (AesMode::Ctr, _) | (AesMode::Gcm, Direction::Encrypt)
        );
        #[cfg(target_arch = "x86_64")]
        if level >= Level::AesNi {
            let keyed = &mut self.keyed;
            x86_64::ModeOf::put_blank(level, message, |blank| *keyed = Keyed::Native(blank))?;
            if let Keyed::Native(mode_of) = keyed {
                mode_of.set_key(message);
            }
            self.finished = false;
            return Ok(());
        }
        self.start_portable(message)
    }

    /// Apart, because it is large and where it runs speed is elsewhere.
    #[inline(never)]
    fn start_portable(&mut self, message: &AesMessage<'_>) -> Result<(), CipherError> {
        self.keyed = Keyed::Portable(portable::ModeOf::new(message)?);
        self.finished = false;
        Ok(())
    }

    /// # Errors
    /// None in practice: keys for a level are there only where the processor has it.
    #[inline]
    fn start_xts(
        &mut self,
        keys: XtsKeys<'_>,
        direction: Direction,
        iv: &[u8; IV_LENGTH],
    ) -> Result<(), CipherError> {
        self.as_long = false;
        match keys {
            #[cfg(target_arch = "x86_64")]
            XtsKeys::Native(level, keys) => {
                self.keyed = Keyed::NativeXts(NativeXts::blank(level, direction)?);
                if let Keyed::NativeXts(message) = &mut self.keyed {
                    keys.start(message, iv);
                }
            }
            XtsKeys::Portable(keys) => {
                let keyed = &mut self.keyed;
                apart(|| *keyed = Keyed::PortableXts(PortableXts::start(keys, direction, iv)));
            }
        }
        self.finished = false;
        Ok(())
    }

    /// As [`start_xts`](Self::start_xts). Apart, to leave the way to XTS short.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    #[inline(never)]
    fn start_hctr2(
        &mut self,
        level: Level,
        data_key: &DataKeyRef<'_>,
        salted: &AesMessage<'_>,
    ) -> Result<(), CipherError> {
        let AesMessage {
            direction,
            key: salt,
            iv,
            ..
        } = *salted;
        self.as_long = false;
        let keyed = &mut self.keyed;
        derive::with_hctr2_keys(level, data_key, salt, |keys| {
            match keys {
                #[cfg(target_arch = "x86_64")]
                Hctr2Keys::Native(level, key, xts_keys) => {
                    *keyed = Keyed::NativeHctr2(NativeHctr2::blank(level, direction, salt.len(), iv)?);
                    if let Keyed::NativeHctr2(message) = keyed {
                        key.start(&xts_keys, message, iv);
                    }
                }
                Hctr2Keys::Portable(key, xts_keys) => apart(|| {
                    *keyed =
                        Keyed::PortableHctr2(PortableHctr2::start(key, xts_keys, direction, salt.len(), iv));
                }),
            }
            Ok(())
        })?;
        self.finished = false;
        Ok(())
    }

    /// How many of the first bytes of this cipher's memory count now. To zero these wipes all that
    /// a drop wipes.
    #[inline]
    pub fn footprint(&self) -> usize {
        let keyed = match self.keyed {
            #[cfg(target_arch = "x86_64")]
            Keyed::Native(_) => size_of::<KeyedWith<x86_64::ModeOf>>(),
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeXts(_) => size_of::<KeyedWith<Xts<NativeXts>>>(),
            #[cfg(target_arch = "x86_64")]
            Keyed::NativeHctr2(_) => size_of::<KeyedWith<Hctr2<NativeHctr2, Xts<NativeXts>>>>(),
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

    /// Takes `src` in and writes what is ready to the start of `dst`. Returns the number of bytes
    /// written, always `update_length(src.len())`. The decryption of a tagged message takes all of
    /// it in one update.
    ///
    /// # Errors
    /// [`CipherError::DestinationTooSmall`] if `dst` is shorter than that; nothing was done then.
    /// [`CipherError::BadData`] if the tag is wrong or missing (the output's place is wiped then),
    /// if it is the second update of a tagged message, or of one in HCTR2 that came whole, or for a
    /// message beyond GCM's 64 GiB.
    /// [`CipherError::Finished`] after [`finish`](Self::finish).
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

    /// As [`update`](Self::update), with the output at the start of the input's own place. What
    /// follows the output there is unspecified.
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and [`CipherError::Overlap`] if bytes of an earlier
    /// update are held back (CBC and XTS do that; OpenSSL refuses it likewise).
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

    /// Ends the message: writes its last bytes to the start of `dst` and returns their exact
    /// number.
    ///
    /// # Errors
    /// [`CipherError::BadData`] if the message is no valid ciphertext: wrong padding, wrong length,
    /// no verified tag; nothing was written then. [`CipherError::DestinationTooSmall`] if `dst` is
    /// shorter than the output: the call may be repeated. [`CipherError::Finished`] if the message
    /// has ended already.
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

// No `Drop` of its own: AES, CTR and GCM wipe themselves (the crates' `zeroize` features), and each
// buffer of ours that can hold plaintext or a key is `Zeroizing`.
impl ZeroizeOnDrop for PageCipher {}

impl fmt::Debug for PageCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCipher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
