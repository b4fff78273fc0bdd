//! What KMS is asked for: `Encrypt` and `Decrypt` (AWS KMS API Reference), each within a deadline.
//!
//! ```text
//! POST / X-Amz-Target: TrentService.Encrypt
//! {"KeyId":"alias/x","EncryptionContext":{...},"Plaintext":"BASE64"}  -> {"CiphertextBlob":"BASE64","KeyId":"ARN"}
//! POST / X-Amz-Target: TrentService.Decrypt
//! {"KeyId":"ARN","EncryptionContext":{...},"CiphertextBlob":"BASE64"} -> {"Plaintext":"BASE64","KeyId":"ARN"}
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::AwsError;
use super::api::{ApiCall, ApiClient};
use super::credentials::{CredentialCache, Source};
use super::endpoint::Service;
use super::error::Class;
use super::key::KmsKey;
use super::profile::{self, Profiles};
use super::variables::{LOGS_FAILURES, LOGS_REQUESTS, Variables};
use crate::durable::{LoosePermissions, permissions};
use crate::net::{Deadline, Response, retry};
use crate::notify::Notify;
use crate::secret::SecretBytes;
use crate::service::ServiceError;
use crate::service::body::{SecretBase64, with_secret};

/// What KMS authenticates beside a ciphertext and shows in CloudTrail. No secret; empty = none.
pub(crate) type Context<'a> = &'a [(&'a str, &'a str)];

/// A ciphertext, and the KMS key that made it.
pub(crate) struct Encrypted {
    pub(crate) ciphertext: Vec<u8>,
    /// The ARN of the key.
    pub(crate) key: String,
}

/// What all calls need, once the shared files were read.
struct Session {
    api: ApiClient,
    credentials: CredentialCache,
}

/// A KMS key, and calls of KMS. The session is opened at the first call, and anew until that works.
pub struct Kms {
    pub(crate) key: KmsKey,
    request_timeout: Duration,
    variables: Variables,
    /// An index into [`LOG_LEVELS`](super::LOG_LEVELS).
    log_level: usize,
    session: Mutex<Option<Arc<Session>>>,
    notify: Notify,
}

impl Kms {
    /// The key of this id, alias or ARN, with what of this environment is AWS's. Asks nobody yet.
    /// `notify` is told of each request, as the log level wants it.
    ///
    /// # Errors
    /// The key is none of the three; or the log level is none.
    pub fn new(
        key: &str,
        environment: &BTreeMap<OsString, OsString>,
        request_timeout: Duration,
        notify: Notify,
    ) -> Result<Kms, String> {
        let variables = Variables::of(environment);
        Ok(Kms {
            log_level: variables.log_level()?,
            key: KmsKey::parse(key)?,
            request_timeout,
            variables,
            session: Mutex::default(),
            notify,
        })
    }

    pub(crate) fn region(&self) -> Result<String, AwsError> {
        Ok(self.session()?.api.region.clone())
    }

    /// Reads the shared files and the certificates, unless that was done.
    fn session(&self) -> Result<Arc<Session>, AwsError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let profiles = Profiles::read(&self.variables)?;
        let opened = Session {
            api: ApiClient::new(&self.key, &self.variables, &profiles)?,
            credentials: CredentialCache::new(Source::find(&self.variables, &profiles)?),
        };
        Ok(Arc::clone(session.insert(Arc::new(opened))))
    }

    /// Encrypts up to 4,096 bytes under the configured key.
    pub(crate) fn encrypt(&self, plaintext: &[u8], context: Context<'_>) -> Result<Encrypted, AwsError> {
        let body = encrypt_request(&self.key.text, plaintext, context);
        let response = self.call("Encrypt", body)?;
        encrypted(response.body()).map_err(bad_answer)
    }

    /// Decrypts with this key, or the one that the ciphertext names, and this context.
    pub(crate) fn decrypt(
        &self,
        ciphertext: &[u8],
        key: Option<&str>,
        context: Context<'_>,
    ) -> Result<SecretBytes, AwsError> {
        let body = decrypt_request(key, ciphertext, context);
        let response = self.call("Decrypt", body)?;
        decrypted(response.body()).map_err(bad_answer)
    }

    /// The file with access keys, if others may read or change it.
    pub(crate) fn loose_files(&self) -> Vec<LoosePermissions> {
        let file = profile::credentials_file(&self.variables);
        let loose = file.and_then(|path| permissions::check_path(&path));
        loose.into_iter().collect()
    }

    fn call(&self, operation: &'static str, body: SecretBytes) -> Result<Response, AwsError> {
        let deadline = Deadline::after(self.request_timeout);
        let target = format!("TrentService.{operation}");
        let call = ApiCall {
            service: Service::KMS,
            operation,
            headers: &[
                ("content-type", "application/x-amz-json-1.1"),
                ("x-amz-target", &target),
            ],
            body,
        };
        let session = self.session()?;
        let attempt = || match self.attempt(&session, &call, deadline) {
            // They were taken back before their end: others may be had. Once: the next answer
            // counts.
            Err(AwsError::Answered(refused))
                if is_refusal(refused.class()) && session.credentials.source.renews() =>
            {
                session.credentials.forget(deadline)?;
                self.attempt(&session, &call, deadline)
            }
            answer => answer,
        };
        retry(deadline, attempt, AwsError::is_retryable)
    }

    fn attempt(
        &self,
        session: &Session,
        call: &ApiCall<'_>,
        deadline: Deadline,
    ) -> Result<Response, AwsError> {
        let credentials = session.credentials.current(&session.api, deadline)?;
        let start = Instant::now();
        let answer = session.api.call(call, Some(&credentials), deadline);
        let millis = start.elapsed().as_millis();
        let operation = call.operation;
        match &answer {
            Ok(response) => {
                let id = response.header("x-amzn-requestid").unwrap_or("-").escape_debug();
                self.say(LOGS_REQUESTS, || {
                    format!("KMS answered {operation} after {millis} ms; request id {id}")
                });
            }
            Err(error) => self.say(LOGS_FAILURES, || {
                format!("{operation} failed after {millis} ms: {error}")
            }),
        }
        answer
    }

    fn say(&self, level: usize, text: impl FnOnce() -> String) {
        if level <= self.log_level {
            let key = &self.key.text;
            self.notify.tell(&format!("AWS KMS key {key}: {}", text()));
        }
    }
}

