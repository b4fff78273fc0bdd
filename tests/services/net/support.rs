//! Servers on free ports of the loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use keyroll::net::{Deadline, HttpClient, HttpOptions, Method, NetError, Request, Response, TlsOptions, Url};
use openssl::ssl::SslVerifyMode;

use test_support::certificates::Identity;

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

/// A TLS server that answers `ok` to every request; with `clients`, only to those that this authority has signed.
pub(crate) fn tls_server(identity: &Identity, clients: Option<&Identity>) -> Server {
    let mut acceptor = identity.acceptor();
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
