//! Starting a command as a login would: no signal blocked or ignored, in the root directory,
//! leading a process group of its own, with three pipes and the documented environment.
//!
//! A process inherits blocked and ignored signals. The server blocks HUP, INT, QUIT, PIPE, ALRM,
//! TERM and TSTP in its threads and ignores PIPE, so that a command of its could neither be ended
//! by `timeout` nor use an alarm. `std::process::Command` resets PIPE alone. To unblock the others
//! in a thread while it starts a command would have that thread take signals that are meant for the
//! server's own; posix_spawn sets them in the child, and copies no page tables of a large server.

use std::ffi::{CString, OsStr};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::Exec;
use super::trust::Program;

/// A command that runs, and our ends of its pipes.
pub(super) struct Spawned {
    pub(super) pid: Pid,
    pub(super) stdin: PipeWriter,
    pub(super) stdout: PipeReader,
    pub(super) stderr: PipeReader,
    /// The command's end of its stdin. While we hold it ourselves, a command that does not read its
    /// request cannot have the writer killed by SIGPIPE, whatever the process that we are in does
    /// with that signal.
    pub(super) kept_open: PipeReader,
}

pub(super) fn spawn(exec: &Exec, program: &Program) -> io::Result<Spawned> {
    let (kept_open, stdin) = io::pipe()?;
    let (stdout, writes_stdout) = io::pipe()?;
    let (stderr, writes_stderr) = io::pipe()?;
    // Copies have numbers above 2, so that none of the three is in the way of another.
    let ends: [OwnedFd; 3] = [
        kept_open.as_fd().try_clone_to_owned()?,
        writes_stdout.as_fd().try_clone_to_owned()?,
        writes_stderr.as_fd().try_clone_to_owned()?,
    ];
    let mut actions = PosixSpawnFileActions::init()?;
    for (end, number) in ends.iter().zip(0..) {
        actions.add_dup2(end.as_raw_fd(), number)?;
    }
    start_in_root(&mut actions)?;

    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&SigSet::all())?;

    let arguments = [c_string(&[exec.path.as_os_str()])?];
    let environment = exec
        .environment
        .iter()
        .map(|(name, value)| c_string(&[name, OsStr::new("="), value]))
        .collect::<io::Result<Vec<_>>>()?;
    let pid = posix_spawn(&program.name(), &actions, &attributes, &arguments, &environment)?;
    Ok(Spawned {
        pid,
        stdin,
        stdout,
        stderr,
        kept_open,
    })
}

fn c_string(parts: &[&OsStr]) -> io::Result<CString> {
    let bytes: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    Ok(CString::new(bytes.concat())?)
}

/// Has the child change to the root directory, for which nix has no call.
#[expect(unsafe_code, reason = "the one call of posix_spawn that nix lacks")]
fn start_in_root(actions: &mut PosixSpawnFileActions) -> io::Result<()> {
    let actions: *mut libc::posix_spawn_file_actions_t = ptr::from_mut(actions).cast();
    // SAFETY: nix's type is a transparent wrapper of libc's, which is initialised; the call keeps a
    // copy of the path.
    match unsafe { libc::posix_spawn_file_actions_addchdir_np(actions, c"/".as_ptr()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
