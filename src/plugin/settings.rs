//! THE table of system variables, and the settings that they make.
//!
//! The rule for names: what a peer plugin calls `<peer>_key_management_x` is here `keyroll_x`, with the same
//! meaning and default, so that moving over is a `sed` over my.cnf.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::Algorithm;
use crate::crypto::password::Digest;
use crate::keys::{KeySpec, VersionStep};
use crate::master_key::{self, open::DEFAULT_REQUEST_TIMEOUT};
use crate::notify::Notify;
use crate::secret::SecretBytes;
use crate::service::aws::KmsSettings;
use crate::store::StoreConfig;
use crate::store::key_file::{FileKey, KeyFileConfig};
use crate::store::keystore::KeystoreConfig;

use super::{PluginError, VaultSettings, aws, vault_settings};

/// What `keyroll_filekey` shows in place of a password.
///
/// mariadb-backup hands every shown value back on its own command line and keeps it in `backup-my.cnf`, so a
/// password must never be shown.
pub const HIDDEN: &str = "(hidden)";

/// The environment variable that stands in for an empty or hidden `keyroll_filekey`, with the same syntax.
pub const FILEKEY_VARIABLE: &str = "KEYROLL_FILEKEY";

/// Calls the macro `$callback` with all system variables: kind, name, default, range, when it may be set
/// (`start`: in my.cnf only; `live`: also by SET GLOBAL; `refresh`: the same, and the refresher is
/// told) and the comment that `mariadbd --help` prints.
///
/// Kinds: `text`, `adopted_text` (text that a SET puts in force only where it works), `secret` (text that is not
/// shown), `choice` (one of the names, with the index of the default), `number` (u32), `wide_number` (i64 from 0 up), `flag`,
/// `key_action` (a SET of it acts on a key id, and it always shows 0), `flag_action` (a SET to ON acts, and it
/// always shows OFF), `text_action` (a SET to a text acts, and it always shows nothing).
macro_rules! with_system_variables {
    ($callback:ident) => {
        $callback! {
            text filename = "", start, "Path and name of the key file";
            secret filekey = "", start,
                "Password of an encrypted key file, or FILE:path of a file that holds it";
            choice digest = [0 of "sha1", "sha224", "sha256", "sha384", "sha512"], start,
                "Digest for the password of an encrypted key file: the -md of openssl enc";
            number use_pbkdf2 = 0, 0, u32::MAX, start,
                "Number of PBKDF2 rounds for the password of an encrypted key file: the -iter of openssl enc; \
                 0 = no PBKDF2";
            choice encryption_algorithm = [0 of "aes_cbc", "aes_ctr", "aes_256_xts"], start,
                "Cipher for all data of a key store that records no algorithms (a key file): aes_cbc, aes_ctr or \
                 aes_256_xts (for 256-bit data keys only); the latter two with AES-GCM where a checksum fits. Never \
                 change it on a server with encrypted data";
            text keystore = "", start,
                "Path and name of the keystore, whose data keys are wrapped by a master key";
            adopted_text master_key = "", live,
                "URI of the master key that opens the keystore: file:PATH, credential:NAME, exec:PATH, aws-kms:KEY or \
                 vault-transit:https://HOST:PORT/MOUNT/KEY; a SET takes effect only if that master key opens it, and exec: is for my.cnf alone";
            text master_key_id = "", start,
                "Id, alias or ARN of a key in AWS KMS: the same as keyroll_master_key=aws-kms:ID. Without keyroll_keystore \
                 the keystore is keyroll.keystore in the data directory";
            text region = "", start,
                "AWS region of the KMS key; empty = as the AWS SDKs find it: AWS_REGION, a profile";
            text endpoint_url = "", start,
                "Address of AWS KMS; empty = as the AWS SDKs find it: AWS_ENDPOINT_URL, a profile, the region's";
            choice log_level = [0 of "Off", "Fatal", "Error", "Warn", "Info", "Debug", "Trace"], start,
                "What of the requests to AWS KMS is told in the error log: from Warn those that failed, from Info all";
            choice key_algorithm = [2 of "aes_cbc", "aes_ctr", "aes_256_xts"], live,
                "Cipher of key versions that are made in a keystore from now on";
            choice key_spec = [1 of "AES_128", "AES_256"], live,
                "Length of key versions that are made in a keystore from now on; those of aes_256_xts have 256 bits in \
                 any case";
            flag auto_create_keys = true, live,
                "Make version 1 of a key in the keystore when it is first asked for";
            number auto_create_limit = 10_000, 1, u32::MAX, live,
                "How many keys are made at their first use between two starts, at most";
            number request_timeout = 0, 0, u32::MAX, start,
                "Milliseconds that one request to the master key's provider may take, all retries together; 0 = 15000";
            text vault_url = "", start,
                "URL of the secrets in Vault or OpenBao that are the keys, as https://HOST:PORT/v1/MOUNT (KV version 2)";
            secret token = "", start,
                "Token for Vault, or FILE:path of a file that holds it; empty = the environment variable VAULT_TOKEN";
            text vault_ca = "", start,
                "File with the certificate authorities (PEM) that vouch for Vault; empty = those of the system";
            number timeout = 15, 0, 86_400, refresh,
                "Seconds that one request to Vault may take; 0 = 300";
            number max_retries = 3, 0, 2_147_483_647, refresh,
                "How often a request to Vault is sent again (9 times at most)";
            flag caching_enabled = true, refresh,
                "OFF = look for new key versions in Vault every second, whatever keyroll_cache_version_timeout says. Keys \
                 are always kept in memory";
            wide_number cache_timeout = 9_223_372_036_854_775_807, refresh,
                "Milliseconds after which the keys in memory are compared with those in Vault";
            wide_number cache_version_timeout = 60_000, refresh,
                "Milliseconds after which a new key version in Vault is in force at the latest; at least one second";
            flag use_cache_on_timeout = true, live,
                "Accepted for the sake of hashicorp_key_management: keys in memory always go on working while Vault is away";
            flag check_kv_version = true, live,
                "Ask Vault where the secrets engine is mounted and whether it is KV version 2";
            text vault_namespace = "", start,
                "Namespace in Vault";
            choice vault_login = [0 of "token", "approle", "kubernetes", "jwt", "cert"], start,
                "How the server gets a token: it is given (keyroll_token), or by a login with keyroll_vault_role and \
                 keyroll_vault_secret, or with a client certificate";
            text vault_login_mount = "", start,
                "Where the login's method is mounted in Vault; empty = the name of the method";
            text vault_role = "", start,
                "Role of the login: the role_id of approle, the role of kubernetes and jwt, the name of cert";
            secret vault_secret = "", start,
                "Secret of the login, or FILE:path of a file that holds it: the secret_id of approle, the JWT of jwt and \
                 kubernetes (empty = the service account's token of the pod)";
            text vault_client_cert = "", start,
                "File with the client certificate (PEM) to show to Vault";
            text vault_client_key = "", start,
                "File with the private key (PEM) of the client certificate";
            flag vault_allow_http = false, start,
                "Allow http:// to other hosts than this one: anyone on the network can read the keys then";
            flag strict_permissions = false, start,
                "Refuse a file with keys, a password, a token or another secret to log in with that others can read or anyone \
                 but its owner can write; OFF = warn";
            flag accept_lost_keys = false, start,
                "Start although the key store lacks key versions that the data directory knows, and give up all data that \
                 needs them. For one start alone, when they are lost for good";
            number rotate_version_step = 2, 1, 1_000_000, live,
                "How far the number of a new key version lies above the latest; must exceed \
                 innodb_encryption_rotate_key_age for one rotation to re-encrypt";
            key_action rotate_key, live,
                "SET GLOBAL keyroll_rotate_key = N makes a new version of the key with id N; -1 = of all keys";
            flag_action rotate_master_key, live,
                "SET GLOBAL keyroll_rotate_master_key = 1 wraps the keystore anew, under a new version of the master key";
            flag_action reload_keys, live,
                "SET GLOBAL keyroll_reload_keys = 1 takes up key versions that were added to the key store";
            text_action save_keys, live,
                "SET GLOBAL keyroll_save_keys = 'PATH' writes all keys in memory into a new keystore under the same master key; \
                 'PATH file:MASTERKEYPATH' under one in a file, which is made if need be";
        }
    };
}
pub(crate) use with_system_variables;

