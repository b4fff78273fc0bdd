//! Tokens: obtained by a login, renewed at two thirds of their life, obtained anew where they cannot be.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config::copy;
use super::{Login, Method, Repeat, SecretText, VaultClient, VaultError};
use crate::net::Deadline;
use crate::secret::SecretBytes;

/// A renewal that failed is not tried again sooner.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A token in use.
#[derive(Debug)]
pub(super) struct Session {
    token: SecretBytes,
    /// When to do something about its end; `None` where it has no end, or nothing can be done.
    renew_at: Option<Instant>,
    is_renewable: bool,
}

impl Session {
    fn new(token: SecretBytes, life: Life) -> Session {
        let mut session = Session {
            token,
            renew_at: None,
            is_renewable: life.is_renewable,
        };
        session.lives(life.seconds);
        session
    }

    fn lives(&mut self, seconds: u64) {
        let two_thirds = Duration::from_secs(seconds) * 2 / 3;
        self.renew_at = (seconds > 0).then(|| Instant::now() + two_thirds.max(SHORTEST_PAUSE));
    }

    pub(super) fn copy_token(&self) -> SecretBytes {
        copy(self.token.expose())
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

/// What Vault tells of a token's life.
#[derive(Debug)]
struct Life {
    seconds: u64,
    is_renewable: bool,
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
struct TokenInfo {
    ttl: u64,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    creation_ttl: u64,
}

/// What a login sends.
#[derive(Serialize)]
struct Credentials<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl VaultClient {
    /// Sees to it that there is a token that is not near its end. `true` if it was just obtained.
    pub(super) fn ensure_token(
        &self,
        session: &mut Option<Session>,
        deadline: Deadline,
    ) -> Result<bool, VaultError> {
        match session {
            None => {
                *session = Some(self.log_in(deadline)?);
                Ok(true)
            }
            Some(held) if held.is_due() => {
                if held.is_renewable && self.renew(held, deadline)? {
                    return Ok(false);
                }
                if !self.can_log_in_again() {
                    // It serves until its end.
                    held.renew_at = None;
                    return Ok(false);
                }
                *session = Some(self.log_in(deadline)?);
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// Whether Vault takes the token at all.
    pub(super) fn is_valid(&self, token: &SecretBytes, deadline: Deadline) -> Result<bool, VaultError> {
        match self.look_up(token, deadline) {
            Ok(_) => Ok(true),
            Err(VaultError::Forbidden { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn look_up(&self, token: &SecretBytes, deadline: Deadline) -> Result<TokenInfo, VaultError> {
        let path = "auth/token/lookup-self";
        let answer = self.send(&Method::GET, path, &[], Some(token), Repeat::Harmless, deadline)?;
        answer.data()
    }

    fn log_in(&self, deadline: Deadline) -> Result<Session, VaultError> {
        let Some(login) = &self.config.access.login else {
            return Err(VaultError::NoToken {
                host: self.host().into(),
            });
        };
        let (mount, body) = match login {
            Login::Token(source) => return self.adopt(source.get()?, deadline),
            Login::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let secret_id = secret_id.get()?;
                let secret_id = String::from_utf8_lossy(secret_id.expose());
                (mount, body_of(Some(role_id), Some(&secret_id), None, None, None))
            }
            Login::Jwt { mount, role, jwt } => {
                let jwt = jwt.get()?;
                let jwt = String::from_utf8_lossy(jwt.expose());
                (mount, body_of(None, None, Some(role), Some(&jwt), None))
            }
            Login::Certificate { mount, name } => {
                let name = (!name.is_empty()).then_some(name.as_str());
                (mount, body_of(None, None, None, None, name))
            }
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
        let refused = |status| VaultError::LoginRefused {
            host: self.host().into(),
            login: login.name(),
            path: path.clone(),
            status,
        };
        let auth = match answer {
            Ok(answer) => answer.whole::<Granted>()?.auth,
            Err(VaultError::Forbidden { .. }) => return Err(refused(403)),
            Err(VaultError::NotFound { .. }) => return Err(refused(404)),
            Err(VaultError::Refused { status, .. }) => return Err(refused(status)),
            Err(error) => return Err(error),
        };
        let life = Life {
            seconds: auth.lease_duration,
            is_renewable: auth.renewable,
        };
        Ok(Session::new(copy(auth.client_token.as_bytes()), life))
    }

    /// Takes up a token that was given.
    fn adopt(&self, token: SecretBytes, deadline: Deadline) -> Result<Session, VaultError> {
        let life = match self.look_up(&token, deadline) {
            Ok(info) => Life {
                seconds: info.ttl,
                // A batch token or one at its longest life is not.
                is_renewable: info.renewable && info.creation_ttl > 0,
            },
            // Not valid, or not allowed to look at itself: the request to come will tell.
            Err(VaultError::Forbidden { .. }) => Life {
                seconds: 0,
                is_renewable: false,
            },
            Err(error) => return Err(error),
        };
        Ok(Session::new(token, life))
    }

    /// Whether the token lives longer now. `false`: it is at the end of its longest life, or no longer valid.
    fn renew(&self, held: &mut Session, deadline: Deadline) -> Result<bool, VaultError> {
        let path = "auth/token/renew-self";
        let before = held.renew_at;
        match self.send(
            &Method::POST,
            path,
            b"{}",
            Some(&held.token),
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
            Err(VaultError::Forbidden { .. } | VaultError::Refused { .. }) => Ok(false),
            Err(error) => {
                // It may still be valid for a third of its life: a failed renewal is no reason to fail a request.
                if error.is_away() {
                    held.renew_at = Some(Instant::now() + SHORTEST_PAUSE);
                    return Ok(true);
                }
                Err(error)
            }
        }
    }
}

fn body_of(
    role_id: Option<&str>,
    secret_id: Option<&str>,
    role: Option<&str>,
    jwt: Option<&str>,
    name: Option<&str>,
) -> SecretBytes {
    let credentials = Credentials {
        role_id,
        secret_id,
        role,
        jwt,
        name,
    };
    let length: usize = [role_id, secret_id, role, jwt, name]
        .iter()
        .flatten()
        .map(|text| text.len())
        .sum();
    // Room for escapes, so that the vector does not grow and leave an unwiped copy behind.
    let mut body = SecretBytes::with_capacity(2 * length + 200);
    // Strings cannot fail to serialise.
    let _ = serde_json::to_writer(body.expose_mut(), &credentials);
    body
}
