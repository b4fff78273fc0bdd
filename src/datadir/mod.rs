//! What a server's data directory tells, read and never written: which key ids its tablespaces
//! name, which version the redo log goes on under, which Aria tables are encrypted, and whether
//! Aria has something to recover.
//!
//! A file may be partial, foreign or damaged, and nothing here panics.

pub mod aria;
pub mod aria_log;
pub mod aria_pages;
pub mod binary_log;
pub(crate) mod extents;
pub mod files;
pub(crate) mod page_layout;
pub mod pages;
pub mod redo_log;
pub mod scan;
pub(crate) mod tablespace;
pub(crate) mod walk;

pub use walk::{WalkError, file_in_use, key_ids_in_use};
