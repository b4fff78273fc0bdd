//! The tunnel through an HTTP proxy: `CONNECT` (RFC 9110, 9.3.6).

use std::io::{self, ErrorKind, Read, Write};

use zeroize::Zeroizing;

use super::refusal::ProxyRefusal;

/// The most bytes of a proxy's answer to `CONNECT`, before the tunnel begins.
pub(super) const MAX_HEAD: usize = 16 * 1024;

/// Has a connection to a proxy lead on to `target`, a host with its port; `header` is a whole line,
/// or nothing. Errors: a [`ProxyRefusal`] within, or that of the connection.
pub(super) fn connect(proxy: &mut (impl Read + Write), target: &str, header: &str) -> io::Result<()> {
    let request = Zeroizing::new(format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: keyroll\r\n{header}\r\n"
    ));
    proxy.write_all(request.as_bytes())?;
    match status_of(proxy)? {
        200..=299 => Ok(()),
        status => Err(io::Error::other(ProxyRefusal::Status(status))),
    }
}

/// Reads a proxy's answer up to the empty line; its status.
fn status_of(proxy: &mut impl Read) -> io::Result<u16> {
    let not_http = || io::Error::other(ProxyRefusal::OtherProtocol("HTTP"));
    let (mut head, mut room) = (Vec::new(), [0; 1024]);
    let end = loop {
        match proxy.read(&mut room) {
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
