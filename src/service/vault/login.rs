//! Tokens: obtained by a login, renewed at two thirds of their life, obtained anew where they
//! cannot be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Login, Method, Refusal, Repeat, SecretText, VaultClient, VaultError};
use crate::durable::SecretSource;
use crate::net::Deadline;
use crate::secret::SecretBytes;
use crate::service::body::CREDENTIAL;

/// A renewal that failed is not tried again sooner.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct VaultToken {
    value: SecretBytes,
    /// When to do something about its end; `None` where it has no end, or nothing can be done.
    renew_at: Option<Instant>,
    is_renewable: bool,
}

impl VaultToken {
    /// A token that lives for so long; 0: without an end.
    fn new(value: SecretBytes, seconds: u64, is_renewable: bool) -> VaultToken {
        let mut token = VaultToken {
            value,
            renew_at: None,
            is_renewable,
        };
        token.lives(seconds);
        token
    }

    fn lives(&mut self, seconds: u64) {
        let two_thirds = Duration::from_secs(seconds) * 2 / 3;
        self.renew_at = (seconds > 0).then(|| Instant::now() + two_thirds.max(SHORTEST_PAUSE));
    }

    pub(super) fn copy(&self) -> SecretBytes {
        SecretBytes::copy_of(self.value.expose())
    }

    /// The time until [`VaultClient::keep_token`] has something to do.
    pub(super) fn renew_in(&self) -> Option<Duration> {
        let left = self.renew_at?.saturating_duration_since(Instant::now());
        Some(left.max(SHORTEST_PAUSE))
    }

    fn is_due(&self) -> bool {
        self.renew_at.is_some_and(|at| Instant::now() >= at)
    }
}

/// The answer to a login or a renewal.
#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: SecretText,
    lease_duration: u64,
    renewable: bool,
}

/// The answer to `auth/token/lookup-self`.
#[derive(Deserialize)]
pub(super) struct TokenInfo {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    creation_ttl: u64,
}

impl VaultClient {
    /// Sees to it that there is a token that is not near its end. `true` if it was just obtained.
    pub(super) fn ensure_token(
        &self,
        token: &mut Option<VaultToken>,
        deadline: Deadline,
    ) -> Result<bool, VaultError> {
        if let Some(held) = token {
            if !held.is_due() || (held.is_renewable && self.renew(held, deadline)?) {
                return Ok(false);
            }
            if !self.can_log_in_again() {
                // It serves until its end.
                held.renew_at = None;
                return Ok(false);
            }
        }
        *token = Some(self.log_in(deadline)?);
        Ok(true)
    }

    /// What Vault knows of the token; [`Refusal::Forbidden`] if it does not take it.
    pub(super) fn look_up(&self, token: &SecretBytes, deadline: Deadline) -> Result<TokenInfo, VaultError> {
        let path = "auth/token/lookup-self";
        let answer = self.send(&Method::GET, path, &[], Some(token), Repeat::Harmless, deadline)?;
        answer.data()
    }

