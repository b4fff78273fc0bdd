//! The keystore: one file whose data keys are wrapped, so that a copy of the disk is worthless
//! without the master key.
//!
//! ```text
//! master key, at its provider ── wraps ──> keystore key, 256 random bits
//!                                              └─ HKDF ─> wrapping key ── wraps ──> data keys
//!                                                    └──> MAC key, over the whole file
//! ```
//!
//! `docs/keystore-format.md` describes the file so that a second implementation could be written
//! from it.

mod add;
mod change;
mod create;
pub mod derived_keys;
pub(crate) mod error;
mod file;
pub mod format;
mod open;
pub mod records;
mod remembered;
mod rotate_master_key;
mod store;
mod write;

pub use create::NewKey;
pub use error::KeystoreError;
pub use file::{KIND, KeystoreConfig, KeystoreFile};
pub use rotate_master_key::FAILPOINTS;
