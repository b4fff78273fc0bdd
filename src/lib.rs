//! keyroll: data-at-rest encryption for MariaDB Server.
//!
//! One plugin (`keyroll.so`) gives a server versioned data keys that rotate online; one command (`keyroll`)
//! makes, lists, rotates and checks the same keys. The floors of the code, where a `use` only points down:
//!
//! ```text
//! mariadbd ── C vtable ──> ffi ──> plugin ──> keystore ──> master_key ──> net ──> crypto ──> durable ──> secret, clock, cancel, one_line
//! keyroll (command) ────────────────────────────^
//! ```
//!
//! [`ffi`] is the C boundary, and the only place with `unsafe` beside the ciphers that are written for one
//! kind of processor (`crypto::x86_64`) and one call in `master_key::exec`; [`plugin`] is the running plugin without C
//! types; [`keystore`] holds the places where data keys live for good and the in-memory key ring;
//! [`datadir`] reads what a server's data directory tells of keys; [`master_key`] holds the providers of master keys, which wrap keystores; [`net`] talks HTTPS to key services;
//! [`crypto`] holds the page ciphers; [`durable`] reads, makes and replaces the files that hold secrets.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cancel;
pub mod clock;
pub mod crypto;
pub mod datadir;
pub mod durable;
pub mod ffi;
pub mod keystore;
pub mod master_key;
pub mod net;
pub mod one_line;
pub mod plugin;
pub mod secret;