    fn log_in(&self, deadline: Deadline) -> Result<VaultToken, VaultError> {
        let Some(login) = &self.config.access.login else {
            return Err(self.refused("", Refusal::NoToken));
        };
        let (mount, body) = match login {
            Login::Token(source) => return self.adopt(secret_of(source)?, deadline),
            Login::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = secret_of(secret_id)?;
                let secret_id = String::from_utf8_lossy(secret_id.expose());
                (mount, body_of(&[("role_id", role_id), ("secret_id", &secret_id)]))
            }
            Login::Jwt { mount, role, jwt } => {
                let jwt = secret_of(jwt)?;
                let jwt = String::from_utf8_lossy(jwt.expose());
                (mount, body_of(&[("role", role), ("jwt", &jwt)]))
            }
            Login::Certificate { mount, name } if name.is_empty() => (mount, body_of(&[])),
            Login::Certificate { mount, name } => (mount, body_of(&[("name", name)])),
        };
        let path = format!("auth/{mount}/login");
        let answer = self.send(
            &Method::POST,
            &path,
            body.expose(),
            None,
            Repeat::Harmless,
            deadline,
        );
        let refused = |status| Err(self.refused(&path, Refusal::Login(login.name(), status)));
        let auth = match answer {
            Ok(answer) => answer.whole::<Granted>()?.auth,
            Err(error) => {
                return match error.refusal() {
                    Some(Refusal::Forbidden) => refused(403),
                    Some(Refusal::NotFound) => refused(404),
                    Some(Refusal::Other(status, _)) => refused(status),
                    _ => Err(error),
                };
            }
        };
        let value = SecretBytes::copy_of(auth.client_token.as_bytes());
        Ok(VaultToken::new(value, auth.lease_duration, auth.renewable))
    }

    /// Takes up a token that was given.
    fn adopt(&self, token: SecretBytes, deadline: Deadline) -> Result<VaultToken, VaultError> {
        match self.look_up(&token, deadline) {
            // A batch token or one at its longest life is not renewable.
            Ok(info) => {
                let is_renewable = info.renewable && info.creation_ttl > 0;
                Ok(VaultToken::new(token, info.ttl, is_renewable))
            }
            // Not valid, or not allowed to look at itself: the request to come will tell.
            Err(error) if error.is(Refusal::Forbidden) => Ok(VaultToken::new(token, 0, false)),
            Err(error) => Err(error),
        }
    }

    /// Whether the token lives longer now. `false`: it is at the end of its longest life, or no
    /// longer valid.
    fn renew(&self, held: &mut VaultToken, deadline: Deadline) -> Result<bool, VaultError> {
        let path = "auth/token/renew-self";
        let before = held.renew_at;
        match self.send(
            &Method::POST,
            path,
            b"{}",
            Some(&held.value),
            Repeat::Harmless,
            deadline,
        ) {
            Ok(answer) => {
                let auth = answer.whole::<Granted>()?.auth;
                held.lives(auth.lease_duration);
                held.is_renewable = auth.renewable;
                // At the end of the longest life a renewal gives less and less.
                let is_longer = auth.lease_duration > 2 * SHORTEST_PAUSE.as_secs();
                if !is_longer {
                    held.renew_at = before;
                }
                Ok(is_longer)
            }
            Err(error) if matches!(error.refusal(), Some(Refusal::Forbidden | Refusal::Other(..))) => {
                Ok(false)
            }
            Err(error) => {
                // It may still be valid for a third of its life: a failed renewal is no reason to
                // fail a request.
                if error.is_away() {
                    held.renew_at = Some(Instant::now() + SHORTEST_PAUSE);
                    return Ok(true);
                }
                Err(error)
            }
        }
    }
}

/// What we log in with.
fn secret_of(source: &SecretSource) -> Result<SecretBytes, VaultError> {
    match source {
        SecretSource::Value(secret) => Ok(SecretBytes::copy_of(secret)),
        SecretSource::File(path) => CREDENTIAL.read_at(path).map_err(|error| VaultError::SecretFile {
            path: path.clone(),
            mend: error.hint(path),
            source: error.into(),
        }),
    }
}

/// A JSON object of texts.
fn body_of(members: &[(&str, &str)]) -> SecretBytes {
    let length: usize = members.iter().map(|(name, value)| name.len() + value.len()).sum();
    // Room for escapes, so that the vector does not grow and leave an unwiped copy behind.
    let mut body = SecretBytes::with_capacity(2 * length + 200);
    let members: BTreeMap<&str, &str> = members.iter().copied().collect();
    // Strings cannot fail to serialise.
    let _ = serde_json::to_writer(body.expose_mut(), &members);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_and_a_pipe_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (file, pipe) = (directory.path().join("file"), directory.path().join("pipe"));
        std::fs::write(&file, " s.token\r\n").unwrap();
        let secret = secret_of(&SecretSource::File(file)).unwrap();
        assert_eq!(secret.expose(), b"s.token");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = secret_of(&SecretSource::File(pipe)).unwrap_err().to_string();
        assert!(error.ends_with("pipe: not a regular file"), "{error}");
    }
}
