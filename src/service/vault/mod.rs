//! The API of HashiCorp Vault and OpenBao: requests with a token that is obtained and kept by
//! itself, and answers told apart by what a DBA has to do about them. Tested against OpenBao.
//!
//! Source of paths and statuses: the HTTP API of Vault 1.x and OpenBao 2.x, and what OpenBao 2.7.2
//! was seen to answer.

pub(crate) mod config;
pub(crate) mod error;
mod login;
mod redirect;

use std::cell::Cell;
use std::sync::PoisonError;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use config::{AccessFile, Login, VaultAccess, VaultConfig};
pub use error::{Refusal, VaultError};
use login::VaultToken;
pub use redirect::RedirectError;

use crate::cancel::{Mutex, MutexGuard};
use crate::durable::SecretSource;
use crate::net::retry::MOST_ATTEMPTS;
use crate::net::{Deadline, HttpClient, HttpOptions, Method, NetError, Request, Response, Url, retry};
use crate::secret::SecretBytes;
use crate::service::ServiceError;

/// Text of an answer that may be secret; wiped.
pub type SecretText = zeroize::Zeroizing<String>;

/// As many requests may be under way at once and find a connection that was used before.
pub(crate) const MOST_AT_ONCE: usize = 32;

/// A client of one Vault, as one identity.
#[derive(Debug)]
pub struct VaultClient {
    http: HttpClient,
    config: VaultConfig,
    policy: std::sync::Mutex<RetryPolicy>,
    token: Mutex<Option<VaultToken>>,
}

/// How a request is tried.
#[derive(Clone, Copy, Debug)]
struct RetryPolicy {
    timeout: Duration,
    max_retries: u32,
}

/// Whether a request may be sent again when it is unknown whether it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Harmless,
    NotBlindly,
}

/// What Vault says with status 400, and what that comes to: its own words may quote the request.
const KNOWN_REASONS: [(&str, Refusal); 8] = [
    ("check-and-set", Refusal::CasMismatch),
    ("replication DR secondary mode", Refusal::Secondary),
    ("disallowed by policy (too old)", Refusal::VersionTooOld),
    ("key not found", Refusal::NoSuchKey),
    ("for non-AEAD cipher suite", Refusal::KeyOfOtherType),
    ("does not support encryption", Refusal::KeyOfOtherType),
    (
        "message authentication failed",
        Refusal::Other(
            400,
            "it was made by another key or for another keystore, or was changed",
        ),
    ),
    (
        "version is too new",
        Refusal::Other(400, "its version is newer than any of the key"),
    ),
];

/// An answer with status 200 or 204, or with 404 and data.
pub struct Answer {
    response: Response,
    host: String,
    path: String,
}

impl Answer {
    /// Whether the status was 404: so a version is told that is deleted or destroyed.
    pub fn is_gone(&self) -> bool {
        self.response.status == 404
    }

    /// Whether nothing was said, as where something was done and nothing is to be told of it.
    pub fn is_empty(&self) -> bool {
        self.response.body().is_empty()
    }

    /// The member `data` of the answer.
    ///
    /// # Errors
    /// [`Refusal::BadAnswer`], which quotes nothing of it.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        #[derive(Deserialize)]
        struct Outer<T> {
            data: T,
        }
        self.whole::<Outer<T>>().map(|outer| outer.data)
    }

    fn whole<T: DeserializeOwned>(&self) -> Result<T, VaultError> {
        serde_json::from_slice(self.response.body()).map_err(|error| VaultError::Refused {
            host: self.host.clone(),
            namespace: String::new(),
            path: self.path.clone(),
            is_write: false,
            // Serde's words for a value of the wrong type quote it.
            refusal: Refusal::BadAnswer(error.line(), error.column()),
        })
    }
}

impl VaultClient {
    /// Reads the certificates; asks nobody yet.
    ///
    /// # Errors
    /// Certificates that cannot be used, or a Vault that would be asked without TLS.
    pub fn new(config: VaultConfig) -> Result<VaultClient, VaultError> {
        let access = &config.access;
        config.address.check_protection(access.plain_http)?;
        let options = HttpOptions {
            tls: access.tls.clone(),
            plain_http: access.plain_http,
            proxies: access.proxies.clone(),
            // Each request has a deadline of its own, which may be set anew.
            connect_timeout: Duration::MAX,
            max_idle: MOST_AT_ONCE,
            ..HttpOptions::default()
        };
        let http = match config.address.is_https() {
            true => HttpClient::new(options)?,
            false => HttpClient::for_plain_http(options),
        };
        Ok(VaultClient {
            policy: std::sync::Mutex::new(RetryPolicy {
                timeout: access.timeout,
                max_retries: access.max_retries,
            }),
            http,
            config,
            token: Mutex::new(None),
        })
    }

