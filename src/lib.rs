//! keyroll: data-at-rest encryption for MariaDB Server.
//!
//! One plugin (`keyroll.so`) gives a server versioned data keys that rotate online; one command (`keyroll`)
//! makes, lists, rotates and checks the same keys. The floors of the code, where a `use` only points down:
//!
//! ```text
//! mariadbd ── C vtable ──> ffi ──> plugin ──> store ──> master_key ──> service ──> net ─┐
//! keyroll (command) ────────────────────────────^                                       ├─> durable ──> secret, clock, cancel, one_line
//!                                               └──> keys ──> crypto ───────────────────┘
//! ```
//!
//! [`ffi`] is the C boundary, and the only place with `unsafe` beside the ciphers that are written for one kind of
//! processor (`crypto::x86_64`), key memory and one call in `master_key::exec`; [`plugin`] is the running plugin without C
//! types; [`store`] holds the places where data keys live for good; [`master_key`] holds the providers of master keys, which
//! wrap keystores; [`service`] knows Vault and AWS; [`net`] talks HTTPS; [`keys`] is what a server reads: the key ring;
//! [`crypto`] holds the page ciphers; [`datadir`] reads what a server's data directory tells of keys; [`durable`] reads,
//! makes and replaces the files that hold secrets.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod cancel;
pub mod clock;
pub mod crypto;
pub mod datadir;
pub mod durable;
pub mod ffi;
pub mod keys;
pub mod master_key;
pub mod net;
pub mod notify;
pub mod one_line;
pub mod plugin;
pub mod secret;
pub mod service;
pub mod settings;
pub mod store;
