//! SOCKS 4, 4a and 5, as far as a client needs them that wants one connection led on.
//!
//! Sources: RFC 1928 (SOCKS 5), RFC 1929 (its login), and the memos "SOCKS: A protocol for TCP
//! proxy across firewalls" and "SOCKS 4A". A host is given by its address, or by its name, for
//! which the proxy looks itself.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};

use zeroize::Zeroizing;

use super::refusal::ProxyRefusal;

/// The most bytes of a user, a password or a name: one byte holds their length.
pub(super) const MOST_BYTES: usize = 255;

/// Where the proxy shall lead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

impl Target<'_> {
    fn port(&self) -> [u8; 2] {
        match self {
            Target::Address(address) => address.port(),
            Target::Name(_, port) => *port,
        }
        .to_be_bytes()
    }
}

/// User and password, of at most [`MOST_BYTES`] each and without zero bytes.
pub(super) struct Login {
    pub(super) user: Zeroizing<Vec<u8>>,
    pub(super) password: Zeroizing<Vec<u8>>,
}

const CONNECT: u8 = 1;

/// What SOCKS 4 answers with when it leads on.
const GRANTED: u8 = 90;

/// Has the proxy lead on by SOCKS 4, or by 4a where the target is a name. Errors: a
/// [`ProxyRefusal`] within, or that of the connection.
///
/// ```text
/// asked     4 | 1 | port, 2 | IPv4 address, 4, or 0.0.0.1 | user | 0 [| name | 0]
/// answered  0 | code | 6 bytes that mean nothing
/// ```
pub(super) fn connect_4(proxy: &mut (impl Read + Write), target: Target<'_>, user: &[u8]) -> io::Result<()> {
    let (address, name) = match target {
        Target::Name(name, _) => ([0, 0, 0, 1], Some(short(name)?)),
        Target::Address(address) => match address.ip() {
            IpAddr::V4(address) => (address.octets(), None),
            IpAddr::V6(_) => return refuse(NO_IPV4),
        },
    };
    let mut request = Zeroizing::new(Vec::with_capacity(10 + 2 * MOST_BYTES));
    request.extend_from_slice(&[4, CONNECT]);
    request.extend_from_slice(&target.port());
    request.extend_from_slice(&address);
    request.extend_from_slice(user);
    request.push(0);
    if let Some(name) = name {
        request.extend_from_slice(name.as_bytes());
        request.push(0);
    }
    proxy.write_all(&request)?;
    match read(proxy)? {
        [0, GRANTED] => read::<6>(proxy).map(drop),
        [0, code] => refuse(ProxyRefusal::Socks4(code)),
        _ => refuse(ProxyRefusal::OtherProtocol("SOCKS 4")),
    }
}

/// A host without an IPv4 address is asked by SOCKS 4.
pub(super) const NO_IPV4: ProxyRefusal =
    ProxyRefusal::CannotName("SOCKS 4 knows IPv4 alone, and the host has no such address");

/// Says who asks, or that nobody does (RFC 1928, 3).
const NO_LOGIN: u8 = 0;
/// By user and password (RFC 1929).
const BY_PASSWORD: u8 = 2;
/// None that was offered.
const NO_METHOD: u8 = 0xff;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Has the proxy lead on by SOCKS 5. Errors: a [`ProxyRefusal`] within, or that of the connection.
///
/// ```text
/// asked     5 | count | ways to log in
/// answered  5 | way
/// asked     1 | length | user | length | password          by user and password alone
/// answered  version | 0
/// asked     5 | 1 | 0 | kind | address | port, 2           kind 1: IPv4 address, 4
/// answered  5 | code | 0 | kind | address | port, 2             3: length | name
///                                                               4: IPv6 address, 16
/// ```
pub(super) fn connect_5(
    proxy: &mut (impl Read + Write),
    target: Target<'_>,
    login: Option<&Login>,
) -> io::Result<()> {
    let other = || refuse(ProxyRefusal::OtherProtocol("SOCKS 5"));
    match login {
        None => proxy.write_all(&[5, 1, NO_LOGIN])?,
        Some(_) => proxy.write_all(&[5, 2, NO_LOGIN, BY_PASSWORD])?,
    }
    match (read(proxy)?, login) {
        ([5, NO_LOGIN], _) => {}
        ([5, BY_PASSWORD], Some(login)) => log_in(proxy, login)?,
        ([5, BY_PASSWORD | NO_METHOD], None) => return refuse(ProxyRefusal::WantsLogin),
        ([5, _], _) => return refuse(ProxyRefusal::WantsOtherLogin),
        _ => return other(),
    }
    let mut request = Vec::with_capacity(7 + MOST_BYTES);
    request.extend_from_slice(&[5, CONNECT, 0]);
    match target {
        Target::Name(name, _) => {
            let name = short(name)?;
            request.extend_from_slice(&[NAME, name.len() as u8]);
            request.extend_from_slice(name.as_bytes());
        }
        Target::Address(address) => match address.ip() {
            IpAddr::V4(address) => {
                request.push(IPV4);
                request.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                request.push(IPV6);
                request.extend_from_slice(&address.octets());
            }
        },
    }
    request.extend_from_slice(&target.port());
    proxy.write_all(&request)?;
    match read(proxy)? {
        [5, 0] => {}
        [5, code] => return refuse(ProxyRefusal::Socks5(code)),
        _ => return other(),
    }
    // Where the proxy connects from is of no use here.
    let length = match read(proxy)? {
        [_, IPV4] => 4,
        [_, IPV6] => 16,
        [_, NAME] => {
            let [length] = read(proxy)?;
            length.into()
        }
        _ => return other(),
    };
    proxy.read_exact(&mut [0; MOST_BYTES + 2][..length + 2])
}

fn log_in(proxy: &mut (impl Read + Write), login: &Login) -> io::Result<()> {
    let mut request = Zeroizing::new(Vec::with_capacity(3 + 2 * MOST_BYTES));
    request.push(1);
    for field in [&login.user, &login.password] {
        request.push(field.len() as u8);
        request.extend_from_slice(field);
    }
    proxy.write_all(&request)?;
    // Some proxies answer with another version.
    match read(proxy)? {
        [_, 0] => Ok(()),
        _ => refuse(ProxyRefusal::LoginRefused),
    }
}

fn read<const N: usize>(proxy: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    proxy.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn short(name: &str) -> io::Result<&str> {
    match name.len() <= MOST_BYTES {
        true => Ok(name),
        false => refuse(ProxyRefusal::CannotName("its name has more than 255 bytes")),
    }
}

fn refuse<T>(refusal: ProxyRefusal) -> io::Result<T> {
    Err(io::Error::other(refusal))
}

#[cfg(test)]
mod tests;
