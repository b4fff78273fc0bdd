//! The values of all settings, and the secrets that the environment holds in their place.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::SettingsError;
use super::option::TextValue;
use super::table::with_system_variables;
use crate::crypto::Algorithm;
use crate::durable::secret_source::{FILE_PREFIX, SecretSource};
use crate::keys::{KeySpec, VersionStep};
use crate::net::Proxies;
use crate::notify::Notify;
use crate::secret::SecretBytes;

/// What a secret's variable shows in its place.
///
/// mariadb-backup hands every shown value back on its own command line and keeps it in
/// `backup-my.cnf`, so a secret must never be shown.
pub const HIDDEN: &str = "(hidden)";

/// What a secret variable shows for this value: a secret never, the path of a file as it is.
pub fn shown_secret(value: &[u8]) -> Option<&'static str> {
    let hide = !value.is_empty() && !value.starts_with(FILE_PREFIX.as_bytes());
    hide.then_some(HIDDEN)
}

/// Secrets that the environment may hold in place of empty or hidden settings, with the same
/// syntax; and the proxies that it names, maybe with passwords.
#[derive(Debug, Default)]
pub struct SecretsOfEnvironment {
    /// `KEYROLL_FILEKEY`.
    pub filekey: SecretBytes,
    /// `VAULT_TOKEN`, as for Vault's own command.
    pub token: SecretBytes,
    /// `KEYROLL_VAULT_SECRET`.
    pub vault_secret: SecretBytes,
    /// `https_proxy` and its like.
    pub proxies: Proxies,
}

const FILEKEY: &str = "KEYROLL_FILEKEY";
const TOKEN: &str = "VAULT_TOKEN";
const VAULT_SECRET: &str = "KEYROLL_VAULT_SECRET";

impl SecretsOfEnvironment {
    /// Those of this process. To be called while no other thread changes the environment, as when a
    /// server starts.
    pub fn of_this_process() -> SecretsOfEnvironment {
        let read = |name| SecretBytes::new(std::env::var_os(name).unwrap_or_default().into_vec());
        SecretsOfEnvironment {
            filekey: read(FILEKEY),
            token: read(TOKEN),
            vault_secret: read(VAULT_SECRET),
            proxies: Proxies::from_environment(|name| std::env::var_os(name)),
        }
    }
}

macro_rules! values {
    (
        settings {
            $($kind:ident $name:ident = $default:tt $(, $min:literal, $max:expr)?, $when:ident, $stores:ident, $comment:literal;)*
        }
        actions { $($action:tt)* }
    ) => {
        /// The values of all settings. `Debug` shows no secret.
        #[derive(Debug)]
        pub struct Settings {
            $(
                #[doc = concat!("The value of keyroll_", stringify!($name), ".")]
                pub $name: values!(@type $kind),
            )*
            /// What the environment gives.
            pub environment: SecretsOfEnvironment,
            /// Who is told what the master key's provider says.
            pub notify: Notify,
            /// The server's data directory.
            pub data_directory: PathBuf,
        }

        impl Default for Settings {
            fn default() -> Settings {
                Settings {
                    $($name: values!(@default $kind $default),)*
                    environment: SecretsOfEnvironment::default(),
                    notify: Notify::default(),
                    data_directory: PathBuf::new(),
                }
            }
        }

        impl Settings {
            /// Sets the setting of this name, without its prefix, if there is one.
            ///
            /// # Errors
            /// What its value could be.
            pub(super) fn set(&mut self, name: &str, value: &TextValue<'_>) -> Result<(), String> {
                match name {
                    $(stringify!($name) => self.$name = values!(@read value $kind $default $(, $min, $max)?),)*
                    _ => {}
                }
                Ok(())
            }
        }
    };
    (@type text) => { Vec<u8> };
    (@type adopted_text) => { Vec<u8> };
    (@type secret) => { SecretBytes };
    // An index into the names.
    (@type choice) => { usize };
    (@type number) => { u32 };
    (@type wide_number) => { i64 };
    (@type flag) => { bool };
    (@default text $default:literal) => { Vec::from($default) };
    (@default adopted_text $default:literal) => { Vec::from($default) };
    (@default secret $default:literal) => { SecretBytes::new(Vec::from($default)) };
    (@default choice [$index:literal of $($name:literal),*]) => { $index };
    (@default $kind:ident $default:literal) => { $default };
    (@read $value:ident text $default:literal) => { $value.bytes().to_vec() };
    (@read $value:ident adopted_text $default:literal) => { $value.bytes().to_vec() };
    (@read $value:ident secret $default:literal) => { SecretBytes::new($value.bytes().to_vec()) };
    (@read $value:ident choice [$index:literal of $($name:literal),*]) => { $value.choice(&[$($name),*])? };
    (@read $value:ident number $default:literal, $min:literal, $max:expr) => {
        u32::try_from($value.number($min, i64::from($max))?).unwrap_or($default)
    };
    (@read $value:ident wide_number $default:literal) => { $value.number(0, i64::MAX)? };
    (@read $value:ident flag $default:literal) => { $value.flag() };
}
with_system_variables!(values);

