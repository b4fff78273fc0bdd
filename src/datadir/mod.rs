//! What a server's data directory tells, read and never written: which key ids its tablespaces
//! name, and whether an Aria table is encrypted.
//!
//! A file may be partial, foreign or damaged: what cannot be read says nothing, and nothing here
//! fails or panics.

pub mod aria;
pub(crate) mod tablespace;
pub(crate) mod walk;

pub use walk::{WalkError, file_in_use, key_ids_in_use};
