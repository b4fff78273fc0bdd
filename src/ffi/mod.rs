//! The C boundary, with `unsafe` for the server's pointers.
//!
//! The server calls in here from many threads. Every entry goes through `guard`, which lets no
//! panic out; it checks every pointer for null and decides nothing: the work is in `plugin`, `keys`
//! and `crypto`. Lookups of keys that are there, and ciphers, read one atomic pointer (`published`)
//! and take no lock.

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