/// One row of the table, as documentation shows it.
#[derive(Debug)]
pub struct Variable {
    /// The name with its prefix.
    pub name: &'static str,
    /// The default as SHOW VARIABLES prints it.
    pub default: String,
    /// What it may be set to.
    pub values: String,
    /// Whether SET GLOBAL may set it.
    pub live: bool,
    /// What it is for.
    pub comment: &'static str,
}

macro_rules! document {
    ($($kind:ident $name:ident $(= $default:tt)? $(, $min:literal, $max:expr)?, $when:ident, $comment:literal;)*) => {
        /// All system variables in the order of their declaration.
        pub fn variables() -> Vec<Variable> {
            vec![$(Variable {
                name: concat!("keyroll_", stringify!($name)),
                default: document!(@default $kind $($default)?),
                values: document!(@values $kind $($default)? $(, $min, $max)?),
                live: document!(@live $when),
                comment: $comment,
            }),*]
        }
    };
    (@default text $default:literal) => { $default.to_string() };
    (@default adopted_text $default:literal) => { $default.to_string() };
    (@default secret $default:literal) => { $default.to_string() };
    (@default choice [$index:literal of $($name:literal),*]) => { [$($name),*][$index].to_string() };
    (@default number $default:literal) => { $default.to_string() };
    (@default wide_number $default:literal) => { i64::to_string(&$default) };
    (@default flag $default:literal) => { if $default { "ON" } else { "OFF" }.to_string() };
    (@default key_action) => { "0".to_string() };
    (@default flag_action) => { "OFF".to_string() };
    (@default text_action) => { String::new() };
    (@values text $default:literal) => { "text".to_string() };
    (@values adopted_text $default:literal) => { "text".to_string() };
    (@values secret $default:literal) => { "text, never shown".to_string() };
    (@values choice [$index:literal of $($name:literal),*]) => { [$($name),*].join(", ") };
    (@values number $default:literal, $min:literal, $max:expr) => { format!("{} to {}", $min, $max) };
    (@values wide_number $default:literal) => { format!("0 to {}", i64::MAX) };
    (@values flag $default:literal) => { "ON, OFF".to_string() };
    (@values key_action) => { "a key id, -1 = all".to_string() };
    (@values flag_action) => { "1".to_string() };
    (@values text_action) => { "PATH, or PATH file:MASTERKEYPATH".to_string() };
    (@live start) => { false };
    (@live live) => { true };
    (@live refresh) => { true };
}
with_system_variables!(document);

