//! What a call may not leave behind in this process: threads, connections, open files.

use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use nix::sys::socket::{self, SockaddrIn};

use test_support::fault_proxy;

/// How the names of threads begin that tests start; the kernel keeps 15 bytes of a name.
const OF_TESTS: [&str; 6] = [
    fault_proxy::THREAD,
    CALLER,
    "suite::",
    "writes::",
    "clock::",
    "leaks::",
];

/// How the names of threads begin that ask a service.
pub(crate) const CALLER: &str = "caller ";

/// The threads that are not of the tests, and those that this thread has started: a thread without a name of its own has that of
/// the one that started it.
pub(crate) fn threads(caller: &str) -> Vec<String> {
    let name_in = |directory: &Path| fs::read_to_string(directory.join("comm"));
    let mut names: Vec<String> = fs::read_dir("/proc/self/task")
        .unwrap()
        // One that ends meanwhile has no name any more.
        .filter_map(|task| name_in(&task.unwrap().path()).ok())
        .map(|name| name.trim_end().to_owned())
        .collect();
    // The first thread, which starts the tests, and for a moment those that it starts.
    let first = name_in(Path::new("/proc/self")).unwrap();
    names.retain(|name| name != first.trim_end());
    let own = names.iter().position(|name| name == caller);
    names.swap_remove(own.unwrap());
    names.retain(|name| name == caller || !OF_TESTS.iter().any(|start| name.starts_with(start)));
    names.sort_unstable();
    names
}

/// The connections of this process to a port of this machine.
pub(crate) fn connections(port: u16) -> usize {
    // Others open and close descriptors meanwhile; those that are asked for stay.
    descriptors()
        .filter_map(|(number, _)| socket::getpeername::<SockaddrIn>(number).ok())
        .filter(|peer| peer.port() == port)
        .count()
}

/// The files below a directory that are open.
pub(crate) fn files(directory: &Path) -> usize {
    descriptors()
        .filter(|(_, file)| file.starts_with(directory))
        .count()
}

/// Numbers, and what they are open on.
fn descriptors() -> impl Iterator<Item = (RawFd, PathBuf)> {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    links.filter_map(|link| {
        let link = link.unwrap();
        let number = link.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(link.path()).ok()?))
    })
}

#[test]
fn what_is_left_is_seen() {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    let caller = format!("{CALLER}left");
    let body = |caller: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(threads(caller).is_empty() && connections(port) == 0);
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(connections(port), 1);
        let waits = std::thread::spawn(move || client.read(&mut [0]));
        let named = std::thread::Builder::new().name("keyroll-x".into());
        let (is_named, has_name) = mpsc::channel();
        let (ends, end) = mpsc::channel::<()>();
        let named = named.spawn(move || (is_named.send(()), end.recv()));
        has_name.recv().unwrap();
        assert_eq!(threads(caller), [caller, "keyroll-x"]);
        drop(ends);
        let _ = named.unwrap().join();
        drop(server);
        waits.join().unwrap().unwrap();
        assert_eq!(connections(port), 0);
        let directory = tempfile::tempdir().unwrap();
        let open = fs::File::create(directory.path().join("x")).unwrap();
        assert_eq!(files(directory.path()), 1);
        drop(open);
        assert_eq!(files(directory.path()), 0);
    };
    let thread = std::thread::Builder::new().name(caller.clone());
    thread.spawn(move || body(&caller)).unwrap().join().unwrap();
}
