use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    CertRevocationListError, ContentType, EncryptedClientHelloError, ExtendedKeyPurpose, HandshakeType,
    InconsistentKeys, PeerIncompatible, PeerMisbehaved,
};

use super::*;

/// The words of the library's verifier for what it has no error of its own.
fn verifier(name: &str) -> CertificateError {
    let inner: Box<dyn std::error::Error + Send + Sync> = name.into();
    CertificateError::Other(OtherError(Arc::from(inner)))
}

fn certificate_errors() -> Vec<CertificateError> {
    let time = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));
    let name = |presented: &[&str]| CertificateError::NotValidForNameContext {
        expected: ServerName::try_from("vault.example").unwrap(),
        presented: presented.iter().map(|name| (*name).to_owned()).collect(),
    };
    let purpose = |presented| CertificateError::InvalidPurposeContext {
        required: ExtendedKeyPurpose::ServerAuth,
        presented,
    };
    vec![
        CertificateError::BadEncoding,
        CertificateError::Expired,
        CertificateError::ExpiredContext {
            time,
            not_after: time,
        },
        CertificateError::NotValidYet,
        CertificateError::NotValidYetContext {
            time,
            not_before: time,
        },
        CertificateError::Revoked,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::UnknownIssuer,
        CertificateError::UnknownRevocationStatus,
        CertificateError::ExpiredRevocationList,
        CertificateError::ExpiredRevocationListContext {
            time,
            next_update: time,
        },
        CertificateError::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![1, 2, 3],
            supported_algorithms: vec![],
        },
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![1, 2, 3],
            public_key_algorithm_id: vec![4, 5, 6],
        },
        CertificateError::NotValidForName,
        name(&[]),
        name(&[
            r#"DnsName("a")"#,
            "DirectoryName",
            "Unsupported(0x08)",
            "IpAddress(::1)",
        ]),
        name(&[
            r#"DnsName("a")"#,
            r#"DnsName("b")"#,
            r#"DnsName("c")"#,
            r#"DnsName("d")"#,
        ]),
        name(&["DirectoryName"]),
        name(&["DnsName(\"\u{1b}[0m\")"]),
        CertificateError::InvalidPurpose,
        purpose(vec![]),
        purpose(vec![
            ExtendedKeyPurpose::ClientAuth,
            ExtendedKeyPurpose::Other(vec![1, 3]),
        ]),
        CertificateError::InvalidOcspResponse,
        CertificateError::ApplicationVerificationFailure,
        verifier("CaUsedAsEndEntity"),
        verifier("EndEntityUsedAsCa"),
        verifier("UnsupportedCertVersion"),
        verifier("NameConstraintViolation"),
        verifier("PathLenConstraintViolated"),
        verifier("UnsupportedCriticalExtension"),
        verifier("MaximumPathDepthExceeded"),
        verifier("TrailingData(Certificate)"),
    ]
}

/// Every kind that can be made here; of those that have kinds of their own, all that differ in what
/// is said.
fn all() -> Vec<Error> {
    let mut all = vec![
        Error::InappropriateMessage {
            expect_types: vec![ContentType::Handshake],
            got_type: ContentType::Alert,
        },
        Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::Finished,
        },
        Error::InvalidEncryptedClientHello(EncryptedClientHelloError::SniRequired),
        Error::InvalidMessage(InvalidMessage::InvalidContentType),
        Error::InvalidMessage(InvalidMessage::MissingData("Certificate")),
        Error::InvalidMessage(InvalidMessage::DuplicateExtension(7)),
        Error::NoCertificatesPresented,
        Error::UnsupportedNameType,
        Error::DecryptError,
        Error::EncryptError,
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
        Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(None)),
        Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare),
        Error::InvalidCertRevocationList(CertRevocationListError::ParseError),
        Error::General("Some { of: [1, 2] }".into()),
        Error::FailedToGetCurrentTime,
        Error::FailedToGetRandomBytes,
        Error::HandshakeNotComplete,
        Error::PeerSentOversizedRecord,
        Error::NoApplicationProtocol,
        Error::BadMaxFragmentSize,
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
        Error::InconsistentKeys(InconsistentKeys::Unknown),
        Error::Other(OtherError(Arc::from(
            Box::<dyn std::error::Error + Send + Sync>::from("X([])"),
        ))),
    ];
    all.extend(certificate_errors().into_iter().map(Error::InvalidCertificate));
    all.extend((0..=u8::MAX).map(|alert| Error::AlertReceived(alert.into())));
    all
}

