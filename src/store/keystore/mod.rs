//! The keystore: one file whose data keys are wrapped, so that a copy of the disk is worthless
//! without the master key.
//!
//! ```text
//! master key, at its provider ── wraps ──> keystore key, 256 random bits
//!                                              └─ HKDF ─> wrapping key ── wraps ──> data keys
//!                                                    └──> MAC key, over the whole file
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `store` | the keystore as a key store |
//! | `create`, `save` | a new file |
//! | `add`, `rotate_master_key` | changes of a file, which go through `change` |
//! | `write` | what all of these have in common |
//! | `open` | from a file to its data keys |
//! | [`metadata`] | what a file tells without its master key |
//! | `file` | the settings, and what a process remembers between calls (`remembered`) |
//! | [`mod@format`], [`records`] | the file's text as types, and what is refused |
//! | [`derived_keys`] | what is derived from the keystore key |
//!
//! `docs/keystore-format.md` describes the file so that a second implementation could be written
//! from it.

mod add;
mod change;
pub(crate) mod config;
mod create;
pub mod derived_keys;
pub(crate) mod error;
mod file;
pub mod format;
pub(crate) mod metadata;
mod open;
pub mod records;
mod remembered;
mod rotate_master_key;
mod save;
mod store;
mod write;

pub use config::KeystoreConfig;
pub use create::NewKey;
pub use error::KeystoreError;
pub use file::{KIND, KeystoreFile};
pub use metadata::KeystoreMetadata;
pub use rotate_master_key::FAILPOINTS;
