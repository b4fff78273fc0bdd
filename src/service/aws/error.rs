//! What can go wrong between keyroll and AWS: with which service, by AWS's own name for it, and
//! what helps.

use std::fmt;

use thiserror::Error;

use crate::durable::FileError;
use crate::net::{NetError, NetFailure};
use crate::service::{ErrorKind, ServiceError};

/// A failure to get credentials or to have KMS do something. No variant holds a secret or the body
/// of an answer.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages and the fields say what they hold")]
pub enum AwsError {
    #[error("{reason}")]
    Settings { reason: String, mend: String },
    #[error("there are no AWS credentials: {looked}")]
    NoCredentials {
        looked: String,
        /// What helps, where more is known than that there are none.
        mend: Option<&'static str>,
    },
    #[error(transparent)]
    Answered(Box<Answered>),
    #[error("{from} gave an answer that cannot be used: {reason}")]
    BadAnswer { from: String, reason: String },
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    File(#[from] FileError),
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Answered {
    /// Who answered: `KMS`, `STS`, `the instance metadata service`, ...
    pub from: String,
    /// What was asked for, as `Decrypt`.
    pub operation: &'static str,
    pub status: u16,
    /// AWS's name for the error; empty where the answer has none.
    pub name: String,
    /// What AWS says of it, where that cannot hold a secret.
    pub message: Option<String>,
    /// What AWS finds the request by.
    pub request_id: Option<String>,
    /// By how many seconds this machine's clock is ahead, where AWS does not allow for it.
    pub clock_off: Option<i64>,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {} with ", self.from, self.operation)?;
        match self.name.as_str() {
            "" => write!(f, "HTTP status {}", self.status)?,
            name => write!(f, "{name}")?,
        }
        if let Some(message) = &self.message {
            write!(f, " ({message})")?;
        }
        if let Some(seconds) = self.clock_off {
            let how = if seconds < 0 { "behind" } else { "ahead of" };
            write!(
                f,
                "; this machine's clock is {} s {how} AWS's",
                seconds.unsigned_abs()
            )?;
        }
        if let Some(id) = &self.request_id {
            write!(f, "; request id {id}")?;
        }
        Ok(())
    }
}

/// What an error of a service comes to, and so what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the hints say what they mean")]
pub enum Class {
    TryAgain,
    /// The KMS key does not open the ciphertext, or not for this keystore.
    WrongKey,
    Disabled,
    PendingDeletion,
    /// The KMS key is in another state that does not allow it.
    InvalidState,
    /// There is no such KMS key or alias in this account and region.
    NotFound,
    AccessDenied,
    Expired,
    /// The credentials are none that AWS knows, or their secret is another one.
    BadCredentials,
    ClockSkew,
    /// The KMS key is not one for symmetric encryption.
    WrongUsage,
    Other,
}

/// AWS's names for errors, without the `Exception` that some services add.
const NAMES: [(Class, &str); 10] = [
    (
        Class::TryAgain,
        "Throttling ThrottledException RequestLimitExceeded RequestThrottled TooManyRequests \
         SlowDown PriorRequestNotComplete TransactionInProgress KMSInternal KeyUnavailable \
         DependencyTimeout InternalFailure InternalError InternalServerError \
         ServiceUnavailable RequestTimeout IDPCommunicationError",
    ),
    (Class::WrongKey, "IncorrectKey InvalidCiphertext"),
    (Class::Disabled, "Disabled"),
    (Class::InvalidState, "KMSInvalidState"),
    (Class::NotFound, "NotFound InvalidArn InvalidKeyId"),
    (
        Class::AccessDenied,
        "AccessDenied NotAuthorized UnauthorizedOperation Unauthorized OptInRequired",
    ),
    (
        Class::Expired,
        "ExpiredToken ExpiredIdentityToken TokenRefreshRequired",
    ),
    (
        Class::BadCredentials,
        "UnrecognizedClient InvalidClientTokenId InvalidAccessKeyId SignatureDoesNotMatch \
         InvalidSignature IncompleteSignature InvalidIdentityToken AuthFailure",
    ),
    (Class::ClockSkew, "RequestExpired RequestTimeTooSkewed"),
    (Class::WrongUsage, "InvalidKeyUsage"),
];

impl Answered {
    pub fn class(&self) -> Class {
        let message = self.message.as_deref().unwrap_or_default();
        let short = self.name.strip_suffix("Exception").unwrap_or(&self.name);
        let is_named = |names: &str| names.split(' ').any(|name| name == short || name == self.name);
        let known = NAMES.iter().find(|(_, names)| is_named(names));
        match known.map(|(class, _)| *class) {
            Some(Class::BadCredentials) if self.clock_off.is_some() => Class::ClockSkew,
            Some(Class::InvalidState) if message.contains("pending deletion") => Class::PendingDeletion,
            Some(Class::InvalidState) if message.contains("is disabled") => Class::Disabled,
            // A policy that does not allow it is named with the action. What is denied otherwise is
            // a ciphertext of which KMS does not tell whether its key is not there or may not be
            // used.
            Some(Class::AccessDenied)
                if self.operation == "Decrypt" && !message.contains("not authorized") =>
            {
                Class::WrongKey
            }
            Some(class) => class,
            None if self.status >= 500 || self.status == 429 => Class::TryAgain,
            None => Class::Other,
        }
    }

