//! Running a command once: its request in, its answer out, and nothing left of it afterwards.
//!
//! One loop polls all three pipes and never waits for any of them beyond the deadline. When it
//! ends, for whatever reason, the command's whole process group is killed and the command itself
//! reaped: a grandchild that keeps a pipe open holds nobody up. (One that has left the group lives
//! on, but nobody waits for it.)

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use zeroize::Zeroizing;

use super::Exec;
use super::protocol::ANSWER_LIMIT;
use super::trust::Program;
use super::{said, spawn};
use crate::cancel;
use crate::net::Deadline;
use crate::secret::SecretBytes;

/// How long to wait at a time. The end of a process wakes nobody who waits for pipes.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// How long a killed process is waited for: one in an uninterruptible system call does not end.
const REAP_TIMEOUT: Duration = Duration::from_secs(1);

/// As much as a pipe takes in one piece, in bytes.
const CHUNK: usize = 4096;

/// As much as a pipe may hold when its last writer ends, in bytes.
const PIPE_CAPACITY: usize = 64 * 1024;

/// How a command ended: by itself, by a signal that was not ours, or killed by us.
pub(super) enum End {
    Exited(i32),
    Killed(Signal),
    TimedOut,
    Cancelled,
    TooMuch,
}

pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) answer: SecretBytes,
    /// What it said on stderr, fit for a log.
    pub(super) said: Vec<String>,
}

/// Runs the program, without a shell, and gives it the request. Errors: it cannot be run.
pub(super) fn run(
    exec: &Exec,
    program: &Program,
    request: &SecretBytes,
    deadline: Deadline,
) -> io::Result<Outcome> {
    let spawned = spawn::spawn(exec, program)?;
    let _kept_open = spawned.kept_open;
    let mut running = Running {
        pid: spawned.pid,
        reaped: false,
    };
    let mut pipes = Pipes {
        request: Some((nonblocking(spawned.stdin)?, request.expose())),
        stdout: Output::new(spawned.stdout, ANSWER_LIMIT)?,
        stderr: Output::new(spawned.stderr, said::KEPT)?,
    };

    let mut wait = SHORTEST_WAIT;
    let killed = loop {
        if pipes.stdout.is_cut {
            break Some(End::TooMuch);
        }
        if running.has_ended() {
            break None;
        }
        let remaining = deadline.remaining();
        if remaining.is_zero() {
            break Some(End::TimedOut);
        }
        if cancel::is_cancelled() {
            break Some(End::Cancelled);
        }
        wait = match pipes.serve(wait.min(remaining))? {
            true => SHORTEST_WAIT,
            false => (wait * 2).min(LONGEST_WAIT),
        };
    };
    let status = running.finish();
    pipes.drain();
    let end = match (killed, status) {
        (Some(end @ (End::TimedOut | End::Cancelled)), _) => end,
        (_, _) if pipes.stdout.is_cut => End::TooMuch,
        (_, Some(WaitStatus::Exited(_, code))) => End::Exited(code),
        (_, Some(WaitStatus::Signaled(_, signal, _))) => End::Killed(signal),
        // Someone else in this process has reaped it, or a signal without a name has killed it.
        (_, _) => return Err(io::Error::other("how it ended is not to be known")),
    };
    Ok(Outcome {
        end,
        answer: pipes.stdout.bytes,
        said: said::lines(pipes.stderr.bytes.expose(), pipes.stderr.is_cut),
    })
}

fn nonblocking(pipe: impl Into<OwnedFd>) -> io::Result<File> {
    let pipe = pipe.into();
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(File::from(pipe))
}

/// A command and the process group that it leads. Dropped, all of it is killed.
struct Running {
    pid: Pid,
    reaped: bool,
}

impl Running {
    /// Whether the command has ended. It is not reaped yet: until then nobody else gets its number.
    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(
            waitid(Id::Pid(self.pid), flags),
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR)
        )
    }

    /// Kills what is left of the group and reaps the command; how it ended.
    fn finish(&mut self) -> Option<WaitStatus> {
        if self.reaped {
            return None;
        }
        self.reaped = true;
        // It fails where nothing is left to be killed.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let deadline = Deadline::after(REAP_TIMEOUT);
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) if !deadline.is_over() => {
                    sleep(SHORTEST_WAIT);
                }
                status => return status.ok(),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Our ends of a command's pipes.
struct Pipes<'a> {
    /// What is left to be written; `None` once it is closed.
    request: Option<(File, &'a [u8])>,
    stdout: Output,
    stderr: Output,
}

impl Pipes<'_> {
    /// Waits for any pipe and serves all of them; whether one was ready.
    fn serve(&mut self, wait: Duration) -> io::Result<bool> {
        let request = self.request.as_ref().map(|(pipe, _)| (pipe, PollFlags::POLLOUT));
        let outputs =
            [&self.stdout, &self.stderr].map(|output| Some((output.pipe.as_ref()?, PollFlags::POLLIN)));
        let open = request.into_iter().chain(outputs.into_iter().flatten());
        let mut open: Vec<_> = open
            .map(|(pipe, flags)| PollFd::new(pipe.as_fd(), flags))
            .collect();
        // Rounded up, so that the last millisecond before the deadline is not spent spinning.
        let millis = wait.as_micros().div_ceil(1000);
        match poll(
            &mut open,
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        self.write_request();
        self.stdout.read();
        self.stderr.read();
        Ok(true)
    }

    fn write_request(&mut self) {
        let Some((pipe, rest)) = &mut self.request else {
            return;
        };
        match pipe.write(&rest[..rest.len().min(CHUNK)]) {
            Ok(count) => *rest = &rest[count..],
            Err(error) if is_not_now(&error) => return,
            // What the command then makes of half a request, it answers for itself.
            Err(_) => *rest = &[],
        }
        // Closed, so that a command that reads to the end comes to it.
        if rest.is_empty() {
            self.request = None;
        }
    }

    /// Takes what a command that has ended left in its pipes.
    fn drain(&mut self) {
        for _ in 0..PIPE_CAPACITY / CHUNK + 1 {
            let (more_answer, more_said) = (self.stdout.read(), self.stderr.read());
            if !more_answer && !more_said {
                return;
            }
        }
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// The end of what comes from a pipe.
struct Output {
    /// `None` once it has ended.
    pipe: Option<File>,
    bytes: SecretBytes,
    /// The most bytes that are kept.
    limit: usize,
    is_cut: bool,
}

impl Output {
    fn new(pipe: PipeReader, limit: usize) -> io::Result<Output> {
        Ok(Output {
            pipe: Some(nonblocking(pipe)?),
            // All the room at once: a vector that grows leaves an unwiped copy behind.
            bytes: SecretBytes::with_capacity(limit + CHUNK),
            limit,
            is_cut: false,
        })
    }

    /// Reads once, without waiting; whether there may be more to come.
    fn read(&mut self) -> bool {
        let mut chunk = Zeroizing::new([0; CHUNK]);
        match self.pipe.as_mut().map(|pipe| pipe.read(&mut chunk[..])) {
            Some(Err(error)) if is_not_now(&error) => {}
            Some(Ok(count @ 1..)) => {
                let bytes = self.bytes.expose_mut();
                bytes.extend_from_slice(&chunk[..count]);
                let excess = bytes.len().saturating_sub(self.limit);
                bytes.drain(..excess);
                self.is_cut |= excess > 0;
            }
            _ => self.pipe = None,
        }
        self.pipe.is_some()
    }
}
