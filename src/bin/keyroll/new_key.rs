//! `--id`: the keys that a new store is made with.

use std::collections::BTreeMap;
use std::str::FromStr;

use keyroll::crypto::Algorithm;
use keyroll::keys::KeySpec;

/// Temporary files and tables, where there is such a key.
const TEMPORARY_DATA: u32 = 2;
/// What a server cannot do without.
const SYSTEM_DATA: u32 = 1;

/// `ID[:ALGORITHM][:BITS]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewKeyArg {
    id: u32,
    pub(crate) algorithm: Option<Algorithm>,
    bits: Option<u32>,
}

impl FromStr for NewKeyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let id = parts.next().unwrap_or_default();
        let id = id.parse::<u32>().ok().filter(|&id| id > 0);
        let mut key = NewKeyArg {
            id: id.ok_or("a key id is a number from 1 to 4294967295")?,
            algorithm: None,
            bits: None,
        };
        for part in parts {
            match (Algorithm::from_name(part), part) {
                (Some(algorithm), _) if key.algorithm.is_none() && key.bits.is_none() => {
                    key.algorithm = Some(algorithm);
                }
                (None, "128" | "192" | "256") if key.bits.is_none() => key.bits = part.parse().ok(),
                _ => return Err("write ID, ID:ALGORITHM, ID:BITS or ID:ALGORITHM:BITS".into()),
            }
        }
        Ok(key)
    }
}

/// Key 1, and those asked for, or else key 2; what is not asked for is as `default` has it.
pub(crate) fn specs(asked_for: &[NewKeyArg], default: KeySpec) -> BTreeMap<u32, KeySpec> {
    let mut specs = BTreeMap::from([(SYSTEM_DATA, default)]);
    if asked_for.is_empty() {
        specs.insert(TEMPORARY_DATA, default);
    }
    for key in asked_for {
        let spec = KeySpec {
            algorithm: key.algorithm.unwrap_or(default.algorithm),
            bits: key.bits.unwrap_or(default.bits),
        };
        specs.insert(key.id, spec);
    }
    specs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_id_with_an_algorithm_or_a_length_or_both() {
        let key = |text: &str| {
            text.parse::<NewKeyArg>()
                .map(|key| (key.id, key.algorithm, key.bits))
        };
        assert_eq!(key("7"), Ok((7, None, None)));
        assert_eq!(key("7:aes_ctr"), Ok((7, Some(Algorithm::AesCtr), None)));
        assert_eq!(key("7:192"), Ok((7, None, Some(192))));
        assert_eq!(key("7:aes_cbc:128"), Ok((7, Some(Algorithm::AesCbc), Some(128))));
        for wrong in [
            "",
            "0",
            "x",
            "4294967296",
            "7:",
            "7:md5",
            "7:512",
            "7:128:aes_cbc",
            "7:aes_cbc:aes_ctr",
            "7:128:128",
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn key_1_is_always_made_and_key_2_unless_others_are_asked_for() {
        let ids = |texts: &[&str]| {
            let keys: Vec<NewKeyArg> = texts.iter().map(|text| text.parse().unwrap()).collect();
            specs(&keys, KeySpec::DEFAULT).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(ids(&[]), [1, 2]);
        assert_eq!(ids(&["7"]), [1, 7]);
        assert_eq!(ids(&["1"]), [1]);
        let cbc = ["1:aes_cbc:128".parse().unwrap()];
        assert_eq!(specs(&cbc, KeySpec::DEFAULT)[&1].bits, 128);
    }
}
