//! strace: a command run under it, and the words of its log.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// A command to be run.
pub(crate) struct Step {
    pub(crate) words: Vec<String>,
    /// What is done to its nth fsync, as strace says it: `signal=KILL` before it, `error=EIO`.
    pub(crate) fault: Option<(&'static str, usize)>,
}

impl Step {
    pub(crate) fn of(program: &Path, words: &[&str]) -> Step {
        let program = program.to_str().unwrap();
        let words = std::iter::once(&program)
            .chain(words)
            .map(|word| (*word).to_owned());
        Step {
            words: words.collect(),
            fault: None,
        }
    }

    pub(crate) fn with(self, what: &'static str, fsync: usize) -> Step {
        Step {
            fault: Some((what, fsync)),
            ..self
        }
    }
}

/// The log of a command that did what it was to do, or was kept from it as told.
pub(crate) fn run(step: &Step) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-xx", "-s", "1000000", "-e", "signal=none"])
        .args(["-e", "trace=%file,%desc,clone,clone3,fork,vfork", "-o"])
        .arg(log.path());
    if let Some((what, nth)) = step.fault {
        strace.args(["-e", &format!("inject=fsync:{what}:when={nth}")]);
    }
    strace.arg("--").args(&step.words).env_remove("KEYROLL_FILEKEY");
    let output = strace.output().expect("strace is installed");
    let status = output.status;
    match step.fault {
        None => assert!(status.success(), "{:?}: {output:?}", step.words),
        Some(("signal=KILL", _)) => assert_eq!(status.signal(), Some(libc::SIGKILL), "{output:?}"),
        Some(_) => assert_eq!(status.code(), Some(2), "{:?}: {output:?}", step.words),
    }
    fs::read_to_string(log.path()).unwrap()
}

/// The lines of a log; calls that another thread's stand in between are put together, where they end.
pub(crate) fn whole_lines(log: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning);
        } else if let Some(end) = rest.strip_prefix("<... ") {
            let (_, end) = end.split_once("resumed>").unwrap();
            lines.push(format!("{}{end}", begun.remove(thread).unwrap()));
        } else {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// The strings among the arguments, where strace writes each byte as `\xHH`.
pub(crate) fn strings(arguments: &str) -> Vec<Vec<u8>> {
    let bytes = |text: &str| hex::decode(text.replace("\\x", "")).expect("strace -xx");
    arguments.split('"').skip(1).step_by(2).map(bytes).collect()
}

/// The number that the text begins with.
pub(crate) fn leading_number(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

pub(crate) fn last_number(arguments: &str) -> usize {
    let (_, last) = arguments.rsplit_once(", ").unwrap();
    leading_number(last).unwrap()
}

pub(crate) fn octal(text: &str) -> u32 {
    u32::from_str_radix(text.trim_end_matches(')'), 8).unwrap()
}
