//! Points on the way of a write where a test kills the process or makes the step fail.
//!
//! Only with the Cargo feature `test-failpoints`, which no shipped build has; without it [`reach`]
//! is nothing. With it the environment variable `KEYROLL_FAILPOINT` says what happens where:
//!
//! | value | what happens |
//! |---|---|
//! | `NAME=kill` | the process sends itself SIGKILL when it reaches NAME |
//! | `NAME=kill@N` | the same when it reaches NAME for the Nth time |
//! | `NAME=fail` | the step behind NAME fails with ENOSPC, each time |
//! | `NAME=fail@N` | the same, the Nth time only |

use std::fmt::Display;
use std::io;

/// The names of all points on this floor, in the order in which a write reaches them.
pub const ALL: &[&str] = &[
    // A file is replaced.
    "replace:lock",
    "replace:remove-stale",
    "replace:examine",
    "replace:create",
    "replace:prepare",
    "replace:write",
    "replace:sync",
    // A copy of the file before it is made.
    "replace:previous",
    "previous:create",
    "previous:prepare",
    "previous:write",
    "previous:sync",
    // The new file takes its place.
    "replace:rename",
    "replace:sync-directory",
    "replace:read-back",
    // The copy of the one before takes its place, or is removed.
    "previous:rename",
    "previous:sync-directory",
    // After a failure from the rename on the old bytes are put back.
    "back:create",
    "back:prepare",
    "back:write",
    "back:sync",
    "back:rename",
    "back:sync-directory",
    // A file is made.
    "create:lock",
    "create:create",
    "create:prepare",
    "create:write",
    "create:sync",
    "create:link",
    "create:unlink",
    "create:sync-directory",
    "create:read-back",
    // A file that one process alone writes is put in its place.
    "put:create",
    "put:prepare",
    "put:write",
    "put:sync",
    "put:rename",
    "put:sync-directory",
    "put:read-back",
];

/// Does what `KEYROLL_FAILPOINT` says for this point, if it says anything.
///
/// # Errors
/// ENOSPC, where the variable asks for it; never without the feature `test-failpoints`.
#[cfg(feature = "test-failpoints")]
pub fn reach(name: impl Display) -> io::Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};

    // One variable names one point, so one count is enough.
    static REACHED: AtomicU64 = AtomicU64::new(0);

    let Ok(setting) = std::env::var("KEYROLL_FAILPOINT") else {
        return Ok(());
    };
    let Some(action) = setting.strip_prefix(&format!("{name}=")) else {
        return Ok(());
    };
    let count = REACHED.fetch_add(1, Ordering::Relaxed) + 1;
    let (action, when) = match action.split_once('@') {
        Some((action, when)) => (action, when.parse().ok()),
        None => (action, Some(count)),
    };
    if when != Some(count) {
        return Ok(());
    }
    match action {
        "kill" => {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)?;
            Ok(())
        }
        _ => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
    }
}

/// Nothing: this build has no points.
///
/// # Errors
/// None.
#[cfg(not(feature = "test-failpoints"))]
#[inline(always)]
pub fn reach(_name: impl Display) -> io::Result<()> {
    Ok(())
}
