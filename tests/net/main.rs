//! The HTTP client against servers that behave badly: real sockets, real TLS by OpenSSL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../trouble/certificates.rs"]
mod certificates;
mod faults;
mod support;
mod tls;
