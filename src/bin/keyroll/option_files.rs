//! The server's option files, as MariaDB's own `my_print_defaults` reads them.
//!
//! It prints each option of the groups that a server of its version reads, in their order, without
//! quotes and escapes:
//!
//! ```text
//! --name
//! --name=value
//! ```
//!
//! A value may go on in the next line. So a line that does not begin with `--` belongs to the value
//! before it; a value with a line feed and `--` in it would be taken for two options. Its output
//! holds the secrets of all those options.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyroll::secret::SecretBytes;
use keyroll::settings::ServerOption;
use keyroll::settings::option::TextValue;
use thiserror::Error;

/// The program, on the `PATH` or where packages have it.
const PROGRAMS: [&str; 2] = ["my_print_defaults", "/usr/bin/my_print_defaults"];

/// The most bytes of all options together.
const LIMIT: usize = 1 << 20;

/// Above the arguments, in every help text.
const HEADING: &str = "Option files of the server";

/// Which files are read.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct OptionFileArgs {
    /// Read only this option file
    #[arg(long, value_name = "PATH", help_heading = HEADING, conflicts_with_all = ["defaults_extra_file", "no_defaults"])]
    defaults_file: Option<PathBuf>,

    /// Read this option file, too, after those of the system
    #[arg(long, value_name = "PATH", help_heading = HEADING, conflicts_with = "no_defaults", hide_short_help = true)]
    defaults_extra_file: Option<PathBuf>,

    /// Read groups with this behind their names, too
    #[arg(long, value_name = "TEXT", help_heading = HEADING, hide_short_help = true)]
    defaults_group_suffix: Option<String>,

    /// Read no option file
    #[arg(long, help_heading = HEADING)]
    no_defaults: bool,
}

/// Why the option files cannot be read.
#[derive(Debug, Error)]
pub(crate) enum OptionFileError {
    #[error("cannot read the option file {}: {source}", path.display())]
    NotReadable { path: PathBuf, source: io::Error },
    #[error(
        "the server's option files cannot be read: my_print_defaults, which reads them, cannot be run: {0}"
    )]
    NoProgram(io::Error),
    #[error("my_print_defaults cannot read the server's option files: {0}")]
    Refused(String),
    #[error("the server's option files hold more than 1 MiB")]
    TooLong,
}

impl OptionFileError {
    /// What a DBA can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            OptionFileError::NotReadable { .. } => "check its name and that you may read it".into(),
            OptionFileError::NoProgram(_) => {
                "install MariaDB's client (my_print_defaults is in mariadb-client-core or MariaDB-client), or name the key \
                 store: --keystore and --master-key, or --filename"
                    .into()
            }
            OptionFileError::Refused(_) => "mend the file; the server does not start with it either".into(),
            OptionFileError::TooLong => "name the key store: --keystore and --master-key, or --filename".into(),
        }
    }
}

impl OptionFileArgs {
    /// Whether one of them is given, so that option files are meant to be read.
    pub(crate) fn are_given(&self) -> bool {
        self.defaults_file.is_some()
            || self.defaults_extra_file.is_some()
            || self.defaults_group_suffix.is_some()
    }

