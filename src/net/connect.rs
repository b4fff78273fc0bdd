//! TCP connections that another thread can end, while they come about, too.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, ShutdownHandle, Transport,
};
use ureq::{Error, Timeout};

use crate::cancel;

/// Opens connections, each registered before it comes about.
#[derive(Debug)]
pub(super) struct InterruptibleTcp;

impl Connector<()> for InterruptibleTcp {
    type Out = Connection;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Connection>, Error> {
        let allowed = bound(details.timeout)?;
        let until = allowed.map(|allowed| Instant::now() + allowed);
        let mut last = Error::ConnectionFailed;
        let count = details.addrs.len();
        for (tried, address) in details.addrs.iter().enumerate() {
            // An address that does not answer must leave time for the next ones.
            let left =
                until.map(|until| until.saturating_duration_since(Instant::now()) / (count - tried) as u32);
            match connect(*address, left, details) {
                Ok(connection) => return Ok(Some(connection)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// One connection. Its socket is shared with whoever may end it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
}

#[derive(Debug)]
struct Socket(TcpStream);

impl ShutdownHandle for Socket {
    fn shutdown(&self) {
        // Also wakes one who waits for the connection to come about (Linux disconnects a socket in SYN-SENT).
        // An error says that there is nothing to end.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn connect(
    address: SocketAddr,
    allowed: Option<Duration>,
    details: &ConnectionDetails,
) -> Result<Connection, Error> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None).map_err(failed)?;
    let socket = Arc::new(Socket(TcpStream::from(socket)));
    let end: Weak<Socket> = Arc::downgrade(&socket);
    (details.register_shutdown)(end)?;
    let stream = &socket.0;
    match socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => come_about(stream, allowed)?,
        Err(error) => return Err(failed(error)),
    }
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let buffers = LazyBuffers::new(
        details.config.input_buffer_size(),
        details.config.output_buffer_size(),
    );
    Ok(Connection { socket, buffers })
}

/// Waits until the connection has come about or failed.
fn come_about(stream: &TcpStream, allowed: Option<Duration>) -> Result<(), Error> {
    wait(stream, PollFlags::POLLOUT, allowed, Timeout::Connect)?;
    match socket::getsockopt(&stream, sockopt::SocketError).map_err(failed)? {
        0 => stream.peer_addr().map(drop).map_err(Error::Io),
        error => Err(Error::Io(io::Error::from_raw_os_error(error))),
    }
}

/// Waits until the socket is ready for this or has failed, for as long as it may and the work is wanted.
fn wait(
    stream: &TcpStream,
    ready: PollFlags,
    allowed: Option<Duration>,
    reason: Timeout,
) -> Result<(), Error> {
    let until = allowed.map(|allowed| Instant::now() + allowed);
    loop {
        if cancel::is_cancelled() {
            return Err(Error::Io(io::Error::other("no longer wanted")));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = match cancel::slice(left) {
            // Rounded up, so that the last wait is not one of zero.
            Some(wait) => PollTimeout::try_from(wait.as_millis() + 1).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut [PollFd::new(stream.as_fd(), ready)], timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed(error)),
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Err(Error::Timeout(reason)),
            Ok(0) => {}
            Ok(_) => return Ok(()),
        }
    }
}

fn failed(error: Errno) -> Error {
    Error::Io(io::Error::from(error))
}

/// What a socket's timeout is set to: `None` without a bound, never zero, which would be without one, too.
fn bound(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    match timeout.after.is_zero() {
        true => Err(Error::Timeout(timeout.reason)),
        false => Ok(timeout.not_zero().map(|time| *time)),
    }
}

/// The client's error; a socket's timeout shows as WouldBlock.
fn io_failed(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut stream = &self.socket.0;
        stream.set_write_timeout(bound(timeout)?)?;
        stream
            .write_all(&self.buffers.output()[..amount])
            .map_err(|error| io_failed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let mut stream = &self.socket.0;
        wait(stream, PollFlags::POLLIN, bound(timeout)?, timeout.reason)?;
        let room = self.buffers.input_append_buf();
        let count = loop {
            match stream.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| io_failed(error, timeout))?,
            }
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Whether nothing has come on an idle connection, the end of it included.
    fn is_open(&mut self) -> bool {
        let mut stream = &self.socket.0;
        let probe = |stream: &mut &TcpStream| -> io::Result<usize> {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        };
        probe(&mut stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
