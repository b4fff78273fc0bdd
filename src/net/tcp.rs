//! TCP connections that another thread can end, while they come about, too. Whatever protocol they
//! carry.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use crate::cancel;

/// One connection, which waits until a set time and no longer than its caller is wanted.
#[derive(Debug)]
pub(super) struct TcpConnection {
    socket: Arc<Socket>,
    /// `None`: without a bound.
    until: Option<Instant>,
}

/// A connection's socket, shared with whoever may end it.
#[derive(Debug)]
pub(super) struct Socket(TcpStream);

impl Socket {
    /// Ends the connection in whatever thread it is used.
    pub(super) fn end(&self) {
        // Also wakes one who waits for the connection to come about (Linux disconnects a socket in
        // SYN-SENT). An error says that there is nothing to end.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl TcpConnection {
    /// Connects to the first of these addresses that answers. Each socket is registered before it
    /// connects. Errors: those of the last address; [`ErrorKind::TimedOut`] if the time was over.
    pub(super) fn open(
        addresses: &[SocketAddr],
        until: Option<Instant>,
        register: impl Fn(Weak<Socket>) -> io::Result<()>,
    ) -> io::Result<TcpConnection> {
        let mut last = io::Error::from(ErrorKind::AddrNotAvailable);
        for (tried, address) in addresses.iter().enumerate() {
            // An address that does not answer must leave time for the next ones.
            let now = Instant::now();
            let share = |until: Instant| {
                now + until.saturating_duration_since(now) / (addresses.len() - tried) as u32
            };
            match connect(*address, until.map(share), &register) {
                Ok(socket) => return Ok(TcpConnection { socket, until }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Has later reads and writes wait until then.
    pub(super) fn wait_until(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// Whether nothing has come on an idle connection, the end of it included.
    pub(super) fn is_open(&self) -> bool {
        let mut stream = &self.socket.0;
        let probe = |stream: &mut &TcpStream| -> io::Result<usize> {
            stream.set_nonblocking(true)?;
            let read = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        };
        probe(&mut stream).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

impl Read for TcpConnection {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut stream = &self.socket.0;
        wait(stream, PollFlags::POLLIN, self.until)?;
        stream.read(room).map_err(timed_out)
    }
}

impl Write for TcpConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = &self.socket.0;
        let left = self
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(left)?;
        stream.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket's timeout shows as WouldBlock.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

fn connect(
    address: SocketAddr,
    until: Option<Instant>,
    register: impl Fn(Weak<Socket>) -> io::Result<()>,
) -> io::Result<Arc<Socket>> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    let socket = Arc::new(Socket(TcpStream::from(socket)));
    register(Arc::downgrade(&socket))?;
    let stream = &socket.0;
    match socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => come_about(stream, until)?,
        Err(error) => return Err(error.into()),
    }
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(socket)
}

/// Waits until the connection has come about or failed.
fn come_about(stream: &TcpStream, until: Option<Instant>) -> io::Result<()> {
    wait(stream, PollFlags::POLLOUT, until)?;
    match socket::getsockopt(&stream, sockopt::SocketError)? {
        0 => stream.peer_addr().map(drop),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Waits until the socket is ready for this or has failed, while the work is wanted.
fn wait(stream: &TcpStream, ready: PollFlags, until: Option<Instant>) -> io::Result<()> {
    loop {
        if cancel::is_cancelled() {
            return Err(io::Error::other("no longer wanted"));
        }
        let left: Option<Duration> = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = match cancel::slice(left) {
            // Rounded up, so that the last wait is not one of zero.
            Some(wait) => PollTimeout::try_from(wait.as_millis() + 1).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        match poll(&mut [PollFd::new(stream.as_fd(), ready)], timeout) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Err(ErrorKind::TimedOut.into()),
            Ok(0) => {}
            Ok(_) => return Ok(()),
        }
    }
}
