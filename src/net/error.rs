//! What can go wrong between a request and its answer: with which host, why, and what helps.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::host::without_port;
use super::proxy::ProxyRefusal;
use crate::clock;
use crate::durable::permissions::shell_word;

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
    #[error("{}", failure.told(host, by.as_deref()))]
    At {
        /// Host and port.
        host: String,
        /// The proxy, if it was asked by one.
        by: Option<Box<str>>,
        failure: NetFailure,
    },
    #[error("the proxy that the environment variable {variable} names cannot be used: {reason}")]
    BadProxy {
        variable: &'static str,
        /// It quotes nothing of the variable, which may hold a password.
        reason: &'static str,
    },
    #[error("cannot read {}: {source}", path.display())]
    CannotRead { path: PathBuf, source: io::Error },
    #[error("{} cannot be used as {}: {}", path.display(), pem.name(), fault.told())]
    BadPem {
        path: PathBuf,
        pem: Pem,
        fault: PemFault,
    },
    #[error("this system has no certificate authorities: {reason}")]
    NoRoots { reason: String },
    #[error("TLS needs a processor with {missing}, and this one lacks it")]
    Processor { missing: &'static str },
}

/// What a file of PEM is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pem {
    /// Certificates of the authorities that are trusted.
    Authorities,
    /// The client's certificate, and those that signed it.
    Certificate,
    /// The client's private key.
    Key,
}

impl Pem {
    fn name(self) -> &'static str {
        match self {
            Pem::Authorities => "certificates of authorities",
            Pem::Certificate => "the client's certificate",
            Pem::Key => "the client's private key",
        }
    }
}

/// What is wrong with such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFault {
    /// It is in DER, the binary form.
    Der,
    /// Its key is encrypted.
    Encrypted,
    /// Something else.
    Other(&'static str),
}