/// The values of the variables that a start needs, as the server hands them over.
#[derive(Debug)]
pub struct Settings {
    /// `keyroll_filename`.
    pub filename: Vec<u8>,
    /// `keyroll_filekey`.
    pub filekey: SecretBytes,
    /// `keyroll_digest` as an index into [`Digest::ALL`].
    pub digest: usize,
    /// `keyroll_use_pbkdf2`.
    pub use_pbkdf2: u32,
    /// `keyroll_encryption_algorithm` as an index into [`Algorithm::ALL`].
    pub encryption_algorithm: usize,
    /// `keyroll_strict_permissions`.
    pub strict_permissions: bool,
    /// `keyroll_accept_lost_keys`.
    pub accept_lost_keys: bool,
    /// The value of [`FILEKEY_VARIABLE`] in the environment.
    pub filekey_of_environment: SecretBytes,
    /// The variables for Vault.
    pub vault: VaultSettings,
    /// `keyroll_keystore`.
    pub keystore: Vec<u8>,
    /// `keyroll_master_key`.
    pub master_key: Vec<u8>,
    /// `keyroll_master_key_id`, `keyroll_region`, `keyroll_endpoint_url`, `keyroll_log_level`.
    pub kms: KmsSettings,
    /// `keyroll_request_timeout` in milliseconds; 0 = the default.
    pub request_timeout: u32,
    /// Who is told what the master key's provider says.
    pub notify: Notify,
}

/// Secrets that the environment may hold in place of settings.
#[derive(Debug)]
pub struct SecretsOfEnvironment {
    /// [`FILEKEY_VARIABLE`].
    pub filekey: SecretBytes,
    /// [`TOKEN_VARIABLE`](super::vault_settings::TOKEN_VARIABLE).
    pub token: SecretBytes,
    /// [`SECRET_VARIABLE`](super::vault_settings::SECRET_VARIABLE).
    pub vault_secret: SecretBytes,
}

/// Reads them with a function that reads one variable; empty where it is not set.
pub fn secrets_of_environment(read: impl Fn(&str) -> SecretBytes) -> SecretsOfEnvironment {
    SecretsOfEnvironment {
        filekey: read(FILEKEY_VARIABLE),
        token: read(vault_settings::TOKEN_VARIABLE),
        vault_secret: read(vault_settings::SECRET_VARIABLE),
    }
}

