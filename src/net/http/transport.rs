//! What the HTTP client wants of a connection and of names, out of [`tcp`](crate::net::tcp),
//! [`tls`] and [`resolve`](crate::net::resolve).

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustls::ClientConfig;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use crate::net::resolve::Names;
use crate::net::tcp::{Socket, TcpConnection};
use crate::net::tls::{self, TlsConnection};

/// As many addresses of a host as are tried.
const MOST_ADDRESSES: usize = 8;

/// Opens connections, each registered with the client before it comes about.
pub(super) struct Connections {
    /// `None`: without TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
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
        let stream = match &self.tls {
            Some(config) if details.needs_tls() => {
                let host = bare(details.uri.host().unwrap_or_default());
                let tls = tls::connect(config, host, tcp);
                Stream::Tls(Box::new(
                    tls.map_err(|error| failed(error, details.timeout.reason))?,
                ))
            }
            _ => Stream::Plain(tcp),
        };
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(HttpConnection { stream, buffers }))
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
}

#[derive(Debug)]
enum Stream {
    Plain(TcpConnection),
    Tls(Box<TlsConnection>),
}

impl Stream {
    fn tcp(&mut self) -> &mut TcpConnection {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &mut tls.sock,
        }
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(room),
            Stream::Tls(tls) => tls.read(room),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes),
        }
    }
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

impl Transport for HttpConnection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.tcp().wait_until(until(timeout)?);
        let output = &self.buffers.output()[..amount];
        self.stream
            .write_all(output)
            .map_err(|error| failed(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.tcp().wait_until(until(timeout)?);
        let room = self.buffers.input_append_buf();
        let count = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result.map_err(|error| failed(error, timeout.reason))?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.tcp().is_open()
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = bare(uri.host().unwrap_or_default());
        let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        let addresses = self.addresses(host, uri.port_u16().unwrap_or(usual));
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

    fn resolve(names: &Names, uri: &str) -> Result<Vec<SocketAddr>, Error> {
        let found = names.resolve(&uri.parse().unwrap(), &Config::default(), NextTimeout::default())?;
        Ok(found.iter().copied().collect())
    }

    #[test]
    fn addresses_and_names_resolve_with_the_port_of_the_scheme() {
        let names = Names::default();
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
}
