//! The credentials in use, replaced shortly before they end.

use std::time::{Duration, SystemTime};

use super::{Credentials, Source};
use crate::cancel::Mutex;
use crate::net::Deadline;
use crate::service::aws::AwsError;
use crate::service::aws::api::ApiClient;

/// So long before their end credentials are replaced ("refresh window" of the SDKs).
const REFRESH_BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// Who is waited for while another call gets credentials.
const FROM: &str = "the source of AWS credentials";

/// A source, and the credentials that it gave last.
pub(crate) struct CredentialCache {
    pub(crate) source: Source,
    held: Mutex<Option<Credentials>>,
}

impl CredentialCache {
    pub(crate) fn new(source: Source) -> CredentialCache {
        CredentialCache {
            source,
            held: Mutex::new(None),
        }
    }

    /// Credentials that do not end within the next minutes, as far as such are to be had: the ones
    /// in hand, or new ones. Errors: none could be got, and those in hand have ended.
    pub(crate) fn current(&self, api: &ApiClient, deadline: Deadline) -> Result<Credentials, AwsError> {
        let mut held = deadline.lock(&self.held, FROM)?;
        let now = SystemTime::now();
        if let Some(credentials) = held.as_ref().filter(|c| c.last(now, REFRESH_BEFORE_END)) {
            return Ok(credentials.clone());
        }
        match self.source.fetch(api, deadline) {
            Ok(fetched) => Ok(held.insert(fetched).clone()),
            // Whoever gives them is away, and those in hand are good for a while.
            Err(error) => match held.as_ref().filter(|c| c.last(now, Duration::ZERO)) {
                Some(credentials) => Ok(credentials.clone()),
                None => Err(error),
            },
        }
    }

    /// Forgets them, because they were refused.
    pub(crate) fn forget(&self, deadline: Deadline) -> Result<(), AwsError> {
        *deadline.lock(&self.held, FROM)? = None;
        Ok(())
    }
}
