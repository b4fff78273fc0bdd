//! The server's option files, read as the server and its tools read them.
//!
//! ```text
//! # comment              ; comment, at the start of a line only
//! [mariadbd]             a group: what follows counts if the server reads this group
//! name                   an option without a value
//! name = value # comment spaces around it and one pair of quotes are taken off, \n \t \r \b \s \" \' \\ are one byte
//! !include PATH          !includedir DIRECTORY: all of its *.cnf, in the order of their names
//! ```
//!
//! `tests.rs` holds it against `my_print_defaults`, to the byte. So the odd corners (long lines are cut
//! where the server's buffer ends, a NUL ends a line, a file that everyone may write is passed over) are the server's.

mod line;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use keyroll::secret::SecretBytes;
use thiserror::Error;
use zeroize::Zeroizing;

use line::{Line, Lines};

/// Groups that every server reads.
const GROUPS: [&[u8]; 6] = [
    b"mysqld",
    b"server",
    b"mariadb",
    b"mariadbd",
    b"client-server",
    b"galera",
];

/// Groups that a server reads with its own version behind them: `[mariadb-10.11]`.
const VERSIONED_GROUPS: [&[u8]; 3] = [b"mysqld-", b"mariadb-", b"mariadbd-"];

/// How deep files may include each other.
const DEEPEST: usize = 10;

/// Above the arguments, in every help text.
const HEADING: &str = "Option files of the server";

/// Which files are read.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct OptionFileArgs {
    /// Read only this option file
    #[arg(long, value_name = "PATH", help_heading = HEADING, conflicts_with_all = ["defaults_extra_file", "no_defaults"])]
    pub(crate) defaults_file: Option<PathBuf>,

    /// Read this option file, too, after those of the system
    #[arg(long, value_name = "PATH", help_heading = HEADING, conflicts_with = "no_defaults")]
    pub(crate) defaults_extra_file: Option<PathBuf>,

    /// Read groups with this behind their names, too
    #[arg(long, value_name = "TEXT", help_heading = HEADING)]
    pub(crate) defaults_group_suffix: Option<String>,

    /// Read no option file
    #[arg(long, help_heading = HEADING)]
    pub(crate) no_defaults: bool,
}

impl OptionFileArgs {
    /// Whether one of them is given, so that option files are meant to be read.
    pub(crate) fn are_given(&self) -> bool {
        self.defaults_file.is_some()
            || self.defaults_extra_file.is_some()
            || self.defaults_group_suffix.is_some()
    }
}

/// One option as it stands in a file, in a group that the server reads.
#[derive(Debug)]
pub(crate) struct FileOption {
    /// The name as it is written.
    pub(crate) name: Vec<u8>,
    /// The value, without quotes and escapes; `None` if there is no `=`. It may be a password.
    pub(crate) value: Option<SecretBytes>,
    /// Where it stands.
    pub(crate) place: Place,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, counted from 1.
    pub(crate) line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} line {}", self.path.display(), self.line)
    }
}

/// Why the option files cannot be read: the server would not start with them either.
#[derive(Debug, Error)]
pub(crate) enum OptionFileError {
    /// A file that an argument names.
    #[error("cannot read the option file {}: {source}", path.display())]
    NotReadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `!includedir` of a directory that cannot be read.
    #[error("{place}: cannot read the directory {}: {source}", directory.display())]
    Directory {
        /// Where the directory is included.
        place: Place,
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is none.
    #[error("{place}: {problem}")]
    Syntax {
        /// The line.
        place: Place,
        /// What is wrong.
        problem: &'static str,
    },
    /// An option of ours with a value that it cannot have.
    #[error("{place}: {name} cannot be this: it takes {values}")]
    Value {
        /// Where it stands.
        place: Place,
        /// The option's name.
        name: String,
        /// What it may be.
        values: String,
    },
}

impl OptionFileError {
    /// What a DBA can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            OptionFileError::NotReadable { .. } => "check its name and that you may read it".into(),
            OptionFileError::Directory { .. } => {
                "make the directory or remove the line; the server does not start with it either".into()
            }
            OptionFileError::Syntax { .. } | OptionFileError::Value { .. } => {
                "mend the line; the server does not start with it either".into()
            }
        }
    }
}

/// What was read: options in their order (the last of a name wins), and what was passed over.
#[derive(Debug, Default)]
pub(crate) struct OptionFiles {
    /// The options.
    pub(crate) options: Vec<FileOption>,
    /// Files and groups that were not read, and why.
    pub(crate) warnings: Vec<String>,
}