/// Names as programs have them: two capitals in a word, or a parenthesis right behind one.
fn is_code(text: &str) -> bool {
    let is_name = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let mixed = word.chars().skip(1).any(char::is_uppercase) && word.chars().any(char::is_lowercase);
        mixed && !["subjectAltName", "extendedKeyUsage", "serverAuth", "ChaCha20"].contains(&word)
    };
    let calls = text
        .char_indices()
        .any(|(at, c)| c == '(' && !text[..at].ends_with(' '));
    calls || text.contains(['{', '}', '[', ']']) || text.split([' ', ',', ':']).any(is_name)
}

#[test]
fn no_failure_is_told_in_the_words_of_a_program() {
    assert!(is_code("received fatal alert: HandshakeFailure") && is_code("Other(x)") && is_code("[1, 2]"));
    for error in all() {
        let failure = failure(&error);
        for by in [None, Some("the proxy p:1 of https_proxy")] {
            let at = crate::net::NetError::At {
                host: "vault:8200".into(),
                by: by.map(Into::into),
                failure: failure.clone(),
            };
            let text = at.to_string();
            let without_escape = text.replace(r"\u{1b}[0m", "").replace(" (by the", " by the");
            assert!(!is_code(&without_escape), "{error:?}: {text}");
            assert!(text.len() + 40 < 511, "{text}");
            assert!(at.hint().len() + 120 < 511, "{}", at.hint());
        }
    }
}

#[test]
fn what_helps_is_told_from_the_reason() {
    let kind = |error: Error| match failure(&error) {
        NetFailure::UnfitCertificate(_) => "another certificate",
        NetFailure::ClientCertificate(_) => "a client certificate",
        NetFailure::SpeaksNoTls => "another port",
        NetFailure::Tls(_) => "a look",
        other => panic!("{other:?}"),
    };
    let mut errors = certificate_errors();
    let (of_a_person, nameless) = (errors.swap_remove(18), errors.swap_remove(15));
    for (error, helps) in [
        (nameless.into(), "another certificate"),
        (of_a_person.into(), "another certificate"),
        (verifier("CaUsedAsEndEntity").into(), "another certificate"),
        (verifier("UnsupportedCertVersion").into(), "another certificate"),
        (CertificateError::UnknownIssuer.into(), "a look"),
        (
            Error::AlertReceived(AlertDescription::CertificateRequired),
            "a client certificate",
        ),
        (
            Error::AlertReceived(AlertDescription::BadCertificate),
            "a client certificate",
        ),
        (
            Error::AlertReceived(AlertDescription::UnknownCA),
            "a client certificate",
        ),
        (Error::AlertReceived(AlertDescription::HandshakeFailure), "a look"),
        (
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "another port",
        ),
        (Error::InvalidMessage(InvalidMessage::MessageTooLarge), "a look"),
    ] {
        assert_eq!(kind(error.clone()), helps, "{error:?}");
    }
}

#[test]
fn names_of_a_certificate_are_told_plainly() {
    let told = |error: &CertificateError| match of_certificate(error) {
        NetFailure::Tls(reason) => reason,
        other => panic!("{other:?}"),
    };
    let errors = certificate_errors();
    let all = "the server's certificate is not for vault.example: it is for ";
    assert_eq!(told(&errors[16]), format!("{all}a, ::1"));
    assert_eq!(told(&errors[17]), format!("{all}a, b, c, ..."));
    assert_eq!(told(&errors[19]), format!(r"{all}\u{{1b}}[0m"));
}
