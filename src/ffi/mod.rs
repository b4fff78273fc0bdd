//! The C boundary, with `unsafe` for the server's pointers.
//!
//! The server calls in here from many threads. Every entry goes through `guard`, which lets no
//! panic out; it checks every pointer for null and decides nothing: what is to be done is in
//! `plugin`, `keystore` and `crypto`.
//!
//! Lookups and ciphers read one atomic pointer (`published`) and take no lock. Only init, deinit
//! and the two variables that act take the lock of `instance`.

// The names of exported symbols are the server's, not ours.
#![allow(unsafe_code)]

pub mod abi;
mod cell;
mod context;
mod declare;
mod entry;
mod guard;
mod instance;
mod published;
mod services;
mod status;
mod sysvar;
mod udf;

pub use declare::ENCRYPTION;
