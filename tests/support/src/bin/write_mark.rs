//! Writes the mark of a data directory as a server does, from a process of its own, so that tests can see which system calls it
//! makes.
//!
//! ```text
//! write_mark DATA_DIRECTORY VERSION
//! ```
//!
//! Afterwards the mark knows key 1 up to this version, of which each is its number 32 times. Prints `1;VERSION`. A failure ends with exit code 2 and, on standard
//! error, `write_mark: MESSAGE`.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use keyroll::keys::{KeyName, KeySet};
use keyroll::secret::DataKey;
use keyroll::store::mark::MarkFile;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, version] = arguments.as_slice() else {
        return ExitCode::FAILURE;
    };
    let Ok(version) = version.parse() else {
        return ExitCode::FAILURE;
    };
    match learn(Path::new(directory), version) {
        Ok(()) => match writeln!(std::io::stdout(), "1;{version}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(3),
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "write_mark: {error}");
            ExitCode::from(2)
        }
    }
}

fn learn(directory: &Path, latest: u8) -> Result<(), Box<dyn Error>> {
    let mut keys = KeySet::default();
    for version in 1..=latest {
        let name = KeyName {
            id: 1,
            version: version.into(),
        };
        keys.insert(name, DataKey::new(&[version; 32]).ok_or("32 bytes are a key")?);
    }
    let mut mark = MarkFile::read(directory)?;
    mark.change(|mark| mark.learn(keys.iter().map(|(name, key)| (name, key.bytes()))))?;
    Ok(())
}
