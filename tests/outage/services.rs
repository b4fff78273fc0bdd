//! The key services, and what a server asks of each. To try another one, implement [`Holder`] or [`Service`] and add a line to the suite.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keyroll::crypto::Algorithm;
use keyroll::durable::SecretSource;
use keyroll::keys::{NewVersions, Ring};
use keyroll::master_key::{MasterKey, ProviderOptions, Wrapped, open};
use keyroll::net::{PlainHttp, Proxies, TlsOptions};
use keyroll::notify::Notify;
use keyroll::secret::KeystoreKey;
use keyroll::service::aws::LOG_LEVEL;
use keyroll::service::vault::{Login, VaultAccess, VaultConfig};
use keyroll::store::vault_kv::{KvError, VaultKv, VaultKvConfig, parse_url};
use keyroll::store::{ChangeSource, KeyStore, Rotate, StoreError};
use serde_json::json;

use test_support::aws;
use test_support::fault_proxy::Proxy;
use test_support::openbao::Bao;

/// A server's request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    /// Unwrap the keystore, or load all keys: at a start.
    Start,
    /// Have a new version made: at a rotation.
    Rotate,
    /// Wrap a keystore anew: at a rotation.
    Wrap,
    /// Read the keystore anew, or look for new keys: in between.
    Look,
}

/// A key of a service, behind a proxy in TLS.
pub(crate) trait Service: Sized {
    /// What a rotation asks for.
    const ROTATION: &'static [Call];

    /// As often as a call may be made to wait for the time of one request.
    const WAITS: u32;

    fn new() -> Self;

    fn proxy(&self) -> &Proxy;

    /// Asks nobody yet.
    fn client(&self, request_timeout: Duration) -> Box<dyn Client>;

    /// What no error and no message may hold.
    fn secrets(&self) -> Vec<String>;
}

pub(crate) trait Client {
    fn call(&mut self, call: Call) -> Result<(), Failure>;
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) is_wrong_key: bool,
    pub(crate) is_retryable: bool,
    /// All that there is to be seen of it, what goes to the log among it.
    pub(crate) seen: String,
}

const KEYSTORE: &str = "0190a5c3-1f2e-4d3c-8b4a-5f6e7d8c9b0a";

/// For whatever must not fail for being slow.
pub(crate) const PATIENT: Duration = Duration::from_secs(60);

/// Who holds a master key.
pub(crate) trait Holder: Sized {
    const ROTATION: &'static [Call];

    /// A new master key, behind a proxy in TLS.
    fn new_key() -> Master<Self>;
}

/// A master key in a service, and a keystore's key that it has wrapped.
pub(crate) struct Master<H> {
    holder: PhantomData<H>,
    proxy: Proxy,
    pub(crate) uri: String,
    environment: BTreeMap<OsString, OsString>,
    key: [u8; 32],
    wrapped: Wrapped,
    credential: String,
    /// What it has told, for the log.
    told: Arc<Mutex<Vec<String>>>,
}

impl<H> Master<H> {
    fn of(proxy: Proxy, uri: String, credential: &str, environment: &[(&str, &str)]) -> Master<H> {
        let environment = environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
        let wrapped = Wrapped {
            bytes: Vec::new(),
            key_version: String::new(),
        };
        let mut master = Master {
            holder: PhantomData,
            proxy,
            uri,
            environment,
            key: [0; 32],
            wrapped,
            credential: credential.to_owned(),
            told: Arc::default(),
        };
        getrandom::fill(&mut master.key).unwrap();
        let key = KeystoreKey::new(&master.key).unwrap();
        master.wrapped = master.open(PATIENT).wrap(&key, KEYSTORE).unwrap();
        master
    }

    pub(crate) fn open(&self, request_timeout: Duration) -> Box<dyn MasterKey> {
        let told = Arc::clone(&self.told);
        let mut options = ProviderOptions::new(request_timeout, self.environment.clone());
        options.notify = Notify::new(move |line| told.lock().unwrap().push(line.into()));
        open(&self.uri, &options).unwrap()
    }
}

impl<H: Holder> Service for Master<H> {
    const ROTATION: &'static [Call] = H::ROTATION;
    const WAITS: u32 = 1;

    fn new() -> Master<H> {
        H::new_key()
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn client(&self, request_timeout: Duration) -> Box<dyn Client> {
        Box::new(MasterClient {
            master: self.open(request_timeout),
            key: self.key,
            wrapped: self.wrapped.clone(),
            told: Arc::clone(&self.told),
        })
    }

    fn secrets(&self) -> Vec<String> {
        let forms = [hex::encode(self.key), BASE64_STANDARD.encode(self.key)];
        [&forms[..], std::slice::from_ref(&self.credential)].concat()
    }
}

struct MasterClient {
    master: Box<dyn MasterKey>,
    key: [u8; 32],
    wrapped: Wrapped,
    told: Arc<Mutex<Vec<String>>>,
}

impl Client for MasterClient {
    fn call(&mut self, call: Call) -> Result<(), Failure> {
        let master = &self.master;
        let done = match call {
            Call::Start | Call::Look => master.unwrap(&self.wrapped, KEYSTORE).map(|key| {
                assert_eq!(key.expose(), &self.key);
            }),
            Call::Rotate => master.rotate(),
            Call::Wrap => {
                let key = KeystoreKey::new(&self.key).unwrap();
                master.wrap(&key, KEYSTORE).map(drop)
            }
        };
        let messages = std::mem::take(&mut *self.told.lock().unwrap());
        done.map_err(|error| Failure {
            message: error.to_string(),
            hint: error.hint(),
            is_wrong_key: error.is_wrong_key(),
            is_retryable: error.is_retryable(),
            seen: format!("{error}\n{}\n{error:?}\n{messages:?}", error.hint()),
        })
    }
}

/// A master key in AWS KMS. Its rotation is the service's own affair.
pub(crate) struct Kms;

impl Holder for Kms {
    const ROTATION: &'static [Call] = &[Call::Wrap];