/// What `keyroll_key_algorithm` and `keyroll_key_spec` say, as indices into the names of the table.
pub fn key_spec(algorithm: usize, spec: usize) -> KeySpec {
    let algorithm = Algorithm::ALL.get(algorithm).copied();
    KeySpec::of(
        algorithm.unwrap_or(KeySpec::DEFAULT.algorithm),
        if spec == 0 { 128 } else { 256 },
    )
}

impl Settings {
    /// The cipher for all data. The server has checked the index against the names of the table.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::ALL
            .get(self.encryption_algorithm)
            .copied()
            .unwrap_or(Algorithm::AesCbc)
    }

    /// Whether the password was hidden by the server that showed the settings and is nowhere else to be had.
    pub fn lacks_hidden_filekey(&self) -> bool {
        self.filekey.expose() == HIDDEN.as_bytes() && self.filekey_of_environment.expose().is_empty()
    }

    /// The key store that the settings name.
    ///
    /// # Errors
    /// More than one, or a keystore without a master key; the peer's keys in AWS KMS that are to be imported first.
    pub fn store(mut self) -> Result<StoreConfig, PluginError> {
        aws::put_in_place(&self.kms, &mut self.keystore, &mut self.master_key)?;
        let is_set = [&self.filename, &self.keystore, &self.vault.url].map(|setting| !setting.is_empty());
        match is_set {
            [_, false, false] => Ok(self.key_file()),
            [false, true, false] => self.envelope(),
            [false, false, true] => self.vault.store(self.strict_permissions),
            _ => Err(PluginError::SeveralStores {
                set: ["keyroll_filename", "keyroll_keystore", "keyroll_vault_url"]
                    .into_iter()
                    .zip(is_set)
                    .filter_map(|(name, is_set)| is_set.then_some(name))
                    .collect(),
            }),
        }
    }

    fn envelope(self) -> Result<StoreConfig, PluginError> {
        if self.master_key.is_empty() {
            return Err(PluginError::NoMasterKey);
        }
        let uri = String::from_utf8_lossy(&self.master_key);
        let options = self.master_key_options()?;
        Ok(StoreConfig::Keystore(KeystoreConfig {
            master_key: master_key::open(&uri, &options)
                .map_err(|error| PluginError::MasterKey(Box::new(error)))?,
            options,
            path: PathBuf::from(OsString::from_vec(self.keystore)),
            strict_permissions: self.strict_permissions,
        }))
    }

    /// What providers of master keys are opened with.
    fn master_key_options(&self) -> Result<master_key::ProviderOptions, PluginError> {
        let timeout = match self.request_timeout {
            0 => DEFAULT_REQUEST_TIMEOUT,
            milliseconds => Duration::from_millis(milliseconds.into()),
        };
        let mut options = master_key::ProviderOptions::of_this_process(timeout);
        options.notify = self.notify.clone();
        self.kms.put_into(&mut options.environment);
        options.vault = Some(Box::new(self.vault.access()?));
        Ok(options)
    }

    fn key_file(self) -> StoreConfig {
        let shown = self.filekey.expose();
        let filekey = if shown.is_empty() || shown == HIDDEN.as_bytes() {
            self.filekey_of_environment.expose()
        } else {
            shown
        };
        StoreConfig::KeyFile(KeyFileConfig {
            path: PathBuf::from(OsString::from_vec(self.filename)),
            filekey: FileKey::from_setting(filekey),
            digest: Digest::ALL.get(self.digest).copied().unwrap_or(Digest::Sha1),
            pbkdf2_rounds: self.use_pbkdf2,
            strict_permissions: self.strict_permissions,
        })
    }
}

/// What `keyroll_filekey` shows for this value: a password never, the path of a file as it is.
pub fn shown_filekey(filekey: &[u8]) -> Option<&'static str> {
    let hide = !filekey.is_empty() && !filekey.starts_with(b"FILE:");
    hide.then_some(HIDDEN)
}

// The table's numbers and the types' must agree.
const _: () = assert!(VersionStep::MAX == 1_000_000);

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(key_spec(2, 1), KeySpec::DEFAULT);
        assert_eq!(key_spec(2, 0), KeySpec::DEFAULT, "aes_256_xts has one length");
        assert_eq!(
            (key_spec(0, 0).algorithm, key_spec(0, 0).bits),
            (Algorithm::AesCbc, 128)
        );
    }

    #[test]
    fn a_password_is_hidden_and_a_path_is_shown() {
        assert_eq!(shown_filekey(b"secret"), Some(HIDDEN));
        assert_eq!(shown_filekey(b"FILE:/etc/mysql/password"), None);
        assert_eq!(shown_filekey(b""), None);
    }
}
