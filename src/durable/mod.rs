//! Files that hold secrets: read whole into memory that is wiped, made and replaced so that neither
//! a crash nor a failing disk loses a byte, and seen by nobody half-written.
//!
//! Nothing here knows what is in a file. What a DBA calls it, and what helps when it cannot be
//! written, comes along as a [`FileKind`].

mod error;
pub mod failpoint;
pub mod lock;
pub mod odd_text;
pub mod permissions;
pub mod put;
pub mod read;
pub mod replace;
pub mod secret_source;
pub(crate) mod step;
mod target;
mod user;

pub use error::{FileError, LockHolder};
pub use odd_text::OddText;
pub use permissions::LoosePermissions;
pub use secret_source::SecretSource;
pub use user::{Right, User};

/// A kind of file: its name, its limit, and the words of messages and hints that differ from one
/// kind to the next.
#[derive(Debug, PartialEq, Eq)]
pub struct FileKind {
    /// What messages call it: `key file`.
    pub name: &'static str,
    /// The most bytes that such a file may have. A larger one is neither read nor written.
    pub size_limit: u64,
    /// What helps when it is too large: `remove versions that no data uses`.
    pub when_too_large: &'static str,
    /// What helps, beside a right to write there, when only root could replace it: ``run `keyroll
    /// rotate --all` as root``.
    pub replace_as_root: Option<&'static str>,
    /// What a replacement that failed and could not be undone leaves in the file, and why that does
    /// no harm.
    pub when_not_put_back: &'static str,
}

#[cfg(test)]
mod tests {
    use super::FileKind;

    /// What tests make.
    pub(super) static KIND: FileKind = FileKind {
        name: "test file",
        size_limit: 100,
        when_too_large: "",
        replace_as_root: Some("replace it as root"),
        when_not_put_back: "the new text",
    };
}
