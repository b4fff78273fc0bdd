//! What every kind of key store must do. A new kind is one line here and a function in `places`.
//!
//! Faults are real: full and read-only file systems (unshare, mount), other users (setpriv), many processes. Debian:
//! `apt-get install util-linux openssl`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod limits;
mod places;
#[path = "../programs/mod.rs"]
mod programs;

conformance::suite!(plain_key_file);
conformance::suite!(encrypted_key_file);
conformance::suite!(keystore);
