//! Standard output for results, standard error for everything else.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::ProgressBar;
use keyroll::one_line::one_line;
use serde::Serialize;

use crate::failure::Failure;
use crate::names::named;

/// How long work may take before a spinner shows that it goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Writes a result to standard output. A reader that has gone (`keyroll list | head -1`) is no
/// failure: it had what it wanted.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// The version of what `--json` prints: it grows when something is taken away or changes its
/// meaning.
const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    version: u32,
    #[serde(flatten)]
    result: &'a T,
}

/// Writes a result for scripts, which is an object, to standard output.
pub(crate) fn print_json(result: &impl Serialize) -> Result<(), Failure> {
    let version = JSON_VERSION;
    let mut text = serde_json::to_vec_pretty(&Versioned { version, result })
        .map_err(|error| Failure::Output(error.into()))?;
    text.push(b'\n');
    print(&text)
}

/// The spinner that turns now.
static SPINNER: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes a line to standard error, above a spinner that turns there.
pub(crate) fn say(line: &str) {
    let write = || {
        // Where standard error is gone there is nobody to tell; the exit code still tells the
        // outcome.
        let _ = writeln!(io::stderr(), "{}", one_line(&named(line)));
    };
    match &*spinner() {
        Some(spinner) => spinner.suspend(write),
        None => write(),
    }
}

/// Writes a warning to standard error.
pub(crate) fn warn(warning: impl Display) {
    say(&format!("keyroll: warning: {warning}"));
}

fn spinner() -> MutexGuard<'static, Option<ProgressBar>> {
    SPINNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes lines of our own to standard error.
pub(crate) fn say_lines(lines: &str) {
    lines.lines().for_each(say);
}

/// The width of the terminal that standard output is, in characters; `None` for a pipe or a file.
pub(crate) fn width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(width.0.into())
}

/// Does the work; if it takes long and a human looks on, a spinner with this text turns meanwhile.
pub(crate) fn while_waiting<T>(text: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let turning = ProgressBar::new_spinner().with_message(one_line(text).into_owned());
                turning.enable_steady_tick(TURN);
                *spinner() = Some(turning.clone());
                // Until the work is done and the other end is dropped.
                let _ = is_done.recv();
                *spinner() = None;
                turning.finish_and_clear();
            }
        });
        // Dropped on a panic, too, so that the spinner's thread always ends.
        let _done = done;
        work()
    })
}
