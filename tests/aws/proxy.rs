//! What can happen to a service on the way to it: a proxy that does it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What happens to the connections that are made from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// They are closed at once.
    Closed,
    /// They are taken, and nothing is ever answered.
    Hanging,
    /// They are cut after so many bytes of the answer.
    CutAfter(usize),
    /// They wait so long and go on.
    Slow(Duration),
    /// This is answered, whatever was asked.
    Answer(&'static str),
    /// An answer of so many bytes.
    Flood(u64),
}

/// A proxy before a server at a port of this machine.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    trouble: Arc<Mutex<Trouble>>,
    /// Connections that were taken.
    pub(crate) connections: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            trouble: Arc::new(Mutex::new(Trouble::None)),
            connections: Arc::default(),
            ends: Arc::default(),
            thread: None,
        };
        let (trouble, connections, ends) = (
            Arc::clone(&proxy.trouble),
            Arc::clone(&proxy.connections),
            Arc::clone(&proxy.ends),
        );
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let now = *trouble.lock().unwrap();
                // Some of these fail when the other side goes away: that is what they are for.
                thread::spawn(move || client.and_then(|client| serve(client, port, now)));
            }
        });
        proxy.thread = Some(thread);
        proxy
    }

    pub(crate) fn makes(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut client: TcpStream, port: u16, trouble: Trouble) -> std::io::Result<()> {
    let mut limit = usize::MAX;
    match trouble {
        Trouble::None => {}
        Trouble::Closed => return client.shutdown(Shutdown::Both),
        Trouble::Hanging => {
            thread::sleep(Duration::from_secs(60));
            return Ok(());
        }
        Trouble::CutAfter(bytes) => limit = bytes,
        Trouble::Slow(pause) => thread::sleep(pause),
        Trouble::Answer(text) => {
            read_request(&mut client)?;
            client.write_all(text.as_bytes())?;
            return client.shutdown(Shutdown::Write);
        }
        Trouble::Flood(bytes) => {
            read_request(&mut client)?;
            write!(client, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            let chunk = [b'x'; 65536];
            for _ in 0..bytes / 65536 {
                client.write_all(&chunk)?;
            }
            return client.shutdown(Shutdown::Write);
        }
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let copied = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
        copied
    });
    let mut buffer = [0; 4096];
    while limit > 0 {
        let count = server.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let passed = count.min(limit);
        client.write_all(&buffer[..passed])?;
        limit -= passed;
    }
    server.shutdown(Shutdown::Both)?;
    client.shutdown(Shutdown::Both)
}

/// Reads as much as has a header and the body that it tells of.
fn read_request(client: &mut TcpStream) -> std::io::Result<()> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = client.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let told = head
                .split_once("content-length: ")
                .and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
            if body.len() >= told.unwrap_or(0) {
                return Ok(());
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}
