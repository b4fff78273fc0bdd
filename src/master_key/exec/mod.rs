//! `exec:PATH`: a master key at any key service, reached by an external command.
//! docs/exec-provider.md specifies how the command is run, asked and answers;
//! examples/exec-provider-openssl.sh is one.

mod client;
mod environment;
mod protocol;
mod said;
mod spawn;
mod trust;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use self::client::{End, Outcome};
use self::protocol::ANSWER_LIMIT;
use super::options::{ProviderOptions, absolute_path};
use super::{MasterKey, MasterKeyError, Wrapped, is_key_version};
use crate::net::{Deadline, retry};
use crate::notify::Notify;
use crate::secret::{KeystoreKey, SecretBytes};

/// How a command says that it does not know the operation (EX_USAGE of sysexits.h).
const EXIT_UNKNOWN_OPERATION: i32 = 64;

/// How it says that the master key does not open the ciphertext (EX_DATAERR).
const EXIT_WRONG_KEY: i32 = 65;

/// How it says that another try may succeed (EX_TEMPFAIL).
const EXIT_TRY_AGAIN: i32 = 75;

pub(crate) struct Exec {
    path: PathBuf,
    /// The time for one call, all its retries together.
    request_timeout: Duration,
    environment: BTreeMap<OsString, OsString>,
    /// Who is told what the command says on stderr.
    notify: Notify,
}

/// The command at this path; runs nothing yet.
pub(super) fn open(path: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, String> {
    Ok(Box::new(Exec {
        path: absolute_path(path)?,
        request_timeout: options.request_timeout,
        environment: environment::for_command(&options.environment),
        notify: options.notify.clone(),
    }))
}

impl Exec {
    /// Runs the command until it answers or the time is over.
    fn call<T>(
        &self,
        operation: &'static str,
        request: &SecretBytes,
        understand: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, MasterKeyError> {
        let deadline = Deadline::after(self.request_timeout);
        let attempt = || {
            let outcome = self.run(request, deadline)?;
            outcome.said.iter().for_each(|line| self.tell(line));
            let answer = self.judge(operation, &outcome)?;
            understand(answer).map_err(|reason| MasterKeyError::bad_answer(self, operation, reason))
        };
        retry(deadline, attempt, MasterKeyError::is_retryable)
    }

    fn run(&self, request: &SecretBytes, deadline: Deadline) -> Result<Outcome, MasterKeyError> {
        let program = trust::resolve(&self.path)?;
        client::run(self, &program, request, deadline).map_err(|source| MasterKeyError::CannotRun {
            path: self.path.clone(),
            source,
        })
    }

    /// The answer, if the command says by its end that it gave one.
    fn judge<'a>(&self, operation: &'static str, outcome: &'a Outcome) -> Result<&'a [u8], MasterKeyError> {
        let provider = self.describe();
        let (code, ended) = match outcome.end {
            End::Exited(code) => (Some(code), meaning(code)),
            End::Killed(signal) => (None, format!("signal {} killed it", signal as i32)),
            End::TimedOut => {
                let waited = self.request_timeout;
                return Err(MasterKeyError::Timeout { provider, waited });
            }
            End::Cancelled => return Err(MasterKeyError::Cancelled { provider }),
            End::TooMuch => {
                let reason = format!("it has more than {ANSWER_LIMIT} bytes");
                return Err(MasterKeyError::bad_answer(self, operation, reason));
            }
        };
        let reason = match outcome.said.last() {
            Some(last) => format!("{ended}; it said: {last}"),
            None => format!("{ended}; it said nothing"),
        };
        Err(match code {
            Some(0) => return Ok(outcome.answer.expose()),
            // It leaves its versions to its service; the next wrap uses the newest one there.
            Some(EXIT_UNKNOWN_OPERATION) if operation == "rotate" => {
                self.tell(
                    "makes no versions of the master key by itself; the newest one at its service is used",
                );
                return Ok(b"{}");
            }
            Some(EXIT_WRONG_KEY) if operation == "unwrap" => MasterKeyError::WrongKey { provider, reason },
            Some(EXIT_TRY_AGAIN) => MasterKeyError::Unreachable { provider, reason },
            Some(_) => MasterKeyError::Refused {
                provider,
                operation,
                reason,
            },
            None => MasterKeyError::bad_answer(self, operation, reason),
        })
    }

    fn tell(&self, line: &str) {
        self.notify.tell(&format!("{}: {line}", self.describe()));
    }
}

impl MasterKey for Exec {
    fn describe(&self) -> String {
        format!("command {}", self.path.display())
    }

    fn wrap(&self, key: &KeystoreKey, keystore: &str) -> Result<Wrapped, MasterKeyError> {
        let request = protocol::wrap_request(key, keystore);
        let (bytes, key_version) = self.call("wrap", &request, protocol::wrap_answer)?;
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
    }

    fn rotate(&self) -> Result<(), MasterKeyError> {
        self.call("rotate", &protocol::rotate_request(), protocol::rotate_answer)
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
