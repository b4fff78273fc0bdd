//! What holds for whatever is in a file: over the fuzzer's seeds, and over texts that are made up.

use std::fs;
use std::path::Path;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySpec, LAST_VERSION};
use keyroll::master_key::{MAX_WRAPPED, Wrapped};
use keyroll::secret::{DataKey, SecretBytes};
use keyroll::store::keystore::derived_keys::DerivedKeys;
use keyroll::store::keystore::format::{Document, SignedText};
use keyroll::store::keystore::records::{KeyRecord, LAST_GENERATION, MasterKeyRecord};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use uuid::Builder;

#[path = "../../../fuzz/checks/keystore.rs"]
mod checks;

#[test]
fn the_fuzzers_seeds_hold_what_must_hold_for_any_bytes() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/keystore");
    let mut count = 0;
    for seed in fs::read_dir(seeds).unwrap() {
        checks::check(&fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

fn spec() -> impl Strategy<Value = KeySpec> {
    (0..3_usize, prop_oneof![Just(128), Just(192), Just(256)])
        .prop_map(|(algorithm, bits)| KeySpec {
            algorithm: Algorithm::ALL[algorithm],
            bits,
        })
        .prop_filter("possible", |spec| spec.is_possible())
}

/// Times that a clock may tell, on days that every month has.
fn time() -> impl Strategy<Value = String> {
    "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
}

/// Any keystore that there can be: its text, what that says, and its keys.
fn keystore() -> impl Strategy<Value = (Vec<u8>, Document, DerivedKeys)> {
    let master_key = (
        "\\PC{0,80}",
        "[ -~]{0,20}",
        vec(any::<u8>(), 1..=MAX_WRAPPED.min(300)),
        time(),
    );
    let names = btree_set((1..=u32::MAX, 1..=LAST_VERSION), 0..8);
    (
        any::<[u8; 32]>(),
        any::<[u8; 16]>(),
        0..LAST_GENERATION,
        master_key,
        names,
        vec(spec(), 8),
        time(),
    )
        .prop_map(
            |(key, uuid, generation, (provider, key_version, bytes, wrapped_at), names, specs, created)| {
                let uuid = Builder::from_random_bytes(uuid).into_uuid();
                let keys = DerivedKeys::new(&key, &uuid);
                let master_key = MasterKeyRecord {
                    provider,
                    wrapped: Wrapped { bytes, key_version },
                    wrapped_at,
                    key_check: keys.check(),
                };
                let mut document = Document::new(uuid, created.clone(), master_key);
                document.generation = generation;
                for ((id, version), spec) in names.into_iter().zip(specs) {
                    let data_key = DataKey::random(spec.bits as usize / 8).unwrap().unwrap();
                    let name = KeyName { id, version };
                    document
                        .keys
                        .push(keys.seal(name, spec, &created, &data_key).unwrap());
                }
                (document.sign(&keys), document, keys)
            },
        )
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_written((text, document, keys) in keystore()) {
        let again = SignedText::parse(SecretBytes::new(text)).unwrap();
        prop_assert_eq!(&again.document, &document);
        prop_assert!(again.is_signed_by(&keys));
        let opens = |record: &KeyRecord| keys.open(record).is_some_and(|key| key.len() * 8 == record.spec.bits as usize);
        prop_assert!(document.keys.iter().all(opens));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
        checks::check(&bytes);
    }

    #[test]
    fn no_damage_to_a_document_is_read_as_one(
        (text, document, _) in keystore(),
        at in any::<proptest::sample::Index>(),
        with in vec(any::<u8>(), 0..5),
        cut in 0..5_usize,
    ) {
        let at = at.index(text.len());
        let mut damaged = text[..at].to_vec();
        damaged.extend_from_slice(&with);
        damaged.extend_from_slice(&text[(at + cut).min(text.len())..]);
        checks::check(&damaged);
        match Document::parse(&damaged) {
            Ok(again) => prop_assert_eq!((again, damaged), (document, text)),
            Err(_) => prop_assert_ne!(damaged, text),
        }
    }
}
