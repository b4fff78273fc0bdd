//! Servers on free ports of the loopback, and certificates that OpenSSL makes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use keyroll::net::{Deadline, HttpClient, HttpOptions, Method, NetError, Request, Response, TlsOptions, Url};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// A server, and how many connections it has seen.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Server {
    /// Serves each connection in a thread of its own, for as long as the test runs.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counter, serve) = (Arc::clone(&connections), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Server { port, connections }
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}/v1/x", self.port)).unwrap()
    }
}

/// Reads one request up to the empty line; `false` at the end of the connection.
pub(crate) fn read_request(stream: &mut impl Read) -> bool {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Reads one request and answers with these bytes, then closes.
pub(crate) fn answer_once(bytes: impl Into<Vec<u8>>) -> impl Fn(TcpStream) + Send + Sync + 'static {
    let bytes = bytes.into();
    move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&bytes);
    }
}

pub(crate) fn plain() -> HttpClient {
    HttpClient::for_plain_http(HttpOptions::default())
}

pub(crate) fn get(client: &HttpClient, url: Url, allowed: Duration) -> Result<Response, NetError> {
    client.send(Request::new(Method::GET, url), Deadline::after(allowed))
}

pub(crate) const SHORT: Duration = Duration::from_millis(300);
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

impl Identity {
    /// Signed by `issuer`, or by itself as an authority.
    pub(crate) fn new(name: &str, issuer: Option<&Identity>, days: std::ops::Range<i64>) -> Identity {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let at = |days: i64| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
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

    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (
            directory.join(format!("{name}.pem")),
            directory.join(format!("{name}.key")),
        );
        std::fs::write(&certificate, self.certificate.to_pem().unwrap()).unwrap();
        std::fs::write(&key, self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        (certificate, key)
    }
}

/// A TLS server that answers `ok` to every request; with `clients`, only to those that this authority has signed.
pub(crate) fn tls_server(identity: &Identity, clients: Option<&Identity>) -> Server {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&identity.key).unwrap();
    acceptor.set_certificate(&identity.certificate).unwrap();
    if let Some(authority) = clients {
        acceptor
            .cert_store_mut()
            .add_cert(authority.certificate.clone())
            .unwrap();
        acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    let acceptor = acceptor.build();
    Server::start(move |stream| {
        let Ok(mut stream) = acceptor.accept(stream) else {
            return;
        };
        while read_request(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
        }
    })
}

/// A client that trusts the authority in this file alone.
pub(crate) fn trusting(ca: &Path) -> HttpClient {
    HttpClient::new(HttpOptions {
        tls: TlsOptions {
            ca: Some(ca.into()),
            client_certificate: None,
        },
        ..HttpOptions::default()
    })
    .unwrap()
}
