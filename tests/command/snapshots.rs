//! What each subcommand prints, on success and on failure, as `tests/command/snapshots/*.trycmd` has it.
//!
//! `TRYCMD=overwrite cargo test --test command snapshots` writes the snapshots anew: read the difference.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::{Mode, umask};

#[test]
fn every_subcommand_prints_what_its_snapshot_has() {
    assert!(
        env::var_os("KEYROLL_FILEKEY").is_none(),
        "unset KEYROLL_FILEKEY: the snapshots are without it"
    );
    give_fixtures_their_modes();
    // Else the folder that a case runs in may be writable for its group, which `check` warns of.
    umask(Mode::from_bits_truncate(0o022));
    // COLUMNS: the width of the help texts.
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .case("tests/command/snapshots/*.trycmd");
}

/// A checkout has the modes that the umask left, but the command warns of files that others can read.
fn give_fixtures_their_modes() {
    for case in [
        "check",
        "host",
        "init",
        "keystore",
        "list",
        "rotate",
        "two_stores",
    ] {
        for file in fs::read_dir(format!("tests/command/snapshots/{case}.in")).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let mode = if path.ends_with("readable-by-others") {
                0o644
            } else {
                0o600
            };
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    }
}