    fn hint(&self) -> &'static str {
        match self.class() {
            Class::TryAgain => {
                "it was tried again until ‹request_timeout› was over; see AWS's health dashboard, \
                                and the request quotas of KMS"
            }
            Class::WrongKey => {
                "name the KMS key that wrapped this keystore in ‹master_key›; the keystore says \
                                under \"key_version\" which one that was"
            }
            Class::Disabled => "enable the KMS key: aws kms enable-key --key-id KEY",
            Class::PendingDeletion => {
                "AT ONCE: aws kms cancel-key-deletion --key-id KEY, then aws kms enable-key \
                                       --key-id KEY. When the waiting period is over, nothing brings the data back"
            }
            Class::InvalidState => "see the state of the KMS key: aws kms describe-key --key-id KEY",
            Class::NotFound => {
                "check the key's id or alias, the region (‹region›) and the account of the \
                                credentials: aws kms describe-key --key-id KEY"
            }
            Class::AccessDenied => {
                "the credentials need kms:Encrypt and kms:Decrypt on the KMS key, by an IAM policy \
                                    or by its key policy; docs/aws-kms.md has the statement"
            }
            Class::Expired => {
                "get new credentials; those of a role, a container or an instance are renewed by \
                               themselves, those in the environment or in a file are not"
            }
            Class::BadCredentials => "check the access key and its secret: aws sts get-caller-identity",
            Class::ClockSkew => "set this machine's clock: chronyc tracking, timedatectl",
            Class::WrongUsage => {
                "a master key must be a symmetric KMS key for encryption: key spec \
                                  SYMMETRIC_DEFAULT, key usage ENCRYPT_DECRYPT"
            }
            Class::Other => "look the error up in the AWS KMS API Reference; AWS finds the request by its id",
        }
    }
}

impl ServiceError for AwsError {
    fn kind(&self) -> ErrorKind {
        match self {
            AwsError::Answered(answered) if answered.class() == Class::WrongKey => ErrorKind::WrongKey,
            AwsError::Net(error) => error.into(),
            _ => ErrorKind::Other,
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            AwsError::Answered(answered) => answered.class() == Class::TryAgain,
            AwsError::Net(error) => error.is_retryable(),
            _ => false,
        }
    }

    fn hint(&self) -> String {
        match self {
            AwsError::Settings { mend, .. } => mend.clone(),
            AwsError::NoCredentials { mend: Some(mend), .. } => (*mend).into(),
            AwsError::NoCredentials { mend: None, .. } => "give the server's process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a \
                                               profile in a shared credentials file, or a role by its instance or \
                                               container; docs/aws-kms.md has all ways"
                .into(),
            AwsError::Answered(answered) => answered.hint().into(),
            AwsError::BadAnswer { .. } => "check that the endpoint is AWS's: ‹endpoint_url› and AWS_ENDPOINT_URL".into(),
            AwsError::Net(error) => match (error, error.failure()) {
                (_, Some(NetFailure::Tls(_) | NetFailure::UnfitCertificate(_))) | (NetError::BadPem { .. }, _) => {
                    format!("{}: AWS_CA_BUNDLE names its file", error.hint())
                }
                (_, Some(NetFailure::SpeaksTls | NetFailure::SpeaksNoTls)) => {
                    format!("{}: ‹endpoint_url› or AWS_ENDPOINT_URL names it", error.hint())
                }
                _ => error.hint(),
            },
            AwsError::File(error) => error.hint(),
        }
    }
}

