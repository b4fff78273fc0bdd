//! Services that hold keys, as their users know them: logins, API calls and errors of Vault and
//! AWS.

pub mod aws;
pub(crate) mod body;
pub(crate) mod error;
pub mod vault;

pub use error::{ErrorKind, ServiceError};