    fn new_key() -> Master<Kms> {
        let moto = aws::shared_moto();
        let proxy = Proxy::tls(moto.port);
        let (url, ca) = (proxy.url(), proxy.ca());
        let secret = "hunter2-secret-access-key";
        let environment = [
            ("AWS_ENDPOINT_URL", &*url),
            ("AWS_CA_BUNDLE", ca.to_str().unwrap()),
            ("AWS_REGION", aws::REGION),
            ("AWS_ACCESS_KEY_ID", "AKIATEST"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            (LOG_LEVEL, "Trace"),
        ];
        let uri = format!("aws-kms:{}", moto.create_key());
        Master::of(proxy, uri, secret, &environment)
    }
}

/// A master key in Vault transit.
pub(crate) struct Transit;

impl Holder for Transit {
    const ROTATION: &'static [Call] = &[Call::Rotate, Call::Wrap];

    fn new_key() -> Master<Transit> {
        static MOUNT: OnceLock<String> = OnceLock::new();
        let bao = Bao::shared();
        let proxy = Proxy::tls(bao.plain_port);
        let mount = MOUNT.get_or_init(|| bao.mount(&json!({"type": "transit"})));
        let key = unused("k");
        bao.must("POST", &format!("{mount}/keys/{key}"), &json!({}));
        let (uri, ca) = (format!("vault-transit:{}/{mount}/{key}", proxy.url()), proxy.ca());
        let environment = [
            ("VAULT_TOKEN", &*bao.root_token),
            ("VAULT_CACERT", ca.to_str().unwrap()),
        ];
        Master::of(proxy, uri, &bao.root_token, &environment)
    }
}

/// Data keys in Vault KV.
pub(crate) struct Kv {
    proxy: Proxy,
    /// Mount and folder.
    pub(crate) path: String,
}

const DATA_KEY: &str = "00112233445566778899aabbccddeeff";

impl Kv {
    pub(crate) fn store(&self, request_timeout: Duration) -> VaultKv {
        kv_store(
            &format!("{}/v1/{}", self.proxy.url(), self.path),
            Login::Token(SecretSource::value(Bao::shared().root_token.as_bytes())),
            TlsOptions {
                ca: Some(self.proxy.ca()),
                client_certificate: None,
            },
            request_timeout,
        )
    }
}

/// A store that sends each request twice at the most.
pub(crate) fn kv_store(url: &str, login: Login, tls: TlsOptions, timeout: Duration) -> VaultKv {
    let (address, path) = parse_url(url).unwrap();
    let access = VaultAccess {
        namespace: String::new(),
        login: Some(login),
        tls,
        plain_http: PlainHttp::ToLoopback,
        proxies: Proxies::default(),
        timeout,
        max_retries: 1,
    };
    VaultKv::new(VaultKvConfig {
        vault: VaultConfig { address, access },
        path,
        check_kv_version: true,
        version_interval: Duration::from_secs(60),
        key_interval: Duration::MAX,
        strict_permissions: false,
    })
    .unwrap()
}

impl Service for Kv {
    const ROTATION: &'static [Call] = &[Call::Rotate];
    const WAITS: u32 = 2;

    fn new() -> Kv {
        static MOUNT: OnceLock<String> = OnceLock::new();
        let bao = Bao::shared();
        let (mount, folder) = (MOUNT.get_or_init(|| bao.kv()), unused("f"));
        bao.put(mount, format!("{folder}/1"), DATA_KEY);
        Kv {
            proxy: Proxy::tls(bao.plain_port),
            path: format!("{mount}/{folder}"),
        }
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn client(&self, request_timeout: Duration) -> Box<dyn Client> {
        let ring = Ring::new(&self.store(PATIENT).load().unwrap().keys, Algorithm::AesCbc).unwrap();
        let store = self.store(request_timeout);
        Box::new(KvClient {
            changes: store.change_source().unwrap(),
            store,
            ring,
        })
    }

    fn secrets(&self) -> Vec<String> {
        vec![Bao::shared().root_token.clone(), DATA_KEY.into()]
    }
}

struct KvClient {
    store: VaultKv,
    changes: Box<dyn ChangeSource>,
    ring: Ring,
}

impl Client for KvClient {
    fn call(&mut self, call: Call) -> Result<(), Failure> {
        let done = match call {
            Call::Start => self.store.load().map(|loaded| assert!(!loaded.keys.is_empty())),
            Call::Look => self.changes.refresh(&self.ring, &BTreeSet::new()).map(drop),
            Call::Rotate => self
                .store
                .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&self.ring))
                .map(drop),
            Call::Wrap => unreachable!("nothing is wrapped here"),
        };
        done.map_err(|error| {
            let of_vault = match &error {
                StoreError::VaultKv(KvError::Vault(error)) => Some(error),
                _ => None,
            };
            Failure {
                message: error.to_string(),
                hint: error.hint(),
                is_wrong_key: of_vault.is_none(),
                is_retryable: of_vault.is_some_and(|error| error.is_away()),
                seen: format!("{error}\n{}\n{error:?}", error.hint()),
            }
        })
    }
}

/// A name that no other test has taken.
fn unused(start: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{start}{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
