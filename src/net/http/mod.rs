//! Requests and answers: kept-alive connections, each request within a deadline, each answer within
//! a size.
//!
//! Requests go by the proxies that the options name, or directly. No redirect is followed, no
//! cookie is kept, nothing is compressed, no thread is started, and nothing is logged. Tokens and
//! bodies are wiped where they are ours; the buffers of the TLS library are not.

mod stream;
mod transport;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use once_cell::sync::OnceCell;
use rustls::ClientConfig;
use ureq::Agent;
pub use ureq::http::Method;
use ureq::http::header::{HeaderName, HeaderValue};
use ureq::http::{self, HeaderMap};

use self::transport::{Addresses, Connections, proxy_for};
use super::proxy::{Proxy, ProxyRefusal};
use super::resolve::Names;
use super::tls::{self, TlsOptions};
use super::{Deadline, NetError, NetFailure, PlainHttp, Proxies, Url};
use crate::cancel;
use crate::secret::SecretBytes;

/// The most bytes of an answer unless told.
pub(crate) const DEFAULT_MAX_BODY: u64 = 1024 * 1024;

/// How long an idle connection is kept. That a server closes its own is noticed.
const KEEP_IDLE: Duration = Duration::from_secs(300);

/// How a client is set up.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Whom to trust and who to be.
    pub tls: TlsOptions,
    /// Where requests may go without TLS.
    pub plain_http: PlainHttp,
    /// Which requests go by a proxy.
    pub proxies: Proxies,
    /// The longest time for a connection to come about, TLS included, within a request's deadline.
    pub connect_timeout: Duration,
    /// The most bytes of an answer's body.
    pub max_body: u64,
    /// As many connections are kept that nothing uses: of a client that many threads use at once,
    /// as many as there are threads.
    pub max_idle: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            tls: TlsOptions::default(),
            plain_http: PlainHttp::ToLoopback,
            proxies: Proxies::default(),
            connect_timeout: Duration::from_secs(10),
            max_body: DEFAULT_MAX_BODY,
            max_idle: 2,
        }
    }
}

/// One request.
pub struct Request {
    method: Method,
    url: Url,
    headers: Result<HeaderMap, &'static str>,
    body: SecretBytes,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Request {
        Request {
            method,
            url,
            headers: Ok(HeaderMap::new()),
            body: SecretBytes::default(),
        }
    }

    /// Adds a header, whose value may be secret. What cannot be one fails [`HttpClient::send`].
    pub fn header(mut self, name: &str, value: &[u8]) -> Request {
        let parsed = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        );
        match (&mut self.headers, parsed) {
            (Ok(headers), (Ok(name), Ok(mut value))) => {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            (headers, (Ok(_), Err(_))) => {
                *headers = Err("the value of a header has control characters in it")
            }
            (headers, (Err(_), _)) => *headers = Err("the name of a header is none"),
            (Err(_), _) => {}
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: SecretBytes) -> Request {
        self.body = body;
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.method, self.url)
    }
}

/// An answer, whatever its status.
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    headers: HeaderMap,
    body: SecretBytes,
}

impl Response {
    /// The body, which may be empty.
    pub fn body(&self) -> &[u8] {
        self.body.expose()
    }

    /// The answer to a request without TLS, unless it comes from a proxy that wants a password, or
    /// from a server that wants TLS, as those of Go and nginx say it.
    fn of_plain_http(self, is_asked_of_proxy: bool) -> Result<Response, NetFailure> {
        let says = |words: &[u8]| self.body().windows(words.len()).any(|window| window == words);
        match self.status {
            407 if is_asked_of_proxy => Err(NetFailure::ProxyRefuses(ProxyRefusal::Status(407))),
            400 if says(b"HTTP request to an HTTPS server")
                || says(b"HTTP request was sent to HTTPS port") =>
            {
                Err(NetFailure::SpeaksTls)
            }
            _ => Ok(self),
        }
    }

    /// A header by its name in any case, if it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.expose().len())
    }
}

/// A client with connections of its own, which it keeps alive. Clones share them.
#[derive(Clone)]
pub struct HttpClient {
    agent: Agent,
    options: HttpOptions,
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
    proxy_tls: Arc<OnceCell<Arc<ClientConfig>>>,
    is_interrupted: Arc<AtomicBool>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpClient({:?})", self.options)
    }
}

impl HttpClient {
    /// Reads the certificates; connects to nobody yet.
    ///
    /// # Errors
    /// Certificates that cannot be used, or a processor that TLS cannot run on.
    pub fn new(options: HttpOptions) -> Result<HttpClient, NetError> {
        let client = HttpClient::for_plain_http(options);
        client.read_certificates()?;
        Ok(client)
    }

    /// A client for plain HTTP: it reads the certificates at the first request that is in TLS after
    /// all.
    pub fn for_plain_http(options: HttpOptions) -> HttpClient {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("keyroll")
            .accept("")
            .accept_encoding("")
            .max_idle_age(KEEP_IDLE)
            .max_idle_connections(options.max_idle)
            .max_idle_connections_per_host(options.max_idle)
            .allow_non_standard_methods(true)
            .build();
        let (tls, proxy_tls) = (Arc::<OnceCell<_>>::default(), Arc::<OnceCell<_>>::default());
        let names = Arc::<Names>::default();
        let connections = Connections {
            tls: Arc::clone(&tls),
            proxy_tls: Arc::clone(&proxy_tls),
            proxies: options.proxies.clone(),
            names: Arc::clone(&names),
        };
        let addresses = Addresses {
            names,
            proxies: options.proxies.clone(),
        };
        HttpClient {
            agent: Agent::with_parts(config, connections, addresses),
            options,
            tls,
            proxy_tls,
            is_interrupted: Arc::default(),
        }
    }

