//! Proxies: which requests go by one, as the variables of the environment say that libcurl reads,
//! and the tunnel through it.
//!
//! Source: the manual pages of libcurl (`CURLOPT_PROXY`, `CURLOPT_NOPROXY`, `libcurl-env`), and
//! what curl 7.88 was seen to do, which a test compares; RFC 9110, 9.3.6 (`CONNECT`).

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::host::{bare, is_this_machine};
use super::{NetError, NetFailure, Url};

/// The port of a proxy that names none, as libcurl has it.
const USUAL_PORT: u16 = 1080;

/// The most bytes of a proxy's answer to `CONNECT`, before the tunnel begins.
const MAX_HEAD: usize = 16 * 1024;

/// Which requests go by a proxy. `Debug` shows no password.
///
/// Three things are nobody's choice: `http_proxy` counts in small letters alone (a web server sets
/// the other one as its client likes), and this machine and link-local addresses, where cloud
/// providers have their metadata services, are never asked by a proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Option<Arc<Choice>>);

#[derive(Debug)]
struct Choice {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts that are asked directly.
    except: String,
}

/// A proxy that a variable names.
pub(super) struct Proxy {
    variable: &'static str,
    /// Or why there is none at it.
    place: Result<Place, &'static str>,
}

struct Place {
    host: String,
    port: u16,
    /// User and password as the header `Proxy-Authorization` has them.
    credentials: Option<Zeroizing<String>>,
}

/// Why there is no tunnel, beside what befalls any connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum TunnelError {
    #[error("the proxy answers with status {0}")]
    Refused(u16),
    #[error("the proxy does not answer in HTTP")]
    NotHttp,
}

impl Proxies {
    /// What the environment says in `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, the
    /// last three in capitals, too. An empty variable counts as unset.
    pub fn from_environment<V: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<V>) -> Proxies {
        let value = |name: &'static str| {
            let value = variable(name).filter(|value| !value.as_ref().is_empty())?;
            Some(Zeroizing::new(value.as_ref().to_string_lossy().into_owned()))
        };
        let first = |names: &[&'static str]| {
            let mut given = names.iter();
            given.find_map(|variable| Some(Proxy::new(variable, &value(variable)?)))
        };
        let choice = Choice {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: value("no_proxy")
                .or_else(|| value("NO_PROXY"))
                .map_or(String::new(), |value| String::clone(&value)),
        };
        Proxies((choice.http.is_some() || choice.https.is_some()).then(|| Arc::new(choice)))
    }

    /// The proxy by which this host is asked; `None`: directly. An IPv6 address may stand in
    /// brackets.
    pub(super) fn of(&self, host: &str, is_https: bool) -> Option<&Proxy> {
        let choice = self.0.as_deref()?;
        let proxy = if is_https { &choice.https } else { &choice.http };
        let proxy = proxy.as_ref()?;
        let host = bare(host);
        let is_direct = is_this_machine(host) || is_link_local(host) || is_excepted(host, &choice.except);
        (!is_direct).then_some(proxy)
    }
}

fn is_link_local(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local(),
        Err(_) => false,
    }
}

/// Whether a list of `no_proxy` names this host.
fn is_excepted(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let mut entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    match host.parse() {
        Ok(address) => entries.any(|entry| is_in_network(address, entry)),
        Err(_) => entries.any(|entry| is_in_domain(host, entry)),
    }
}

/// Whether the host is this domain or lies in it. Dots before and behind mean nothing.
fn is_in_domain(host: &str, domain: &str) -> bool {
    let (host, domain) = (
        host.strip_suffix('.').unwrap_or(host),
        domain.strip_suffix('.').unwrap_or(domain),
    );
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let Some(at) = host
        .len()
        .checked_sub(domain.len())
        .filter(|_| !domain.is_empty())
    else {
        return false;
    };
    let is_at_dot = at == 0 || host.as_bytes()[at - 1] == b'.';
    is_at_dot && host.as_bytes()[at..].eq_ignore_ascii_case(domain.as_bytes())
}

/// Whether the address is this one, or lies in this network, as in `10.0.0.0/8`.
fn is_in_network(address: IpAddr, network: &str) -> bool {
    let (network, bits) = network.split_once('/').unwrap_or((network, "0"));
    let (Ok(network), Ok(bits)) = (network.parse(), bits.parse::<u32>()) else {
        return false;
    };
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits().into(), network.to_bits().into(), 32u32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    // No bits are all bits, as libcurl has it.
    let left_out = if bits == 0 { 0 } else { width.saturating_sub(bits) };
    bits <= width && (address ^ network) >> left_out == 0
}

