//! A fault proxy: it stands before a real service of this machine and makes what can go wrong on the way. It takes TLS
//! connections, with a good certificate or one of four others, or plain ones; it goes on without TLS.

pub(crate) mod http;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, setsockopt, sockopt};
use openssl::ssl::SslAcceptor;

use crate::certificates::{Certificates, IN_FORCE, Identity};

/// What every thread of a proxy is called.
pub const THREAD: &str = "fault proxy";

/// What happens from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody listens, and the connections that there are end.
    Closed,
    /// Connections are taken, and nothing is ever said, not even in TLS. Those that there are end.
    Mute,
    /// Requests are taken, and nothing is ever answered.
    Hanging,
    /// Connections end after so many bytes of answers.
    CutAfter(usize),
    /// Connections end one byte before an answer does.
    CutBeforeEnd,
    /// Connections end after so many bytes of the TLS handshake. Those that there are end.
    CutInHandshake(usize),
    /// Requests wait so long and go on.
    Slow(Duration),
    /// This is answered, whatever was asked, and the connection ends.
    Answer(&'static str),
    /// The same once; then nothing happens any more.
    AnswerOnce(&'static str),
    /// An answer of so many bytes.
    Flood(u64),
    /// Another certificate is shown. The connections that there are end.
    Shows(Certificate),
}

/// Certificates that no client should trust.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certificate {
    Expired,
    NotYetValid,
    OfAnotherHost,
    OfAnUnknownAuthority,
}

/// A proxy before a service.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Bound and never listening: keeps the port while nobody listens there.
    _reserved: OwnedFd,
}

struct Shared {
    service: u16,
    certificates: Option<Shown>,
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicU64,
    requests: AtomicU64,
    /// Under way now, and the most that were at once.
    now: AtomicU64,
    most_at_once: AtomicU64,
}

struct State {
    fault: Fault,
    /// Only what is to change something meets it.
    only_at_writes: bool,
    /// How often it was another one.
    turn: u64,
    listener: Option<TcpListener>,
    open: Vec<TcpStream>,
    is_ending: bool,
}

/// The certificates that can be shown.
struct Shown {
    all: Certificates,
    good: SslAcceptor,
    others: Vec<(Certificate, SslAcceptor)>,
}

impl Proxy {
    /// Before the service at this port, without TLS.
    pub fn plain(service: u16) -> Proxy {
        Proxy::start(service, None)
    }

    /// Before the service at this port, in TLS; [`ca`](Self::ca) vouches for it.
    pub fn tls(service: u16) -> Proxy {
        Proxy::tls_of("127.0.0.1", service)
    }

    /// The same under another name than that of this machine.
    pub fn tls_of(host: &str, service: u16) -> Proxy {
        Proxy::start(service, Some(Shown::new(host)))
    }

