//! Where a proxy is and what it speaks, as a URL in a variable says it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::socks::{Login, MOST_BYTES};
use crate::net::Url;

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// HTTP in TLS.
    Https,
    Socks4,
    /// The same, and the proxy looks for the host.
    Socks4a,
    Socks5,
    /// The same, and the proxy looks for the host.
    Socks5h,
}

/// The schemes of a proxy's URL, as libcurl has them.
const SCHEMES: [(&str, Protocol); 7] = [
    ("http", Protocol::Http),
    ("https", Protocol::Https),
    ("socks", Protocol::Socks4),
    ("socks4", Protocol::Socks4),
    ("socks4a", Protocol::Socks4a),
    ("socks5", Protocol::Socks5),
    ("socks5h", Protocol::Socks5h),
];

impl Protocol {
    /// The port of a proxy that names none, as libcurl has it.
    fn usual_port(self) -> u16 {
        match self {
            Protocol::Https => 443,
            _ => 1080,
        }
    }

    /// Whether a request is made to the proxy itself, in HTTP.
    pub(super) fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }
}

pub(super) struct Place {
    pub(super) protocol: Protocol,
    /// An IPv6 address stands in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<Login>,
}

impl Place {
    /// Takes `SCHEME://USER:PASSWORD@HOST:PORT` apart; all but the host may be left out. What
    /// follows does not count. Errors quote nothing.
    pub(super) fn of_url(url: &str) -> Result<Place, &'static str> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let known = SCHEMES.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
        let Some((_, protocol)) = known else {
            return Err("only http, https, socks4, socks4a, socks5 and socks5h can stand before its ://");
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if path.contains('@') {
            // What stands before it would be part of a password, and be taken for the host.
            return Err("a /, ? or # in its user or password must be written as %2F, %3F or %23");
        }
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if !protocol.is_http() && host.eq_ignore_ascii_case("localhost") && path.len() > 1 {
            // libcurl takes the path for one.
            return Err("it names a socket of this machine, and a proxy must have a port");
        }
        let url =
            Url::parse(&format!("http://{host}")).map_err(|_| "it is not of the form http://HOST:PORT")?;
        let login = user.map(login_of);
        let is_sayable = |field: &[u8]| field.len() <= MOST_BYTES && !field.contains(&0);
        if let Some(login) = &login
            && !protocol.is_http()
            && !(is_sayable(&login.user) && is_sayable(&login.password))
        {
            return Err("its user or password has more than 255 bytes, or one that is zero");
        }
        Ok(Place {
            protocol: *protocol,
            host: url.host().to_owned(),
            port: url.port().unwrap_or(protocol.usual_port()),
            login,
        })
    }
}

/// User and password of `USER:PASSWORD`, either of which may be missing.
fn login_of(of_url: &str) -> Login {
    let (user, password) = of_url.split_once(':').unwrap_or((of_url, ""));
    Login {
        user: unescaped(user),
        password: unescaped(password),
    }
}

/// What a part of a URL stands for (RFC 3986, 2.1).
fn unescaped(of_url: &str) -> Zeroizing<Vec<u8>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(of_url.len()));
    let mut rest = of_url.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [*first];
        let is_escape = *first == b'%' && after.len() >= 2;
        let is_escape = is_escape && hex::decode_to_slice(&after[..2], &mut byte).is_ok();
        plain.push(byte[0]);
        rest = if is_escape { &after[2..] } else { after };
    }
    plain
}

/// User and password as HTTP has them (RFC 7617).
pub(super) fn basic(login: &Login) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(Vec::with_capacity(login.user.len() + login.password.len() + 1));
    plain.extend_from_slice(&login.user);
    plain.push(b':');
    plain.extend_from_slice(&login.password);
    Zeroizing::new(BASE64_STANDARD.encode(&*plain))
}
