//! What every master key provider does, whatever holds its key. To try another provider, add a line at the end.

use std::collections::HashSet;
use std::sync::Barrier;

use keyroll::master_key::{MAX_WRAPPED, MasterKey, Wrapped};

use test_support::master_keys::{KEYSTORE, OTHER_KEYSTORE, Place, new_key, refused, wrap};

/// Opens one and the same master key.
type Open<'a> = &'a dyn Fn() -> Box<dyn MasterKey>;

fn what_is_wrapped_unwraps_to_the_same_key(open: Open<'_>) {
    let (key, wrapped) = wrap(&*open());
    assert_eq!(open().unwrap(&wrapped, KEYSTORE).unwrap().expose(), key.expose());
}

fn a_wrapped_key_keeps_to_its_bounds(open: Open<'_>) {
    let (key, wrapped) = wrap(&*open());
    assert!((32..=MAX_WRAPPED).contains(&wrapped.bytes.len()));
    assert!(!wrapped.bytes.windows(32).any(|window| window == key.expose()));
    assert!(wrapped.key_version.len() <= 512 && !wrapped.key_version.contains(char::is_control));
}

fn a_key_is_never_wrapped_alike_twice(open: Open<'_>) {
    let (master, key) = (open(), new_key());
    let all: HashSet<Vec<u8>> = (0..5)
        .map(|_| master.wrap(&key, KEYSTORE).unwrap().bytes)
        .collect();
    assert_eq!(all.len(), 5);
}

fn a_wrapped_key_is_of_no_use_to_another_keystore(open: Open<'_>) {
    let (_, wrapped) = wrap(&*open());
    for other in [OTHER_KEYSTORE, "", &KEYSTORE[1..]] {
        let error = refused(open().unwrap(&wrapped, other));
        assert!(error.is_wrong_key() && !error.is_retryable(), "{error}");
    }
}

/// Tries `sample` bits and lengths, evenly spread.
fn what_was_changed_anywhere_is_refused(open: Open<'_>, sample: usize) {
    let (_, wrapped) = wrap(&*open());
    let (master, bits) = (open(), wrapped.bytes.len() * 8);
    let changed = |bytes: Vec<u8>, what: String| {
        let changed = Wrapped {
            bytes,
            key_version: wrapped.key_version.clone(),
        };
        let error = refused(master.unwrap(&changed, KEYSTORE));
        assert!(error.is_wrong_key(), "{what}: {error}");
    };
    for bit in (0..bits).step_by(bits.div_ceil(sample)) {
        let mut bytes = wrapped.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        changed(bytes, format!("bit {bit}"));
    }
    let lengths = wrapped.bytes.len();
    for length in (0..lengths).step_by(lengths.div_ceil(sample)) {
        changed(wrapped.bytes[..length].to_vec(), format!("{length} bytes"));
    }
    changed([&wrapped.bytes[..], &[0]].concat(), "a byte more".into());
}

fn another_master_key_is_told_from_one_that_is_away(open: Open<'_>, other: Open<'_>) {
    let (_, wrapped) = wrap(&*open());
    let error = refused(other().unwrap(&wrapped, KEYSTORE));
    assert!(error.is_wrong_key() && !error.is_retryable(), "{error}");
    let message = error.to_string();
    assert!(message.starts_with(&other().describe()), "{message}");
    assert!(
        message.contains("is not the master key of this keystore"),
        "{message}"
    );
    assert!(error.hint().contains("‹master_key›"), "{}", error.hint());
}

