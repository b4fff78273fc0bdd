//! Addresses of hosts, remembered: the system is asked once a minute at most, and in the calling thread.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long addresses are used without asking again.
const FRESH: Duration = Duration::from_secs(60);

/// As many addresses as are tried.
const MOST: usize = 8;

type HostAndPort = (String, u16);

/// Asks the system (getaddrinfo) without a thread, so that none is left behind; a name server that is away is waited for
/// as /etc/resolv.conf says. While names cannot be resolved, the addresses that were in use go on being used.
#[derive(Debug, Default)]
pub(super) struct Remembering {
    known: Mutex<Known>,
}

/// The addresses of a host, at least one, and when they were told.
type Known = HashMap<HostAndPort, (Vec<SocketAddr>, Instant)>;

impl Remembering {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Remembering {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let plain = uri.scheme_str() == Some("http");
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = (
            host.to_owned(),
            uri.port_u16().unwrap_or(if plain { 80 } else { 443 }),
        );
        let remembered = self.known().get(&name).cloned();
        let addresses = match remembered {
            Some((addresses, at)) if at.elapsed() < FRESH => addresses,
            // Nothing is held meanwhile: others use what is known.
            stale => {
                let found = (name.0.as_str(), name.1).to_socket_addrs().map(Vec::from_iter);
                let addresses = match (found, stale) {
                    (Ok(found), _) if !found.is_empty() => found,
                    (_, Some((stale, _))) => stale,
                    _ => return Err(ureq::Error::HostNotFound),
                };
                self.known().insert(name, (addresses.clone(), Instant::now()));
                addresses
            }
        };
        let mut answer = self.empty();
        addresses
            .into_iter()
            .take(MOST)
            .for_each(|address| answer.push(address));
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(resolver: &Remembering, uri: &str) -> Result<Vec<SocketAddr>, ureq::Error> {
        let timeout = NextTimeout {
            after: ureq::unversioned::transport::time::Duration::NotHappening,
            reason: ureq::Timeout::Global,
            ..NextTimeout::default()
        };
        let found = resolver.resolve(&uri.parse().unwrap(), &Config::default(), timeout)?;
        Ok(found.iter().copied().collect())
    }

    #[test]
    fn addresses_and_names_resolve_with_the_port_of_the_scheme() {
        let resolver = Remembering::default();
        for (uri, address) in [
            ("https://127.0.0.1/", "127.0.0.1:443"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("https://127.0.0.1:8200/", "127.0.0.1:8200"),
            ("https://[::1]:8200/", "[::1]:8200"),
        ] {
            assert_eq!(resolve(&resolver, uri).unwrap(), [address.parse().unwrap()]);
        }
        let localhost = resolve(&resolver, "https://localhost:8200").unwrap();
        assert!(
            localhost.iter().all(|address| address.ip().is_loopback()),
            "{localhost:?}"
        );
    }

    #[test]
    fn a_name_that_no_longer_resolves_keeps_its_addresses() {
        let resolver = Remembering::default();
        let name = ("nowhere.invalid".to_owned(), 443);
        assert!(matches!(
            resolve(&resolver, "https://nowhere.invalid"),
            Err(ureq::Error::HostNotFound)
        ));
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        let address: SocketAddr = "127.0.0.1:443".parse().unwrap();
        resolver
            .known
            .lock()
            .unwrap()
            .insert(name, (vec![address], long_ago));
        assert_eq!(resolve(&resolver, "https://nowhere.invalid").unwrap(), [address]);
    }
}
