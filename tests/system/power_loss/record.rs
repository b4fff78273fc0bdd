//! What a command does to a folder, call by call, as strace sees it.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::file::{Belongings, Change, Content};
use super::model::{Call, Disk, Number};
use super::strace::{Step, last_number, leading_number, octal, run, strings, whole_lines};

/// System calls that change nothing, and `flock`, which a power cut ends.
const HARMLESS: &[&str] = &[
    "access",
    "close",
    "execve",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "getxattr",
    "ioctl",
    "lgetxattr",
    "listxattr",
    "llistxattr",
    "lseek",
    "lstat",
    "mmap",
    "newfstatat",
    "pread64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "stat",
    "statfs",
    "statx",
];

/// How the names of attributes begin that are the user's.
const USERS: &str = "user.";

/// Something that happens while the commands run.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A call, and how many fsyncs of any file the command had begun by then.
    Call(Call, usize),
    /// The user, or the server, knows.
    Told,
}

/// What the folder was, and what then happened to it.
pub(crate) struct Recording {
    pub(crate) before: Disk,
    pub(crate) events: Vec<Event>,
    /// The event with which the last command begins, the only one that tells something.
    pub(crate) last_command: usize,
}

impl Recording {
    /// Runs the commands, one after the other. The user knows of what they did when text that contains `told_by` is printed.
    /// `root` must not be behind a symbolic link.
    pub(crate) fn of(root: &Path, steps: &[Step], told_by: &str) -> Recording {
        let before = snapshot(root);
        let mut disk = Disk::default();
        let mut numbers: BTreeMap<u64, Number> = BTreeMap::new();
        for (path, (inode, content)) in &before {
            let next = numbers.len();
            disk.put(path, *numbers.entry(*inode).or_insert(next), content.clone());
        }
        let mut reader = Reader {
            root,
            told_by,
            now: disk.clone(),
            made: numbers.len(),
            opened: BTreeMap::new(),
            fsyncs: 0,
            events: Vec::new(),
        };
        let mut last_command = 0;
        for step in steps {
            last_command = reader.events.len();
            reader.opened.clear();
            reader.fsyncs = 0;
            let log = run(step);
            whole_lines(&log).iter().for_each(|line| reader.read(line));
        }
        // A command that prints nothing tells by its end.
        if told_by.is_empty() && steps.iter().all(|step| step.fault.is_none()) {
            reader.tell();
        }
        // The proof that no call was missed.
        let contents = |files: BTreeMap<PathBuf, (u64, Content)>| -> Vec<_> {
            files
                .into_iter()
                .map(|(path, (_, content))| (path, content))
                .collect()
        };
        let wanted: Vec<_> = reader
            .now
            .live()
            .into_iter()
            .map(|(path, (_, content))| (path, content))
            .collect();
        assert!(
            contents(snapshot(root)) == wanted,
            "the calls do not lead to the folder as it is"
        );
        Recording {
            before: disk,
            events: reader.events,
            last_command,
        }
    }

    /// Which fsync of the command is the first one of a folder after a file got this name.
    pub(crate) fn fsync_after_naming(&self, path: &str) -> usize {
        let path = Path::new(path);
        let names = |event: &Event| match event {
            Event::Call(Call::Rename(_, to) | Call::Link(_, to), _) => to == path,
            _ => false,
        };
        let mut later = self.events.iter().skip_while(|event| !names(event));
        later
            .find_map(|event| match event {
                Event::Call(Call::SyncFolder(_), nth) => Some(*nth),
                _ => None,
            })
            .expect("a folder is synced then")
    }
}

/// What a descriptor stands for.
#[derive(Clone)]
enum Opened {
    File { number: Number, at: usize },
    Folder(PathBuf),
}

/// Understands the log.
struct Reader<'a> {
    root: &'a Path,
    told_by: &'a str,
    now: Disk,
    made: usize,
    opened: BTreeMap<usize, Opened>,
    fsyncs: usize,
    events: Vec<Event>,
}

