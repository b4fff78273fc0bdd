//! What the HTTP client wants of a connection and of names, out of [`tcp`](crate::net::tcp),
//! [`proxy`](crate::net::proxy), [`tls`] and [`resolve`](crate::net::resolve).

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Weak};
use std::time::Instant;

use once_cell::sync::OnceCell;
use rustls::ClientConfig;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};
use zeroize::Zeroizing;

use super::stream::{Carrier, Stream};
use crate::net::host::bare;
use crate::net::proxy::{Proxies, Proxy, ProxyRefusal};
use crate::net::resolve::Names;
use crate::net::tcp::{Socket, TcpConnection};
use crate::net::tls;
use crate::net::{Deadline, NetFailure};

/// As many addresses of a host as are tried.
const MOST_ADDRESSES: usize = 8;

/// Opens connections, each registered with the client before it comes about.
pub(super) struct Connections {
    /// Set before the first request that needs it.
    pub(super) tls: Arc<OnceCell<Arc<ClientConfig>>>,
    /// The same for proxies that are asked in TLS.
    pub(super) proxy_tls: Arc<OnceCell<Arc<ClientConfig>>>,
    pub(super) proxies: Proxies,
    pub(super) names: Arc<Names>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl Connector<()> for Connections {
    type Out = HttpConnection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<HttpConnection>, Error> {
        let register = |socket: Weak<Socket>| (details.register_shutdown)(socket).map_err(Error::into_io);
        let tcp = TcpConnection::open(&details.addrs, until(details.timeout)?, register)
            .map_err(|error| failed(error, Timeout::Connect))?;
        let failed = |error| failed(error, details.timeout.reason);
        let proxy = proxy_for(&self.proxies, details.uri);
        let place = place_of(details.uri);
        let carrier = match proxy {
            None => Carrier::Tcp(tcp),
            Some(proxy) => self
                .by_proxy(proxy, tcp, place, details.needs_tls())
                .map_err(|error| failed(of_proxy(error)))?,
        };
        let stream = match self.tls.get() {
            Some(config) if details.needs_tls() => Stream::Tls(Box::new(
                tls::connect(config, bare(place.0), carrier).map_err(failed)?,
            )),
            _ => Stream::Plain(carrier),
        };
        let to_proxy = proxy.filter(|proxy| proxy.is_asked_itself() && !details.needs_tls());
        let to_proxy = to_proxy.map(|proxy| ToProxy {
            before_path: format!("http://{}", details.uri.authority().map_or("", |to| to.as_str())),
            header: proxy.header(),
        });
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(HttpConnection {
            stream,
            buffers,
            to_proxy,
            head_is_due: true,
        }))
    }
}

impl Connections {
    /// What a connection to a proxy becomes: one that leads on, unless requests are made to the
    /// proxy itself.
    fn by_proxy(
        &self,
        proxy: &Proxy,
        tcp: TcpConnection,
        place: (&str, u16),
        needs_tls: bool,
    ) -> io::Result<Carrier> {
        let mut carrier = match (self.proxy_tls.get(), proxy.address()) {
            (Some(config), Some((host, _))) if proxy.is_tls() => {
                Carrier::Tls(Box::new(tls::connect(config, host, tcp)?))
            }
            _ => Carrier::Tcp(tcp),
        };
        if needs_tls || !proxy.is_asked_itself() {
            proxy.lead_on(&mut carrier, place, &self.names)?;
        }
        Ok(carrier)
    }
}

/// What fails in TLS with a proxy, told from what fails in TLS with the service.
#[derive(Debug, thiserror::Error)]
#[error("no TLS with the proxy: {0}")]
struct ProxyTls(rustls::Error);

fn of_proxy(error: io::Error) -> io::Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(inner) => io::Error::new(error.kind(), ProxyTls(inner.clone())),
        None => error,
    }
}

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        self.end();
    }
}

/// A connection, with the client's buffers.
#[derive(Debug)]
pub(super) struct HttpConnection {
    stream: Stream,
    buffers: LazyBuffers,
    /// Where requests are made to a proxy, without a tunnel.
    to_proxy: Option<ToProxy>,
    /// What is sent next is the head of a request.
    head_is_due: bool,
}

/// What a request to a proxy has more than one to the server itself.
struct ToProxy {
    /// Scheme and authority, which go before the path (RFC 9112, 3.2.2).
    before_path: String,
    header: Zeroizing<String>,
}

impl fmt::Debug for ToProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before_path)
    }
}

impl ToProxy {
    /// The head of a request as the proxy wants it.
    fn head(&self, head: &[u8]) -> Zeroizing<Vec<u8>> {
        let path = head
            .iter()
            .position(|byte| *byte == b' ')
            .map_or(0, |space| space + 1);
        let line = head
            .windows(2)
            .position(|end| end == b"\r\n")
            .map_or(head.len(), |end| end + 2);
        // All the room at once: it holds a token, and a vector that grows leaves a copy behind.
        let room = head.len() + self.before_path.len() + self.header.len();
        let mut whole = Zeroizing::new(Vec::with_capacity(room));
        whole.extend_from_slice(&head[..path]);
        whole.extend_from_slice(self.before_path.as_bytes());
        whole.extend_from_slice(&head[path..line]);
        whole.extend_from_slice(self.header.as_bytes());
        whole.extend_from_slice(&head[line..]);
        whole
    }
}

/// A server answers in TLS to a request without.
#[derive(Debug, thiserror::Error)]
#[error("it speaks TLS")]
struct SpeaksTls;

