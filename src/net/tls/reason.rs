//! Why TLS failed, for people: the library's own words are for programmers, and quote bytes.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

use crate::clock;
use crate::net::NetFailure;

/// As many names of a certificate are told.
const MOST_NAMES: usize = 3;

/// What a failure of TLS comes to. The words are the same at each try of a day, because a failure
/// of other words is told anew.
pub(in crate::net) fn failure(error: &Error) -> NetFailure {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => NetFailure::SpeaksNoTls,
        error => NetFailure::Tls(reason(error).into()),
    }
}

fn reason(error: &Error) -> &'static str {
    match error {
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord
        | Error::NoApplicationProtocol
        | Error::InvalidEncryptedClientHello(_) => "the server breaks the rules of TLS",
        Error::PeerIncompatible(_) => {
            "the server has no version or no cipher of TLS in common with this machine: TLS 1.2 or 1.3 with AES-GCM or \
             ChaCha20 is wanted"
        }
        Error::NoCertificatesPresented => "the server shows no certificate",
        Error::UnsupportedNameType => "the host has no name that a certificate can have",
        Error::FailedToGetCurrentTime => "this machine tells no time",
        Error::FailedToGetRandomBytes => "this machine gives no random bytes",
        Error::InconsistentKeys(_) => "the client's key does not belong to its certificate",
        Error::InvalidCertRevocationList(_) => "a list of revoked certificates cannot be used",
        _ => "the TLS library failed",
    }
}

fn of_certificate(error: &CertificateError) -> NetFailure {
    let at = |time: &UnixTime| clock::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    let day = |time: &UnixTime| at(time).split('T').next().unwrap_or_default().to_owned();
    NetFailure::Tls(match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "certificate expired: it was in force until {}, and this machine's clock says {}",
            at(not_after),
            day(time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "certificate not valid yet: it is in force from {} on, and this machine's clock says {}",
            at(not_before),
            day(time)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => match names(presented) {
            Some(names) => {
                let expected = expected.to_str();
                format!("the server's certificate is not for {expected}: it is for {names}")
            }
            None => return unfit("the server's certificate names no host (it has no subjectAltName)"),
        },
        CertificateError::Other(OtherError(inner)) => return of_other(&inner.to_string()),
        other => plain_reason(other).into(),
    })
}

fn plain_reason(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired => "the server's certificate has expired",
        CertificateError::NotValidYet => "the server's certificate is not valid yet",
        CertificateError::UnknownIssuer => {
            "no authority that is trusted here has signed the server's certificate"
        }
        CertificateError::NotValidForName => "the server's certificate is for other hosts",
        CertificateError::BadEncoding => "the server's certificate cannot be read",
        CertificateError::BadSignature => {
            "the signature of the server's certificate is wrong: an authority of the same name has another key"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the server's certificate is signed by an algorithm that is not taken, such as SHA-1"
        }
        CertificateError::Revoked => "the server's certificate is revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not one for servers (its extendedKeyUsage lacks serverAuth)"
        }
        _ => "the server's certificate cannot be verified",
    }
}

/// What the library's verifier says by the names of its errors alone.
fn of_other(name: &str) -> NetFailure {
    match name {
        "CaUsedAsEndEntity" => unfit(
            "the server shows the certificate of an authority (CA:TRUE) as its own, instead of one that an authority has \
             signed for it",
        ),
        "UnsupportedCertVersion" => unfit("the server's certificate is of version 1, which names no hosts"),
        "EndEntityUsedAsCa" => {
            NetFailure::Tls("what has signed the server's certificate is no authority (CA:FALSE)".into())
        }
        "NameConstraintViolation" | "PathLenConstraintViolated" => {
            NetFailure::Tls("the authority may not sign a certificate for this host".into())
        }
        "UnsupportedCriticalExtension" => {
            NetFailure::Tls("the server's certificate has a critical extension that is not understood".into())
        }
        _ => NetFailure::Tls("the server's certificate cannot be verified".into()),
    }
}

fn unfit(reason: &str) -> NetFailure {
    NetFailure::UnfitCertificate(reason.into())
}

/// What a server says before it ends the connection (RFC 8446, 6.2). What it says of a certificate
/// is about the client's.
fn of_alert(alert: AlertDescription) -> NetFailure {
    let of_client = |reason: &str| NetFailure::ClientCertificate(reason.into());
    NetFailure::Tls(match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            return of_client("the server wants a client certificate, and none was shown");
        }
        AlertDescription::UnknownCA => {
            return of_client("the server does not know the authority of the client certificate");
        }
        AlertDescription::CertificateExpired => return of_client("the client certificate has expired"),
        AlertDescription::CertificateRevoked => return of_client("the client certificate is revoked"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            return of_client("the server does not take the client certificate, or wants one");
        }
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the server found no cipher of TLS in common, or wants a client certificate".into()
        }
        AlertDescription::ProtocolVersion => {
            "the server takes neither TLS 1.2 nor TLS 1.3, and no other is spoken here".into()
        }
        AlertDescription::UnrecognisedName => "the server has no certificate for this host".into(),
        AlertDescription::InternalError => "the server had an error of its own".into(),
        other => format!("the server gave it up (TLS alert {})", u8::from(other)),
    })
}

/// The hosts of a certificate, which the library gives as `DnsName("vault")`, `IpAddress(::1)`.
fn names(presented: &[String]) -> Option<String> {
    let hosts = presented.iter().filter_map(|name| {
        let (kind, name) = name.strip_suffix(')')?.split_once('(')?;
        let is_host = ["DnsName", "IpAddress"].contains(&kind);
        is_host.then(|| name.trim_matches('"').escape_debug().to_string())
    });
    let hosts: Vec<String> = hosts.take(MOST_NAMES + 1).collect();
    match hosts.get(..MOST_NAMES) {
        _ if hosts.is_empty() => None,
        Some(first) if hosts.len() > MOST_NAMES => Some(format!("{}, ...", first.join(", "))),
        _ => Some(hosts.join(", ")),
    }
}

#[cfg(test)]
mod tests;
