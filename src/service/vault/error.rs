//! What can go wrong with Vault: on which host and path, why, and what helps.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::net::NetError;
use crate::service::{ErrorKind, ServiceError};

/// A failure of Vault, or on the way there. No variant holds a token or a part of an answer.
#[derive(Debug, Error)]
pub enum VaultError {
    /// No answer came, or none in HTTP.
    #[error(transparent)]
    Net(#[from] NetError),

    /// Vault is sealed.
    #[error("Vault at {host} is sealed")]
    Sealed {
        /// Host and port.
        host: String,
    },

    /// The token is valid, but no policy of it allows this.
    #[error("Vault at {host} does not allow {path}")]
    Forbidden {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
    },

    /// The token has expired, was revoked, or never was one.
    #[error("Vault at {host} does not take the token: it has expired or was revoked")]
    TokenInvalid {
        /// Host and port.
        host: String,
    },

    /// There is no token, and no other login.
    #[error(
        "there is no token for Vault at {host}: keyroll-token is not set, and neither is the environment variable VAULT_TOKEN"
    )]
    NoToken {
        /// Host and port.
        host: String,
    },

    /// No token is to be had by the configured login.
    #[error("Vault at {host} refused the {login} login at {path} (status {status})")]
    LoginRefused {
        /// Host and port.
        host: String,
        /// What the login is with.
        login: &'static str,
        /// The path below `v1/`.
        path: String,
        /// The HTTP status.
        status: u16,
    },

    /// A file that holds a token, a secret id or a JWT cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Nothing is mounted there.
    #[error("Vault at {host} has no secrets engine at {path}")]
    NoSuchMount {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
    },

    /// There is nothing under this path.
    #[error("Vault at {host} has nothing at {path}")]
    NotFound {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
    },

    /// Someone else has written the secret meanwhile.
    #[error("{path} at {host} was changed by someone else at the same time")]
    CasMismatch {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
    },

    /// Vault limits how often it may be asked.
    #[error("Vault at {host} is asked too often (status 429)")]
    Busy {
        /// Host and port.
        host: String,
    },

    /// Vault or something before it fails.
    #[error("Vault at {host} fails (status {status})")]
    Fails {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
    },

    /// Vault does not do what it was asked for.
    #[error("Vault at {host} refuses {path} (status {status}){}", because(reason))]
    Refused {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
        /// The HTTP status.
        status: u16,
        /// Why, where Vault said something that we know; or nothing.
        reason: &'static str,
    },

    /// A key of the transit engine does not open a ciphertext.
    #[error("{reason}")]
    NotDecrypted {
        /// Why.
        reason: &'static str,
    },

    /// The answer is not what the API promises. It is not quoted, for it may hold a key.
    #[error("{host} gave an answer to {path} that is not Vault's (line {line}, column {column})")]
    BadAnswer {
        /// Host and port.
        host: String,
        /// The path below `v1/`.
        path: String,
        /// Where in the answer.
        line: usize,
        /// Where in the line.
        column: usize,
    },
}

impl VaultError {
    /// Whether the request surely changed nothing.
    pub(super) fn had_no_effect(&self) -> bool {
        matches!(
            self,
            VaultError::Net(NetError::Unreachable { .. }) | VaultError::Busy { .. }
        )
    }

    /// Whether the service is away for now, as opposed to an answer that something is wrong.
    pub fn is_away(&self) -> bool {
        matches!(self, VaultError::Sealed { .. }) || self.is_retryable()
    }
}

impl ServiceError for VaultError {
    fn kind(&self) -> ErrorKind {
        match self {
            VaultError::NotDecrypted { .. } => ErrorKind::WrongKey,
            VaultError::Net(error) => error.into(),
            error if error.is_away() => ErrorKind::Away,
            _ => ErrorKind::Other,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            VaultError::Net(error) => error.is_retryable(),
            VaultError::Busy { .. } | VaultError::Fails { .. } => true,
            _ => false,
        }
    }

    fn hint(&self) -> String {
        match self {
            VaultError::Net(error) => match error {
                NetError::Tls { .. } => format!("{}: keyroll_vault_ca names its file", error.hint()),
                NetError::PlainHttp { .. } => {
                    "use https, or set keyroll_vault_allow_http: anyone on the network can read the keys then".into()
                }
                _ => error.hint(),
            },
            VaultError::Sealed { .. } => {
                "unseal it (`vault operator unseal`); keys that the server holds go on working".into()
            }
            VaultError::Forbidden { path, .. } => {
                let (rule, capability) = rule_of(path);
                format!("add to the policy: path \"{rule}\" {{ capabilities = [{capability}] }}")
            }
            VaultError::TokenInvalid { .. } => {
                "set keyroll_token to a valid token, best as FILE:path, which is read anew, or let the server log in \
                 itself (keyroll_vault_login)"
                    .into()
            }
            VaultError::NoToken { .. } => "set keyroll_token = FILE:path, or another keyroll_vault_login".into(),
            VaultError::LoginRefused { .. } => {
                "check keyroll_vault_login, keyroll_vault_login_mount, keyroll_vault_role and keyroll_vault_secret".into()
            }
            VaultError::SecretFile { .. } => "check the path and that the server's user may read it".into(),
            VaultError::NoSuchMount { .. } => {
                "check the path in the URL and keyroll_vault_namespace; `vault secrets list` shows what there is".into()
            }
            VaultError::NotFound { .. } => "check the path".into(),
            VaultError::CasMismatch { .. } => "try again".into(),
            VaultError::Busy { .. } => "try again later, or raise its rate limit".into(),
            VaultError::Fails { .. } => "look into Vault's log".into(),
            VaultError::Refused { .. } => "look into Vault's audit log".into(),
            VaultError::NotDecrypted { .. } => "name the key that encrypted it".into(),
            VaultError::BadAnswer { host, .. } => format!("check that {host} is Vault and not something else"),
        }
    }
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

/// The rule that a path needs in a policy.
fn rule_of(path: &str) -> (String, &'static str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    // A secret's id stands last.
    let of_all = || {
        let above = parts.iter().take(parts.len() - 1).copied().collect::<Vec<_>>();
        format!("{}/*", above.join("/"))
    };
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
