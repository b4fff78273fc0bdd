//! What stands before a Vault and answers in its place: a standby that redirects, or one that is not ready yet. What it does
//! not answer itself goes on to a service of this machine, without TLS.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};

use crate::fault_proxy::http;

/// A running front.
pub struct Front {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Given a request's target and how many came before it, the answer, or none.
type Answer = dyn Fn(&str, usize) -> Option<String> + Send + Sync;

impl Front {
    /// One without TLS.
    pub fn plain(
        service: u16,
        answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Front {
        Front::start(service, None, answer)
    }

    /// One that shows this certificate; its key lies beside it, in `NAME.key`.
    pub fn tls(
        service: u16,
        certificate: &Path,
        answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Front {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate_chain_file(certificate).unwrap();
        acceptor
            .set_private_key_file(certificate.with_extension("key"), SslFiletype::PEM)
            .unwrap();
        Front::start(service, Some(acceptor.build()), answer)
    }

    fn start(
        service: u16,
        tls: Option<SslAcceptor>,
        answer: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (log, answer) = (Arc::clone(&requests), Arc::new(answer));
        let tls = Arc::new(tls);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, answer, tls) = (Arc::clone(&log), Arc::clone(&answer), Arc::clone(&tls));
                // It fails when the client goes away.
                thread::spawn(move || match &*tls {
                    None => serve(client, service, &*answer, &log),
                    Some(acceptor) => match acceptor.accept(client) {
                        Ok(client) => serve(client, service, &*answer, &log),
                        Err(_) => Ok(()),
                    },
                });
            }
        });
        Front { port, requests }
    }

    /// All requests until now, each from its first line to the end of its body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut client: impl Read + Write,
    service: u16,
    answer: &Answer,
    log: &Mutex<Vec<String>>,
) -> io::Result<()> {
    while let Some(request) = http::read_request(&mut client)? {
        let text = String::from_utf8_lossy(&request).into_owned();
        let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let before = {
            let mut log = log.lock().unwrap();
            log.push(text);
            log.len() - 1
        };
        match answer(&target, before) {
            Some(answer) => client.write_all(answer.as_bytes())?,
            None => client.write_all(&http::ask(service, &request)?)?,
        }
        client.flush()?;
    }
    Ok(())
}

/// An answer without a body, with this status line and these headers.
pub fn empty(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n")
}
