//! Amazon Web Services: credentials, signed requests, and `Encrypt` and `Decrypt` of the Key
//! Management Service.

mod answer;
mod api;
mod client;
mod credentials;
mod endpoint;
pub(crate) mod error;
mod key;
mod profile;
mod signature;
mod variables;

pub use client::Kms;
pub use error::AwsError;
pub use key::Arn;
pub use variables::{LOG_LEVEL, LOG_LEVELS};

/// The most bytes that an answer of a metadata service may have.
const METADATA_BODY_LIMIT: u64 = 64 * 1024;
