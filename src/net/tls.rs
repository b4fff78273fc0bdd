//! Who is trusted, and who we are: the roots of trust and the client's certificate. Every server is
//! verified.
//!
//! TLS 1.2 and 1.3 by rustls, with the ciphers of graviola.

mod reason;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ALL_VERSIONS, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};
use zeroize::Zeroizing;

pub(super) use reason::failure;

use super::{NetError, Pem, PemFault};
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
    /// PEM file of the certificate authorities to trust, and no others; `None`: those of the
    /// system, or of the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    pub ca: Option<PathBuf>,
    /// The certificate to show to servers that ask for one.
    pub client_certificate: Option<ClientCertificate>,
}

/// TLS over a connection.
pub(super) type TlsConnection<C> = StreamOwned<ClientConnection, C>;

/// Reads the files and builds the configuration of a client, whatever protocol it speaks. Errors:
/// certificates that cannot be used, or a processor that TLS cannot run on.
pub(crate) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, NetError> {
    check_processor()?;
    let roots = match &options.ca {
        Some(path) => roots_of(path)?,
        None => roots_of_system()?,
    };
    let provider = Arc::new(rustls_graviola::default_provider());
    #[expect(clippy::expect_used, reason = "graviola has cipher suites of both versions")]
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(ALL_VERSIONS)
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let config = match &options.client_certificate {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = certificates(&files.certificate, Pem::Certificate)?;
            let text = read_pem(&files.key, Pem::Key)?;
            let key = PrivateKeyDer::from_pem_slice(&text);
            let key = key.map_err(|error| bad(&files.key, Pem::Key, fault(&error, &text, Pem::Key)))?;
            // Also looks whether they belong together.
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let reason = match error {
                    Error::InconsistentKeys(_) => "it does not belong to the client's certificate",
                    _ => "it is no key of a kind that is known here (RSA, ECDSA, Ed25519)",
                };
                bad(&files.key, Pem::Key, PemFault::Other(reason))
            })?
        }
    };
    Ok(Arc::new(config))
}

/// Secures a connection to this host: it must prove that it is the host. Errors: a
/// [`rustls::Error`] within, or that of the connection.
pub(super) fn connect<C: Read + Write>(
    config: &Arc<ClientConfig>,
    host: &str,
    mut carrier: C,
) -> io::Result<TlsConnection<C>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid(Error::UnsupportedNameType))?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(invalid)?;
    connection.complete_io(&mut carrier)?;
    Ok(StreamOwned::new(connection, carrier))
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

fn roots_of(path: &Path) -> Result<RootCertStore, NetError> {
    let mut store = RootCertStore::empty();
    for root in certificates(path, Pem::Authorities)? {
        let reason = "a certificate in it cannot be read";
        store
            .add(root)
            .map_err(|_| bad(path, Pem::Authorities, PemFault::Other(reason)))?;
    }
    Ok(store)
}

fn roots_of_system() -> Result<RootCertStore, NetError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    match store.is_empty() {
        false => Ok(store),
        true => Err(NetError::NoRoots {
            reason: match found.errors.first() {
                Some(error) => error.to_string(),
                None => "none was found in the usual places".into(),
            },
        }),
    }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path, pem: Pem) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let text = read_pem(path, pem)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(bad(path, pem, fault(&pem::Error::NoItemsFound, &text, pem))),
        Err(error) => Err(bad(path, pem, fault(&error, &text, pem))),
    }
}

fn read_pem(path: &Path, pem: Pem) -> Result<Zeroizing<Vec<u8>>, NetError> {
    let failed = |source| NetError::CannotRead {
        path: path.into(),
        source,
    };
    let file = read::regular(path).map_err(failed)?;
    let room = file.metadata().map_err(failed)?.len().min(MAX_PEM) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_PEM + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MAX_PEM {
        true => Err(bad(path, pem, PemFault::Other("it has more than 4 MiB"))),
        false => Ok(bytes),
    }
}

fn bad(path: &Path, pem: Pem, fault: PemFault) -> NetError {
    let path = path.into();
    NetError::BadPem { path, pem, fault }
}

/// What is wrong with a text that should be PEM, without a word of it.
fn fault(error: &pem::Error, text: &[u8], pem: Pem) -> PemFault {
    let says = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    PemFault::Other(match error {
        _ if is_sequence(text) => return PemFault::Der,
        // The others are told from the text itself.
        pem::Error::NoItemsFound if pem == Pem::Key && says(b"ENCRYPTED PRIVATE KEY-----") => {
            return PemFault::Encrypted;
        }
        _ if pem == Pem::Key && says(b"Proc-Type: 4,ENCRYPTED") => return PemFault::Encrypted,
        pem::Error::NoItemsFound if pem == Pem::Key => "there is no private key in it",
        pem::Error::NoItemsFound => "there is no certificate in it",
        pem::Error::MissingSectionEnd { .. } => "a line -----END ...----- is missing in it",
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN ...----- of it is broken",
        _ => "its base64 is broken",
    })
}

/// Whether it begins as what is written in DER: a sequence and its length (X.690, 8.1.3).
fn is_sequence(text: &[u8]) -> bool {
    match text {
        [0x30, 0x81 | 0x82, ..] => true,
        [0x30, length, rest @ ..] => usize::from(*length) == rest.len(),
        _ => false,
    }
}
