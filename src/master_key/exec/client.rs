//! Running a command once: its request in, its answer out, and nothing left of it afterwards.
//!
//! One loop polls all three pipes and never waits for any of them beyond the deadline. When it
//! ends, for whatever reason, the command's whole process group is killed and the command itself
//! reaped: a grandchild that keeps a pipe open holds nobody up. (One that has left the group lives
//! on, but nobody waits for it.)

use std::fs::File;
use std::io::{self, Read, Write};
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

use super::ExecConfig;
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

/// How a command ended.
pub(super) enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Killed(Signal),
    /// Killed, because the time was over.
    TimedOut,
    /// Killed, because nobody waits for it any more.
    Cancelled,
    /// Killed, because its answer had more than [`ANSWER_LIMIT`] bytes.
    TooMuch,
}

/// What came of running a command.
pub(super) struct Outcome {
    /// How it ended.
    pub(super) end: End,
    /// What it wrote to stdout.
    pub(super) answer: SecretBytes,
    /// What it said on stderr, fit for a log.
    pub(super) said: Vec<String>,
}

/// Runs the program, without a shell, and gives it the request.
///
/// # Errors
/// It cannot be run.
pub(super) fn run(
    config: &ExecConfig,
    program: &Program,
    request: &SecretBytes,
    deadline: Deadline,
) -> io::Result<Outcome> {
    let spawned = spawn::spawn(config, program)?;
    let _kept_open = spawned.kept_open;
    let mut running = Running {
        pid: spawned.pid,
        reaped: false,
    };
    let mut pipes = Pipes {
        request: Some((nonblocking(spawned.stdin)?, request.expose())),
        stdout: Some(nonblocking(spawned.stdout)?),
        answer: Answer::new(),
        stderr: Some(nonblocking(spawned.stderr)?),
        said: Said::new(),
    };

    let mut wait = SHORTEST_WAIT;
    let killed = loop {
        if pipes.answer.is_too_much() {
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
        (_, _) if pipes.answer.is_too_much() => End::TooMuch,
        (_, Some(WaitStatus::Exited(_, code))) => End::Exited(code),
        (_, Some(WaitStatus::Signaled(_, signal, _))) => End::Killed(signal),
        // Someone else in this process has reaped it, or a signal without a name has killed it.
        (_, _) => return Err(io::Error::other("how it ended is not to be known")),
    };
    Ok(Outcome {
        end,
        answer: pipes.answer.into_bytes(),
        said: said::lines(pipes.said.bytes.expose(), pipes.said.cut),
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

/// Our ends of a command's pipes; `None` for what is closed.
struct Pipes<'a> {
    request: Option<(File, &'a [u8])>,
    stdout: Option<File>,
    answer: Answer,
    stderr: Option<File>,
    said: Said,
}

impl Pipes<'_> {
    /// Waits for any pipe and serves those that are ready; whether one was.
    fn serve(&mut self, wait: Duration) -> io::Result<bool> {
        let ready = self.ready(wait)?;
        if ready[0] {
            self.write_request();
        }
        if ready[1] && !self.answer.read_from(&mut self.stdout) {
            self.stdout = None;
        }
        if ready[2] && !self.said.read_from(&mut self.stderr) {
            self.stderr = None;
        }
        Ok(ready.contains(&true))
    }

    /// Which of request, stdout and stderr can be served without waiting.
    fn ready(&self, wait: Duration) -> io::Result<[bool; 3]> {
        let pipes = [
            (self.request.as_ref().map(|(pipe, _)| pipe), PollFlags::POLLOUT),
            (self.stdout.as_ref(), PollFlags::POLLIN),
            (self.stderr.as_ref(), PollFlags::POLLIN),
        ];
        let mut ready = [false; 3];
        let (mut open, mut which) = (Vec::new(), Vec::new());
        for (index, (pipe, flags)) in pipes.into_iter().enumerate() {
            if let Some(pipe) = pipe {
                open.push(PollFd::new(pipe.as_fd(), flags));
                which.push(index);
            }
        }
        // Rounded up, so that the last millisecond before the deadline is not spent spinning.
        let millis = wait.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut open, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (poll, index) in open.iter().zip(which) {
            ready[index] = poll.any().unwrap_or(true);
        }
        Ok(ready)
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
            let more_answer = self.answer.read_from(&mut self.stdout);
            let more_said = self.said.read_from(&mut self.stderr);
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

/// Reads once. `None` at the end, `Some(0)` if there is nothing now.
fn read_once(pipe: &mut Option<File>, buffer: &mut [u8]) -> Option<usize> {
    match pipe.as_mut()?.read(buffer) {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) if is_not_now(&error) => Some(0),
        Err(_) => None,
    }
}

/// What comes from stdout: up to one byte more than an answer may have.
struct Answer {
    room: SecretBytes,
    length: usize,
}

impl Answer {
    fn new() -> Answer {
        Answer {
            room: SecretBytes::new(vec![0; ANSWER_LIMIT + 1]),
            length: 0,
        }
    }

    /// Whether there may be more to come.
    fn read_from(&mut self, pipe: &mut Option<File>) -> bool {
        if self.is_too_much() {
            return false;
        }
        match read_once(pipe, &mut self.room.expose_mut()[self.length..]) {
            Some(count) => {
                self.length += count;
                true
            }
            None => false,
        }
    }

    fn is_too_much(&self) -> bool {
        self.length > ANSWER_LIMIT
    }

    fn into_bytes(mut self) -> SecretBytes {
        self.room.expose_mut().truncate(self.length);
        self.room
    }
}

/// What comes from stderr: the end of it.
struct Said {
    bytes: SecretBytes,
    cut: bool,
}

impl Said {
    fn new() -> Said {
        Said {
            bytes: SecretBytes::with_capacity(said::KEPT + CHUNK),
            cut: false,
        }
    }

    /// Whether there may be more to come.
    fn read_from(&mut self, pipe: &mut Option<File>) -> bool {
        let mut chunk = Zeroizing::new([0; CHUNK]);
        let Some(count) = read_once(pipe, &mut chunk[..]) else {
            return false;
        };
        let bytes = self.bytes.expose_mut();
        bytes.extend_from_slice(&chunk[..count]);
        if let Some(too_much) = bytes.len().checked_sub(said::KEPT).filter(|&excess| excess > 0) {
            bytes.drain(..too_much);
            self.cut = true;
        }
        true
    }
}
