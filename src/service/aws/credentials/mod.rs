//! Credentials by the chain that all AWS SDKs follow, kept until shortly before they end.
//!
//! "Credential provider chain", AWS SDKs and Tools Reference Guide. The first of these that is set up counts:
//!
//! | source | module |
//! |---|---|
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | `source` |
//! | the profile: its keys, or a role with `source_profile`, `credential_source` or `web_identity_token_file` | `source`, `sts` |
//! | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` (EKS, service accounts) | `sts` |
//! | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `..._FULL_URI` (ECS; EKS Pod Identity) | `container` |
//! | the instance's role, by IMDSv2 alone | `instance` |

mod answer;
mod container;
mod instance;
mod source;
mod sts;

use std::fmt;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

pub(super) use source::Source;

use super::AwsError;
use super::session::Session;
use crate::cancel::Mutex;
use crate::net::Deadline;

/// So long before their end credentials are replaced ("refresh window" of the SDKs).
const REFRESH_BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// Who is waited for while another call gets credentials.
const FROM: &str = "the source of AWS credentials";

/// What requests are signed with.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
    pub(super) session_token: Option<Zeroizing<String>>,
    /// When they end; `None` = never, as far as is known.
    pub(super) expires: Option<SystemTime>,
}

impl Credentials {
    /// Whether they can be used for so long from now.
    fn last(&self, now: SystemTime, time: Duration) -> bool {
        self.expires.is_none_or(|end| now + time < end)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.access_key_id)
    }
}

/// The credentials in hand.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Credentials>>);

impl Kept {
    /// Credentials that do not end within the next minutes, as far as such are to be had: the ones in hand, or new ones.
    ///
    /// # Errors
    /// None could be got, and those in hand have ended.
    pub(super) fn current(&self, session: &Session, deadline: Deadline) -> Result<Credentials, AwsError> {
        let mut kept = deadline.lock(&self.0, FROM)?;
        let now = SystemTime::now();
        if let Some(credentials) = kept.as_ref().filter(|c| c.last(now, REFRESH_BEFORE_END)) {
            return Ok(credentials.clone());
        }
        match session.source.fetch(session, deadline) {
            Ok(fetched) => Ok(kept.insert(fetched).clone()),
            // Whoever gives them is away, and those in hand are good for a while.
            Err(error) => match kept.as_ref().filter(|c| c.last(now, Duration::ZERO)) {
                Some(credentials) => Ok(credentials.clone()),
                None => Err(error),
            },
        }
    }

    /// Forgets them, because they were refused.
    pub(super) fn forget(&self, deadline: Deadline) -> Result<(), AwsError> {
        *deadline.lock(&self.0, FROM)? = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_credentials_holds_no_secret() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Zeroizing::new("hunter2".into()),
            session_token: Some(Zeroizing::new("hunter2".into())),
            expires: None,
        };
        assert_eq!(format!("{credentials:?}"), "Credentials(AKIDEXAMPLE)");
    }

    #[test]
    fn credentials_last_until_their_end() {
        let now = SystemTime::now();
        let ending = |expires| Credentials {
            access_key_id: String::new(),
            secret_access_key: Zeroizing::default(),
            session_token: None,
            expires,
        };
        assert!(ending(None).last(now, REFRESH_BEFORE_END));
        let in_four_minutes = ending(Some(now + Duration::from_secs(240)));
        assert!(!in_four_minutes.last(now, REFRESH_BEFORE_END) && in_four_minutes.last(now, Duration::ZERO));
        assert!(!ending(Some(now)).last(now, Duration::ZERO));
    }
}
