//! What the vectors of both algorithms that derive keys have alike: their cases, how a message is run, and what must
//! be refused.

use keyroll::crypto::{
    Algorithm, CipherError, DataKeyRef, Direction, Level, Message, MessageCipher, Padding, PageCipher, RingId,
};
use keyroll::secret::KeyBytes;
use serde::Deserialize;

/// What starts a message, but for the algorithm.
#[derive(Deserialize, Clone, Debug)]
pub(super) struct Case {
    pub(super) key_id: u32,
    pub(super) key_version: u32,
    #[serde(with = "hex")]
    pub(super) data_key: Vec<u8>,
    #[serde(with = "hex")]
    pub(super) salt: Vec<u8>,
    #[serde(with = "hex")]
    pub(super) iv: Vec<u8>,
}

/// A ciphertext in which something is wrong.
#[derive(Deserialize)]
pub(super) struct Defect {
    pub(super) defect: String,
    #[serde(flatten)]
    pub(super) case: Case,
    #[serde(with = "hex")]
    pub(super) ciphertext: Vec<u8>,
}

/// A case that cannot start a message.
#[derive(Deserialize)]
pub(super) struct RejectStart {
    defect: String,
    error: String,
    #[serde(flatten)]
    case: Case,
}

impl Case {
    /// A cipher in a ring of its own.
    pub(super) fn cipher(
        &self,
        algorithm: Algorithm,
        padding: Padding,
        direction: Direction,
    ) -> Result<PageCipher, CipherError> {
        self.cipher_in(algorithm, RingId::new(), Level::available(), padding, direction)
    }

    pub(super) fn cipher_in(
        &self,
        algorithm: Algorithm,
        ring: RingId,
        level: Level,
        padding: Padding,
        direction: Direction,
    ) -> Result<PageCipher, CipherError> {
        let data_key = DataKeyRef {
            ring,
            key_id: self.key_id,
            key_version: self.key_version,
            key: KeyBytes::of(&self.data_key),
        };
        let message = Message {
            cipher: MessageCipher::of(algorithm, || Some(data_key)).unwrap(),
            padding,
            direction,
            key: &self.salt,
            iv: &self.iv,
        };
        PageCipher::new_at(level, &message)
    }
}

/// The plaintext of the vectors.
pub(super) fn plaintext(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// The output for a message in these pieces. Every destination has exactly the announced length.
pub(super) fn run<'a>(
    mut cipher: PageCipher,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, CipherError> {
    let mut out = Vec::new();
    let mut input = 0;
    for piece in pieces {
        input += piece.len();
        let start = out.len();
        out.resize(start + cipher.update_length(piece.len()), 0);
        assert_eq!(cipher.update(piece, &mut out[start..])?, out.len() - start);
    }
    let start = out.len();
    out.resize(start + cipher.finish_length(), 0);
    let last = cipher.finish(&mut out[start..])?;
    out.truncate(start + last);
    assert!(out.len() <= input + 16);
    Ok(out)
}

/// Each of these padded messages is refused.
pub(super) fn check_refused(algorithm: Algorithm, defects: &[Defect]) {
    for Defect {
        defect,
        case,
        ciphertext,
    } in defects
    {
        let cipher = case
            .cipher(algorithm, Padding::Padded, Direction::Decrypt)
            .unwrap();
        assert_eq!(
            run(cipher, [&ciphertext[..]]),
            Err(CipherError::BadData),
            "{defect}"
        );
    }
}

/// Each of these is refused for what it is, before there is a message.
pub(super) fn check_refused_starts(algorithm: Algorithm, starts: &[RejectStart]) {
    for RejectStart { defect, error, case } in starts {
        let expected = match &error[..] {
            "key length" => CipherError::KeyLength,
            "data key length" => CipherError::DataKeyLength,
            "IV length" => CipherError::IvLength,
            _ => panic!("no such error: {error}"),
        };
        for padding in [Padding::Padded, Padding::None] {
            for direction in [Direction::Encrypt, Direction::Decrypt] {
                let refused = case.cipher(algorithm, padding, direction).err();
                assert_eq!(refused, Some(expected), "{defect}, {padding:?}");
            }
        }
    }
}