/// Reads the option files that the arguments and the environment name. `server_version` answers `10.11`; it is asked
/// only if some group has a version in its name.
pub(crate) fn read(
    args: &OptionFileArgs,
    server_version: &dyn Fn() -> Option<String>,
) -> Result<OptionFiles, OptionFileError> {
    let variable = |names: [&str; 2]| names.into_iter().find_map(std::env::var_os);
    let suffix = args
        .defaults_group_suffix
        .clone()
        .map(Into::into)
        .or_else(|| variable(["MARIADB_GROUP_SUFFIX", "MYSQL_GROUP_SUFFIX"]));
    let mut reader = Reader {
        suffix: suffix.unwrap_or_default().into_vec(),
        server_version,
        version: OnceCell::new(),
        found: OptionFiles::default(),
    };
    if args.no_defaults {
        return Ok(reader.found);
    }
    if let Some(path) = &args.defaults_file {
        reader.required_file(path)?;
        return Ok(reader.found);
    }
    for path in ["/etc/my.cnf", "/etc/mysql/my.cnf"] {
        reader.file(Path::new(path), 0)?;
    }
    if let Some(home) = variable(["MARIADB_HOME", "MYSQL_HOME"]) {
        reader.file(&Path::new(&home).join("my.cnf"), 0)?;
    }
    if let Some(path) = &args.defaults_extra_file {
        reader.required_file(path)?;
    }
    if let Some(home) = std::env::var_os("HOME") {
        reader.file(&Path::new(&home).join(".my.cnf"), 0)?;
    }
    Ok(reader.found)
}

struct Reader<'a> {
    suffix: Vec<u8>,
    server_version: &'a dyn Fn() -> Option<String>,
    version: OnceCell<Option<String>>,
    found: OptionFiles,
}

impl Reader<'_> {
    fn required_file(&mut self, path: &Path) -> Result<(), OptionFileError> {
        fs::File::open(path).map_err(|source| OptionFileError::NotReadable {
            path: path.into(),
            source,
        })?;
        self.file(path, 0)
    }

    /// Reads a file; one that is not there is none.
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), OptionFileError> {
        let shown = path.display();
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Ok(meta) if meta.is_dir() => return Ok(()),
            Ok(meta) if meta.is_file() && meta.mode() & 0o002 != 0 => {
                let why = format!("the option file {shown} is not read, because everyone may write it");
                self.found.warnings.push(why);
                return Ok(());
            }
            _ => {}
        }
        match fs::read(path) {
            Ok(text) => self.text(&Zeroizing::new(text), path, depth),
            Err(error) => {
                let why = format!("the option file {shown} is not read: {error}");
                self.found.warnings.push(why);
                Ok(())
            }
        }
    }

    fn text(&mut self, text: &[u8], path: &Path, depth: usize) -> Result<(), OptionFileError> {
        // Whether the group is one of the server's; `None` before the first.
        let mut group = None;
        for (number, line) in Lines(text).enumerate() {
            let place = || Place {
                path: path.into(),
                line: number + 1,
            };
            let syntax = |problem| OptionFileError::Syntax {
                place: place(),
                problem,
            };
            match line::parse(line).map_err(syntax)? {
                Line::Nothing => {}
                Line::Group(name) => group = Some(self.is_read(name)),
                Line::Include(_) | Line::IncludeDirectory(_) if depth >= DEEPEST => {
                    let why = format!("{}: not included, too many files deep", place());
                    self.found.warnings.push(why);
                }
                Line::Include(name) => self.file(Path::new(OsStr::from_bytes(name)), depth + 1)?,
                Line::IncludeDirectory(name) => {
                    let directory = Path::new(OsStr::from_bytes(name));
                    let files = option_files_in(directory).map_err(|source| OptionFileError::Directory {
                        place: place(),
                        directory: directory.into(),
                        source,
                    })?;
                    for file in files {
                        self.file(&file, depth + 1)?;
                    }
                }
                Line::Option(name, value) => {
                    if group.ok_or_else(|| syntax("an option before the first [group]"))? {
                        self.found.options.push(FileOption {
                            name: name.to_vec(),
                            value,
                            place: place(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the server reads the group, as it is or with the suffix.
    fn is_read(&mut self, group: &[u8]) -> bool {
        self.is_of_server(group)
            || (!self.suffix.is_empty()
                && group.len() >= self.suffix.len()
                && group[group.len() - self.suffix.len()..].eq_ignore_ascii_case(&self.suffix)
                && self.is_of_server(&group[..group.len() - self.suffix.len()]))
    }

    fn is_of_server(&mut self, group: &[u8]) -> bool {
        if GROUPS.iter().any(|name| name.eq_ignore_ascii_case(group)) {
            return true;
        }
        let version = VERSIONED_GROUPS.iter().find_map(|name| {
            let (start, rest) = group.split_at_checked(name.len())?;
            let is_version = rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
            (start.eq_ignore_ascii_case(name) && is_version).then_some(rest)
        });
        let Some(version) = version else {
            return false;
        };
        match self.version.get_or_init(self.server_version) {
            Some(server) => server.as_bytes() == version,
            None => {
                let group = String::from_utf8_lossy(group);
                let why = format!("[{group}] is not read: no mariadbd is found that tells its version");
                if !self.found.warnings.contains(&why) {
                    self.found.warnings.push(why);
                }
                false
            }
        }
    }
}

/// The `*.cnf` of a directory in the order of their names.
fn option_files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.as_bytes().ends_with(b".cnf") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}
