//! Standard output for results, standard error for everything else.

use std::io::{self, Write};

use crate::failure::Failure;

/// Writes a result to standard output. A reader that has gone (`keyroll list keys | head -1`) is no failure:
/// it had what it wanted.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
pub(crate) fn say(line: &str) {
    // Where standard error is gone there is nobody to tell; the exit code still tells the outcome.
    let _ = writeln!(io::stderr(), "{line}");
}