impl Reader<'_> {
    fn read(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once('(') else {
            return;
        };
        let (arguments, result) = rest.rsplit_once(" = ").expect(line);
        if ["clone", "clone3", "fork", "vfork"].contains(&name) {
            assert!(
                arguments.contains("CLONE_THREAD"),
                "descriptors of a child are not told apart: {line}"
            );
            return;
        }
        let strings = strings(arguments);
        if name == "fsync" {
            self.fsyncs += 1;
        }
        // What failed, or was never done, changed nothing.
        let Some(result) = leading_number(result) else {
            return;
        };
        let descriptor = leading_number(arguments);
        if name == "write" && [Some(1), Some(2)].contains(&descriptor) {
            self.printed(descriptor == Some(1), &strings.concat());
            return;
        }
        let paths: Vec<PathBuf> = strings
            .iter()
            .filter_map(|text| self.below_root(&String::from_utf8_lossy(text)))
            .collect();
        let opened = descriptor.and_then(|descriptor| self.opened.get(&descriptor).cloned());
        match (name, opened, paths.as_slice()) {
            ("open" | "creat" | "openat" | "openat2", _, [path]) => self.open(name, path, arguments, result),
            ("close", Some(_), _) => {
                self.opened.remove(&descriptor.unwrap());
            }
            ("write" | "writev", Some(Opened::File { number, at }), _) => {
                let written = strings.concat()[..result].to_vec();
                let behind = Opened::File {
                    number,
                    at: at + result,
                };
                self.opened.insert(descriptor.unwrap(), behind);
                self.call(Call::Write(number, at, written));
            }
            ("pwrite64", Some(Opened::File { number, .. }), _) => {
                let at = last_number(arguments);
                self.call(Call::Write(number, at, strings[0][..result].to_vec()));
            }
            ("ftruncate", Some(Opened::File { number, .. }), _) => {
                self.call(Call::Truncate(number, last_number(arguments)));
            }
            ("fchmod", Some(Opened::File { number, .. }), _) => {
                let (_, mode) = arguments.rsplit_once(", ").unwrap();
                self.call(Call::Change(number, Change::Mode(octal(mode))));
            }
            ("fchown", Some(Opened::File { number, .. }), _) => {
                let ids: Vec<Option<u32>> = arguments
                    .split(", ")
                    .skip(1)
                    .map(|id| id.trim_end_matches(')').parse().ok())
                    .collect();
                self.call(Call::Change(number, Change::Owner(ids[0], ids[1])));
            }
            ("fsetxattr" | "fremovexattr", Some(Opened::File { number, .. }), _) => {
                let name = String::from_utf8(strings[0].clone()).unwrap();
                // Others are the system's: labels, and the mode once more.
                if name.starts_with(USERS) {
                    self.call(Call::Change(
                        number,
                        Change::Attribute(name, strings.get(1).cloned()),
                    ));
                }
            }
            ("fsync" | "fdatasync", Some(Opened::File { number: file, .. }), _) => {
                let belongings = name == "fsync";
                self.call(Call::SyncFile { file, belongings });
            }
            ("fsync" | "fdatasync", Some(Opened::Folder(folder)), _) => self.call(Call::SyncFolder(folder)),
            ("rename" | "renameat" | "renameat2", _, [from, to])
                if !arguments.contains("RENAME_EXCHANGE") =>
            {
                self.call(Call::Rename(from.clone(), to.clone()));
            }
            ("link" | "linkat", _, [from, to]) => self.call(Call::Link(from.clone(), to.clone())),
            ("unlink", _, [path]) => self.call(Call::Unlink(path.clone())),
            ("unlinkat", _, [path]) if !arguments.contains("AT_REMOVEDIR") => {
                self.call(Call::Unlink(path.clone()))
            }
            ("fcntl", Some(_), _) if arguments.contains("F_DUPFD") => panic!("not in the model: {line}"),
            (name, _, _) if HARMLESS.contains(&name) => {}
            (_, None, []) => {}
            _ => panic!("not in the model: {line}"),
        }
    }

    fn call(&mut self, call: Call) {
        self.now.apply(&call);
        self.events.push(Event::Call(call, self.fsyncs));
    }

    fn printed(&mut self, on_standard_output: bool, text: &[u8]) {
        let says = match self.told_by {
            "" => on_standard_output,
            wanted => String::from_utf8_lossy(text).contains(wanted),
        };
        if says {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if !self.events.iter().any(|event| matches!(event, Event::Told)) {
            self.events.push(Event::Told);
        }
    }

    fn open(&mut self, name: &str, path: &Path, arguments: &str, descriptor: usize) {
        let flag = |flag: &str| arguments.contains(flag);
        assert!(
            name == "openat" && !flag("O_TMPFILE") && !flag("O_APPEND"),
            "not in the model: {name} {arguments}"
        );
        let opened = match self.now.file(path) {
            Some(number) => {
                if flag("O_TRUNC") {
                    self.call(Call::Truncate(number, 0));
                }
                Opened::File { number, at: 0 }
            }
            None if flag("O_CREAT") => {
                let number = self.made;
                self.made += 1;
                let (_, mode) = arguments.rsplit_once(", ").unwrap();
                let made = Belongings {
                    mode: octal(mode),
                    owner: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
                    attributes: BTreeMap::new(),
                };
                self.call(Call::Create(path.into(), number, made));
                Opened::File { number, at: 0 }
            }
            None => Opened::Folder(path.into()),
        };
        self.opened.insert(descriptor, opened);
    }

    /// The path below the folder; none of another place.
    fn below_root(&self, text: &str) -> Option<PathBuf> {
        Some(Path::new(text).strip_prefix(self.root).ok()?.to_owned())
    }
}

/// All files below the folder, by their path in it, with their inodes.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u64, Content)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let content = Content {
                bytes: fs::read(&path).unwrap(),
                belongings: belongings(&path, &meta),
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.insert(name, (meta.ino(), content));
        }
    }
    files
}

fn belongings(path: &Path, meta: &Metadata) -> Belongings {
    let attribute = |name: std::ffi::OsString| {
        let name = name.into_string().unwrap();
        name.starts_with(USERS)
            .then(|| (name.clone(), xattr::get(path, &name).unwrap().unwrap()))
    };
    Belongings {
        mode: meta.permissions().mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        attributes: xattr::list(path)
            .map(|names| names.filter_map(attribute).collect())
            .unwrap_or_default(),
    }
}
