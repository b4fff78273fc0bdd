//! `exec:PATH`: a master key at any key service, reached by an external command.
//! docs/exec-provider.md specifies how the command is run, asked and answers;
//! examples/exec-provider-openssl.sh is one.
//!
//! | module | holds |
//! |---|---|
//! | [`config`](ExecConfig) | the command and its environment |
//! | `trust` | whether it may be trusted with a key |
//! | `client` | running it once |
//! | `spawn` | starting it, and what it inherits |
//! | `protocol` | the texts of requests and answers |
//! | `said` | what it says on stderr, without keys |

mod client;
mod config;
mod protocol;
mod said;
mod spawn;
mod trust;

use std::time::Duration;

pub(crate) use config::ExecConfig;

use self::client::{End, Outcome};
use self::protocol::ANSWER_LIMIT;
use super::options::ProviderOptions;
use super::{MasterKey, MasterKeyError, Wrapped, is_key_version};
use crate::net::{Deadline, retry};
use crate::secret::{KeystoreKey, SecretBytes};

/// How a command says that it does not know the operation (EX_USAGE of sysexits.h).
const EXIT_UNKNOWN_OPERATION: i32 = 64;

/// How it says that the master key does not open the ciphertext (EX_DATAERR).
const EXIT_WRONG_KEY: i32 = 65;

/// How it says that another try may succeed (EX_TEMPFAIL).
const EXIT_TRY_AGAIN: i32 = 75;

/// A master key behind an external command.
#[derive(Debug)]
pub(crate) struct Exec {
    config: ExecConfig,
}

/// The command at this path; runs nothing yet.
pub(super) fn open(path: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    let config = ExecConfig::new(path, options)?;
    Ok(Box::new(Exec { config }))
}

impl Exec {
    /// Runs the command until it answers or the time is over.
    fn call<T>(
        &self,
        operation: &'static str,
        request: &SecretBytes,
        understand: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, CallError> {
        let deadline = Deadline::after(self.config.request_timeout);
        let attempt = |remaining| {
            let outcome = self.run(request, remaining)?;
            outcome.said.iter().for_each(|line| self.tell(line));
            let answer = self.judge(operation, &outcome)?;
            let result = understand(answer);
            Ok(result.map_err(|reason| MasterKeyError::bad_answer(self, operation, reason))?)
        };
        retry(deadline, attempt, CallError::is_retryable)
    }

    fn run(&self, request: &SecretBytes, remaining: Duration) -> Result<Outcome, MasterKeyError> {
        let program = trust::resolve(&self.config.path)?;
        client::run(&self.config, &program, request, Deadline::after(remaining)).map_err(|source| {
            MasterKeyError::CannotRun {
                path: self.config.path.clone(),
                source,
            }
        })
    }

    /// The answer, if the command says by its end that it gave one.
    fn judge<'a>(&self, operation: &'static str, outcome: &'a Outcome) -> Result<&'a [u8], CallError> {
        let provider = self.describe();
        let (code, ended) = match outcome.end {
            End::Exited(code) => (Some(code), meaning(code)),
            End::Killed(signal) => (None, format!("signal {} killed it", signal as i32)),
            End::TimedOut => {
                let waited = self.config.request_timeout;
                return Err(MasterKeyError::Timeout { provider, waited }.into());
            }
            End::Cancelled => return Err(MasterKeyError::Cancelled { provider }.into()),
            End::TooMuch => {
                return Err(MasterKeyError::TooLarge {
                    provider,
                    operation,
                    limit: ANSWER_LIMIT,
                }
                .into());
            }
        };
        let reason = match outcome.said.last() {
            Some(last) => format!("{ended}; it said: {last}"),
            None => format!("{ended}; it said nothing"),
        };
        Err(match code {
            Some(0) => return Ok(outcome.answer.expose()),
            Some(EXIT_UNKNOWN_OPERATION) => return Err(CallError::UnknownOperation(reason)),
            Some(EXIT_WRONG_KEY) if operation == "unwrap" => MasterKeyError::WrongKey { provider, reason },
            Some(EXIT_TRY_AGAIN) => MasterKeyError::Unreachable { provider, reason },
            Some(_) => MasterKeyError::Refused {
                provider,
                operation,
                reason,
            },
            None => MasterKeyError::BadAnswer {
                provider,
                operation,
                reason,
            },
        }
        .into())
    }

    fn refused(&self, operation: &'static str) -> impl FnOnce(CallError) -> MasterKeyError {
        let provider = self.describe();
        move |error| match error {
            CallError::Failed(error) => error,
            CallError::UnknownOperation(reason) => MasterKeyError::Refused {
                provider,
                operation,
                reason,
            },
        }
    }

    fn tell(&self, line: &str) {
        self.config.notify.tell(&format!("{}: {line}", self.describe()));
    }
}

impl MasterKey for Exec {
    fn describe(&self) -> String {
        format!("command {}", self.config.path.display())
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let request = protocol::wrap_request(key, keystore);
        let (bytes, key_version) = self
            .call("wrap", &request, protocol::wrap_answer)
            .map_err(self.refused("wrap"))?;
        Wrapped::new(self, bytes, key_version, key)
    }

    fn unwrap(&self, wrapped: &Wrapped, keystore: &str) -> Result<KeystoreKey, MasterKeyError> {
        // No answer of a command names such a version: it stands in a keystore that someone else
        // has written.
        if !is_key_version(&wrapped.key_version) {
            let reason = "the keystore was wrapped with a version whose name is not printable ASCII";
            return Err(MasterKeyError::wrong_key(self, reason));
        }
        let request = protocol::unwrap_request(wrapped, keystore);
        self.call("unwrap", &request, protocol::unwrap_answer)
            .map_err(self.refused("unwrap"))
    }

    /// A command that knows no such operation leaves its versions to its service; the next
    /// [`wrap`](MasterKey::wrap) uses the newest one there. A message says so.
    fn rotate(&self) -> Result<(), MasterKeyError> {
        match self.call("rotate", &protocol::rotate_request(), protocol::rotate_answer) {
            Err(CallError::UnknownOperation(_)) => {
                self.tell(
                    "makes no versions of the master key by itself; the newest one at its service is used",
                );
                Ok(())
            }
            result => result.map_err(self.refused("rotate")),
        }
    }
}

/// Why a call gave no answer.
enum CallError {
    /// The command does not know the operation; what it said.
    UnknownOperation(String),
    /// Anything else.
    Failed(MasterKeyError),
}

impl CallError {
    fn is_retryable(&self) -> bool {
        matches!(self, CallError::Failed(error) if error.is_retryable())
    }
}

impl From<MasterKeyError> for CallError {
    fn from(error: MasterKeyError) -> Self {
        CallError::Failed(error)
    }
}

/// `exit code 65, which means a wrong key`.
fn meaning(code: i32) -> String {
    let known = match code {
        EXIT_WRONG_KEY => ", which means a wrong key",
        EXIT_TRY_AGAIN => ", which means to try again later",
        EXIT_UNKNOWN_OPERATION => ", which means an unknown operation",
        _ => "",
    };
    format!("exit code {code}{known}")
}
