//! The fsyncs of a recording: which of them something hangs on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::judge::Judge;
use super::model::{Call, Number};
use super::record::Event;

impl Judge<'_> {
    /// Each fsync of the recording, by its event; those first that make something durable of a file that is needed, without which
    /// something must be lost. A command that tells nothing may leave the old name or the new one.
    pub(crate) fn syncs(&self) -> (Vec<usize>, Vec<usize>) {
        let tells = self
            .recording
            .events
            .iter()
            .any(|event| matches!(event, Event::Told));
        let tells_from = if tells {
            self.recording.last_command
        } else {
            usize::MAX
        };
        let is_needed = |path: &PathBuf| self.kind.needed.iter().any(|needed| path == Path::new(needed));
        let mut names: BTreeMap<Number, BTreeSet<PathBuf>> = BTreeMap::new();
        let mut disk = self.recording.before.clone();
        for call in self.calls() {
            disk.apply(call.1);
            for (path, (file, _)) in disk.live() {
                names.entry(file).or_default().insert(path);
            }
        }
        let mut disk = self.recording.before.clone();
        let (mut needed, mut other) = (Vec::new(), Vec::new());
        for (number, call) in self.calls() {
            let makes_durable = match call {
                Call::SyncFile { file, .. } => disk.is_pending(*file) && names[file].iter().any(is_needed),
                Call::SyncFolder(folder) => {
                    number >= tells_from && disk.pending(folder).iter().any(is_needed)
                }
                _ => false,
            };
            match makes_durable {
                true => needed.push(number),
                false if call.is_sync() => other.push(number),
                false => {}
            }
            disk.apply(call);
        }
        (needed, other)
    }

    /// This fsync, and all later ones of the same file or folder.
    pub(crate) fn this_and_later(&self, number: usize) -> Vec<usize> {
        let calls: BTreeMap<usize, &Call> = self.calls().collect();
        let later = calls.range(number..).filter(|(_, call)| **call == calls[&number]);
        later.map(|(number, _)| *number).collect()
    }

    /// The event in words.
    pub(crate) fn event(&self, number: usize) -> String {
        let mut disk = self.recording.before.clone();
        self.calls()
            .take_while(|(at, _)| *at < number)
            .for_each(|(_, call)| disk.apply(call));
        match &self.recording.events[number] {
            Event::Call(Call::SyncFile { file, .. }, _) => {
                let live = disk.live();
                let mut names = live.iter().filter(|(_, (number, _))| number == file);
                let name = names
                    .next()
                    .map_or("no name".into(), |(path, _)| path.display().to_string());
                format!("call {number}, fsync of {name}")
            }
            Event::Call(Call::SyncFolder(folder), _) => {
                let names: Vec<_> = disk
                    .pending(folder)
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                format!(
                    "call {number}, fsync of {} (for {})",
                    folder.display(),
                    names.join(", ")
                )
            }
            event => format!("call {number}, {event}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Told => f.write_str("the user is told"),
            Event::Call(Call::Write(file, at, bytes), _) => {
                write!(f, "write of {} bytes at {at} of file {file}", bytes.len())
            }
            Event::Call(call, _) => write!(f, "{call:?}"),
        }
    }
}