/// Whether other credentials may be taken where these were refused.
fn is_refusal(class: Class) -> bool {
    matches!(class, Class::Expired | Class::BadCredentials)
}

fn bad_answer(reason: &'static str) -> AwsError {
    AwsError::bad_answer(Service::KMS.title, reason)
}

fn encrypt_request(key: &str, plaintext: &[u8], context: Context<'_>) -> SecretBytes {
    let request = json!({ "KeyId": key, "EncryptionContext": BTreeMap::from_iter(context.iter().copied()) })
        .to_string();
    let without_brace = request.strip_suffix('}').unwrap_or(&request);
    with_secret(&format!("{without_brace},\"Plaintext\":\""), plaintext, "\"}")
}

fn decrypt_request(key: Option<&str>, ciphertext: &[u8], context: Context<'_>) -> SecretBytes {
    let mut request = json!({ "CiphertextBlob": BASE64_STANDARD.encode(ciphertext) });
    if let Some(key) = key {
        request["KeyId"] = key.into();
    }
    if !context.is_empty() {
        request["EncryptionContext"] = json!(BTreeMap::from_iter(context.iter().copied()));
    }
    SecretBytes::new(request.to_string().into_bytes())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptAnswer<'a> {
    #[serde(borrow)]
    ciphertext_blob: Cow<'a, str>,
    #[serde(borrow)]
    key_id: Cow<'a, str>,
}

fn encrypted(body: &[u8]) -> Result<Encrypted, &'static str> {
    let answer: EncryptAnswer<'_> =
        serde_json::from_slice(body).map_err(|_| "it is not JSON with CiphertextBlob and KeyId as texts")?;
    let ciphertext = BASE64_STANDARD
        .decode(&*answer.ciphertext_blob)
        .map_err(|_| "its CiphertextBlob is not base64")?;
    Ok(Encrypted {
        ciphertext,
        key: answer.key_id.into_owned(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptAnswer {
    plaintext: SecretBase64,
}

fn decrypted(body: &[u8]) -> Result<SecretBytes, &'static str> {
    // A text with escapes would be copied by the parser, and those copies are not wiped. Base64
    // needs none.
    if body.contains(&b'\\') {
        return Err("there is a backslash in it");
    }
    let answer: DecryptAnswer =
        serde_json::from_slice(body).map_err(|_| "it is not JSON with Plaintext in base64")?;
    Ok(answer.plaintext.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_api_reference_says() {
        let text = |body: SecretBytes| String::from_utf8(body.expose().to_vec()).unwrap();
        assert_eq!(
            text(encrypt_request(
                "alias/x",
                &[1, 2, 3, 4],
                &[("keyroll:keystore", "u")]
            )),
            r#"{"EncryptionContext":{"keyroll:keystore":"u"},"KeyId":"alias/x","Plaintext":"AQIDBA=="}"#
        );
        assert_eq!(
            text(decrypt_request(Some("k"), &[1, 2, 3], &[("a", "b")])),
            r#"{"CiphertextBlob":"AQID","EncryptionContext":{"a":"b"},"KeyId":"k"}"#
        );
        assert_eq!(
            text(decrypt_request(None, &[1, 2, 3], &[])),
            r#"{"CiphertextBlob":"AQID"}"#
        );
    }

    #[test]
    fn answers_are_read_or_refused_without_a_word_of_them() {
        let answer = encrypted(
            br#"{"KeyId":"arn","CiphertextBlob":"AQID","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
        );
        let answer = answer.unwrap();
        assert_eq!((answer.ciphertext, answer.key.as_str()), (vec![1, 2, 3], "arn"));
        assert_eq!(decrypted(br#"{"Plaintext":"AQID"}"#).unwrap().expose(), [1, 2, 3]);
        for garbage in [
            "",
            "{}",
            "null",
            r#"{"Plaintext":3}"#,
            r#"{"Plaintext":"!"}"#,
            r#"{"Plaintext":"AQI\/"}"#,
        ] {
            assert!(decrypted(garbage.as_bytes()).is_err(), "{garbage}");
            assert!(encrypted(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