/// What a secret setting says, or the environment where the setting is empty or hidden by the
/// server.
///
/// # Errors
/// [`SettingsError::SecretHidden`] if it is hidden and the environment says nothing.
fn given(
    setting: &'static str,
    set: &SecretBytes,
    variable: &'static str,
    of_environment: &SecretBytes,
) -> Result<Option<SecretSource>, SettingsError> {
    let (set, of_environment) = (set.expose(), of_environment.expose());
    let is_hidden = set == HIDDEN.as_bytes();
    match is_hidden || set.is_empty() {
        true if is_hidden && of_environment.is_empty() => {
            Err(SettingsError::SecretHidden { variable, setting })
        }
        true => Ok(SecretSource::from_setting(of_environment)),
        false => Ok(SecretSource::from_setting(set)),
    }
}

impl Settings {
    pub(super) fn given_filekey(&self) -> Result<Option<SecretSource>, SettingsError> {
        let SecretsOfEnvironment { filekey, .. } = &self.environment;
        given("keyroll_filekey", &self.filekey, FILEKEY, filekey)
    }

    pub(super) fn given_token(&self) -> Result<Option<SecretSource>, SettingsError> {
        given("keyroll_token", &self.token, TOKEN, &self.environment.token)
    }

    pub(super) fn given_vault_secret(&self) -> Result<Option<SecretSource>, SettingsError> {
        let SecretsOfEnvironment { vault_secret, .. } = &self.environment;
        given(
            "keyroll_vault_secret",
            &self.vault_secret,
            VAULT_SECRET,
            vault_secret,
        )
    }

    /// Lets the variables of Vault's own command stand in for settings that are empty:
    /// `VAULT_CACERT`, `VAULT_NAMESPACE`, `VAULT_CLIENT_CERT` and `VAULT_CLIENT_KEY`.
    pub fn fill_from_environment_of_vault(&mut self) {
        for (setting, variable) in [
            (&mut self.vault_ca, "VAULT_CACERT"),
            (&mut self.vault_namespace, "VAULT_NAMESPACE"),
            (&mut self.vault_client_cert, "VAULT_CLIENT_CERT"),
            (&mut self.vault_client_key, "VAULT_CLIENT_KEY"),
        ] {
            if setting.is_empty() {
                *setting = std::env::var_os(variable).unwrap_or_default().into_vec();
            }
        }
    }

    /// These settings without those that name a key store or are for one: how the services of
    /// master keys are reached.
    #[must_use]
    pub fn of_services(self) -> Settings {
        Settings {
            request_timeout: self.request_timeout,
            region: self.region,
            endpoint_url: self.endpoint_url,
            log_level: self.log_level,
            token: self.token,
            vault_ca: self.vault_ca,
            timeout: self.timeout,
            max_retries: self.max_retries,
            vault_namespace: self.vault_namespace,
            vault_login: self.vault_login,
            vault_login_mount: self.vault_login_mount,
            vault_role: self.vault_role,
            vault_secret: self.vault_secret,
            vault_client_cert: self.vault_client_cert,
            vault_client_key: self.vault_client_key,
            vault_allow_http: self.vault_allow_http,
            environment: self.environment,
            notify: self.notify,
            ..Settings::default()
        }
    }

    /// The cipher for all data of a store that records none.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::ALL
            .get(self.encryption_algorithm)
            .copied()
            .unwrap_or(Algorithm::AesCbc)
    }

    /// Algorithm and length of key versions that are made in a keystore.
    pub fn key_spec(&self) -> KeySpec {
        key_spec(self.key_algorithm, self.key_spec)
    }

    /// Whether a start is refused where the redo log would go on under a downgrade.
    pub fn refuses_downgrades(&self) -> bool {
        self.algorithm_downgrade == STRICT
    }

    /// How far the number of a new key version lies above the latest.
    pub fn version_step(&self) -> VersionStep {
        VersionStep::new(self.rotate_version_step).unwrap_or(VersionStep::DEFAULT)
    }
}

/// `keyroll_algorithm_downgrade = strict`, among the names of the table.
const STRICT: usize = 1;

/// What `keyroll_key_algorithm` and `keyroll_key_spec` say, as indices into the names of the table.
pub fn key_spec(algorithm: usize, spec: usize) -> KeySpec {
    let algorithm = Algorithm::ALL.get(algorithm).copied();
    KeySpec::of(
        algorithm.unwrap_or(KeySpec::DEFAULT.algorithm),
        if spec == 0 { 128 } else { 256 },
    )
}

/// The path that a setting names, if it is set.
pub(super) fn path(setting: &[u8]) -> Option<PathBuf> {
    (!setting.is_empty()).then(|| OsString::from_vec(setting.to_vec()).into())
}

/// The setting as text. What is not UTF-8 is no name, no URI and no URL, and is refused as such.
pub(super) fn text(setting: &[u8]) -> String {
    String::from_utf8_lossy(setting).into_owned()
}

