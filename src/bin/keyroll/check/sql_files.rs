//! Whether SQL reads the files with keys: `secure_file_priv`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keyroll::settings::ServerOption;

use super::files::Files;
use super::report::Report;
use crate::option_files::last;

/// Tells where whoever has the FILE privilege can read files with keys, as LOAD DATA INFILE reads
/// all that the server's user can, or write beside them.
pub(super) fn check(options: &[ServerOption], files: &Files, report: &mut Report) {
    let secrets: Vec<PathBuf> = files
        .secrets()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    let Some(first) = secrets.first() else {
        return;
    };
    let value = last(options, "secure_file_priv").map(|value| value.bytes());
    let Some(directory) = value.filter(|value| !value.is_empty()) else {
        return report.note(
            format!(
                "secure_file_priv is not set: whoever has the privilege FILE can read the server's files by SQL, {} among them",
                first.display()
            ),
            "set secure_file_priv to a directory that exists and holds no keys; the server does not start with one that does not exist".into(),
        );
    };
    let directory = Path::new(OsStr::from_bytes(directory));
    let shown = directory.display();
    match directory.canonicalize() {
        Ok(real) if real.is_dir() => match secrets.iter().find(|secret| secret.starts_with(&real)) {
            Some(secret) => report.warning(
                format!(
                    "secure_file_priv = {shown}: whoever has the privilege FILE can read {} by SQL, which lies there",
                    secret.display()
                ),
                "set it to a directory that holds no keys".into(),
            ),
            None => report.ok(format!("secure_file_priv keeps SQL to {shown}, where no keys are")),
        },
        _ => report.warning(
            format!("secure_file_priv = {shown} is no directory: the server does not start"),
            "make the directory, or name one that is there".into(),
        ),
    }
}
