//! What can go wrong between a request and its answer: with which host, why, and what helps.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::clock;

/// A failure below the meaning of an answer. No variant holds a body, a header or a token.
#[derive(Debug, Error)]
pub enum NetError {
    /// A URL cannot be used.
    #[error("the URL '{url}' cannot be used: {reason}")]
    BadUrl {
        /// As it was given, without a user and a password.
        url: String,
        /// Why.
        reason: String,
    },

    /// A secret would go over the network unprotected.
    #[error("{host} would be asked without TLS, and it is not this machine")]
    PlainHttp {
        /// Host and port.
        host: String,
    },

    /// No connection came about.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },

    /// The server did not prove who it is, or TLS failed otherwise.
    #[error("no secure connection to {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },

    /// No whole answer in time.
    #[error("{host} gave no answer within {} s", clock::seconds(*waited))]
    TimedOut {
        /// Host and port.
        host: String,
        /// The time it was given.
        waited: Duration,
    },

    /// The answer is longer than any can be.
    #[error("{host} gave an answer of more than {limit} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The most bytes that it may have.
        limit: u64,
    },

    /// The connection ended before the answer did.
    #[error("{host} closed the connection in the middle of an answer")]
    CutOff {
        /// Host and port.
        host: String,
    },

    /// What came is not HTTP.
    #[error("{host} does not answer in HTTP: {reason}")]
    NotHttp {
        /// Host and port.
        host: String,
        /// What is wrong.
        reason: String,
    },

    /// [`HttpClient::interrupt`](super::HttpClient::interrupt) ended the request.
    #[error("the request to {host} was given up because the server shuts down")]
    Interrupted {
        /// Host and port.
        host: String,
    },

    /// Nobody waits for the answer any more ([`crate::cancel`]).
    #[error("the request to {host} was given up because the statement was killed")]
    Cancelled {
        /// Host and port.
        host: String,
    },

    /// A request cannot be made of what was given.
    #[error("no request to {host} can be made: {reason}")]
    BadRequest {
        /// Host and port.
        host: String,
        /// What is wrong.
        reason: &'static str,
    },

    /// A file of certificates or the key of one cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A file of certificates or the key of one cannot be used.
    #[error("{} cannot be used for TLS: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },

    /// The system has no certificates that could vouch for a server.
    #[error("this system has no certificate authorities: {reason}")]
    NoRoots {
        /// Where they were looked for, or why they could not be read.
        reason: String,
    },

    /// The TLS library cannot run here.
    #[error("TLS needs a processor with {missing}, and this one lacks it")]
    Processor {
        /// The instructions that are missing.
        missing: &'static str,
    },
}

impl NetError {
    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            NetError::Unreachable { .. } | NetError::TimedOut { .. } | NetError::CutOff { .. }
        )
    }

    /// What a DBA can do about it. What to set depends on the caller: these name no variables.
    pub fn hint(&self) -> String {
        match self {
            NetError::BadUrl { .. } => "write it as https://HOST:PORT/PATH".into(),
            NetError::PlainHttp { .. } => "use https".into(),
            NetError::Unreachable { host, .. } => {
                format!("check that the service runs and that this machine may connect to {host}")
            }
            NetError::Tls { host, .. } => format!(
                "compare with `openssl s_client -connect {host} -CAfile CA`; the certificate must name the host, be \
                 in force by this machine's clock (`timedatectl`), and come from a certificate authority that this \
                 machine or the settings trust"
            ),
            NetError::TimedOut { .. } => "check the service, or allow it more time".into(),
            NetError::TooLarge { host, .. } | NetError::NotHttp { host, .. } => {
                format!("check that {host} is the service and not something else")
            }
            NetError::CutOff { .. } => "check the service's log, and any proxy before it".into(),
            NetError::Interrupted { .. } | NetError::Cancelled { .. } => "nothing needs to be done".into(),
            NetError::BadRequest { .. } => {
                "look for line breaks and other control characters in the settings".into()
            }
            NetError::CannotRead { .. } => "check the path and that the server's user may read it".into(),
            NetError::BadCertificate { .. } => {
                "it must be PEM: -----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----".into()
            }
            NetError::NoRoots { .. } => {
                "install the package ca-certificates, or name the file of a certificate authority".into()
            }
            NetError::Processor { .. } => {
                "use a keystore with a master key on this machine (file, credential or exec)".into()
            }
        }
    }
}
