//! Whether a server works on a data directory.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use keyroll::datadir::files::DataFiles;
use nix::fcntl::{FcntlArg, fcntl};

/// Whether a server of this machine has its locks on the files. Who closes such a file gives up
/// locks of his own process alone, and a command has none.
pub(super) fn is_running(directory: &Path, found: &DataFiles) -> bool {
    let aria = directory.join("aria_log_control");
    let files = found.system.first().into_iter().chain([&aria]);
    files.into_iter().any(|path| is_locked(path))
}

fn is_locked(path: &Path) -> bool {
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    let asked = opened.map(|file| fcntl(&file, FcntlArg::F_GETLK(&mut lock)));
    matches!(asked, Ok(Ok(_))) && lock.l_type != libc::F_UNLCK as i16
}
