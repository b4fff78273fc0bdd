//! Stores to try things on, and what may stand between one and OpenBao.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use keyroll::crypto::Algorithm;
use keyroll::keystore::vault_kv::{VaultKv, VaultKvConfig, parse_url};
use keyroll::keystore::{KeyStore, KeyStoreError, Loaded, News, Ring};
use keyroll::net::vault::{Login, SecretSource, VaultAccess, VaultConfig};
use keyroll::net::{PlainHttp, TlsOptions};
use keyroll::secret::SecretBytes;

use crate::openbao::Bao;

pub(crate) const KEY: &str = "00112233445566778899aabbccddeeff";
pub(crate) const LONG_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn token(token: &str) -> Option<Login> {
    Some(Login::Token(SecretSource::Value(SecretBytes::new(token.into()))))
}

pub(crate) fn access(bao: &Bao, login: Option<Login>) -> VaultAccess {
    VaultAccess {
        namespace: String::new(),
        login,
        tls: TlsOptions {
            ca: Some(bao.path("ca.pem")),
            client_certificate: None,
        },
        plain_http: PlainHttp::ToLoopback,
        timeout: Duration::from_secs(10),
        max_retries: 1,
    }
}

pub(crate) fn config(url: &str, access: VaultAccess) -> VaultKvConfig {
    let (address, path) = parse_url(url).unwrap();
    VaultKvConfig {
        vault: VaultConfig { address, access },
        path,
        check_kv_version: true,
        version_interval: Duration::from_secs(60),
        key_interval: Duration::MAX,
    }
}

/// The store of a mount, as root.
pub(crate) fn store(bao: &Bao, mount: &str) -> VaultKv {
    store_with(bao, mount, token(&bao.root_token))
}

pub(crate) fn store_with(bao: &Bao, mount: &str, login: Option<Login>) -> VaultKv {
    VaultKv::new(config(&bao.url(&format!("v1/{mount}")), access(bao, login))).unwrap()
}

pub(crate) fn ring(loaded: &Loaded) -> Ring {
    Ring::new(&loaded.keys, Algorithm::AesCbc).unwrap()
}

/// One look of a store's watch.
pub(crate) fn look(store: &VaultKv, ring: &Ring) -> Result<News, KeyStoreError> {
    store.watch().unwrap().refresh(ring, &BTreeSet::new())
}

pub(crate) fn names(keys: &keyroll::keystore::KeySet) -> Vec<(u32, u32)> {
    keys.iter().map(|(name, _)| (name.id, name.version)).collect()
}

/// The least rights that the server needs.
pub(crate) fn reading(mount: &str) -> String {
    format!(
        r#"
path "{mount}/metadata/*" {{ capabilities = ["list", "read"] }}
path "{mount}/data/*" {{ capabilities = ["read"] }}
"#
    )
}

/// What a proxy does with connections from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Forward,
    /// Takes the connection, reads, and never answers.
    Hang,
    /// Ends the connection after so many bytes of answers.
    CutAfter(usize),
}

/// A proxy on a free port that counts requests (of plain HTTP) and connections.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: Arc<Mutex<Mode>>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn to(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            mode: Arc::new(Mutex::new(Mode::Forward)),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (mode, connections, requests) = (
            Arc::clone(&proxy.mode),
            Arc::clone(&proxy.connections),
            Arc::clone(&proxy.requests),
        );
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mode, requests) = (Arc::clone(&mode), Arc::clone(&requests));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let of_answers = Arc::clone(&mode);
                thread::spawn(move || {
                    pass(from, to, |bytes| {
                        let ends = bytes
                            .windows(11)
                            .filter(|window| window == b" HTTP/1.1\r\n")
                            .count();
                        requests.fetch_add(ends, Ordering::SeqCst);
                        (*mode.lock().unwrap() != Mode::Hang).then_some(bytes.len())
                    })
                });
                thread::spawn(move || {
                    let mut passed = 0;
                    pass(server, client, |bytes| {
                        let mode = *of_answers.lock().unwrap();
                        let room = match mode {
                            Mode::CutAfter(most) => most.saturating_sub(passed).min(bytes.len()),
                            _ => bytes.len(),
                        };
                        passed += room;
                        Some(room)
                    });
                });
            }
        });
        proxy
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(crate) fn counted(&self) -> (usize, usize) {
        (
            self.requests.load(Ordering::SeqCst),
            self.connections.load(Ordering::SeqCst),
        )
    }
}

/// Passes on as many bytes of each piece as it is told: none at all for `None`, and less than all is the end.
fn pass(mut from: TcpStream, mut to: TcpStream, mut how_many: impl FnMut(&[u8]) -> Option<usize>) {
    let mut room = [0; 65536];
    while let Ok(count @ 1..) = from.read(&mut room) {
        let Some(passed) = how_many(&room[..count]) else {
            continue;
        };
        if to.write_all(&room[..passed]).is_err() || passed < count {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

/// A server that answers every request with these bytes.
pub(crate) fn answering(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let bytes = bytes.clone();
            thread::spawn(move || {
                let mut room = [0; 65536];
                while matches!(stream.read(&mut room), Ok(1..)) && stream.write_all(&bytes).is_ok() {}
            });
        }
    });
    port
}

pub(crate) fn secret_file(bao: &Bao, name: &str, text: &str) -> PathBuf {
    let path = bao.path(name);
    std::fs::write(&path, text).unwrap();
    path
}
