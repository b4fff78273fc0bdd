//! What a server's data directory tells, read and never written: which key ids its tablespaces
//! name, which version the redo log goes on under, and whether an Aria table is encrypted.
//!
//! A file may be partial, foreign or damaged: what is no such file says nothing, and nothing here
//! panics.

pub mod aria;
pub mod redo_log;
pub(crate) mod tablespace;
pub(crate) mod walk;

pub use walk::{WalkError, file_in_use, key_ids_in_use};
