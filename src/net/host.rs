//! Names and addresses of hosts, as URLs have them.

use std::net::IpAddr;

/// An IPv6 address without its brackets; any other host as it is.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The host of `HOST:PORT` or `HOST`, without brackets.
pub(super) fn without_port(authority: &str) -> &str {
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    bare(&authority[..port.unwrap_or(authority.len())])
}

/// Whether a host, without brackets, is `localhost` or an address of the loopback.
pub(super) fn is_this_machine(host: &str) -> bool {
    let address = host.parse();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port_and_its_brackets() {
        for (authority, host) in [
            ("vault", "vault"),
            ("vault:8200", "vault"),
            ("10.0.0.1:8200", "10.0.0.1"),
            ("[::1]", "::1"),
            ("[::1]:8200", "::1"),
        ] {
            assert_eq!(without_port(authority), host);
        }
    }
}