    /// The options of the server in the files that these and the environment name, in their order:
    /// the last of a name wins. `warn` is told what the program warns of.
    pub(crate) fn read(&self, warn: impl Fn(&str)) -> Result<Vec<ServerOption>, OptionFileError> {
        if self.no_defaults {
            return Ok(Vec::new());
        }
        for path in [&self.defaults_file, &self.defaults_extra_file]
            .into_iter()
            .flatten()
        {
            fs::File::open(path).map_err(|source| OptionFileError::NotReadable {
                path: path.into(),
                source,
            })?;
        }
        let (text, said, succeeded) = self
            .spawn()
            .and_then(output)
            .map_err(OptionFileError::NoProgram)?;
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        if !succeeded {
            return Err(OptionFileError::Refused(said.join("; ")));
        }
        if text.expose().len() > LIMIT {
            return Err(OptionFileError::TooLong);
        }
        for line in said {
            warn(line.strip_prefix("Warning: ").unwrap_or(line));
        }
        Ok(options(text.expose()))
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for program in PROGRAMS {
            let mut command = Command::new(program);
            // Those that choose files are only taken as the first ones.
            let files = [
                ("--defaults-file=", &self.defaults_file),
                ("--defaults-extra-file=", &self.defaults_extra_file),
            ];
            for (argument, path) in files {
                if let Some(path) = path {
                    let mut text = OsString::from(argument);
                    text.push(path);
                    command.arg(text);
                }
            }
            if let Some(suffix) = &self.defaults_group_suffix {
                command.arg(format!("--defaults-group-suffix={suffix}"));
            }
            command
                .arg("--mysqld")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            match command.spawn() {
                Ok(child) => return Ok(child),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

/// The value of the option of this name, in small letters with underscores: the last one wins.
pub(crate) fn last<'a>(options: &'a [ServerOption], name: &str) -> Option<TextValue<'a>> {
    let mut meant = options.iter().filter_map(ServerOption::meaning);
    meant.rfind(|(meant, _)| meant == name).map(|(_, value)| value)
}

/// What the program prints, what it says beside that, and whether it succeeded.
fn output(mut child: Child) -> io::Result<(SecretBytes, String, bool)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let said = scope.spawn(|| {
            let mut said = Vec::new();
            let read = stderr.map(|pipe| pipe.take(LIMIT as u64).read_to_end(&mut said));
            read.transpose()
                .map(|_| String::from_utf8_lossy(&said).into_owned())
        });
        // All the room at once: a vector that grows leaves an unwiped copy behind.
        let mut text = SecretBytes::with_capacity(LIMIT + 64);
        if let Some(pipe) = stdout {
            pipe.take(LIMIT as u64 + 1).read_to_end(text.expose_mut())?;
        }
        let said = said.join().unwrap_or_else(|_| Ok(String::new()))?;
        Ok((text, said, child.wait()?.success()))
    })
}

/// The options in the program's output.
fn options(text: &[u8]) -> Vec<ServerOption> {
    const START: &[u8] = b"\n--";
    let Some(mut rest) = text.strip_prefix(&START[1..]) else {
        return Vec::new();
    };
    let mut options = Vec::new();
    loop {
        let end = rest.windows(START.len()).position(|bytes| bytes == START);
        let option = &rest[..end.unwrap_or(rest.len())];
        options.push(parse(match end {
            Some(_) => option,
            None => option.strip_suffix(b"\n").unwrap_or(option),
        }));
        match end {
            Some(end) => rest = &rest[end + START.len()..],
            None => return options,
        }
    }
}

fn parse(option: &[u8]) -> ServerOption {
    let mut parts = option.splitn(2, |&byte| byte == b'=');
    ServerOption {
        name: parts.next().unwrap_or_default().to_vec(),
        value: parts.next().map(|value| SecretBytes::new(value.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, Option<String>)> {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let options = options(text.as_bytes()).into_iter();
        options
            .map(|option| (string(&option.name), option.value.map(|v| string(v.expose()))))
            .collect()
    }

    #[test]
    fn an_option_is_a_name_with_or_without_a_value_of_one_or_more_lines() {
        let option = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(
            parsed("--a\n--b=\n--c=x=y\n--d=1\n2\n\n--e=\n\n"),
            [
                option("a", None),
                option("b", Some("")),
                option("c", Some("x=y")),
                option("d", Some("1\n2\n")),
                option("e", Some("\n")),
            ]
        );
        assert_eq!(parsed(""), []);
        assert_eq!(parsed("--a=1"), [option("a", Some("1"))]);
    }

    #[test]
    fn files_are_read_with_their_groups_quotes_and_escapes_as_the_server_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my file.cnf");
        let text = "[client]\nkeyroll_filename=/no\n[mysqld]\nkeyroll_filename = \"/a #\\\"b\" # c\nskip-x\n\
                    [mariadb_s]\nkeyroll-filekey='p\\nw'\n";
        fs::write(&path, text).unwrap();
        let args = OptionFileArgs {
            defaults_file: Some(path),
            defaults_group_suffix: Some("_s".into()),
            ..OptionFileArgs::default()
        };
        let found: Vec<(Vec<u8>, Option<Vec<u8>>)> = args
            .read(|_| ())
            .unwrap()
            .into_iter()
            .map(|option| (option.name, option.value.map(|value| value.expose().to_vec())))
            .collect();
        let expected: [(&[u8], Option<&[u8]>); 3] = [
            (b"keyroll_filename", Some(b"/a #\"b")),
            (b"skip-x", None),
            (b"keyroll-filekey", Some(b"p\nw")),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
        );
    }
}
