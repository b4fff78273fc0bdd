//! A disk, and what a power cut may leave of it.
//!
//! What is relied on is what POSIX promises, and two things that each file system gives which anyone keeps data on:
//!
//! - `fsync` of a file (POSIX.1-2017, fsync, with `_POSIX_SYNCHRONIZED_IO`): when it has returned 0, the file's bytes, length, mode,
//!   owner and extended attributes as they were at its call are on the disk. It says nothing of the file's name.
//! - `fsync` of a folder: when it has returned 0, the names in it are on the disk as they were. It says nothing of the files.
//! - One name changes from one file to another at once: after a power cut it names the one or the other. POSIX asks that of
//!   `rename` for those who look on; that a power cut keeps to it, too, is what every way of replacing a file rests on.
//! - Nothing that was made durable is lost again, and a file's bytes are never those of another file.
//!
//! All else may happen, as in the persistence model of Pillai and others, "All File Systems Are Not Created Equal" (OSDI 2014),
//! with the least promises: that ext4 or xfs write a file before its rename, or keep the order of names, is not relied on.
//!
//! - Of each name, on its own: it is as it was at its folder's last fsync, or as any later call left it. So what was done to names
//!   in one folder survives in any subset and order, a rename without the making of what it renames among them; and a rename has two
//!   halves: the new name may be there beside the old one (a file with two names), or the old one may be gone and the new not there.
//! - Of each file, on its own: its mode, owner and attributes are any subset of the changes since its last fsync; its bytes are
//!   those of the last fsync, or torn: see [`torn`](super::file::torn).
//!
//! A call that fails changes nothing, an fsync that fails makes nothing durable; the next one that succeeds does (of a file's bytes
//! Linux does not promise that, and no write rests on it: a file whose fsync fails is thrown away). `close` does nothing. Access
//! control lists are left out, and so are changes of folders themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::file::{Belongings, Change, Content, File};

/// A file's number.
pub(crate) type Number = usize;

/// A system call that changes the disk, or makes it durable. Paths are below the folder that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A new, empty file with this name.
    Create(PathBuf, Number, Belongings),
    Write(Number, usize, Vec<u8>),
    Truncate(Number, usize),
    Change(Number, Change),
    /// Also bytes and length alone, by fdatasync.
    SyncFile {
        file: Number,
        belongings: bool,
    },
    SyncFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Unlink(PathBuf),
}

impl Call {
    pub(crate) fn is_sync(&self) -> bool {
        matches!(self, Call::SyncFile { .. } | Call::SyncFolder(_))
    }
}

/// What a name stood for at its folder's last fsync, and after each call since.
#[derive(Clone, Debug, Default)]
struct Name {
    durable: Option<Number>,
    since: Vec<Option<Number>>,
}

impl Name {
    fn live(&self) -> Option<Number> {
        self.since.last().copied().unwrap_or(self.durable)
    }
}

/// What stands on the disk after a power cut: of each name which file (names of one file have one number) and its content, by
/// its place in [`Disk::contents`].
pub(crate) type State = Vec<(usize, Number, usize)>;

/// The disk at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    names: BTreeMap<PathBuf, Name>,
    files: BTreeMap<Number, File>,
}

/// All contents and names that ever came up, once each.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) contents: Vec<Content>,
    numbers: HashMap<Content, usize>,
    pub(crate) names: Vec<PathBuf>,
}

impl Known {
    fn content(&mut self, content: Content) -> usize {
        let next = self.contents.len();
        *self.numbers.entry(content.clone()).or_insert_with(|| {
            self.contents.push(content);
            next
        })
    }

    fn name(&mut self, name: &Path) -> usize {
        self.names
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.names.push(name.into());
                self.names.len() - 1
            })
    }
}

impl Disk {
    /// A durable file.
    pub(crate) fn put(&mut self, path: &Path, file: Number, content: Content) {
        let durable = Some(file);
        self.names.insert(
            path.into(),
            Name {
                durable,
                since: Vec::new(),
            },
        );
        self.files.entry(file).or_default().durable = content;
    }

    /// The file that the name stands for now.
    pub(crate) fn file(&self, path: &Path) -> Option<Number> {
        self.names.get(path).and_then(Name::live)
    }

    pub(crate) fn apply(&mut self, call: &Call) {
        match call {
            Call::Create(path, file, belongings) => {
                // A file that a name leads to was made as it was to be: without bytes, of the mode and owner of its making.
                let made = self.files.entry(*file).or_default();
                made.durable.belongings = belongings.clone();
                self.set(path, Some(*file));
            }
            Call::Write(file, at, written) => {
                let file = self.open(*file);
                let mut bytes = file.live_bytes().clone();
                bytes.resize(bytes.len().max(at + written.len()), 0);
                bytes[*at..at + written.len()].copy_from_slice(written);
                file.bytes.push(bytes);
            }
            Call::Truncate(file, length) => {
                let file = self.open(*file);
                let mut bytes = file.live_bytes().clone();
                bytes.resize(*length, 0);
                file.bytes.push(bytes);
            }
            Call::Change(file, change) => self.open(*file).changes.push(change.clone()),
            Call::SyncFile { file, belongings } => {
                let file = self.open(*file);
                if *belongings {
                    *file = File {
                        durable: file.live(),
                        ..File::default()
                    };
                } else {
                    file.durable.bytes = file.live_bytes().clone();
                    file.bytes.clear();
                }
            }
            Call::SyncFolder(folder) => {
                for (_, name) in self
                    .names
                    .iter_mut()
                    .filter(|(path, _)| path.parent() == Some(folder))
                {
                    *name = Name {
                        durable: name.live(),
                        since: Vec::new(),
                    };
                }
            }
            Call::Rename(from, to) => {
                let file = self.file(from);
                // Two names of one file stay as they are (POSIX, rename).
                if self.file(to) != file {
                    self.set(to, file);
                    self.set(from, None);
                }
            }
            Call::Link(from, to) => self.set(to, self.file(from)),
            Call::Unlink(path) => self.set(path, None),
        }
    }