impl AwsError {
    pub(super) fn settings(reason: impl Into<String>, mend: impl Into<String>) -> AwsError {
        AwsError::Settings {
            reason: reason.into(),
            mend: mend.into(),
        }
    }

    pub(super) fn bad_answer(from: &str, reason: impl Into<String>) -> AwsError {
        AwsError::BadAnswer {
            from: from.into(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, name: &str, message: Option<&str>) -> Answered {
        Answered {
            from: "KMS".into(),
            operation: "Decrypt",
            status,
            name: name.into(),
            message: message.map(str::to_owned),
            request_id: Some("r-1".into()),
            clock_off: None,
        }
    }

    #[test]
    fn errors_are_told_apart() {
        for (name, message, class) in [
            ("ThrottlingException", None, Class::TryAgain),
            ("Throttling", None, Class::TryAgain),
            ("KMSInternalException", None, Class::TryAgain),
            ("IncorrectKeyException", None, Class::WrongKey),
            ("InvalidCiphertextException", None, Class::WrongKey),
            ("DisabledException", None, Class::Disabled),
            (
                "KMSInvalidStateException",
                Some("arn:aws:kms:us-east-1:1:key/k is pending deletion."),
                Class::PendingDeletion,
            ),
            (
                "KMSInvalidStateException",
                Some("k is pending import."),
                Class::InvalidState,
            ),
            ("NotFoundException", None, Class::NotFound),
            ("AccessDeniedException", None, Class::WrongKey),
            (
                "AccessDenied",
                Some("User: arn:aws:iam::1:user/x is not authorized to perform: kms:Decrypt on resource: k"),
                Class::AccessDenied,
            ),
            (
                "AccessDeniedException",
                Some(
                    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
                ),
                Class::WrongKey,
            ),
            ("ExpiredTokenException", None, Class::Expired),
            ("UnrecognizedClientException", None, Class::BadCredentials),
            ("SignatureDoesNotMatch", None, Class::BadCredentials),
            ("RequestTimeTooSkewed", None, Class::ClockSkew),
            ("InvalidKeyUsageException", None, Class::WrongUsage),
            ("ValidationException", None, Class::Other),
            ("", None, Class::Other),
        ] {
            assert_eq!(answered(400, name, message).class(), class, "{name}");
        }
        let mut denied = answered(400, "AccessDeniedException", None);
        denied.operation = "Encrypt";
        assert_eq!(denied.class(), Class::AccessDenied);
        assert_eq!(answered(503, "", None).class(), Class::TryAgain);
        assert_eq!(answered(429, "Odd", None).class(), Class::TryAgain);
    }

    #[test]
    fn each_class_has_a_hint_of_its_own() {
        let mut hints: Vec<&str> = [
            "DisabledException",
            "NotFoundException",
            "AccessDeniedException",
            "ExpiredToken",
            "RequestExpired",
            "InvalidSignatureException",
            "InvalidKeyUsageException",
            "Throttling",
            "X",
            "IncorrectKeyException",
            "KMSInvalidStateException",
        ]
        .iter()
        .map(|name| answered(400, name, Some("not authorized")).hint())
        .collect();
        hints.sort();
        hints.dedup();
        assert_eq!(hints.len(), 11);
    }

    #[test]
    fn a_signature_that_is_refused_while_the_clock_is_off_is_the_clocks_fault() {
        let mut refused = answered(400, "InvalidSignatureException", None);
        refused.clock_off = Some(-900);
        assert_eq!(refused.class(), Class::ClockSkew);
        assert_eq!(
            refused.to_string(),
            "KMS answered Decrypt with InvalidSignatureException; this machine's clock is 900 s behind AWS's; request id r-1"
        );
    }
}
