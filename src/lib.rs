//! keyroll: data-at-rest encryption for MariaDB Server.
//!
//! One plugin (`keyroll.so`) gives a server versioned data keys that rotate online; one command
//! (`keyroll`) makes, lists, rotates and checks the same keys. Each module is a floor, and a `use`
//! only points down: CONTRIBUTING.md draws them, and says what each one holds.
//!
//! What is `pub` here and in the floors' own lists is what the command, the tests, the benchmarks
//! and the fuzzers use; all else is `pub(crate)` or private, so that the compiler finds what nobody
//! uses.

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
