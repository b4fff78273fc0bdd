//! The layers of a connection: TCP, TLS to a proxy where it wants that, and TLS to the service.

use std::io::{self, ErrorKind, Read, Write};

use crate::net::tcp::TcpConnection;
use crate::net::tls::TlsConnection;

/// What leads to the service, or to the proxy that is asked itself.
#[derive(Debug)]
pub(super) enum Carrier {
    Tcp(TcpConnection),
    /// To a proxy that is asked in TLS.
    Tls(Box<TlsConnection<TcpConnection>>),
}

impl Carrier {
    fn tcp(&mut self) -> &mut TcpConnection {
        match self {
            Carrier::Tcp(tcp) => tcp,
            Carrier::Tls(tls) => &mut tls.sock,
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Carrier::Tcp(tcp) => tcp.is_open(),
            // What it has read and nobody wanted counts, too.
            Carrier::Tls(tls) => tls.conn.wants_read() && tls.sock.is_open(),
        }
    }
}

impl Read for Carrier {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Carrier::Tcp(tcp) => tcp.read(room),
            Carrier::Tls(tls) => tls.read(room),
        }
    }
}

impl Write for Carrier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Carrier::Tcp(tcp) => tcp.write(bytes),
            Carrier::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Carrier::Tcp(tcp) => tcp.flush(),
            Carrier::Tls(tls) => tls.flush(),
        }
    }
}

/// A connection to the service, secured or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Carrier),
    Tls(Box<TlsConnection<Carrier>>),
}

impl Stream {
    pub(super) fn tcp(&mut self) -> &mut TcpConnection {
        match self {
            Stream::Plain(carrier) => carrier.tcp(),
            Stream::Tls(tls) => tls.sock.tcp(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        match self {
            Stream::Plain(carrier) => carrier.is_open(),
            Stream::Tls(tls) => tls.sock.is_open(),
        }
    }

    pub(super) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(carrier) => carrier.read(room),
            Stream::Tls(tls) => tls.read(room),
        }
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(carrier) => carrier.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes),
        }
    }

    /// Why nothing more could be written: a server that ends a connection in TLS has said why.
    pub(super) fn reason_of(&mut self, error: io::Error) -> io::Error {
        let is_ended = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        let Stream::Tls(tls) = self else { return error };
        while is_ended && tls.conn.read_tls(&mut tls.sock).is_ok_and(|count| count > 0) {
            if let Err(said) = tls.conn.process_new_packets() {
                return io::Error::new(ErrorKind::InvalidData, said);
            }
        }
        error
    }

    /// Whether this is an alert or a handshake of TLS, where none was begun (RFC 8446, 5.1).
    pub(super) fn is_tls_unasked(&self, input: &[u8]) -> bool {
        matches!((self, input), (Stream::Plain(_), [0x15 | 0x16, 3, ..]))
    }
}
