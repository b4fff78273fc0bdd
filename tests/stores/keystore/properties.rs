//! What holds for whatever is in a file: over the fuzzer's seeds, and over texts that are made up.

use std::fs;
use std::path::Path;

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySpec, LAST_VERSION};
use keyroll::master_key::{MAX_WRAPPED, Wrapped};
use keyroll::secret::DataKey;
use keyroll::store::keystore::canonical;
use keyroll::store::keystore::format::{Document, KeyRecord, MasterKeyRecord};
use keyroll::store::keystore::json::{self, Object, Value};
use keyroll::store::keystore::keys::Keys;
use keyroll::store::keystore::uuid::Uuid;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

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

/// Values as deep as they may be below a member of the root.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (i128::from(i64::MIN)..=i128::from(u64::MAX)).prop_map(Value::Integer),
        any::<String>().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec((any::<String>(), inner), 0..6).prop_map(|members| Value::Object(object(members))),
        ]
    })
}

fn object(members: Vec<(String, Value)>) -> Object {
    let mut object = Object::default();
    for (name, value) in members {
        object.set(&name, value);
    }
    object
}

fn spec() -> impl Strategy<Value = KeySpec> {
    (0..3_usize, prop_oneof![Just(128), Just(192), Just(256)])
        .prop_map(|(algorithm, bits)| KeySpec {
            algorithm: Algorithm::ALL[algorithm],
            bits,
        })
        .prop_filter("possible", |spec| spec.is_possible())
}

fn time() -> impl Strategy<Value = String> {
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
}

/// Any keystore that there can be, with its keystore key and with members that are not known.
fn document() -> impl Strategy<Value = (Document, [u8; 32])> {
    let master_key = (
        "\\PC{0,80}",
        "\\PC{0,20}",
        vec(any::<u8>(), 1..=MAX_WRAPPED.min(300)),
        time(),
    );
    let names = btree_set((1..=u32::MAX, 1..=LAST_VERSION), 0..8);
    let unknown = vec(("[a-z]{1,3}\\PC{0,5}", value()), 0..4);
    (
        any::<[u8; 32]>(),
        master_key,
        names,
        vec(spec(), 8),
        time(),
        unknown,
    )
        .prop_map(
            |(key, (provider, key_version, bytes, wrapped_at), names, specs, created, unknown)| {
                let uuid = Uuid::random().unwrap();
                let keys = Keys::new(&key, &uuid);
                let master_key = MasterKeyRecord {
                    provider,
                    wrapped: Wrapped { bytes, key_version },
                    wrapped_at,
                    key_check: keys.check(),
                };
                let mut document = Document::new(uuid, created.clone(), master_key);
                for ((id, version), spec) in names.into_iter().zip(specs) {
                    let data_key = DataKey::random(spec.bits as usize / 8).unwrap().unwrap();
                    let name = KeyName { id, version };
                    document.add(keys.seal(name, spec, &created, &data_key).unwrap());
                }
                document.sign(&keys);
                let mut object = json::parse(&document.render()).unwrap();
                for (name, value) in unknown {
                    if object.get(&name).is_none() {
                        object.set(&name, value);
                    }
                }
                (resigned(object, &keys), key)
            },
        )
}

/// The document of an object whose members were changed, signed anew.
fn resigned(mut object: Object, keys: &Keys) -> Document {
    use base64::Engine;
    let checksum = keyroll::crypto::wrap::sha256(&canonical::bytes_without(&object, &["checksum"]));
    let checksum = base64::engine::general_purpose::STANDARD.encode(checksum);
    object.set("checksum", Value::Text(checksum));
    let mut text = canonical::bytes(&object);
    text.push(b'\n');
    let mut document = Document::parse(&text).unwrap();
    document.sign(keys);
    document
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_written((document, key) in document()) {
        let text = document.render();
        let again = Document::parse(&text).unwrap();
        prop_assert_eq!(&again, &document);
        prop_assert_eq!(again.render(), text);
        let keys = Keys::new(&key, document.uuid());
        prop_assert!(again.is_signed_by(&keys));
        let opens = |record: &KeyRecord| keys.open(record).is_some_and(|key| key.len() * 8 == record.spec.bits as usize);
        prop_assert!(again.keys().iter().all(opens));
    }

    #[test]
    fn any_value_is_read_as_it_was_written(members in vec((any::<String>(), value()), 0..8)) {
        let object = object(members);
        let form = canonical::bytes(&object);
        let again = json::parse(&form).unwrap();
        prop_assert_eq!(canonical::bytes(&again), form);
        for (name, value) in object.iter() {
            prop_assert!(again.get(name).is_some());
            if matches!(value, Value::Text(_) | Value::Integer(_)) {
                prop_assert_eq!(again.get(name), Some(value));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..300)) {
        checks::check(&bytes);
    }

    #[test]
    fn no_damage_to_a_document_is_read_as_one(
        (document, _) in document(),
        at in any::<proptest::sample::Index>(),
        with in vec(any::<u8>(), 0..5),
        cut in 0..5_usize,
    ) {
        let text = document.render();
        let at = at.index(text.len());
        let mut damaged = text[..at].to_vec();
        damaged.extend_from_slice(&with);
        damaged.extend_from_slice(&text[(at + cut).min(text.len())..]);
        checks::check(&damaged);
        match Document::parse(&damaged) {
            // White space, or the same bytes again.
            Ok(again) => prop_assert_eq!(again, document),
            Err(_) => prop_assert_ne!(damaged, text),
        }
    }
}
