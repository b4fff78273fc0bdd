//! Failures of key services, as those handle them who need not know which service it is.

use std::error::Error;
use std::time::Duration;

use crate::net::{NetError, NetFailure};

/// A failure of a key service, or on the way there. It holds no secret and no part of an answer.
pub trait ServiceError: Error + Send + Sync + 'static {
    /// What it comes to.
    fn kind(&self) -> ErrorKind;

    /// Whether the same request may succeed a moment later.
    fn is_retryable(&self) -> bool;

    /// What a DBA can do about it.
    fn hint(&self) -> String;
}

/// What a failure of a service comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The key there does not open the ciphertext.
    WrongKey,
    /// Nobody waits for the answer any more.
    Cancelled,
    /// No whole answer came within this time.
    TimedOut(Duration),
    /// The service is away for now.
    Away,
    /// The service answers, and something is wrong.
    Other,
}

impl From<&NetError> for ErrorKind {
    fn from(error: &NetError) -> ErrorKind {
        match error.failure() {
            Some(NetFailure::Cancelled) => ErrorKind::Cancelled,
            // Which proxy it was is in the message.
            Some(NetFailure::TimedOut(waited)) if !error.is_by_proxy() => ErrorKind::TimedOut(*waited),
            _ if error.is_retryable() => ErrorKind::Away,
            _ => ErrorKind::Other,
        }
    }
}