// The table's numbers and the types' must agree.
const _: () = assert!(VersionStep::MAX == 1_000_000);

#[cfg(test)]
mod tests {
    use super::super::{PREFIX, ServerOption, variables};
    use super::*;
    use crate::crypto::password::Digest;
    use crate::service::aws::LOG_LEVELS;

    #[test]
    fn choices_are_the_names_of_the_types_they_select() {
        let table = variables();
        let values = |name: &str| table.iter().find(|v| v.name == name).unwrap().values.clone();
        assert_eq!(values("keyroll_digest"), Digest::ALL.map(Digest::name).join(", "));
        assert_eq!(
            values("keyroll_encryption_algorithm"),
            Algorithm::ALL.map(Algorithm::name).join(", ")
        );
        assert_eq!(
            values("keyroll_key_algorithm"),
            values("keyroll_encryption_algorithm")
        );
        assert_eq!(values("keyroll_log_level"), LOG_LEVELS.join(", "));
        assert_eq!(key_spec(2, 1), KeySpec::DEFAULT);
        assert_eq!(key_spec(2, 0), KeySpec::DEFAULT, "aes_256_xts has one length");
        assert_eq!(
            (key_spec(0, 0).algorithm, key_spec(0, 0).bits),
            (Algorithm::AesCbc, 128)
        );
    }

    #[test]
    fn downgrades_are_refused_by_strict_alone() {
        for (value, refuses) in [(None, false), (Some("report"), false), (Some("strict"), true)] {
            let option = value.map(|value| ServerOption {
                name: b"keyroll_algorithm_downgrade".into(),
                value: Some(SecretBytes::new(value.into())),
            });
            let settings = Settings::from_options(option.as_slice(), PREFIX).unwrap();
            assert_eq!(settings.refuses_downgrades(), refuses, "{value:?}");
        }
    }

    #[test]
    fn how_a_service_is_reached_is_kept_and_what_is_for_a_store_is_not() {
        let option = |name: &str, value: &str| ServerOption {
            name: name.into(),
            value: Some(SecretBytes::new(value.into())),
        };
        for row in variables().iter().filter(|row| !row.is_action) {
            let is_number = row.values.contains(" to ");
            let value = match row.values.split(", ").find(|value| *value != row.default) {
                Some(_) if is_number => "77",
                Some("text" | "text, never shown") => "other",
                Some(other) => other,
                None => panic!("{row:?}"),
            };
            let set = [option(row.name, value)];
            let is_of_service = row.name == "keyroll_request_timeout"
                || (row.stores.starts_with("keystore under") || row.stores.ends_with("vault-transit:"))
                    && row.name != "keyroll_master_key_id";
            let kept = Settings::from_options(&set, PREFIX).unwrap().of_services();
            let secrets = [&kept.token, &kept.vault_secret, &kept.filekey];
            let has_secret = secrets.iter().any(|secret| !secret.expose().is_empty());
            let is_kept = has_secret || format!("{kept:?}") != format!("{:?}", Settings::default());
            assert_eq!(is_kept, is_of_service, "{}", row.name);
        }
    }

    #[test]
    fn defaults_are_those_of_the_types() {
        let settings = Settings::default();
        assert_eq!(settings.algorithm(), Algorithm::AesCbc);
        assert_eq!(settings.key_spec(), KeySpec::DEFAULT);
        assert_eq!(settings.version_step().get(), VersionStep::DEFAULT.get());
    }

    #[test]
    fn a_secret_is_hidden_and_a_path_is_shown() {
        assert_eq!(shown_secret(b"secret"), Some(HIDDEN));
        assert_eq!(shown_secret(b"FILE:/etc/mysql/password"), None);
        assert_eq!(shown_secret(b""), None);
    }

    #[test]
    fn the_environment_stands_in_for_a_secret_that_is_empty_or_hidden() {
        let given = |set: &str, of_environment: &str| {
            let secret = |text: &str| SecretBytes::new(text.into());
            let environment = SecretsOfEnvironment {
                token: secret(of_environment),
                ..SecretsOfEnvironment::default()
            };
            let settings = Settings {
                token: secret(set),
                environment,
                ..Settings::default()
            };
            settings.given_token().map(|given| match given {
                Some(SecretSource::Value(secret)) => String::from_utf8(secret.to_vec()).unwrap(),
                given => format!("{given:?}"),
            })
        };
        for (set, of_environment, wins) in [
            ("", "", "None"),
            ("a", "", "a"),
            ("a", "b", "a"),
            ("", "b", "b"),
            (HIDDEN, "b", "b"),
        ] {
            assert_eq!(given(set, of_environment).unwrap(), wins);
        }
        let error = given(HIDDEN, "").unwrap_err();
        assert!(error.to_string().contains("keyroll_token") && error.to_string().contains("VAULT_TOKEN"));
        assert!(error.hint().contains("keyroll_token=FILE:path"));
    }
}