impl PemFault {
    fn told(self) -> &'static str {
        match self {
            PemFault::Der => "it is in DER and not in PEM",
            PemFault::Encrypted => "it is encrypted, and nobody is there to type a password",
            PemFault::Other(reason) => reason,
        }
    }

    /// `file` is a word for a shell.
    fn hint(self, pem: Pem, file: &str) -> String {
        match (self, pem) {
            (PemFault::Der, Pem::Key) => {
                format!("`openssl pkey -inform DER -in {file} -out NEW` makes PEM of it")
            }
            (PemFault::Der, _) => format!("`openssl x509 -inform DER -in {file} -out NEW` makes PEM of it"),
            (PemFault::Encrypted, _) => format!("`openssl pkey -in {file} -out NEW` takes the password off"),
            (PemFault::Other(_), Pem::Key) => {
                "it must be PEM, with a line -----BEGIN PRIVATE KEY-----, and belong to the certificate"
                    .into()
            }
            (PemFault::Other(_), _) => "it must be PEM, with lines -----BEGIN CERTIFICATE-----".into(),
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say what they mean")]
pub enum NetFailure {
    /// A secret would go over the network unprotected.
    PlainHttp,
    /// No connection came about; why.
    Unreachable(String),
    /// The proxy does not lead on; why.
    ProxyRefuses(ProxyRefusal),
    /// The proxy is asked in TLS, and that fails; how.
    ProxyTls(Box<NetFailure>),
    Tls(String),
    /// The server's certificate has to be made anew; why.
    UnfitCertificate(String),
    /// The server wants another client certificate, or any; what it says.
    ClientCertificate(String),
    /// It was asked in TLS and answers without.
    SpeaksNoTls,
    /// It was asked without TLS and answers that it wants TLS.
    SpeaksTls,
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
        NetError::At {
            host: host.to_owned(),
            by: None,
            failure: self,
        }
    }

    fn told(&self, asked: &str, by: Option<&str>) -> String {
        let host = match by {
            Some(proxy) => format!("{asked} (by {proxy})"),
            None => asked.to_owned(),
        };
        match self {
            NetFailure::PlainHttp => format!("{host} would be asked without TLS, and it is not this machine"),
            NetFailure::Unreachable(reason) => match by {
                // Nobody but the proxy was to be reached.
                Some(proxy) => format!("{proxy}, by which {asked} is asked, cannot be reached: {reason}"),
                None => format!("{host} cannot be reached: {reason}"),
            },
            NetFailure::ProxyRefuses(refusal) => {
                let proxy = by.unwrap_or("the proxy");
                format!("{proxy} does not lead to {asked}: {refusal}")
            }
            NetFailure::ProxyTls(failure) => {
                let proxy = by.unwrap_or("the proxy");
                format!("{}, and {asked} is asked by it", failure.told(proxy, None))
            }
            NetFailure::Tls(reason)
            | NetFailure::UnfitCertificate(reason)
            | NetFailure::ClientCertificate(reason) => {
                format!("no secure connection to {host}: {reason}")
            }
            NetFailure::SpeaksNoTls => format!("{host} was asked with https and does not speak TLS"),
            NetFailure::SpeaksTls => format!("{host} was asked with http and wants TLS"),
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

    fn hint(&self, host: &str, is_by_proxy: bool) -> String {
        match self {
            NetFailure::ProxyRefuses(refusal) if refusal.own_hint().is_some() => {
                refusal.own_hint().unwrap_or_default().into()
            }
            NetFailure::ProxyTls(failure) => {
                let first = match **failure {
                    NetFailure::SpeaksNoTls => {
                        "write http:// in place of https:// into the variable of the environment"
                    }
                    _ => {
                        "have this system trust the authority of the proxy's certificate (`update-ca-certificates`)"
                    }
                };
                format!("{first}, or {}", directly(host))
            }
            NetFailure::ProxyRefuses(_) | NetFailure::Unreachable(_) if is_by_proxy => {
                format!("look into the proxy's log, or {}", directly(host))
            }
            NetFailure::ProxyRefuses(_) => "look into the proxy's log".into(),
            NetFailure::PlainHttp | NetFailure::SpeaksTls => "use https".into(),
            NetFailure::Unreachable(_) => {
                format!("check that the service runs and that this machine may connect to {host}")
            }
            NetFailure::Tls(_) => format!(
                "compare with `openssl s_client -connect {host} -CAfile CA`; the certificate must name the host, be \
                 in force by this machine's clock (`timedatectl`), and come from a certificate authority that this \
                 machine or the settings trust"
            ),
            NetFailure::UnfitCertificate(_) => {
                let host = without_port(host);
                let kind = host.parse::<IpAddr>().map_or("DNS", |_| "IP");
                format!(
                    "make the server one that names the host and is none of an authority, as does `openssl req -x509 -nodes \
                     -newkey rsa:3072 -keyout KEY -out CERTIFICATE -days 365 -subj /CN={host} -addext \
                     subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE`, and trust CERTIFICATE here"
                )
            }
            NetFailure::ClientCertificate(_) => {
                "give a certificate, and its key, that an authority has signed which the server trusts".into()
            }
            NetFailure::SpeaksNoTls => format!("check the port of {host}: it may be the one for http"),
            NetFailure::TimedOut(_) if is_by_proxy => {
                "check the proxy and the service, or allow them more time".into()
            }
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

/// Past the proxy, for hints.
fn directly(host: &str) -> String {
    format!(
        "have {} asked directly: no_proxy in the environment of the server's unit",
        without_port(host)
    )
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
        match self.failure() {
            Some(NetFailure::Unreachable(_) | NetFailure::TimedOut(_) | NetFailure::CutOff) => true,
            Some(NetFailure::ProxyRefuses(refusal)) => refusal.is_retryable(),
            _ => false,
        }
    }

    /// Whether the request surely did not come to the service.
    pub fn had_no_effect(&self) -> bool {
        matches!(
            self.failure(),
            Some(NetFailure::Unreachable(_) | NetFailure::ProxyRefuses(_))
        )
    }

    /// Whether it went by a proxy.
    pub fn is_by_proxy(&self) -> bool {
        matches!(self, NetError::At { by: Some(_), .. })
    }

    /// What a DBA can do about it. What to set depends on the caller: these name no variables.
    pub fn hint(&self) -> String {
        match self {
            NetError::At { host, by, failure } => failure.hint(host, by.is_some()),
            NetError::BadProxy { .. } => {
                "write it as http://HOST:PORT (or https, socks4, socks5, socks5h) into the environment of the server's unit, \
                 or have the host asked directly: no_proxy"
                    .into()
            }
            NetError::BadUrl { .. } => "write it as https://HOST:PORT/PATH".into(),
            NetError::CannotRead { .. } => "check the path and that the server's user may read it".into(),
            NetError::BadPem { path, pem, fault } => fault.hint(*pem, &shell_word(path)),
            NetError::NoRoots { .. } => {
                "install the package ca-certificates, or name the file of a certificate authority".into()
            }
            NetError::Processor { .. } => {
                "use a keystore with a master key on this machine (file, credential or exec)".into()
            }
        }
    }
}
