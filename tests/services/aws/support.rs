//! A KMS key to try things on.

use std::time::Duration;

use keyroll::master_key::{MasterKey, MasterKeyError, ProviderOptions, Wrapped, open};
use keyroll::secret::KeystoreKey;

pub(crate) const KEYSTORE: &str = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a";

/// The environment of a client.
pub(crate) type Environment = Vec<(String, String)>;

/// The provider that the URI names, in this environment and no other.
pub(crate) fn opened(
    key: &str,
    environment: &[(String, String)],
    request_timeout: Duration,
) -> Box<dyn MasterKey> {
    open(&format!("aws-kms:{key}"), &options(environment, request_timeout)).unwrap()
}

pub(crate) fn options(environment: &[(String, String)], request_timeout: Duration) -> ProviderOptions {
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    ProviderOptions::new(request_timeout, environment.collect())
}

/// The same environment, with one variable set.
pub(crate) fn with(environment: &[(String, String)], name: &str, value: &str) -> Environment {
    let mut changed = without(environment, &[name]);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

/// The same environment, without some variables.
pub(crate) fn without(environment: &[(String, String)], names: &[&str]) -> Environment {
    environment
        .iter()
        .filter(|(name, _)| !names.contains(&name.as_str()))
        .cloned()
        .collect()
}

pub(crate) fn wrap(master: &dyn MasterKey) -> (KeystoreKey, Wrapped) {
    let key = KeystoreKey::random().unwrap();
    let wrapped = master.wrap(&key, KEYSTORE).unwrap();
    (key, wrapped)
}

/// The error of a call that must fail. It must not hold the secret that the servers' environment has.
pub(crate) fn refused<T>(result: Result<T, MasterKeyError>) -> MasterKeyError {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => {
            assert!(
                !format!("{error:?} {error} {}", error.hint()).contains("hunter2"),
                "{error}"
            );
            error
        }
    }
}

pub(crate) fn works(master: &dyn MasterKey) {
    let (key, wrapped) = wrap(master);
    assert_eq!(master.unwrap(&wrapped, KEYSTORE).unwrap().expose(), key.expose());
}

pub(crate) const PATIENT: Duration = Duration::from_secs(60);
