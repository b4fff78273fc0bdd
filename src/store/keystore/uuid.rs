//! The name of a keystore that no other one has.

use std::fmt;

/// A UUID (RFC 9562), written in lower case: `0190a5c3-...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// A new random one (version 4).
    pub fn random() -> Result<Uuid, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        Ok(Uuid(bytes))
    }

    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Uuid> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
        let uuid = Uuid(bytes);
        (uuid.to_string() == text).then_some(uuid)
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &digits[range]);
        f.write_str(&groups.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written_and_not_otherwise() {
        let text = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        for wrong in [
            "",
            "0190A5C3-1f2e-4d3c-8b4a-5f6e7d8c9b0a",
            "0190a5c31f2e-4d3c-8b4a-5f6e7d8c9b0a",
            "0190a5c31f2e4d3c8b4a5f6e7d8c9b0a",
            "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0",
            "{0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a}",
        ] {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn random_ones_differ_and_say_that_they_are_random() {
        // So many that each of the bits that say it would be wrong in one of them, were it left to chance.
        let all: Vec<Uuid> = (0..64).map(|_| Uuid::random().unwrap()).collect();
        assert_ne!(all[0], all[1]);
        for uuid in all {
            let bytes = uuid.as_bytes();
            assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (4, 2), "{uuid}");
        }
    }
}