impl Proxy {
    fn new(variable: &'static str, url: &str) -> Proxy {
        Proxy {
            variable,
            place: Place::of_url(url),
        }
    }

    /// Where it is and which variable says so, for messages.
    pub(super) fn told(&self) -> String {
        let variable = self.variable;
        match &self.place {
            Ok(Place { host, port, .. }) => format!("the proxy {host}:{port} of {variable}"),
            Err(_) => format!("the proxy of {variable}"),
        }
    }

    /// Refuses a variable that names no proxy.
    pub(super) fn check(&self) -> Result<(), NetError> {
        match self.place {
            Ok(_) => Ok(()),
            Err(reason) => Err(NetError::BadProxy {
                variable: self.variable,
                reason,
            }),
        }
    }

    /// Its host, without brackets, and port.
    pub(super) fn address(&self) -> Option<(&str, u16)> {
        let place = self.place.as_ref().ok()?;
        Some((bare(&place.host), place.port))
    }

    /// The header with user and password, if it wants them, and the end of its line.
    pub(super) fn header(&self) -> Zeroizing<String> {
        let credentials = self
            .place
            .as_ref()
            .ok()
            .and_then(|place| place.credentials.as_ref());
        Zeroizing::new(match credentials {
            Some(credentials) => format!("Proxy-Authorization: Basic {}\r\n", **credentials),
            None => String::new(),
        })
    }

    /// Has a connection to it lead on to `target`, a host with its port. Errors: [`TunnelError`]
    /// within, or that of the connection.
    pub(super) fn tunnel(&self, connection: &mut (impl Read + Write), target: &str) -> io::Result<()> {
        let request = Zeroizing::new(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: keyroll\r\n{}\r\n",
            *self.header()
        ));
        connection.write_all(request.as_bytes())?;
        match status_of(connection)? {
            200..=299 => Ok(()),
            status => Err(io::Error::other(TunnelError::Refused(status))),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told())
    }
}

impl Place {
    /// Takes `http://USER:PASSWORD@HOST:PORT` apart; all but the host may be left out. What follows
    /// does not count.
    fn of_url(url: &str) -> Result<Place, &'static str> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => {
                return Err("it is asked in TLS (https://), and only proxies of http:// are understood");
            }
            socks if socks.starts_with("socks") => {
                return Err("it speaks SOCKS, and only proxies of http:// are understood");
            }
            _ => return Err("only proxies of http:// are understood"),
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let url =
            Url::parse(&format!("http://{host}")).map_err(|_| "it is not of the form http://HOST:PORT")?;
        Ok(Place {
            host: url.host().to_owned(),
            port: url.port().unwrap_or(USUAL_PORT),
            credentials: user.map(credentials),
        })
    }
}

/// `USER:PASSWORD` of a URL as HTTP has it (RFC 7617).
fn credentials(of_url: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(Vec::with_capacity(of_url.len() + 1));
    let mut rest = of_url.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [*first];
        let is_escape = *first == b'%' && after.len() >= 2;
        let is_escape = is_escape && hex::decode_to_slice(&after[..2], &mut byte).is_ok();
        plain.push(byte[0]);
        rest = if is_escape { &after[2..] } else { after };
    }
    if !of_url.contains(':') {
        plain.push(b':');
    }
    Zeroizing::new(BASE64_STANDARD.encode(&*plain))
}

/// Reads a proxy's answer up to the empty line; its status.
fn status_of(connection: &mut impl Read) -> io::Result<u16> {
    let not_http = || io::Error::other(TunnelError::NotHttp);
    let (mut head, mut room) = (Vec::new(), [0; 1024]);
    let end = loop {
        match connection.read(&mut room) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => head.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if !head.starts_with(&b"HTTP/1."[..head.len().min(7)]) || head.len() > MAX_HEAD {
            return Err(not_http());
        }
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let status = head
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let status = status
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(not_http)?;
    // In a tunnel it is we who speak first.
    match (200..300).contains(&status) && head.len() > end {
        true => Err(not_http()),
        false => Ok(status),
    }
}

impl From<TunnelError> for NetFailure {
    fn from(error: TunnelError) -> NetFailure {
        match error {
            TunnelError::Refused(status) => NetFailure::ProxyRefuses(status),
            TunnelError::NotHttp => NetFailure::NotHttp("what the proxy says cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests;