/// Host and port of a request.
fn place_of(uri: &Uri) -> (&str, u16) {
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(usual))
}

/// The proxy that a request to this URL goes by.
pub(super) fn proxy_for<'a>(proxies: &'a Proxies, uri: &Uri) -> Option<&'a Proxy> {
    proxies.of(uri.host().unwrap_or_default(), uri.scheme_str() == Some("https"))
}

/// Until when may be waited: `None` without a bound.
fn until(timeout: NextTimeout) -> Result<Option<Instant>, Error> {
    match timeout.after.is_zero() {
        true => Err(Error::Timeout(timeout.reason)),
        false => Ok(timeout.not_zero().map(|time| Instant::now() + *time)),
    }
}

fn failed(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut => Error::Timeout(reason),
        _ => Error::from(error),
    }
}

/// Our words for what befalls a connection.
pub(super) fn failure(error: &io::Error, deadline: Deadline) -> NetFailure {
    if let Some(inner) = error.get_ref() {
        if let Some(error) = inner.downcast_ref() {
            return tls::failure(error);
        }
        if let Some(refusal) = inner.downcast_ref::<ProxyRefusal>() {
            return NetFailure::ProxyRefuses(*refusal);
        }
        if let Some(ProxyTls(error)) = inner.downcast_ref() {
            return NetFailure::ProxyTls(Box::new(tls::failure(error)));
        }
        if inner.is::<SpeaksTls>() {
            return NetFailure::SpeaksTls;
        }
    }
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => NetFailure::TimedOut(deadline.allowed()),
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => NetFailure::CutOff,
        _ => NetFailure::Unreachable(error.to_string()),
    }
}

impl Transport for HttpConnection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.tcp().wait_until(until(timeout)?);
        let output = &self.buffers.output()[..amount];
        let is_head = std::mem::take(&mut self.head_is_due);
        let sent = match &self.to_proxy {
            Some(to_proxy) if is_head => self.stream.write_all(&to_proxy.head(output)),
            _ => self.stream.write_all(output),
        };
        sent.map_err(|error| failed(self.stream.reason_of(error), timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.tcp().wait_until(until(timeout)?);
        let room = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.to_proxy.is_some() => {
                    return Err(failed(of_proxy(error), timeout.reason));
                }
                result => break result.map_err(|error| failed(error, timeout.reason))?,
            }
        };
        if !self.head_is_due && self.stream.is_tls_unasked(&room[..count]) {
            return Err(Error::from(io::Error::other(SpeaksTls)));
        }
        self.head_is_due = true;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// The names of services, or of the proxies that they are asked by.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) names: Arc<Names>,
    pub(super) proxies: Proxies,
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let proxy = proxy_for(&self.proxies, uri).and_then(Proxy::address);
        let (host, port) = proxy.unwrap_or_else(|| place_of(uri));
        let addresses = self.names.addresses(bare(host), port);
        let mut answer = self.empty();
        for address in addresses.iter().take(MOST_ADDRESSES) {
            answer.push(*address);
        }
        match answer.is_empty() {
            true => Err(Error::HostNotFound),
            false => Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn resolve(addresses: &Addresses, uri: &str) -> Result<Vec<SocketAddr>, Error> {
        let found = addresses.resolve(&uri.parse().unwrap(), &Config::default(), NextTimeout::default())?;
        Ok(found.iter().copied().collect())
    }

    #[test]
    fn addresses_and_names_resolve_with_the_port_of_the_scheme() {
        let names = Addresses {
            names: Arc::default(),
            proxies: Proxies::default(),
        };
        for (uri, address) in [
            ("https://127.0.0.1/", "127.0.0.1:443"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("https://127.0.0.1:8200/", "127.0.0.1:8200"),
            ("https://[::1]:8200/", "[::1]:8200"),
        ] {
            assert_eq!(resolve(&names, uri).unwrap(), [address.parse().unwrap()]);
        }
        let localhost = resolve(&names, "https://localhost:8200").unwrap();
        let is_loopback = |address: &SocketAddr| address.ip().is_loopback();
        assert!(localhost.iter().all(is_loopback), "{localhost:?}");
        let nowhere = resolve(&names, "https://nowhere.invalid");
        assert!(matches!(nowhere, Err(Error::HostNotFound)), "{nowhere:?}");
    }

    #[test]
    fn only_the_name_of_the_proxy_is_resolved_where_there_is_one() {
        let environment = |name: &str| (name == "https_proxy").then_some("http://[::1]:3128");
        let addresses = Addresses {
            names: Arc::default(),
            proxies: Proxies::from_environment(environment),
        };
        let found = resolve(&addresses, "https://vault.invalid:8200/").unwrap();
        assert_eq!(found, ["[::1]:3128".parse().unwrap()]);
        resolve(&addresses, "http://vault.invalid/").unwrap_err();
    }

    #[test]
    fn a_request_to_a_proxy_names_the_whole_url_and_has_one_header_more() {
        let to_proxy = ToProxy {
            before_path: "http://vault:8200".into(),
            header: Zeroizing::new("Proxy-Authorization: Basic eDp5\r\n".into()),
        };
        let head = to_proxy.head(b"GET /v1/x?list=true HTTP/1.1\r\nHost: vault:8200\r\n\r\n");
        assert_eq!(
            std::str::from_utf8(&head).unwrap(),
            "GET http://vault:8200/v1/x?list=true HTTP/1.1\r\nProxy-Authorization: Basic eDp5\r\n\
             Host: vault:8200\r\n\r\n"
        );
        assert_eq!(head.len(), head.capacity());
    }
}
