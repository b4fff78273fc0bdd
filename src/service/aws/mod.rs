//! Amazon Web Services: credentials, signed requests, and `Encrypt` and `Decrypt` of the Key
//! Management Service.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the KMS key, and what was set |
//! | `settings` | what the server's variables say |
//! | `variables` | the environment, as AWS's SDKs read it |
//! | `profile` | the shared config and credentials files |
//! | `credentials` | the chain of credentials, and a cache of what it gives |
//! | `endpoint` | hosts by service, region and partition |
//! | `api` | one signed request to the region's endpoint |
//! | `signature` | Signature Version 4 |
//! | `client` | `Encrypt` and `Decrypt`, tried again within a deadline |
//! | `answer`, `error` | what AWS says, and what that means |

mod answer;
mod api;
mod client;
mod config;
mod credentials;
mod endpoint;
pub(crate) mod error;
mod profile;
mod settings;
mod signature;
mod variables;

pub use client::Kms;
pub use config::{Arn, KmsConfig, LOG_LEVELS};
pub use error::AwsError;
pub use settings::{DEFAULT_KEYSTORE, KmsSettings};
pub use variables::LOG_LEVEL;

/// The most bytes that an answer of a metadata service may have.
const METADATA_BODY_LIMIT: u64 = 64 * 1024;
