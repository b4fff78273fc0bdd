//! Each key store by itself: its format, what it refuses, and what it survives. What all of them do is in tests/conformance.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod durable;
mod key_file;
mod keystore;
mod limits;
mod vault_kv;
