//! Proxies: which requests go by one, as the variables of the environment say that libcurl reads,
//! and the way through it.
//!
//! Source: the manual pages of libcurl (`CURLOPT_PROXY`, `CURLOPT_NOPROXY`, `libcurl-env`), and
//! what curl 7.88 was seen to do, which tests compare.

mod place;
mod refusal;
mod socks;
mod tunnel;

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use zeroize::Zeroizing;

use self::place::{Place, Protocol, basic};
pub use self::refusal::ProxyRefusal;
use self::socks::Target;
use super::NetError;
use super::host::{bare, is_this_machine};
use super::resolve::Names;

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

    /// Whether it is asked in TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.protocol() == Some(Protocol::Https)
    }

    /// Whether a request without TLS is made to it, and not through it.
    pub(super) fn is_asked_itself(&self) -> bool {
        self.protocol().is_some_and(Protocol::is_http)
    }

    fn protocol(&self) -> Option<Protocol> {
        self.place.as_ref().ok().map(|place| place.protocol)
    }

    /// The header with user and password, if it wants them, and the end of its line.
    pub(super) fn header(&self) -> Zeroizing<String> {
        let place = self.place.as_ref().ok();
        Zeroizing::new(match place.and_then(|place| place.login.as_ref()) {
            Some(login) => format!("Proxy-Authorization: Basic {}\r\n", *basic(login)),
            None => String::new(),
        })
    }

    /// Has a connection to it lead on to this host, an IPv6 address in brackets. The names are for
    /// a host that the proxy wants the address of. Errors: a [`ProxyRefusal`] within, or that of
    /// the connection.
    pub(super) fn lead_on(
        &self,
        connection: &mut (impl Read + Write),
        (host, port): (&str, u16),
        names: &Names,
    ) -> io::Result<()> {
        let Ok(place) = &self.place else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let login = place.login.as_ref();
        let bare = bare(host);
        let named = Target::Name(bare, port);
        match place.protocol {
            Protocol::Http | Protocol::Https => {
                tunnel::connect(connection, &format!("{host}:{port}"), &self.header())
            }
            Protocol::Socks4 | Protocol::Socks4a => {
                let target = match place.protocol {
                    Protocol::Socks4a => named,
                    _ => found_here(names, bare, port, SocketAddr::is_ipv4)?,
                };
                socks::connect_4(connection, target, login.map_or(&[], |login| &login.user))
            }
            Protocol::Socks5 | Protocol::Socks5h => {
                let is_named = place.protocol == Protocol::Socks5h && bare.parse::<IpAddr>().is_err();
                let target = match is_named {
                    true => named,
                    false => found_here(names, bare, port, |_| true)?,
                };
                socks::connect_5(connection, target, login)
            }
        }
    }
}

/// The first address of this host that the proxy can be told.
fn found_here(
    names: &Names,
    host: &str,
    port: u16,
    can_be_told: fn(&SocketAddr) -> bool,
) -> io::Result<Target<'static>> {
    let known = names.addresses(host, port);
    let reason = match known.is_empty() {
        true => ProxyRefusal::CannotName("this machine knows no such host"),
        false => socks::NO_IPV4,
    };
    let address = known.into_iter().find(can_be_told);
    address
        .map(Target::Address)
        .ok_or_else(|| io::Error::other(reason))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told())
    }
}

#[cfg(test)]
mod tests;
