//! What `tests/examples/run.py` runs is what the pages, the help and the option file show.

use std::process::Command;

use super::root;

#[test]
fn every_example_is_run_or_has_a_reason_why_not() {
    let command = env!("CARGO_BIN_EXE_keyroll");
    let listed = Command::new("python3")
        .args(["-B", "tests/examples/run.py", "--list"])
        .current_dir(root())
        .env("KEYROLL_BIN", command)
        // Nothing is run: any file will do.
        .env("KEYROLL_SO", command)
        .output()
        .unwrap();
    assert!(
        listed.status.success(),
        "{}\nadd a story to tests/examples, or a reason to tests/examples/not_run.py",
        String::from_utf8_lossy(&listed.stderr)
    );
    assert!(String::from_utf8_lossy(&listed.stdout).lines().count() > 50);
}
