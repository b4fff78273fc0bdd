//! The HTTP client against servers that behave badly: real sockets, real TLS by OpenSSL.

mod faults;
mod proxies;
mod socks;
mod support;
mod tls;
mod tls_proxies;