    fn start(service: u16, certificates: Option<Shown>) -> Proxy {
        let (reserved, port) = reserve();
        let shared = Arc::new(Shared {
            service,
            certificates,
            state: Mutex::new(State {
                fault: Fault::None,
                only_at_writes: false,
                turn: 0,
                listener: Some(listen(port)),
                open: Vec::new(),
                is_ending: false,
            }),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            now: AtomicU64::new(0),
            most_at_once: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        Proxy {
            port,
            shared,
            thread: Some(spawn(move || accept(&of_thread))),
            _reserved: reserved,
        }
    }

    /// `http://127.0.0.1:PORT`, or with `https`.
    pub fn url(&self) -> String {
        let scheme = if self.shared.certificates.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The file of the authority that vouches for it.
    pub fn ca(&self) -> PathBuf {
        self.shared.certificates.as_ref().unwrap().all.path("ca.pem")
    }

    pub fn makes(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = fault;
        state.only_at_writes = false;
        state.turn += 1;
        match fault {
            Fault::Closed => state.listener = None,
            _ if state.listener.is_none() => state.listener = Some(listen(self.port)),
            _ => {}
        }
        if matches!(
            fault,
            Fault::Closed | Fault::Mute | Fault::CutInHandshake(_) | Fault::Shows(_)
        ) {
            state.end_connections();
        }
        self.shared.changed.notify_all();
    }

    /// The same for requests with POST alone.
    pub fn makes_at_writes(&self, fault: Fault) {
        self.makes(fault);
        self.shared.state().only_at_writes = true;
    }

    /// The connections that were taken.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The requests that came.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// The most requests that were under way at once.
    pub fn most_at_once(&self) -> u64 {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_ending = true;
        state.listener = None;
        state.end_connections();
        drop(state);
        self.shared.changed.notify_all();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl State {
    fn end_connections(&mut self) {
        for connection in self.open.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What this request meets.
    fn now(&self, request: &[u8]) -> (Fault, u64) {
        let state = self.state();
        let is_spared = state.only_at_writes && !request.starts_with(b"POST ");
        (if is_spared { Fault::None } else { state.fault }, state.turn)
    }

    /// Waits so long, or until something else happens.
    fn wait(&self, turn: u64, most: Duration) {
        let begun = Instant::now();
        let mut state = self.state();
        while state.turn == turn && !state.is_ending && begun.elapsed() < most {
            let left = most.saturating_sub(begun.elapsed());
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Shown {
    fn new(host: &str) -> Shown {
        let all = Certificates::new();
        let stranger = Identity::new("Another Authority", None, IN_FORCE);
        let others = [
            (Certificate::Expired, all.of(host, -10..-1)),
            (Certificate::NotYetValid, all.of(host, 1..10)),
            (Certificate::OfAnotherHost, all.of("kms.example", IN_FORCE)),
            (
                Certificate::OfAnUnknownAuthority,
                Identity::new(host, Some(&stranger), IN_FORCE),
            ),
        ];
        Shown {
            good: all.of(host, IN_FORCE).acceptor().build(),
            others: others
                .map(|(which, identity)| (which, identity.acceptor().build()))
                .into(),
            all,
        }
    }

    fn acceptor(&self, fault: Fault) -> &SslAcceptor {
        let other = self
            .others
            .iter()
            .find(|(which, _)| fault == Fault::Shows(*which));
        other.map_or(&self.good, |(_, acceptor)| acceptor)
    }
}

/// A port that stays ours. With SO_REUSEADDR on both, another socket may be bound to it while this one does not listen.
fn reserve() -> (OwnedFd, u16) {
    let socket = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    let any = SockaddrIn::from(SocketAddrV4::new([127, 0, 0, 1].into(), 0));
    socket::bind(socket.as_raw_fd(), &any).unwrap();
    let port = socket::getsockname::<SockaddrIn>(socket.as_raw_fd())
        .unwrap()
        .port();
    (socket, port)
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().name(THREAD.into()).spawn(run).unwrap()
}

fn accept(shared: &Arc<Shared>) {
    loop {
        let mut state = shared.state();
        if state.is_ending {
            return;
        }
        match state.listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                state.open.push(client.try_clone().unwrap());
                let (shared, fault, turn) = (Arc::clone(shared), state.fault, state.turn);
                drop(state);
                spawn(move || {
                    let end = client.try_clone()?;
                    // It fails when the other side goes away: that is what it is for.
                    let served = serve(client, &shared, fault, turn);
                    let _ = end.shutdown(Shutdown::Both);
                    served
                });
            }
            _ => {
                drop(state);
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn serve(client: TcpStream, shared: &Shared, fault: Fault, turn: u64) -> io::Result<()> {
    if fault == Fault::Mute {
        shared.wait(turn, Duration::MAX);
        return Ok(());
    }
    let Some(certificates) = &shared.certificates else {
        return exchange(client, shared);
    };
    let left = match fault {
        Fault::CutInHandshake(bytes) => Some(bytes),
        _ => None,
    };
    let accepted = certificates.acceptor(fault).accept(Raw { stream: client, left });
    exchange(accepted.map_err(|_| io::ErrorKind::ConnectionAborted)?, shared)
}

/// Takes requests and answers them, as the fault of that moment wants it.
fn exchange(mut client: impl Read + Write, shared: &Shared) -> io::Result<()> {
    let mut passed = (0, 0);
    while let Some(request) = http::read_request(&mut client)? {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay::new(shared);
        let (fault, turn) = shared.now(&request);
        match fault {
            Fault::Hanging => {
                shared.wait(turn, Duration::MAX);
                return Ok(());
            }
            Fault::Slow(pause) => shared.wait(turn, pause),
            Fault::Answer(text) => return client.write_all(text.as_bytes()),
            Fault::AnswerOnce(text) => {
                shared.state().fault = Fault::None;
                return client.write_all(text.as_bytes());
            }
            Fault::Flood(bytes) => return flood(&mut client, bytes),
            _ => {}
        }
        let answer = http::ask(shared.service, &request)?;
        if passed.0 != turn {
            passed = (turn, 0);
        }
        let room = match fault {
            Fault::CutAfter(bytes) => answer.len().min(bytes - passed.1),
            Fault::CutBeforeEnd => answer.len() - 1,
            _ => answer.len(),
        };
        drop(under_way);
        client.write_all(&answer[..room])?;
        client.flush()?;
        if fault != Fault::None {
            passed.1 += room;
        }
        if room < answer.len() {
            break;
        }
    }
    Ok(())
}

/// A request until it is answered.
struct UnderWay<'s>(&'s Shared);

impl UnderWay<'_> {
    fn new(shared: &Shared) -> UnderWay<'_> {
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(now, Ordering::SeqCst);
        UnderWay(shared)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

fn flood(client: &mut impl Write, bytes: u64) -> io::Result<()> {
    write!(client, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    let chunk = [b'x'; 65536];
    for _ in 0..bytes / 65536 {
        client.write_all(&chunk)?;
    }
    Ok(())
}

/// A connection below TLS.
struct Raw {
    stream: TcpStream,
    /// The bytes that it may still send; `None`: any number.
    left: Option<usize>,
}

impl Read for Raw {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.read(room)
    }
}

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = &mut self.left else {
            return self.stream.write(bytes);
        };
        let sent = bytes.len().min(*left);
        self.stream.write_all(&bytes[..sent])?;
        *left -= sent;
        if sent < bytes.len() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(sent)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
