//! A forward proxy, as companies have them before the Internet: tunnels by CONNECT, requests with whole URLs, and SOCKS. It
//! alone knows the hosts that it leads to.

mod socks;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use openssl::ssl::SslAcceptor;

use crate::certificates::Identity;
use crate::fault_proxy::http;

/// What a proxy does.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// It leads to the hosts that it knows.
    Leads,
    /// The same for those who show these credentials, in base64.
    Wants(&'static str),
    /// It answers this, whatever was asked.
    Answers(&'static str),
    /// It takes requests and never answers.
    Hangs,
}

/// What it speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    Http,
    Socks,
}

/// A running proxy.
pub struct ForwardProxy {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    /// One of HTTP that leads to hosts, each with its port, at ports of this machine.
    pub fn start(manner: Manner, hosts: &[(&str, u16)]) -> ForwardProxy {
        ForwardProxy::of(Face::Http, manner, hosts)
    }

    /// One of SOCKS 4, 4a and 5.
    pub fn socks(manner: Manner, hosts: &[(&str, u16)]) -> ForwardProxy {
        ForwardProxy::of(Face::Socks, manner, hosts)
    }

    /// One of HTTP in TLS, which shows this certificate.
    pub fn tls(identity: &Identity, manner: Manner, hosts: &[(&str, u16)]) -> ForwardProxy {
        let mut proxy = ForwardProxy::start(manner, hosts);
        proxy.port = unwrap_tls(identity.acceptor().build(), proxy.port);
        proxy
    }

    fn of(face: Face, manner: Manner, hosts: &[(&str, u16)]) -> ForwardProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let hosts: Vec<(String, u16)> = hosts
            .iter()
            .map(|(host, port)| ((*host).to_owned(), *port))
            .collect();
        let (log, hosts) = (Arc::clone(&asked), Arc::new(hosts));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, hosts) = (Arc::clone(&log), Arc::clone(&hosts));
                // It fails when one of the sides goes away.
                thread::spawn(move || match face {
                    Face::Http => serve(client, manner, &hosts, &log),
                    Face::Socks => serve_socks(client, manner, &hosts, &log),
                });
            }
        });
        ForwardProxy { port, asked }
    }

    /// What the environment says of one of HTTP, with these credentials and an @, or nothing.
    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}127.0.0.1:{}", self.port)
    }

    /// The first lines of all requests until now.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    manner: Manner,
    hosts: &[(String, u16)],
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    while let Some(request) = http::read_request(&mut client)? {
        let head = http::head_length(&request).unwrap();
        let text = String::from_utf8_lossy(&request[..head]).into_owned();
        let line = text.lines().next().unwrap_or_default().to_owned();
        log.lock().unwrap().push(line.clone());
        let wanted = match manner {
            Manner::Answers(answer) => return client.write_all(answer.as_bytes()),
            Manner::Hangs => {
                thread::sleep(Duration::from_secs(60));
                return Ok(());
            }
            Manner::Wants(credentials) => format!("basic {}", credentials.to_ascii_lowercase()),
            Manner::Leads => String::new(),
        };
        let given = http::header(&request[..head], "proxy-authorization").unwrap_or_default();
        if given != wanted {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
            return client.write_all(refusal.as_bytes());
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let rest = target.strip_prefix("http://").unwrap_or(target);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let Some((_, port)) = hosts.iter().find(|(known, _)| known == host) else {
            return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        };
        if method == "CONNECT" {
            let server = TcpStream::connect(("127.0.0.1", *port))?;
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return splice(client, server);
        }
        let direct = text.replacen(target, &format!("/{path}"), 1);
        let request = [direct.as_bytes(), &request[head..]].concat();
        client.write_all(&http::ask(*port, &request)?)?;
    }
    Ok(())
}

fn serve_socks(
    mut client: TcpStream,
    manner: Manner,
    hosts: &[(String, u16)],
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let wanted = match manner {
        Manner::Answers(answer) => return client.write_all(answer.as_bytes()),
        Manner::Hangs => {
            log.lock().unwrap().push("SOCKS".into());
            thread::sleep(Duration::from_secs(60));
            return Ok(());
        }
        Manner::Wants(credentials) => Some(credentials),
        Manner::Leads => None,
    };
    let Some(wish) = socks::read_wish(&mut client, wanted)? else {
        return Ok(());
    };
    log.lock().unwrap().push(wish.line());
    let Some((_, port)) = hosts.iter().find(|(known, _)| *known == wish.target) else {
        return wish.answer(&mut client, false);
    };
    let server = TcpStream::connect(("127.0.0.1", *port))?;
    wish.answer(&mut client, true)?;
    splice(client, server)
}

/// Takes TLS off before a port of this machine; the port that it is taken off at.
fn unwrap_tls(acceptor: SslAcceptor, plain: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = Arc::new(acceptor);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let acceptor = Arc::clone(&acceptor);
            thread::spawn(move || -> io::Result<()> {
                let mut client = acceptor.accept(client).map_err(io::Error::other)?;
                let mut server = TcpStream::connect(("127.0.0.1", plain))?;
                // What is in TLS cannot be read and written by two threads: one takes turns.
                let turn = Some(Duration::from_millis(2));
                client.get_ref().set_read_timeout(turn)?;
                server.set_read_timeout(turn)?;
                while pass_on_once(&mut client, &mut server)? && pass_on_once(&mut server, &mut client)? {}
                client.shutdown().map(drop).map_err(io::Error::other)
            });
        }
    });
    port
}

/// Passes on what has come within a turn; whether the side that sends is still there.
fn pass_on_once(from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut room = [0; 16384];
    match from.read(&mut room) {
        Ok(0) => Ok(false),
        Ok(count) => to.write_all(&room[..count]).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Passes on what either side sends.
fn splice(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let back = thread::spawn(move || pass_on(server, client));
    let _ = pass_on(from, to);
    let _ = back.join();
    Ok(())
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut room = [0; 16384];
    loop {
        match from.read(&mut room)? {
            0 => return to.shutdown(std::net::Shutdown::Write),
            count => to.write_all(&room[..count])?,
        }
    }
}