    fn open(&mut self, file: Number) -> &mut File {
        self.files.get_mut(&file).expect("it was made")
    }

    fn set(&mut self, path: &Path, file: Option<Number>) {
        self.names.entry(path.into()).or_default().since.push(file);
    }

    /// The names in the folder that an fsync of it would make durable now.
    pub(crate) fn pending(&self, folder: &Path) -> BTreeSet<PathBuf> {
        let changed = |name: &Name| name.since.iter().any(|later| *later != name.durable);
        let names = self.names.iter();
        names
            .filter(|(path, name)| path.parent() == Some(folder) && changed(name))
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Whether an fsync of the file would make anything durable now.
    pub(crate) fn is_pending(&self, file: Number) -> bool {
        self.files[&file].contents().len() > 1
    }

    /// The disk as it is without a power cut.
    pub(crate) fn live(&self) -> BTreeMap<PathBuf, (Number, Content)> {
        let entry = |(path, name): (&PathBuf, &Name)| {
            let file = name.live()?;
            Some((path.clone(), (file, self.files[&file].live())))
        };
        self.names.iter().filter_map(entry).collect()
    }

    /// The state without a power cut.
    pub(crate) fn live_state(&self, known: &mut Known) -> State {
        let entries = self.live().into_iter();
        normal(
            entries
                .map(|(path, (file, content))| (known.name(&path), file, known.content(content)))
                .collect(),
        )
    }

    /// Calls `judge` with every state that a power cut now may leave, until it breaks. One may come more than once.
    pub(crate) fn states(
        &self,
        known: &mut Known,
        judge: &mut dyn FnMut(&Known, State) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let contents: BTreeMap<Number, Vec<usize>> = self
            .files
            .iter()
            .map(|(file, at)| {
                (
                    *file,
                    at.contents()
                        .into_iter()
                        .map(|content| known.content(content))
                        .collect(),
                )
            })
            .collect();
        let names: Vec<(usize, BTreeSet<Option<Number>>)> = self
            .names
            .iter()
            .map(|(path, name)| {
                let stood_for = [name.durable].into_iter().chain(name.since.iter().copied());
                (known.name(path), stood_for.collect())
            })
            .collect();
        let mut chosen = Vec::new();
        choose_names(&names, &mut chosen, &mut |chosen| {
            let files: BTreeSet<Number> = chosen.iter().map(|(_, file)| *file).collect();
            let files: Vec<Number> = files.into_iter().collect();
            choose_contents(&files, &contents, &mut BTreeMap::new(), &mut |of| {
                let state = chosen
                    .iter()
                    .map(|(name, file)| (*name, *file, of[file]))
                    .collect();
                judge(known, normal(state))
            })
        })
    }
}

/// Numbers the files in the order of their names: which of them was made first is nothing that one sees.
fn normal(mut state: State) -> State {
    state.sort_unstable();
    let mut numbers = Vec::new();
    for (_, file, _) in &mut state {
        let number = numbers
            .iter()
            .position(|known| known == file)
            .unwrap_or(numbers.len());
        if number == numbers.len() {
            numbers.push(*file);
        }
        *file = number;
    }
    state
}

/// What is done with each choice.
type Then<'a, T> = &'a mut dyn FnMut(&T) -> ControlFlow<()>;

fn choose_names(
    names: &[(usize, BTreeSet<Option<Number>>)],
    chosen: &mut Vec<(usize, Number)>,
    then: Then<'_, [(usize, Number)]>,
) -> ControlFlow<()> {
    let Some(((name, files), rest)) = names.split_first() else {
        return then(chosen);
    };
    for file in files {
        chosen.extend(file.map(|file| (*name, file)));
        choose_names(rest, chosen, then)?;
        if file.is_some() {
            chosen.pop();
        }
    }
    ControlFlow::Continue(())
}

fn choose_contents(
    files: &[Number],
    contents: &BTreeMap<Number, Vec<usize>>,
    chosen: &mut BTreeMap<Number, usize>,
    then: Then<'_, BTreeMap<Number, usize>>,
) -> ControlFlow<()> {
    let Some((file, rest)) = files.split_first() else {
        return then(chosen);
    };
    for content in &contents[file] {
        chosen.insert(*file, *content);
        choose_contents(rest, contents, chosen, then)?;
    }
    ControlFlow::Continue(())
}
