//! What can go wrong with Vault: on which host and path, why, and what helps.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::redirect::RedirectError;
use crate::net::{NetError, NetFailure, Pem};
use crate::service::{ErrorKind, ServiceError};

/// A failure of Vault, or on the way there. No variant holds a token or a part of an answer.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum VaultError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("cannot read {}: {source}", path.display())]
    SecretFile {
        path: PathBuf,
        source: io::Error,
        mend: String,
    },
    #[error("{}", refusal.told(host, namespace, path))]
    Refused {
        host: String,
        /// The namespace that was named, or nothing.
        namespace: String,
        /// The path below `v1/`.
        path: String,
        /// Whether something was to be written there.
        is_write: bool,
        refusal: Refusal,
    },
    #[error("Vault at {host} redirects{to} (status {status}), which is not followed: {error}")]
    NotFollowed {
        host: String,
        /// ` to ` and a scheme and host, or nothing.
        to: String,
        status: u16,
        error: RedirectError,
    },
}

/// Why Vault does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say what they mean")]
pub enum Refusal {
    Sealed,
    /// The token is valid, but no policy of it allows this.
    Forbidden,
    /// The token has expired, was revoked, or never was one.
    TokenInvalid,
    NoToken,
    /// No token is to be had by this login; the HTTP status.
    Login(&'static str, u16),
    NoSuchMount,
    NotFound,
    CasMismatch,
    /// Transit has no key of this name.
    NoSuchKey,
    /// The version of a transit key is below its `min_decryption_version`.
    VersionTooOld,
    /// The transit key is of a type that cannot wrap: without authentication, or for signatures.
    KeyOfOtherType,
    Busy,
    /// A standby that has not got what is asked for yet; the HTTP status.
    Behind(u16),
    /// The cluster is one for disaster recovery.
    Secondary,
    /// Vault or something before it fails; the HTTP status.
    Fails(u16),
    /// Something else is wrong with the request; the HTTP status, and why, where Vault said
    /// something that we know, or nothing.
    Other(u16, &'static str),
    /// The answer is not what the API promises; the line and the column. It is not quoted, for it
    /// may hold a key.
    BadAnswer(usize, usize),
}

impl Refusal {
    fn told(&self, host: &str, namespace: &str, path: &str) -> String {
        let vault = match namespace {
            "" => format!("Vault at {host}"),
            namespace => format!("Vault at {host}, namespace {},", namespace.escape_debug()),
        };
        match self {
            Refusal::Sealed => format!("{vault} is sealed"),
            Refusal::Forbidden => format!("{vault} does not allow {path}"),
            Refusal::TokenInvalid if namespace.is_empty() => {
                format!("{vault} does not take the token: it has expired or was revoked")
            }
            Refusal::TokenInvalid => format!(
                "{vault} does not take the token: it is of another namespace, or has expired or was revoked"
            ),
            Refusal::NoToken => format!(
                "there is no token for {vault}: keyroll-token is not set, and neither is the environment variable \
                 VAULT_TOKEN"
            ),
            Refusal::Login(login, status) => {
                format!("{vault} refused the {login} login at {path} (status {status})")
            }
            Refusal::NoSuchMount => format!("{vault} has no secrets engine at {path}"),
            Refusal::NotFound => format!("{vault} has nothing at {path}"),
            Refusal::CasMismatch => format!("{path} at {host} was changed by someone else at the same time"),
            Refusal::NoSuchKey => format!("{vault} has no key at {path}"),
            Refusal::VersionTooOld => format!(
                "{vault} refuses {path}: the version of the key that wrapped it is older than its min_decryption_version"
            ),
            Refusal::KeyOfOtherType => {
                format!(
                    "{vault} refuses {path}: the key is of a type that cannot wrap (no AES-GCM or ChaCha20-Poly1305)"
                )
            }
            Refusal::Busy => format!("{vault} is asked too often (status 429)"),
            Refusal::Behind(status) => {
                format!("{vault} is a standby that cannot answer this yet (status {status})")
            }
            Refusal::Secondary => {
                format!("{vault} is a secondary for disaster recovery, which answers no requests")
            }
            Refusal::Fails(status) => format!("{vault} fails (status {status})"),
            Refusal::Other(status, "") => format!("{vault} refuses {path} (status {status})"),
            Refusal::Other(status, reason) => {
                format!("{vault} refuses {path} (status {status}): {reason}")
            }
            Refusal::BadAnswer(line, column) => {
                format!("{host} gave an answer to {path} that is not Vault's (line {line}, column {column})")
            }
        }
    }

    fn hint(&self, host: &str, namespace: &str, path: &str, is_write: bool) -> String {
        let hint = match self {
            Refusal::Sealed => {
                "unseal it (`vault operator unseal`); keys that the server holds go on working"
            }
            Refusal::Forbidden => {
                let (rule, capability) = rule_of(path, is_write);
                let mut hint =
                    format!("add to the policy: path \"{rule}\" {{ capabilities = [{capability}] }}");
                if !namespace.is_empty() {
                    hint += ", in the namespace of ‹vault_namespace›, if that is the right one";
                }
                // Vault asks for the right to create where it would have to.
                if path.contains("/encrypt/") {
                    hint += "; if that is there, the key is not: check ‹master_key›";
                }
                return hint;
            }
            Refusal::TokenInvalid if !namespace.is_empty() => {
                "check ‹vault_namespace›: a token counts in its own namespace and those below; and set ‹token› to a valid \
                 one, best as FILE:path, which is read anew"
            }
            Refusal::TokenInvalid => {
                "set ‹token› to a valid token, best as FILE:path, which is read anew, or let the server log in \
                 itself (‹vault_login›)"
            }
            Refusal::NoToken => "set ‹token› = FILE:path, or another ‹vault_login›",
            Refusal::Login(..) => "check ‹vault_login›, ‹vault_login_mount›, ‹vault_role› and ‹vault_secret›",
            Refusal::NoSuchMount => {
                "check the path in the URL and ‹vault_namespace›; `vault secrets list` shows what there is"
            }
            Refusal::NotFound => "check the path in the URL and ‹vault_namespace›",
            Refusal::CasMismatch => "try again",
            Refusal::NoSuchKey => {
                let (mount, _) = transit_key_of(path);
                return format!(
                    "check ‹master_key› and ‹vault_namespace› (`vault list {mount}/keys` shows the keys); one that was deleted \
                     comes back with a snapshot of Vault alone"
                );
            }
            Refusal::VersionTooOld => {
                let (mount, key) = transit_key_of(path);
                return format!(
                    "`vault write {mount}/keys/{key}/config min_decryption_version=1` has all versions decrypt"
                );
            }
            Refusal::KeyOfOtherType => {
                let (mount, _) = transit_key_of(path);
                return format!(
                    "name another key in ‹master_key›: `vault write -f {mount}/keys/NAME type=aes256-gcm96` makes one"
                );
            }
            Refusal::Busy => "try again later, or raise its rate limit",
            Refusal::Behind(_) => {
                "it was asked ‹max_retries› times more; see how far it is behind the active node"
            }
            Refusal::Secondary => {
                "name the primary cluster in the address (‹vault_url› or ‹master_key›), or promote this one"
            }
            Refusal::Fails(_) => "look into Vault's log",
            Refusal::Other(..) => "look into Vault's audit log",
            Refusal::BadAnswer(..) => return format!("check that {host} is Vault and not something else"),
        };
        hint.into()
    }
}

impl VaultError {
    /// Whether Vault refused for this reason.
    pub fn is(&self, reason: Refusal) -> bool {
        self.refusal() == Some(reason)
    }

    /// Why Vault refused, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            VaultError::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// Whether the request surely changed nothing.
    pub(super) fn had_no_effect(&self) -> bool {
        match self {
            VaultError::Net(error) => error.had_no_effect(),
            VaultError::NotFollowed { .. } => true,
            error => matches!(error.refusal(), Some(Refusal::Busy | Refusal::Behind(_))),
        }
    }

    /// Whether the service is away for now, as opposed to an answer that something is wrong.
    pub fn is_away(&self) -> bool {
        self.is(Refusal::Sealed) || self.is_retryable()
    }
}

impl ServiceError for VaultError {
    fn kind(&self) -> ErrorKind {
        match self {
            VaultError::Net(error) => error.into(),
            error if error.is_away() => ErrorKind::Away,
            _ => ErrorKind::Other,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            VaultError::Net(error) => error.is_retryable(),
            VaultError::NotFollowed { error, .. } => error.is_retryable(),
            error => matches!(
                error.refusal(),
                Some(Refusal::Busy | Refusal::Behind(_) | Refusal::Fails(_))
            ),
        }
    }

    fn hint(&self) -> String {
        match self {
            VaultError::Net(error) => net_hint(error),
            VaultError::NotFollowed { error, .. } => error.hint().into(),
            VaultError::SecretFile { mend, .. } => mend.clone(),
            VaultError::Refused {
                host,
                namespace,
                path,
                is_write,
                refusal,
            } => refusal.hint(host, namespace, path, *is_write),
        }
    }
}

/// What helps on the way to Vault, with the settings that say it.
fn net_hint(error: &NetError) -> String {
    let hint = error.hint();
    if let NetError::BadPem { pem, .. } = error {
        return match pem {
            Pem::Authorities => format!("{hint}; ‹vault_ca› names it"),
            Pem::Certificate => format!("{hint}; ‹vault_client_cert› names it"),
            Pem::Key => format!("{hint}; ‹vault_client_key› names it"),
        };
    }
    match error.failure() {
        Some(NetFailure::Tls(_) | NetFailure::UnfitCertificate(_)) => {
            format!("{hint}: ‹vault_ca› names its file")
        }
        Some(NetFailure::ClientCertificate(_)) => {
            format!("{hint}: ‹vault_client_cert› and ‹vault_client_key› name their files")
        }
        Some(NetFailure::PlainHttp) => {
            "use https, or set ‹vault_allow_http›: anyone on the network can read the keys then".into()
        }
        Some(NetFailure::SpeaksTls) => "write https:// into the address (‹vault_url› or ‹master_key›)".into(),
        Some(NetFailure::SpeaksNoTls) => {
            format!(
                "{hint}; the address is ‹vault_url› or ‹master_key›, and http:// in it is for this machine alone"
            )
        }
        _ => hint,
    }
}

/// Mount and name of the key in `MOUNT/VERB/KEY` or `MOUNT/keys/KEY/rotate`.
fn transit_key_of(path: &str) -> (&str, &str) {
    let path = path.strip_suffix("/rotate").unwrap_or(path);
    let (above, key) = path.rsplit_once('/').unwrap_or(("", path));
    (above.rsplit_once('/').map_or(above, |(mount, _)| mount), key)
}

/// The rule that a call needs in a policy. Who writes a secret also reads it back.
fn rule_of(path: &str, is_write: bool) -> (String, &'static str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    // A secret's id stands last.
    let of_all = || format!("{}/*", path.rsplit_once('/').map_or("", |(above, _)| above));
    if query.contains("list=true") {
        (path.into(), "\"list\"")
    } else if parts.contains(&"data") && is_write {
        (of_all(), "\"read\", \"create\", \"update\"")
    } else if parts.contains(&"data") || parts.contains(&"metadata") {
        (of_all(), "\"read\"")
    } else if parts
        .iter()
        .any(|part| ["encrypt", "decrypt", "rotate", "rewrap"].contains(part))
    {
        (path.into(), "\"update\"")
    } else {
        (path.into(), "\"read\"")
    }
}
