//! Who is trusted, and who we are: the roots of trust and the client's certificate. Every server is
//! verified.
//!
//! TLS 1.2 and 1.3 by rustls, with the ciphers of graviola.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ALL_VERSIONS, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned,
};
use zeroize::Zeroizing;

use super::NetError;
use super::tcp::TcpConnection;
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
    /// PEM file of the certificate authorities to trust, and no others; `None`: those of the
    /// system, or of the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    pub ca: Option<PathBuf>,
    /// The certificate to show to servers that ask for one.
    pub client_certificate: Option<ClientCertificate>,
}

pub(super) type TlsConnection = StreamOwned<ClientConnection, TcpConnection>;

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
            let chain = certificates(&files.certificate)?;
            let pem = read_pem(&files.key)?;
            let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| bad(&files.key, error))?;
            // Also looks whether they belong together.
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad(&files.key, error))?
        }
    };
    Ok(Arc::new(config))
}

/// Secures a connection to this host: it must prove that it is the host. Errors: a
/// [`rustls::Error`] within, or that of the connection.
pub(super) fn connect(
    config: &Arc<ClientConfig>,
    host: &str,
    mut tcp: TcpConnection,
) -> io::Result<TlsConnection> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        invalid(Error::General(
            "the host has no name that a certificate can have".into(),
        ))
    })?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(invalid)?;
    connection.complete_io(&mut tcp)?;
    Ok(StreamOwned::new(connection, tcp))
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
    for root in certificates(path)? {
        store.add(root).map_err(|error| bad(path, error))?;
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

fn bad(path: &Path, reason: impl ToString) -> NetError {
    NetError::BadCertificate {
        path: path.into(),
        reason: reason.to_string(),
    }
}

/// Why TLS failed, in words that are the same at each try of a day, because a failure of other
/// words is told anew; where the library's words are for programmers, ours.
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
