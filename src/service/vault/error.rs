//! What can go wrong with Vault: on which host and path, why, and what helps.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::net::{NetError, NetFailure};
use crate::service::{ErrorKind, ServiceError};

/// A failure of Vault, or on the way there. No variant holds a token or a part of an answer.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum VaultError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("cannot read {}: {source}", path.display())]
    SecretFile { path: PathBuf, source: io::Error },
    #[error("{}", refusal.told(host, path))]
    Refused {
        host: String,
        /// The path below `v1/`.
        path: String,
        refusal: Refusal,
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
    Busy,
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
    fn told(&self, host: &str, path: &str) -> String {
        match self {
            Refusal::Sealed => format!("Vault at {host} is sealed"),
            Refusal::Forbidden => format!("Vault at {host} does not allow {path}"),
            Refusal::TokenInvalid => {
                format!("Vault at {host} does not take the token: it has expired or was revoked")
            }
            Refusal::NoToken => format!(
                "there is no token for Vault at {host}: keyroll-token is not set, and neither is the environment variable \
                 VAULT_TOKEN"
            ),
            Refusal::Login(login, status) => {
                format!("Vault at {host} refused the {login} login at {path} (status {status})")
            }
            Refusal::NoSuchMount => format!("Vault at {host} has no secrets engine at {path}"),
            Refusal::NotFound => format!("Vault at {host} has nothing at {path}"),
            Refusal::CasMismatch => format!("{path} at {host} was changed by someone else at the same time"),
            Refusal::Busy => format!("Vault at {host} is asked too often (status 429)"),
            Refusal::Fails(status) => format!("Vault at {host} fails (status {status})"),
            Refusal::Other(status, "") => format!("Vault at {host} refuses {path} (status {status})"),
            Refusal::Other(status, reason) => {
                format!("Vault at {host} refuses {path} (status {status}): {reason}")
            }
            Refusal::BadAnswer(line, column) => {
                format!("{host} gave an answer to {path} that is not Vault's (line {line}, column {column})")
            }
        }
    }

    fn hint(&self, host: &str, path: &str) -> String {
        let hint = match self {
            Refusal::Sealed => {
                "unseal it (`vault operator unseal`); keys that the server holds go on working"
            }
            Refusal::Forbidden => {
                let (rule, capability) = rule_of(path);
                return format!("add to the policy: path \"{rule}\" {{ capabilities = [{capability}] }}");
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
            Refusal::NotFound => "check the path",
            Refusal::CasMismatch => "try again",
            Refusal::Busy => "try again later, or raise its rate limit",
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
            VaultError::Net(error) => matches!(error.failure(), Some(NetFailure::Unreachable(_))),
            error => error.is(Refusal::Busy),
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
            error => matches!(error.refusal(), Some(Refusal::Busy | Refusal::Fails(_))),
        }
    }

    fn hint(&self) -> String {
        match self {
            VaultError::Net(error) => match error.failure() {
                Some(NetFailure::Tls(_)) => format!("{}: ‹vault_ca› names its file", error.hint()),
                Some(NetFailure::PlainHttp) => {
                    "use https, or set ‹vault_allow_http›: anyone on the network can read the keys then"
                        .into()
                }
                _ => error.hint(),
            },
            VaultError::SecretFile { .. } => "check the path and that the server's user may read it".into(),
            VaultError::Refused { host, path, refusal } => refusal.hint(host, path),
        }
    }
}

/// The rule that a path needs in a policy.
fn rule_of(path: &str) -> (String, &'static str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    // A secret's id stands last.
    let of_all = || format!("{}/*", path.rsplit_once('/').map_or("", |(above, _)| above));
    if query.contains("list=true") {
        (path.into(), "\"list\"")
    } else if parts.contains(&"data") {
        (of_all(), "\"read\", \"create\", \"update\"")
    } else if parts.contains(&"metadata") {
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
