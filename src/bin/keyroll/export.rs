//! `keyroll export`: the data keys in a plain key file, for leaving keyroll.

use std::collections::BTreeSet;
use std::path::PathBuf;

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::keys::KeySet;
use keyroll::store::key_file::{KeyFile, KeyFileConfig};

use crate::failure::Failure;
use crate::owner::OwnerArgs;
use crate::store::say_warnings;
use crate::store_args::StoreArgs;
use crate::terminal;

/// Writes all data keys of a key store in clear into a new key file
///
/// For leaving keyroll: file_key_management reads the file, if each key has version 1 alone and all
/// data is encrypted with one algorithm that it knows. The command says what stands in the way.
/// Whoever reads the file reads the data.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  keyroll export --insecure-plaintext --to /root/keys
      The keys of the server that is installed here.")]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArgs,

    /// The new key file; it is readable by its owner alone, and a file that exists is never
    /// overwritten
    #[arg(long, value_name = "PATH")]
    to: PathBuf,

    /// Says that the keys are meant to be written in clear
    #[arg(long)]
    insecure_plaintext: bool,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// The most bytes of a key file that file_key_management reads.
const PEER_LIMIT: u64 = 1024 * 1024;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if !args.insecure_plaintext {
        return Err(Failure::NotInsecure);
    }
    let owner = args.owner.owner()?;
    let chosen = args.store.choose()?;
    let of_store = chosen.settings.algorithm();
    let loaded = chosen.open()?.load()?;
    say_warnings(&loaded);
    let keys = loaded.keys;
    let algorithms = algorithms(&keys, of_store);
    let mut hindrances = hindrances(&keys, &algorithms);
    let config = KeyFileConfig {
        path: args.to.clone(),
        filekey: None,
        digest: Digest::Sha1,
        pbkdf2_rounds: 0,
        strict_permissions: false,
    };
    let (ids, versions) = (keys.ids().len(), keys.len());
    KeyFile::create_with(config, keys, owner)?;
    if std::fs::metadata(&args.to).is_ok_and(|made| made.len() > PEER_LIMIT) {
        hindrances.push("the file has more than 1 MiB: file_key_management does not read all of it".into());
    }
    terminal::say(&format!(
        "made the key file {}, in clear; keys: {ids}, versions: {versions}",
        args.to.display()
    ));
    if let Some(name) = only(&algorithms) {
        terminal::say(&format!(
            "a key file records no algorithm: set keyroll_encryption_algorithm (or file_key_management_encryption_algorithm) \
             = {name}"
        ));
    }
    hindrances.iter().for_each(terminal::warn);
    Ok(())
}

fn algorithms(keys: &KeySet, of_store: Algorithm) -> BTreeSet<&'static str> {
    keys.iter()
        .map(|(name, _)| keys.algorithm(name).unwrap_or(of_store).name())
        .collect()
}

fn only<'a>(algorithms: &BTreeSet<&'a str>) -> Option<&'a str> {
    algorithms.first().copied().filter(|_| algorithms.len() == 1)
}

/// What keeps file_key_management from reading the data with these keys.
fn hindrances(keys: &KeySet, algorithms: &BTreeSet<&'static str>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((name, _)) = keys.iter().find(|(name, _)| name.version > 1) {
        found.push(format!(
            "there is {name}: file_key_management of MariaDB 10.11 refuses a file with versions above 1"
        ));
    }
    let names: Vec<&str> = algorithms.iter().copied().collect();
    if names.len() > 1 {
        let names = names.join(" and ");
        found.push(format!(
            "the keys encrypt with {names}: with a key file all data is decrypted with one algorithm, by keyroll too"
        ));
    }
    for algorithm in Algorithm::ALL
        .into_iter()
        .filter(|algorithm| algorithm.derives_keys())
    {
        if algorithms.contains(algorithm.name()) {
            found.push(format!(
                "some keys encrypt with {}: file_key_management cannot read such data, so it has to be decrypted \
                 or encrypted anew first",
                algorithm.name()
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use keyroll::keys::KeyName;
    use keyroll::secret::DataKey;

    use super::*;

    fn hindrances_of(versions: &[(u32, u32, Algorithm)]) -> Vec<String> {
        let mut keys = KeySet::default();
        for &(id, version, algorithm) in versions {
            let key = DataKey::new(&[7; 32]).unwrap();
            keys.insert_for(KeyName { id, version }, key, algorithm);
        }
        hindrances(&keys, &algorithms(&keys, Algorithm::AesCbc))
    }

    #[test]
    fn one_version_of_each_key_in_one_algorithm_of_the_peer_is_no_hindrance() {
        use Algorithm::{AesCbc, AesCtr};
        assert!(hindrances_of(&[(1, 1, AesCbc), (2, 1, AesCbc)]).is_empty());
        assert!(hindrances_of(&[(1, 1, AesCtr)]).is_empty());
        assert_eq!(hindrances_of(&[(1, 1, AesCbc), (2, 1, AesCtr)]).len(), 1);
        assert_eq!(hindrances_of(&[(1, 1, AesCbc), (1, 3, AesCbc)]).len(), 1);
        for algorithm in [Algorithm::Aes256Xts, Algorithm::Aes256Hctr2] {
            assert_eq!(hindrances_of(&[(1, 1, algorithm)]).len(), 1);
        }
    }
}
