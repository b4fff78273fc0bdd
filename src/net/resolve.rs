//! Addresses of hosts, remembered: the system is asked once a minute at most, and in the calling
//! thread.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long addresses are used without asking again.
const FRESH: Duration = Duration::from_secs(60);

/// The addresses of each host and port, at least one, and when they were told.
type Known = HashMap<(String, u16), (Vec<SocketAddr>, Instant)>;

/// The names that were resolved. The system is asked (getaddrinfo) without a thread, so that none
/// is left behind; a name server that is away is waited for as /etc/resolv.conf says. While names
/// cannot be resolved, the addresses that were in use go on being used.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Known>);

impl Names {
    /// The addresses of a host, a name or itself an address; none if there is no such host.
    pub(super) fn addresses(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        let name = (host.to_owned(), port);
        let remembered = self.known().get(&name).cloned();
        if let Some((fresh, at)) = &remembered
            && at.elapsed() < FRESH
        {
            return fresh.clone();
        }
        // Nothing is held meanwhile: others use what is known.
        let found: Vec<SocketAddr> = (host, port).to_socket_addrs().into_iter().flatten().collect();
        let addresses = match remembered {
            Some((stale, _)) if found.is_empty() => stale,
            _ => found,
        };
        if !addresses.is_empty() {
            self.known().insert(name, (addresses.clone(), Instant::now()));
        }
        addresses
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_longer_resolves_keeps_its_addresses() {
        let names = Names::default();
        assert!(names.addresses("nowhere.invalid", 443).is_empty());
        let long_ago = Instant::now().checked_sub(FRESH * 2).unwrap();
        let address: SocketAddr = "127.0.0.1:443".parse().unwrap();
        let name = ("nowhere.invalid".to_owned(), 443);
        names.known().insert(name, (vec![address], long_ago));
        assert_eq!(names.addresses("nowhere.invalid", 443), [address]);
    }
}
