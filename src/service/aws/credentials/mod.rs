//! Credentials by the chain that all AWS SDKs follow, cached until shortly before they end.
//!
//! "Credential provider chain", AWS SDKs and Tools Reference Guide. The first of these that is set
//! up counts:
//!
//! | source | module |
//! |---|---|
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | `source` |
//! | the profile: its keys, or a role with `source_profile`, `credential_source` or `web_identity_token_file` | `source`, `sts` |
//! | `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` (EKS, service accounts) | `sts` |
//! | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, `..._FULL_URI` (ECS; EKS Pod Identity) | `container` |
//! | the instance's role, by IMDSv2 alone | `instance` |

mod answer;
mod cache;
mod container;
mod instance;
mod source;
mod sts;

use std::fmt;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

pub(super) use cache::CredentialCache;
pub(super) use source::Source;

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
        let five_minutes = Duration::from_secs(300);
        assert!(ending(None).last(now, five_minutes));
        let in_four_minutes = ending(Some(now + Duration::from_secs(240)));
        assert!(!in_four_minutes.last(now, five_minutes) && in_four_minutes.last(now, Duration::ZERO));
        assert!(!ending(Some(now)).last(now, Duration::ZERO));
    }
}
