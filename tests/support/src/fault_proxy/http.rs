//! As much of HTTP as a proxy needs that knows where a request ends and where its answer does.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Reads one request, its body included; `None` at the end of the connection.
pub(crate) fn read_request(client: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let (mut request, mut room) = (Vec::new(), [0; 16384]);
    loop {
        if let Some(head) = head_length(&request) {
            let told = header(&request[..head], "content-length").and_then(|length| length.parse().ok());
            if request.len() >= head + told.unwrap_or(0) {
                return Ok(Some(request));
            }
        }
        match client.read(&mut room)? {
            0 => return Ok(None),
            count => request.extend_from_slice(&room[..count]),
        }
    }
}

/// What the service at this port of this machine answers: with a length, and without words about the connection, so that
/// the one to the client stays.
pub(crate) fn ask(service: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", service))?;
    let (first_line, rest) = request.split_at(line_length(request));
    server.write_all(first_line)?;
    server.write_all(b"Connection: close\r\n")?;
    server.write_all(rest)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let no_answer = || io::Error::from(io::ErrorKind::InvalidData);
    let (head, body) = answer.split_at(head_length(&answer).ok_or_else(no_answer)?);
    let body = match header(head, "transfer-encoding") {
        Some(_) => unchunked(body).ok_or_else(no_answer)?,
        None => body.to_vec(),
    };
    let mut whole = Vec::with_capacity(answer.len() + 40);
    let text = String::from_utf8_lossy(head).replacen("HTTP/1.0", "HTTP/1.1", 1);
    let left_out = ["connection:", "transfer-encoding:", "content-length:"];
    for line in text.lines().filter(|line| !line.is_empty()) {
        let name = line.to_ascii_lowercase();
        if !left_out.iter().any(|out| name.starts_with(out)) {
            whole.extend_from_slice(line.as_bytes());
            whole.extend_from_slice(b"\r\n");
        }
    }
    write!(whole, "Content-Length: {}\r\n\r\n", body.len())?;
    whole.extend_from_slice(&body);
    Ok(whole)
}

/// The length of what comes before the body.
pub(crate) fn head_length(message: &[u8]) -> Option<usize> {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

fn line_length(message: &[u8]) -> usize {
    let end = message.iter().position(|byte| *byte == b'\n');
    end.map_or(message.len(), |end| end + 1)
}

pub(crate) fn header(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    text.lines().find_map(|line| {
        line.strip_prefix(&format!("{name}:"))
            .map(str::trim)
            .map(str::to_owned)
    })
}

/// A body in chunks (RFC 9112, 7.1) in one piece.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let (line, after) = rest.split_at(line_length(rest));
        let digits = std::str::from_utf8(line).ok()?.trim();
        match usize::from_str_radix(digits, 16).ok()? {
            0 => return Some(whole),
            length => {
                whole.extend_from_slice(after.get(..length)?);
                rest = after.get(length + 2..)?;
            }
        }
    }
}
