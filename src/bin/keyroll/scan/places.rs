//! Where the settings of a server put its files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keyroll::datadir::files::Places;
use keyroll::settings::ServerOption;

use crate::store_args::DEFAULT_DATADIR;

/// The value of an option of the server; the last one of its name counts.
fn value(options: &[ServerOption], wanted: &str) -> Option<PathBuf> {
    options.iter().rev().find_map(|option| {
        let (name, value) = option.meaning()?;
        let is_set = name == wanted && !value.bytes().is_empty();
        is_set.then(|| Path::new(OsStr::from_bytes(value.bytes())).to_owned())
    })
}

/// The server's data directory: that of its options, or where packages have it.
pub(super) fn data_directory(options: &[ServerOption]) -> PathBuf {
    value(options, "datadir").unwrap_or_else(|| DEFAULT_DATADIR.into())
}

/// What is elsewhere, or has another name, with these options. Relative paths are relative to the
/// data directory.
pub(super) fn of(options: &[ServerOption], directory: &Path) -> Places {
    let path = |name: &str| value(options, name).map(|path| directory.join(path));
    let index = |log: &str, index: &str| {
        let of_log = || {
            let log = path(log)?;
            // `log_bin = 1` and the like are flags, and the files are in the data directory.
            let is_path = log.parent() != Some(directory);
            is_path.then(|| log.with_extension("index"))
        };
        path(index).or_else(of_log).filter(|path| path.exists())
    };
    let logs = [("log_bin", "log_bin_index"), ("relay_log", "relay_log_index")];
    Places {
        system: system(options, directory),
        undo: path("innodb_undo_directory"),
        redo_log: path("innodb_log_group_home_dir"),
        log_indexes: logs.into_iter().filter_map(|(log, of)| index(log, of)).collect(),
    }
}

/// The files of the system tablespace: `NAME:SIZE[:autoextend[:max:SIZE]];NAME:SIZE...`.
fn system(options: &[ServerOption], directory: &Path) -> Vec<PathBuf> {
    let home =
        value(options, "innodb_data_home_dir").map_or(directory.to_owned(), |home| directory.join(home));
    let files = value(options, "innodb_data_file_path").unwrap_or_default();
    let files = files.as_os_str().as_bytes().split(|byte| *byte == b';');
    let mut found: Vec<PathBuf> = files
        .filter_map(|file| file.split(|byte| *byte == b':').next())
        .filter(|name| !name.is_empty())
        .map(|name| home.join(OsStr::from_bytes(name)))
        .collect();
    if found.is_empty() && home != directory {
        found.push(home.join("ibdata1"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    use keyroll::secret::SecretBytes;

    fn options(set: &[(&str, &str)]) -> Vec<ServerOption> {
        let option = |(name, value): &(&str, &str)| ServerOption {
            name: name.as_bytes().to_vec(),
            value: Some(SecretBytes::new(value.as_bytes().to_vec())),
        };
        set.iter().map(option).collect()
    }

    #[test]
    fn the_files_of_the_system_tablespace_are_found_as_the_settings_name_them() {
        let data = Path::new("/data");
        assert!(of(&[], data).system.is_empty());
        let named = options(&[("innodb-data-file-path", "a:12M;b/c:50M:autoextend:max:1G")]);
        assert_eq!(of(&named, data).system, [data.join("a"), data.join("b/c")]);
        let home = options(&[
            ("innodb_data_home_dir", "/home"),
            ("innodb_data_file_path", "a:12M"),
        ]);
        assert_eq!(of(&home, data).system, [Path::new("/home/a")]);
        let absolute = options(&[("innodb_data_home_dir", "/home")]);
        assert_eq!(of(&absolute, data).system, [Path::new("/home/ibdata1")]);
    }

    #[test]
    fn logs_elsewhere_are_found_and_flags_are_none() {
        let elsewhere = tempfile::tempdir().unwrap();
        let index = elsewhere.path().join("bin.index");
        std::fs::write(&index, "").unwrap();
        let log = elsewhere.path().join("bin.log");
        let at = |name, value: &Path| {
            of(&options(&[(name, value.to_str().unwrap())]), Path::new("/data")).log_indexes
        };
        assert_eq!(at("log-bin", &log), slice::from_ref(&index));
        assert_eq!(
            at("log_bin", &elsewhere.path().join("bin")),
            slice::from_ref(&index)
        );
        assert_eq!(at("relay_log_index", &index), [index]);
        assert!(at("log_bin", Path::new("1")).is_empty());
    }
}
