//! Why a cipher refuses a message.

use thiserror::Error;

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

    /// The initialisation vector has another length than [`IV_LENGTH`](super::IV_LENGTH).
    #[error("the initialisation vector does not have 16 bytes")]
    IvLength,

    /// The ciphertext was not made with this key and IV, or was changed or cut. Which of these it
    /// was is not told, so that nobody can learn plaintext by asking (padding oracle).
    #[error("the data does not decrypt: it is damaged, or the key or the algorithm is another one")]
    BadData,

    /// In-place work while bytes of an earlier update are held back: the output would overtake the
    /// input.
    #[error("cannot work in place: bytes of an earlier update are still held back")]
    Overlap,

    /// The destination is shorter than the result. Nothing was done; the call may be repeated.
    #[error("the destination is too small")]
    DestinationTooSmall,

    /// A call after [`PageCipher::finish`](super::PageCipher::finish).
    #[error("the cipher has finished its message")]
    Finished,
}
