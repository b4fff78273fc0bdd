//! Certificates that OpenSSL makes: good ones, and those that no client should trust.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// Around today, in days.
pub const IN_FORCE: Range<i64> = -1..10;

/// An authority, and a directory with its certificate, `ca.pem`.
pub struct Certificates {
    pub directory: tempfile::TempDir,
    pub authority: Identity,
}

impl Certificates {
    pub fn new() -> Certificates {
        let directory = tempfile::tempdir().unwrap();
        let authority = Identity::new("Test Authority", None, IN_FORCE);
        authority.write(directory.path(), "ca");
        Certificates { directory, authority }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An identity that the authority has signed.
    pub fn of(&self, name: &str, days: Range<i64>) -> Identity {
        Identity::new(name, Some(&self.authority), days)
    }
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: X509,
    pub key: PKey<Private>,
}

impl Identity {
    /// Signed by `issuer`, or by itself as an authority.
    pub fn new(name: &str, issuer: Option<&Identity>, days: Range<i64>) -> Identity {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let at = |days: i64| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            Asn1Time::from_unix(now.as_secs() as i64 + days * 86_400).unwrap()
        };
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let mut serial = BigNum::new().unwrap();
        serial
            .rand(100, openssl::bn::MsbOption::MAYBE_ZERO, false)
            .unwrap();
        builder
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        builder.set_not_before(&at(days.start)).unwrap();
        builder.set_not_after(&at(days.end)).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder
            .set_issuer_name(issuer.map_or(&subject, |i| i.certificate.subject_name()))
            .unwrap();
        builder.set_pubkey(&key).unwrap();
        if issuer.is_none() {
            builder
                .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
                .unwrap();
        } else {
            let mut names = SubjectAlternativeName::new();
            match name.parse::<std::net::IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
            let context = builder.x509v3_context(None, None);
            let extension = names.build(&context).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder
            .sign(issuer.map_or(&key, |i| &i.key), MessageDigest::sha256())
            .unwrap();
        Identity {
            certificate: builder.build(),
            key,
        }
    }

    /// What accepts TLS connections with it.
    pub fn acceptor(&self) -> SslAcceptorBuilder {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_private_key(&self.key).unwrap();
        acceptor.set_certificate(&self.certificate).unwrap();
        acceptor
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (
            directory.join(format!("{name}.pem")),
            directory.join(format!("{name}.key")),
        );
        std::fs::write(&certificate, self.certificate.to_pem().unwrap()).unwrap();
        std::fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (certificate, key)
    }
}
