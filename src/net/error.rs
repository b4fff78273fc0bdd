//! What can go wrong between a request and its answer: with which host, why, and what helps.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::clock;

/// A failure below the meaning of an answer. No variant holds a body, a header or a token.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum NetError {
    #[error("the URL '{url}' cannot be used: {reason}")]
    BadUrl {
        /// As it was given, without a user and a password.
        url: String,
        reason: String,
    },
    #[error("{}", failure.told(host))]
    At {
        /// Host and port.
        host: String,
        failure: NetFailure,
    },
    #[error("cannot read {}: {source}", path.display())]
    CannotRead { path: PathBuf, source: io::Error },
    #[error("{} cannot be used for TLS: {reason}", path.display())]
    BadCertificate { path: PathBuf, reason: String },
    #[error("this system has no certificate authorities: {reason}")]
    NoRoots { reason: String },
    #[error("TLS needs a processor with {missing}, and this one lacks it")]
    Processor { missing: &'static str },
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say what they mean")]
pub enum NetFailure {
    /// A secret would go over the network unprotected.
    PlainHttp,
    /// No connection came about; why.
    Unreachable(String),
    Tls(String),
    TimedOut(Duration),
    TooLarge(u64),
    CutOff,
    NotHttp(&'static str),
    /// [`HttpClient::interrupt`](super::HttpClient::interrupt) ended the request.
    Interrupted,
    /// Nobody waits for the answer any more ([`crate::cancel`]).
    Cancelled,
    /// A request cannot be made of what was given; what is wrong.
    BadRequest(&'static str),
}

impl NetFailure {
    /// The error of a request to this host, which is told with its port.
    pub(super) fn at(self, host: &str) -> NetError {
        let host = host.to_owned();
        NetError::At { host, failure: self }
    }

    fn told(&self, host: &str) -> String {
        match self {
            NetFailure::PlainHttp => format!("{host} would be asked without TLS, and it is not this machine"),
            NetFailure::Unreachable(reason) => format!("{host} cannot be reached: {reason}"),
            NetFailure::Tls(reason) => format!("no secure connection to {host}: {reason}"),
            NetFailure::TimedOut(waited) => {
                format!("{host} gave no answer within {} s", clock::seconds(*waited))
            }
            NetFailure::TooLarge(limit) => format!("{host} gave an answer of more than {limit} bytes"),
            NetFailure::CutOff => format!("{host} closed the connection in the middle of an answer"),
            NetFailure::NotHttp(reason) => format!("{host} does not answer in HTTP: {reason}"),
            NetFailure::Interrupted => {
                format!("the request to {host} was given up because the server shuts down")
            }
            NetFailure::Cancelled => {
                format!("the request to {host} was given up because the statement was killed")
            }
            NetFailure::BadRequest(reason) => format!("no request to {host} can be made: {reason}"),
        }
    }

    fn hint(&self, host: &str) -> String {
        match self {
            NetFailure::PlainHttp => "use https".into(),
            NetFailure::Unreachable(_) => {
                format!("check that the service runs and that this machine may connect to {host}")
            }
            NetFailure::Tls(_) => format!(
                "compare with `openssl s_client -connect {host} -CAfile CA`; the certificate must name the host, be \
                 in force by this machine's clock (`timedatectl`), and come from a certificate authority that this \
                 machine or the settings trust"
            ),
            NetFailure::TimedOut(_) => "check the service, or allow it more time".into(),
            NetFailure::TooLarge(_) | NetFailure::NotHttp(_) => {
                format!("check that {host} is the service and not something else")
            }
            NetFailure::CutOff => "check the service's log, and any proxy before it".into(),
            NetFailure::Interrupted | NetFailure::Cancelled => "nothing needs to be done".into(),
            NetFailure::BadRequest(_) => {
                "look for line breaks and other control characters in the settings".into()
            }
        }
    }
}

impl NetError {
    /// Why a request has no answer, if it was made.
    pub fn failure(&self) -> Option<&NetFailure> {
        match self {
            NetError::At { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.failure(),
            Some(NetFailure::Unreachable(_) | NetFailure::TimedOut(_) | NetFailure::CutOff)
        )
    }

    /// What a DBA can do about it. What to set depends on the caller: these name no variables.
    pub fn hint(&self) -> String {
        match self {
            NetError::At { host, failure } => failure.hint(host),
            NetError::BadUrl { .. } => "write it as https://HOST:PORT/PATH".into(),
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