    /// How Vault is asked.
    pub fn access(&self) -> &VaultAccess {
        &self.config.access
    }

    /// Host and port, for messages.
    pub fn host(&self) -> &str {
        self.config.address.authority()
    }

    /// The time for a call of several requests: that of one, as often as it may be tried.
    pub fn allowance(&self) -> Deadline {
        let RetryPolicy { timeout, max_retries } = self.policy();
        let tries = max_retries.saturating_add(1).min(MOST_ATTEMPTS);
        Deadline::after(timeout.saturating_mul(tries))
    }

    /// Has later requests, those of calls under way too, go by this in place of the settings.
    pub fn set_retry_policy(&self, timeout: Duration, max_retries: u32) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = RetryPolicy { timeout, max_retries };
    }

    fn policy(&self) -> RetryPolicy {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// GET of `v1/PATH`.
    pub fn read(&self, path: &str, deadline: Deadline) -> Result<Answer, VaultError> {
        self.with_token(&Method::GET, path, &[], Repeat::Harmless, deadline)
    }

    /// POST to `v1/PATH` of something that changes nothing in Vault, such as decryption.
    pub fn compute(&self, path: &str, body: &SecretBytes, deadline: Deadline) -> Result<Answer, VaultError> {
        self.with_token(&Method::POST, path, body.expose(), Repeat::Harmless, deadline)
    }

    /// POST to `v1/PATH`, sent again only where it surely had no effect.
    pub fn write(&self, path: &str, body: &SecretBytes, deadline: Deadline) -> Result<Answer, VaultError> {
        self.with_token(&Method::POST, path, body.expose(), Repeat::NotBlindly, deadline)
    }

    /// Renews the token or logs in anew where due; when to call this next, `None` for never.
    pub fn keep_token(&self, deadline: Deadline) -> Result<Option<Duration>, VaultError> {
        let mut token = self.token(deadline)?;
        self.ensure_token(&mut token, deadline)?;
        Ok(token.as_ref().and_then(VaultToken::renew_in))
    }

    /// Ends all requests under way and refuses all later ones.
    pub fn interrupt(&self) {
        self.http.interrupt();
    }

    /// Whether a token that is no longer valid can be replaced: by a login or by reading a file.
    fn can_log_in_again(&self) -> bool {
        let login = self.config.access.login.as_ref();
        login.is_some_and(|login| !matches!(login, Login::Token(SecretSource::Value(_))))
    }

    /// Whoever has it may be logging in.
    fn token(&self, deadline: Deadline) -> Result<MutexGuard<'_, Option<VaultToken>>, NetError> {
        deadline.lock(&self.token, self.host())
    }

    /// A request with the token. Where Vault no longer takes the token, a new one is obtained once.
    fn with_token(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<Answer, VaultError> {
        let mut had_new_token = false;
        loop {
            let token = {
                let mut held = self.token(deadline)?;
                had_new_token |= self.ensure_token(&mut held, deadline)?;
                held.as_ref().map(VaultToken::copy).unwrap_or_default()
            };
            let result = self.send(method, path, body, Some(&token), repeat, deadline);
            if !result.as_ref().is_err_and(|error| error.is(Refusal::Forbidden)) {
                return result;
            }
            // 403 is both: a token that is not (or no longer) valid, and one that may not do this.
            match self.look_up(&token, deadline) {
                Ok(_) => return result,
                Err(error) if error.is(Refusal::Forbidden) => {}
                Err(error) => return Err(error),
            }
            self.token(deadline)?.take();
            if had_new_token || !self.can_log_in_again() {
                return Err(self.refused(path, Refusal::TokenInvalid));
            }
            had_new_token = true;
        }
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
        token: Option<&SecretBytes>,
        repeat: Repeat,
        deadline: Deadline,
    ) -> Result<Answer, VaultError> {
        let left = Cell::new(self.policy().max_retries);
        retry(
            deadline,
            || {
                let deadline = Deadline::after(deadline.remaining().min(self.policy().timeout));
                self.ask(method, path, body, token, deadline)
            },
            |error| {
                let is_worth_it = match repeat {
                    Repeat::Harmless => error.is_retryable(),
                    Repeat::NotBlindly => error.is_retryable() && error.had_no_effect(),
                };
                is_worth_it && left.get() > 0 && {
                    left.set(left.get() - 1);
                    true
                }
            },
        )
    }

    /// Sends it to the configured address, and on to where a standby says that the active node is.
    fn ask(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
        token: Option<&SecretBytes>,
        deadline: Deadline,
    ) -> Result<Answer, VaultError> {
        let mut url = self.config.address.with_path(&format!("/v1/{path}"))?;
        let mut followed = 0;
        loop {
            let request = self.request(method, url.clone(), body, token);
            let response = self.http.send(request, deadline)?;
            if !redirect::is_redirect(response.status) {
                return self.classify(&url, path, method, response);
            }
            let location = response.header("location");
            let next = match followed == redirect::MOST {
                true => Err(RedirectError::TooMany),
                false => redirect::follow(&url, response.status, location, self.config.access.plain_http),
            };
            url = next.map_err(|error| VaultError::NotFollowed {
                host: url.authority().to_owned(),
                to: redirect::shown(location),
                status: response.status,
                error,
            })?;
            followed += 1;
        }
    }

    fn request(&self, method: &Method, url: Url, body: &[u8], token: Option<&SecretBytes>) -> Request {
        let mut request = Request::new(method.clone(), url).header("X-Vault-Request", b"true");
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token.expose());
        }
        if !self.config.access.namespace.is_empty() {
            request = request.header("X-Vault-Namespace", self.config.access.namespace.as_bytes());
        }
        if !body.is_empty() {
            request = request
                .header("Content-Type", b"application/json")
                .body(SecretBytes::copy_of(body));
        }
        request
    }

    /// What the status says. The texts of Vault are looked at for known words and never passed on.
    fn classify(
        &self,
        url: &Url,
        path: &str,
        method: &Method,
        response: Response,
    ) -> Result<Answer, VaultError> {
        let status = response.status;
        let says = |words: &[u8]| response.body().windows(words.len()).any(|window| window == words);
        let refusal = match status {
            200 | 204 => None,
            404 if says(b"\"data\"") => None,
            404 if says(b"no handler for route") => Some(Refusal::NoSuchMount),
            404 => Some(Refusal::NotFound),
            403 => Some(Refusal::Forbidden),
            412 | 473 => Some(Refusal::Behind(status)),
            429 => Some(Refusal::Busy),
            472 => Some(Refusal::Secondary),
            503 if says(b"sealed") => Some(Refusal::Sealed),
            500.. => Some(Refusal::Fails(status)),
            400 => {
                let mut known = KNOWN_REASONS.iter();
                let known = known.find(|(words, _)| says(words.as_bytes()));
                Some(known.map_or(Refusal::Other(400, ""), |(_, refusal)| *refusal))
            }
            _ => Some(Refusal::Other(status, "")),
        };
        match refusal {
            Some(refusal) => Err(self.refused_at(url, path, *method != Method::GET, refusal)),
            None => Ok(Answer {
                response,
                host: url.authority().to_owned(),
                path: path.to_owned(),
            }),
        }
    }

    /// The error of a request to the configured address that was to write nothing.
    pub(crate) fn refused(&self, path: &str, refusal: Refusal) -> VaultError {
        self.refused_at(&self.config.address, path, false, refusal)
    }

    fn refused_at(&self, url: &Url, path: &str, is_write: bool, refusal: Refusal) -> VaultError {
        VaultError::Refused {
            host: url.authority().to_owned(),
            namespace: self.config.access.namespace.clone(),
            path: path.to_owned(),
            is_write,
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_the_time_of_all_its_tries_and_no_more_tries_than_are_made() {
        let client = VaultClient::new(VaultConfig {
            address: Url::parse("http://127.0.0.1:8200").unwrap(),
            access: VaultAccess::from_environment(|_| None, Duration::ZERO),
        });
        let client = client.unwrap();
        let allowed = |timeout, max_retries| {
            client.set_retry_policy(timeout, max_retries);
            client.allowance().allowed()
        };
        assert_eq!(allowed(Duration::from_millis(1500), 3), Duration::from_secs(6));
        let most = Duration::from_secs(2 * u64::from(MOST_ATTEMPTS));
        assert_eq!(allowed(Duration::from_secs(2), u32::MAX), most);
        assert_eq!(allowed(Duration::MAX, u32::MAX), Duration::MAX);
    }
}
