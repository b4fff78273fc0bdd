//! The proxy in SOCKS 4, 4a and 5.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

use openssl::base64::encode_block;

/// What a client wants.
pub(super) struct Wish {
    version: u8,
    /// Host, an IPv6 address in brackets, and port.
    pub(super) target: String,
    /// `USER:PASSWORD`, where it has shown them; of SOCKS 4 the user alone.
    login: String,
}

impl Wish {
    /// The wish in a line.
    pub(super) fn line(&self) -> String {
        let by = if self.login.is_empty() { "" } else { " by " };
        format!("SOCKS {} {}{by}{}", self.version, self.target, self.login)
    }

    /// Answers that it is granted, or refused.
    pub(super) fn answer(&self, client: &mut TcpStream, is_granted: bool) -> io::Result<()> {
        match (self.version, is_granted) {
            (4, true) => client.write_all(&[0, 90, 0, 0, 0, 0, 0, 0]),
            (4, false) => client.write_all(&[0, 91, 0, 0, 0, 0, 0, 0]),
            (_, true) => client.write_all(b"\x05\0\0\x03\x05proxy\0\0"),
            (_, false) => client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]),
        }
    }
}

/// Reads what a client wants; `None` after a login that is not the one that is wanted, in base64.
pub(super) fn read_wish(client: &mut TcpStream, wanted: Option<&str>) -> io::Result<Option<Wish>> {
    let [version] = read(client)?;
    let mut login = String::new();
    if version == 4 {
        let [_, port @ ..] = read::<3>(client)?;
        let address = Ipv4Addr::from(read::<4>(client)?);
        login = read_to_zero(client)?;
        let host = match address.octets() {
            [0, 0, 0, 1..=255] => read_to_zero(client)?,
            _ => address.to_string(),
        };
        let target = format!("{host}:{}", u16::from_be_bytes(port));
        return Ok(Some(Wish {
            version,
            target,
            login,
        }));
    }
    let [count] = read(client)?;
    let ways = read_many(client, count)?;
    let way = match wanted {
        Some(_) if ways.contains(&2) => 2,
        None if ways.contains(&0) => 0,
        _ => 255,
    };
    client.write_all(&[5, way])?;
    if way == 255 {
        return Ok(None);
    }
    if let (2, Some(wanted)) = (way, wanted) {
        let [_, length] = read(client)?;
        let user = read_many(client, length)?;
        let [length] = read(client)?;
        let password = read_many(client, length)?;
        let shown = [user, password].join(&b':');
        let is_right = encode_block(&shown) == wanted;
        client.write_all(&[1, u8::from(!is_right)])?;
        if !is_right {
            return Ok(None);
        }
        login = String::from_utf8_lossy(&shown).into_owned();
    }
    let [_, _, _, kind] = read(client)?;
    let host = match kind {
        1 => Ipv4Addr::from(read::<4>(client)?).to_string(),
        4 => format!("[{}]", Ipv6Addr::from(read::<16>(client)?)),
        _ => {
            let [length] = read(client)?;
            String::from_utf8_lossy(&read_many(client, length)?).into_owned()
        }
    };
    let target = format!("{host}:{}", u16::from_be_bytes(read(client)?));
    Ok(Some(Wish {
        version,
        target,
        login,
    }))
}

fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_many(client: &mut TcpStream, count: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count.into()];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_to_zero(client: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        match read(client)? {
            [0] => return Ok(String::from_utf8_lossy(&text).into_owned()),
            [byte] => text.push(byte),
        }
    }
}
