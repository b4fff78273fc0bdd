//! A kill and a failure at every step.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use keyroll::durable::failpoint;

use super::support::Place;
use test_support::programs::stderr;

/// The driver's action that passes the failpoint.
fn action_through(name: &str) -> &'static str {
    match name.split_once(':').unwrap().0 {
        "create" => "create",
        "back" => "refuse",
        "replace" | "previous" => "keep",
        "put" => "put",
        other => panic!("no action passes {other}"),
    }
}

/// Where the action is to happen: a file with `old` and its copy with `older`, or none for a new one.
fn place_for(action: &str) -> Place {
    if action == "create" {
        return Place::empty();
    }
    let place = Place::of("old");
    if action == "put" {
        return place;
    }
    fs::write(&place.previous, "older").unwrap();
    place
}

#[test]
fn a_kill_at_any_step_leaves_whole_files_and_the_next_write_leaves_nothing_else() {
    for name in failpoint::ALL {
        let action = action_through(name);
        let place = place_for(action);
        let killed = place.run(&format!("{name}=kill"), action, &["new"]);
        // This is also the proof that the step is reached at all.
        assert_eq!(killed.status.signal(), Some(libc::SIGKILL), "{name}: {killed:?}");

        let (text, previous) = (place.text(), place.previous_text());
        if action == "create" {
            assert!(
                text.is_none() || text.as_deref() == Some("new"),
                "{name}: {text:?}"
            );
            if text.is_none() {
                place.succeed("create", &["new"]);
                assert_eq!(place.names(), ["secret"], "{name}");
            }
        } else {
            // The copy is older at every moment.
            match (text.as_deref(), previous.as_deref()) {
                (Some("new"), Some("old" | "older")) | (Some("old"), Some("older")) => {}
                (Some("new" | "old"), None) if action == "put" => {}
                other => panic!("{name}: {other:?}"),
            }
        }

        let before = place.text();
        place.succeed("keep", &["next"]);
        assert_eq!(place.text().as_deref(), Some("next"), "{name}");
        assert_eq!(place.previous_text(), before, "{name}");
        assert_eq!(place.names(), ["secret", "secret.previous"], "{name}");
    }
}

#[test]
fn a_failure_of_any_step_leaves_the_file_as_it_was_and_says_so() {
    for name in failpoint::ALL {
        let action = action_through(name);
        let place = place_for(action);
        // When the new file is in place, what becomes of the copy is no failure of the write.
        let is_of_copy = ["previous:rename", "previous:sync-directory"].contains(name);
        let failed = place.run(&format!("{name}=fail"), action, &["new"]);
        let message = stderr(&failed);
        assert_eq!(
            failed.status.code(),
            Some(if is_of_copy { 0 } else { 2 }),
            "{name}: {message}"
        );

        let (text, previous) = (place.text(), place.previous_text());
        match action {
            "create" => {
                assert!(message.contains("no test file was made"), "{name}: {message}");
                assert_eq!(place.names(), [""; 0], "{name}");
            }
            "keep" if is_of_copy => {
                assert!(
                    message.contains("the test file itself is written"),
                    "{name}: {message}"
                );
                assert_eq!(text.as_deref(), Some("new"), "{name}");
                assert!(["older", "old"].contains(&previous.as_deref().unwrap()), "{name}");
                assert_eq!(place.names(), ["secret", "secret.previous"], "{name}");
            }
            "put" => {
                let in_place = ["put:sync-directory", "put:read-back"].contains(name);
                let wanted = if in_place {
                    "it may still hold the new text"
                } else {
                    "is as it was"
                };
                assert!(message.contains(wanted), "{name}: {message}");
                assert_eq!(
                    text.as_deref(),
                    Some(if in_place { "new" } else { "old" }),
                    "{name}"
                );
                assert_eq!(place.names(), ["secret"], "{name}");
            }
            "refuse" => {
                assert!(
                    message.contains("does not hold what was written"),
                    "{name}: {message}"
                );
                assert!(
                    message.contains("it may still hold the new text"),
                    "{name}: {message}"
                );
                // The old text is back all the same where only its durability is in doubt.
                let wanted = if *name == "back:sync-directory" {
                    "old"
                } else {
                    "new"
                };
                assert_eq!(text.as_deref(), Some(wanted), "{name}");
                assert_eq!(previous.as_deref(), Some("older"), "{name}");
                assert_eq!(place.names(), ["secret", "secret.previous"], "{name}");
            }
            _ => {
                assert!(message.contains("Cannot "), "{name}: {message}");
                assert!(message.contains("No space left on device"), "{name}: {message}");
                let back = ["replace:sync-directory", "replace:read-back"].contains(name);
                let wanted = if back {
                    "was put back as it was"
                } else {
                    "is as it was"
                };
                assert!(message.contains(wanted), "{name}: {message}");
                assert_eq!(text.as_deref(), Some("old"), "{name}");
                assert_eq!(previous.as_deref(), Some("older"), "{name}");
                assert_eq!(place.names(), ["secret", "secret.previous"], "{name}");
            }
        }
    }
}

#[test]
fn a_failure_to_write_the_new_file_does_not_cost_the_copy_kept_before() {
    for name in [
        "replace:create",
        "replace:write",
        "replace:sync",
        "previous:write",
        "replace:rename",
        "replace:read-back",
    ] {
        let place = place_for("keep");
        let failed = place.run(&format!("{name}=fail"), "keep", &["new"]);
        assert_eq!(failed.status.code(), Some(2), "{name}");
        assert_eq!(place.previous_text().as_deref(), Some("older"), "{name}");
    }
}

#[test]
fn a_failpoint_can_wait_for_the_nth_time() {
    let place = Place::of("old");
    let killed = place.run("replace:sync=kill@3", "replace", &["a", "b", "c", "d"]);
    assert_eq!(killed.status.signal(), Some(libc::SIGKILL));
    assert_eq!(place.text().as_deref(), Some("b"));

    let place = Place::of("old");
    let failed = place.run("replace:rename=fail@2", "replace", &["a", "b", "c"]);
    assert_eq!(failed.status.code(), Some(2), "{}", stderr(&failed));
    assert_eq!(place.text().as_deref(), Some("a"));
    assert_eq!(
        place.names(),
        ["secret"],
        "nothing is kept unless it is asked for"
    );
}
