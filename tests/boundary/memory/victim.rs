//! The C program that holds no key of its own, and what can be seen of its memory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::c_host::{Built, succeed};

pub(crate) struct Victim {
    child: Child,
    stages: BufReader<ChildStdout>,
}

impl Victim {
    /// Starts the program in this directory with these arguments, the first of which is one of the ciphers.
    pub(crate) fn start(
        built: &Built,
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Victim {
        let mut child = Command::new(&built.host)
            .arg(&built.library)
            .arg(directory)
            .args(arguments)
            .env_remove("KEYROLL_FILEKEY")
            // A first call of a function between get_key and the wiping would go through the dynamic linker, which
            // saves the registers, and the key that get_key has left there, on the caller's stack.
            .env("LD_BIND_NOW", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stages = BufReader::new(child.stdout.take().unwrap());
        Victim { child, stages }
    }

    /// The stage that the program has stopped at; `None` once it has ended, as it should.
    pub(crate) fn stage(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.stages.read_line(&mut line).unwrap() > 0 {
            return Some(line.trim_end().to_owned());
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the C program failed: {status}");
        None
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// A core dump: all that the kernel would write if the program crashed now, registers included.
    ///
    /// gdb writes it, heeding `coredump_filter` and MADV_DONTDUMP as the kernel does. The kernel itself would
    /// write where `core_pattern` says, which often is a pipe to a program on another file system, and which a
    /// container cannot change.
    pub(crate) fn core_dump(&self, directory: &Path) -> Vec<u8> {
        let id = self.child.id().to_string();
        let core = directory.join("core");
        succeed(Command::new("gcore").arg("-o").arg(&core).arg(&id));
        let core = directory.join(format!("core.{id}"));
        let dump = fs::read(&core).unwrap();
        fs::remove_file(core).unwrap();
        assert!(dump.starts_with(b"\x7fELF") && dump.len() > 1 << 16, "no dump");
        dump
    }

    /// All memory that can be read, also what no dump has.
    pub(crate) fn whole_memory(&self) -> Vec<u8> {
        let process = format!("/proc/{}", self.child.id());
        let memory = File::open(format!("{process}/mem")).unwrap();
        let mut bytes = Vec::new();
        for line in fs::read_to_string(format!("{process}/maps")).unwrap().lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|digits| u64::from_str_radix(digits, 16).unwrap());
            // The kernel's own page of the clock cannot be read.
            if !rest.starts_with('r') || rest.contains("[v") {
                continue;
            }
            let at = bytes.len();
            bytes.resize(at + (end - start) as usize, 0);
            memory.read_exact_at(&mut bytes[at..], start).unwrap();
        }
        bytes
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
