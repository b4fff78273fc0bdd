//! THE table of system variables.
//!
//! The rule for names: what a peer plugin calls `<peer>_key_management_x` is here `keyroll_x`, with
//! the same meaning and default, so that moving over is a `sed` over my.cnf.

/// What the name of every variable begins with.
pub const PREFIX: &str = "keyroll_";

/// Calls the macro `$callback` with all system variables, first `settings`, which hold values, then
/// `actions`, which act when they are SET and hold none.
///
/// A setting has a kind, a name, a default, a range, when it may be set (`start`: in my.cnf only;
/// `live`: also by SET GLOBAL; `refresh`: the same, and the refresher is told), the stores that it
/// is for, and the comment that `mariadbd --help` prints.
///
/// Kinds of settings: `text`, `adopted_text` (text that a SET puts in force only where it works),
/// `secret` (text that is not shown), `choice` (one of the names, with the index of the default),
/// `number` (u32), `wide_number` (i64 from 0 up), `flag`. Kinds of actions: `key_action` and
/// `id_action` (a SET of it acts on a key id, and it always shows 0; the former takes -1, too),
/// `flag_action` (a SET to ON acts, and it always shows OFF), `text_action` (a SET to a text acts,
/// and it always shows nothing).
macro_rules! with_system_variables {
    ($callback:ident) => {
        $callback! {
            settings {
                text filename = "", start, key_file, "Path and name of the key file";
                secret filekey = "", start, key_file,
                    "Password of an encrypted key file, or FILE:path of a file that holds it";
                choice digest = [0 of "sha1", "sha224", "sha256", "sha384", "sha512"], start, key_file,
                    "Digest for the password of an encrypted key file: the -md of openssl enc";
                number use_pbkdf2 = 0, 0, u32::MAX, start, key_file,
                    "Number of PBKDF2 rounds for the password of an encrypted key file: the -iter of openssl enc; \
                     0 = no PBKDF2";
                choice encryption_algorithm = [0 of "aes_cbc", "aes_ctr", "aes_256_xts", "aes_256_hctr2"], start, records_none,
                    "Cipher for all data of a key store that records no algorithms (a key file): aes_cbc, aes_ctr, \
                     aes_256_xts or aes_256_hctr2 (the latter two for 256-bit data keys only); all but aes_cbc with AES-GCM \
                     where a checksum fits. Never change it on a server with encrypted data";
                text keystore = "", start, keystore,
                    "Path and name of the keystore, whose data keys are wrapped by a master key";
                adopted_text master_key = "", live, keystore,
                    "URI of the master key that opens the keystore: file:PATH, credential:NAME, exec:PATH, aws-kms:KEY or \
                     vault-transit:https://HOST:PORT/MOUNT/KEY; a SET takes effect only if that master key opens it, and exec: is for my.cnf alone";
                text master_key_id = "", start, aws_kms,
                    "Id, alias or ARN of a key in AWS KMS: the same as keyroll_master_key=aws-kms:ID. Without keyroll_keystore \
                     the keystore is keyroll.keystore in the data directory";
                text region = "", start, aws_kms,
                    "AWS region of the KMS key; empty = as the AWS SDKs find it: AWS_REGION, a profile";
                text endpoint_url = "", start, aws_kms,
                    "Address of AWS KMS; empty = as the AWS SDKs find it: AWS_ENDPOINT_URL, a profile, the region's";
                choice log_level = [0 of "Off", "Fatal", "Error", "Warn", "Info", "Debug", "Trace"], start, aws_kms,
                    "What of the requests to AWS KMS is told in the error log: from Warn those that failed, from Info all";
                choice key_algorithm = [2 of "aes_cbc", "aes_ctr", "aes_256_xts", "aes_256_hctr2"], live, keystore,
                    "Cipher of key versions that are made in a keystore from now on";
                choice key_spec = [1 of "AES_128", "AES_256"], live, keystore,
                    "Length of key versions that are made in a keystore from now on; those of aes_256_xts and \
                     aes_256_hctr2 have 256 bits in any case";
                choice algorithm_downgrade = [0 of "report", "strict"], start, keystore,
                    "What to do where an older key version encrypts whose algorithm is not the latest version's, unless it is a \
                     stronger one: report it in the error log, or also refuse to start with a redo log that would go on under one";
                flag auto_create_keys = true, live, keystore,
                    "Make version 1 of a key in the keystore when it is first asked for";
                number auto_create_limit = 10_000, 1, u32::MAX, live, keystore,
                    "How many keys are made at their first use between two starts, at most";
                number request_timeout = 0, 0, u32::MAX, start, keystore,
                    "Milliseconds that one request to the master key's provider may take, all retries together; 0 = 15000";
                text vault_url = "", start, vault_kv,
                    "URL of the secrets in Vault or OpenBao that are the keys, as https://HOST:PORT/v1/MOUNT (KV version 2)";
                secret token = "", start, vault,
                    "Token for Vault, or FILE:path of a file that holds it; empty = the environment variable VAULT_TOKEN";
                text vault_ca = "", start, vault,
                    "File with the certificate authorities (PEM) that vouch for Vault; empty = those of the system";
                number timeout = 15, 0, 86_400, refresh, vault,
                    "Seconds that one request to Vault may take; 0 = 300";
                number max_retries = 3, 0, 2_147_483_647, refresh, vault,
                    "How often a request to Vault is sent again (9 times at most)";
                flag caching_enabled = true, refresh, vault_kv,
                    "OFF = look for new key versions in Vault every second, whatever keyroll_cache_version_timeout says. Keys \
                     are always kept in memory";
                wide_number cache_timeout = 9_223_372_036_854_775_807, refresh, vault_kv,
                    "Milliseconds after which the keys in memory are compared with those in Vault";
                wide_number cache_version_timeout = 60_000, refresh, vault_kv,
                    "Milliseconds after which a new key version in Vault is in force at the latest; at least one second";
                flag use_cache_on_timeout = true, live, vault_kv,
                    "Accepted for the sake of hashicorp_key_management: keys in memory always go on working while Vault is away";
                flag check_kv_version = true, live, vault_kv,
                    "Ask Vault where the secrets engine is mounted and whether it is KV version 2; OFF: start without keys, too, where no data needs them";
                text vault_namespace = "", start, vault,
                    "Namespace in Vault";
                choice vault_login = [0 of "token", "approle", "kubernetes", "jwt", "cert"], start, vault,
                    "How the server gets a token: it is given (keyroll_token), or by a login with keyroll_vault_role and \
                     keyroll_vault_secret, or with a client certificate";
                text vault_login_mount = "", start, vault,
                    "Where the login's method is mounted in Vault; empty = the name of the method";
                text vault_role = "", start, vault,
                    "Role of the login: the role_id of approle, the role of kubernetes and jwt, the name of cert";
                secret vault_secret = "", start, vault,
                    "Secret of the login, or FILE:path of a file that holds it: the secret_id of approle, the JWT of jwt and \
                     kubernetes (empty = the service account's token of the pod)";
                text vault_client_cert = "", start, vault,
                    "File with the client certificate (PEM) to show to Vault";
                text vault_client_key = "", start, vault,
                    "File with the private key (PEM) of the client certificate";
                flag vault_allow_http = false, start, vault,
                    "Allow http:// to other hosts than this one: anyone on the network can read the keys then";
                flag strict_permissions = false, start, every,
                    "Refuse a file with keys, a password, a token or another secret to log in with that others can read or anyone \
                     but its owner can write; OFF = warn";
                flag accept_lost_keys = false, start, every,
                    "Start although the key store lacks key versions that the data directory knows, and give up all data that \
                     needs them. For one start alone, when they are lost for good";
                number rotate_version_step = 2, 1, 1_000_000, live, every,
                    "How far the number of a new key version lies above the latest; must exceed \
                     innodb_encryption_rotate_key_age for one rotation to re-encrypt";
            }
            actions {
                key_action rotate_key, every,
                    "SET GLOBAL keyroll_rotate_key = N makes a new version of the key with id N; -1 = of all keys";
                id_action add_key, every,
                    "SET GLOBAL keyroll_add_key = N makes version 1 of a key with id N where there is none, and no data that needs one";
                flag_action rotate_master_key, keystore,
                    "SET GLOBAL keyroll_rotate_master_key = 1 wraps the keystore anew, under a new version of the master key";
                flag_action reload_keys, every,
                    "SET GLOBAL keyroll_reload_keys = 1 takes up key versions that were added to the key store";
                text_action save_keys, keystore,
                    "SET GLOBAL keyroll_save_keys = 'PATH' writes all keys in memory into a new keystore under the same master key; \
                     'PATH file:MASTERKEYPATH' under one in a file, which is made if need be";
            }
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
    /// Whether a SET of it acts and it never holds a value.
    pub is_action: bool,
    /// The key stores that it is for.
    pub stores: &'static str,
    /// What it is for.
    pub comment: &'static str,
}

macro_rules! document {
    (
        settings {
            $($kind:ident $name:ident = $default:tt $(, $min:literal, $max:expr)?, $when:ident, $stores:ident, $comment:literal;)*
        }
        actions { $($action:ident $act:ident, $acts_on:ident, $does:literal;)* }
    ) => {
        /// All system variables in the order of their declaration.
        pub fn variables() -> Vec<Variable> {
            vec![
                $(Variable {
                    name: concat!("keyroll_", stringify!($name)),
                    default: document!(@default $kind $default),
                    values: document!(@values $kind $default $(, $min, $max)?),
                    live: document!(@live $when),
                    is_action: false,
                    stores: document!(@stores $stores),
                    comment: $comment,
                },)*
                $(Variable {
                    name: concat!("keyroll_", stringify!($act)),
                    default: document!(@default $action),
                    values: document!(@values $action),
                    live: true,
                    is_action: true,
                    stores: document!(@stores $acts_on),
                    comment: $does,
                },)*
            ]
        }
    };
    (@default choice [$index:literal of $($name:literal),*]) => { [$($name),*][$index].to_string() };
    (@default wide_number $default:literal) => { i64::to_string(&$default) };
    (@default flag $default:literal) => { if $default { "ON" } else { "OFF" }.to_string() };
    (@default $kind:ident $default:literal) => { $default.to_string() };
    (@default id_action) => { "0".to_string() };
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
    (@values id_action) => { "a key id".to_string() };
    (@values key_action) => { "a key id, -1 = all".to_string() };
    (@values flag_action) => { "1".to_string() };
    (@values text_action) => { "PATH, or PATH file:MASTERKEYPATH".to_string() };
    (@live start) => { false };
    (@live $when:ident) => { true };
    (@stores key_file) => { "key file" };
    (@stores records_none) => { "key file, Vault KV" };
    (@stores keystore) => { "keystore" };
    (@stores aws_kms) => { "keystore under aws-kms:" };
    (@stores vault_kv) => { "Vault KV" };
    (@stores vault) => { "Vault KV, keystore under vault-transit:" };
    (@stores every) => { "every store" };
}
with_system_variables!(document);
