//! Who is trusted, and who we are: the roots of trust and the client's certificate. Every server is verified.
//!
//! TLS 1.2 and 1.3 by rustls, with the ciphers of graviola.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

use super::NetError;
use crate::clock;
use crate::durable::read;

/// The most bytes that a file of certificates may have. A system's whole bundle has 250 KB.
const MAX_PEM: u64 = 4 * 1024 * 1024;

/// What a client shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file of the certificate, the ones that signed it following.
    pub certificate: PathBuf,
    /// PEM file of its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// Whom to trust and who to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the certificate authorities to trust, and no others; `None`: those of the system, or of the files
    /// that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    pub ca: Option<PathBuf>,
    /// The certificate to show to servers that ask for one.
    pub client_certificate: Option<ClientCertificate>,
}

/// Reads the files and builds the configuration of a client.
pub(super) fn config(options: &TlsOptions) -> Result<TlsConfig, NetError> {
    check_processor()?;
    let provider = Arc::new(rustls_graviola::default_provider());
    let roots = match &options.ca {
        Some(path) => roots_of(path)?,
        None => roots_of_system()?,
    };
    let client_certificate = match &options.client_certificate {
        Some(files) => Some(client_certificate(files, &provider)?),
        None => None,
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client_certificate)
        .build())
}

/// A configuration for plain HTTP alone: it trusts nobody.
pub(super) fn config_for_plain_http() -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(Vec::new())))
        .build()
}

/// Refuses a processor that graviola would panic on.
fn check_processor() -> Result<(), NetError> {
    #[cfg(target_arch = "x86_64")]
    let needed = [
        ("AES-NI", is_x86_feature_detected!("aes")),
        ("PCLMULQDQ", is_x86_feature_detected!("pclmulqdq")),
        ("SSSE3", is_x86_feature_detected!("ssse3")),
        (
            "AVX2",
            is_x86_feature_detected!("avx") && is_x86_feature_detected!("avx2"),
        ),
        (
            "BMI1 and BMI2",
            is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2"),
        ),
        ("ADX", is_x86_feature_detected!("adx")),
    ];
    #[cfg(target_arch = "aarch64")]
    let needed = [
        ("NEON", std::arch::is_aarch64_feature_detected!("neon")),
        ("AES", std::arch::is_aarch64_feature_detected!("aes")),
        ("PMULL", std::arch::is_aarch64_feature_detected!("pmull")),
        ("SHA2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    match needed.into_iter().find(|(_, is_there)| !is_there) {
        Some((missing, _)) => Err(NetError::Processor { missing }),
        None => Ok(()),
    }
}

fn roots_of(path: &Path) -> Result<Vec<Certificate<'static>>, NetError> {
    let roots = certificates(path)?;
    let mut store = RootCertStore::empty();
    for root in &roots {
        store.add(root.clone()).map_err(|error| bad(path, error))?;
    }
    Ok(owned(&roots))
}

fn roots_of_system() -> Result<Vec<Certificate<'static>>, NetError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reason = match found.errors.first() {
            Some(error) => error.to_string(),
            None => "none was found in the usual places".into(),
        };
        return Err(NetError::NoRoots { reason });
    }
    Ok(owned(&found.certs))
}

fn client_certificate(
    files: &ClientCertificate,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientCert, NetError> {
    let chain = certificates(&files.certificate)?;
    let pem = read_pem(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| bad(&files.key, error))?;
    // The check that they belong together; the client itself would panic.
    rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&files.certificate, error))?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain.clone(), key)
        .map_err(|error| bad(&files.key, error))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| bad(&files.key, error))?;
    Ok(ClientCert::new_with_certs(&owned(&chain), key))
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let pem = read_pem(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(path, error))?;
    match found.is_empty() {
        true => Err(bad(path, "there is no certificate in it")),
        false => Ok(found),
    }
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, NetError> {
    let failed = |source| NetError::CannotRead {
        path: path.into(),
        source,
    };
    let file = read::regular(path).map_err(failed)?;
    let room = file.metadata().map_err(failed)?.len().min(MAX_PEM) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_PEM + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MAX_PEM {
        true => Err(bad(path, format!("it has more than {MAX_PEM} bytes"))),
        false => Ok(bytes),
    }
}

fn owned(certificates: &[CertificateDer<'static>]) -> Vec<Certificate<'static>> {
    certificates
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect()
}

fn bad(path: &Path, reason: impl ToString) -> NetError {
    NetError::BadCertificate {
        path: path.into(),
        reason: reason.to_string(),
    }
}

/// Why TLS failed, in words that are the same at each try of a day, because a failure of other words is told anew; where the
/// library's words are for programmers, ours.
pub(super) fn reason(error: &rustls::Error) -> String {
    let at = |time: &UnixTime| clock::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    let day = |time: &UnixTime| at(time).split('T').next().unwrap_or_default().to_owned();
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "certificate expired: it was in force until {}, and this machine's clock says {}",
            at(not_after),
            day(time)
        ),
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => format!(
            "certificate not valid yet: it is in force from {} on, and this machine's clock says {}",
            at(not_before),
            day(time)
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "invalid peer certificate: UnknownIssuer, no authority that is trusted here has signed it".into()
        }
        error if error.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority (CA:TRUE) as its own, instead of one that an authority has \
             signed for it"
                .into()
        }
        error => error.to_string(),
    }
}