    fn read_certificates(&self) -> Result<(), NetError> {
        let config = || tls::client_config(&self.options.tls);
        self.tls.get_or_try_init(config).map(drop)
    }

    /// A proxy that is asked in TLS is verified by the authorities of the system, as libcurl does
    /// it: those of the options vouch for services. No client certificate is shown to it.
    fn read_certificates_for(&self, proxy: &Proxy) -> Result<(), NetError> {
        let config = || tls::client_config(&TlsOptions::default());
        match proxy.is_tls() {
            true => self.proxy_tls.get_or_try_init(config).map(drop),
            false => Ok(()),
        }
    }

    /// Sends a request and reads its whole answer before the deadline. An answer of any status is a
    /// success here.
    ///
    /// # Errors
    /// See [`NetError`]. Whether the request took effect is unknown after [`NetFailure::TimedOut`]
    /// and [`NetFailure::CutOff`].
    pub fn send(&self, request: Request, deadline: Deadline) -> Result<Response, NetError> {
        let url = request.url.clone();
        url.check_protection(self.options.plain_http)?;
        if url.is_https() {
            self.read_certificates()?;
        }
        let proxy = proxy_for(&self.options.proxies, url.uri());
        if let Some(proxy) = proxy {
            proxy.check()?;
            self.read_certificates_for(proxy)?;
        }
        let answer = self.exchange(request, deadline);
        let answer = answer.and_then(|answer| match url.is_https() {
            true => Ok(answer),
            false => answer.of_plain_http(proxy.is_some_and(Proxy::is_asked_itself)),
        });
        answer.map_err(|failure| NetError::At {
            host: url.authority().to_owned(),
            by: proxy.map(|proxy| proxy.told().into()),
            failure,
        })
    }

    fn exchange(&self, request: Request, deadline: Deadline) -> Result<Response, NetFailure> {
        if cancel::is_cancelled() {
            return Err(NetFailure::Cancelled);
        }
        if deadline.is_over() {
            return Err(NetFailure::TimedOut(deadline.allowed()));
        }
        let mut builder = http::Request::builder()
            .method(&request.method)
            .uri(request.url.uri());
        if let Some(all) = builder.headers_mut() {
            *all = request.headers.map_err(NetFailure::BadRequest)?;
        }
        let invalid = |_| NetFailure::BadRequest("it is no HTTP request");
        let has_body = !request.body.expose().is_empty()
            || matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        match has_body {
            true => self.run(builder.body(request.body.expose()).map_err(invalid)?, deadline),
            false => self.run(builder.body(()).map_err(invalid)?, deadline),
        }
    }

    /// Ends every request under way, in whatever thread, with [`NetFailure::Interrupted`], and
    /// refuses all later ones. Only the resolving of a name is waited for.
    pub fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Release);
        self.agent.clone().shutdown();
    }

    fn run<B: ureq::AsSendBody>(
        &self,
        request: http::Request<B>,
        deadline: Deadline,
    ) -> Result<Response, NetFailure> {
        let remaining = deadline.remaining();
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(remaining))
            .timeout_connect(Some(remaining.min(self.options.connect_timeout)))
            .build();
        let mut answer = self
            .agent
            .run(request)
            .map_err(|error| self.failed(error, deadline))?;
        let body = self.read_body(&mut answer, deadline)?;
        Ok(Response {
            status: answer.status().as_u16(),
            headers: std::mem::take(answer.headers_mut()),
            body,
        })
    }

    fn read_body(
        &self,
        answer: &mut http::Response<ureq::Body>,
        deadline: Deadline,
    ) -> Result<SecretBytes, NetFailure> {
        let limit = self.options.max_body;
        let told = answer.body().content_length();
        if told.is_some_and(|length| length > limit) {
            return Err(NetFailure::TooLarge(limit));
        }
        // All the room at once: a vector that grows leaves an unwiped copy behind.
        let room = told.unwrap_or(limit) as usize + 1;
        let mut body = SecretBytes::with_capacity(room);
        let mut chunk = zeroize::Zeroizing::new([0; 8192]);
        let mut reader = answer.body_mut().as_reader();
        loop {
            match reader.read(&mut chunk[..]) {
                Ok(0) => return Ok(body),
                Ok(count) if body.expose().len() + count > limit as usize => {
                    return Err(NetFailure::TooLarge(limit));
                }
                Ok(count) => body.expose_mut().extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match self.failed(ureq::Error::from(error), deadline) {
                        // The connection had come about, or there would be no body.
                        NetFailure::Unreachable(_) => NetFailure::CutOff,
                        other => other,
                    });
                }
            }
        }
    }

    /// Our words for the client's error, whose own could quote an answer.
    fn failed(&self, error: ureq::Error, deadline: Deadline) -> NetFailure {
        if self.is_interrupted.load(Ordering::Acquire) {
            return NetFailure::Interrupted;
        }
        if cancel::is_cancelled() {
            return NetFailure::Cancelled;
        }
        let unreachable = |reason: &str| NetFailure::Unreachable(reason.into());
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect) if !deadline.is_over() => {
                unreachable("no connection came about in time")
            }
            ureq::Error::Timeout(_) => NetFailure::TimedOut(deadline.allowed()),
            ureq::Error::HostNotFound => unreachable("there is no such host"),
            ureq::Error::BodyExceedsLimit(_) => NetFailure::TooLarge(self.options.max_body),
            ureq::Error::LargeResponseHeader(..) => NetFailure::NotHttp("the headers are too long"),
            ureq::Error::Io(error) => transport::failure(&error, deadline),
            ureq::Error::BodyStalled => NetFailure::CutOff,
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                NetFailure::NotHttp("the answer cannot be read")
            }
            _ => unreachable("the connection failed"),
        }
    }
}
