//! The HTTP client against servers that behave badly: real sockets, real TLS by OpenSSL.

mod faults;
mod support;
mod tls;