fn a_version_that_is_not_there_is_named(open: Open<'_>) {
    let (_, wrapped) = wrap(&*open());
    for version in ["4711", "0", "-1", "01", "../1", "4294967296", "", "a\"b", "a\nb"] {
        let other = Wrapped {
            key_version: version.into(),
            ..wrapped.clone()
        };
        let error = refused(open().unwrap(&other, KEYSTORE));
        assert!(error.is_wrong_key(), "{version}: {error}");
        assert!(
            version != "4711" || error.to_string().contains("version 4711"),
            "{error}"
        );
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// Where keys are rotated elsewhere, that was done before, or the error says how.
fn after_a_rotation_old_wraps_still_open(open: Open<'_>, elsewhere: &dyn Fn()) {
    let (master, (old_key, old)) = (open(), wrap(&*open()));
    elsewhere();
    if let Err(error) = master.rotate() {
        assert!(error.hint().contains("--to"), "{}", error.hint());
        assert!(!error.is_retryable() && !error.is_wrong_key());
    } else {
        let (key, new) = wrap(&*master);
        assert_ne!(new.key_version, old.key_version);
        assert_eq!(open().unwrap(&new, KEYSTORE).unwrap().expose(), key.expose());
        let swapped = Wrapped {
            key_version: old.key_version.clone(),
            ..new
        };
        assert!(refused(master.unwrap(&swapped, KEYSTORE)).is_wrong_key());
    }
    // Also by one that was open all the time.
    for master in [master, open()] {
        assert_eq!(master.unwrap(&old, KEYSTORE).unwrap().expose(), old_key.expose());
    }
}

fn nothing_that_is_said_holds_a_key(place: &Place) {
    use base64::Engine;
    let (master, (key, wrapped)) = (place.open(), wrap(&*place.open()));
    let unwrapped = master.unwrap(&wrapped, KEYSTORE).unwrap();
    let error = refused(master.unwrap(&wrapped, OTHER_KEYSTORE));
    let mut said = vec![master.describe(), error.to_string(), error.hint()];
    said.extend([format!("{error:?}"), format!("{unwrapped:?}")]);
    said.extend(place.told());
    let said = said.join("\n").to_lowercase();
    let encoded = base64::prelude::BASE64_STANDARD
        .encode(key.expose())
        .to_lowercase();
    for form in [hex::encode(key.expose()), encoded] {
        assert!(!said.contains(&form[..8]), "{said}");
    }
    assert!(!said.contains(&format!("{:?}", &key.expose()[..4]).replace(['[', ']'], "")));
}

fn a_hundred_threads_are_served_at_once(open: Open<'_>) {
    let (master, (key, wrapped)) = (open(), wrap(&*open()));
    let barrier = Barrier::new(100);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                barrier.wait();
                let unwrapped = master.unwrap(&wrapped, KEYSTORE).unwrap();
                assert_eq!(unwrapped.expose(), key.expose());
            });
        }
    });
}

/// Every test of the suite for one provider: how one is made, how many changes to a wrapped key are tried, and, where that is
/// another one, how one is made of which others make new versions.
macro_rules! conforms {
    ($provider:ident, $make:expr, $sample:expr) => {
        conforms!($provider, $make, $sample, $make);
    };
    ($provider:ident, $make:expr, $sample:expr, $rotating:expr) => {
        mod $provider {
            use super::*;

            conforms!(@ $make,
                what_is_wrapped_unwraps_to_the_same_key,
                a_wrapped_key_keeps_to_its_bounds,
                a_key_is_never_wrapped_alike_twice,
                a_wrapped_key_is_of_no_use_to_another_keystore,
                a_version_that_is_not_there_is_named,
                a_hundred_threads_are_served_at_once,
            );

            #[test]
            fn nothing_that_is_said_holds_a_key() {
                super::nothing_that_is_said_holds_a_key(&$make);
            }

            #[test]
            fn after_a_rotation_old_wraps_still_open() {
                let place: Place = $rotating;
                super::after_a_rotation_old_wraps_still_open(&|| place.open(), &|| place.rotate_elsewhere());
            }

            #[test]
            fn what_was_changed_anywhere_is_refused() {
                let place: Place = $make;
                super::what_was_changed_anywhere_is_refused(&|| place.open(), $sample);
            }

            #[test]
            fn another_master_key_is_told_from_one_that_is_away() {
                let (place, other): (Place, Place) = ($make, $make);
                super::another_master_key_is_told_from_one_that_is_away(&|| place.open(), &|| other.open());
            }
        }
    };
    (@ $make:expr, $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                let place: Place = $make;
                super::$name(&|| place.open());
            }
        )*
    };
}

conforms!(file, Place::file(), 10_000);
conforms!(credential, Place::credential(), 10_000);
conforms!(exec, Place::exec(), 40);
conforms!(vault_transit, Place::vault_transit(), 10_000);
// KMS keeps the versions of one key to itself, so that a new version that shows is another key behind an alias. An alias may have
// named any key: only a key that is named by its id can be another one.
conforms!(aws_kms, Place::aws_kms(), 10_000, Place::aws_kms_alias());
