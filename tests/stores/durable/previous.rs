//! The copy of the file that was replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::support::Place;
use test_support::programs::stderr;

#[test]
fn the_copy_has_the_bytes_owner_mode_and_attributes_of_the_file_that_was_replaced() {
    let place = Place::of("old");
    xattr::set(&place.path, "user.note", b"kept").unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&place.path, Some(65534), Some(65533)).unwrap();
    }
    let seen = |path| {
        let meta = fs::metadata(path).unwrap();
        (meta.uid(), meta.gid(), meta.mode(), meta.nlink())
    };
    let before = seen(&place.path);
    place.succeed("keep", &["new"]);
    assert_eq!(place.previous_text().as_deref(), Some("old"));
    for path in [&place.path, &place.previous] {
        assert_eq!(seen(path), before);
        assert_eq!(
            xattr::get(path, "user.note").unwrap().as_deref(),
            Some(&b"kept"[..])
        );
    }
}

#[test]
fn each_replacement_keeps_the_file_before_it() {
    let place = Place::of("1");
    place.succeed("keep", &["2", "3", "4"]);
    assert_eq!(place.text().as_deref(), Some("4"));
    assert_eq!(place.previous_text().as_deref(), Some("3"));
}

#[test]
fn a_copy_that_is_to_be_had_no_more_is_removed_with_what_a_killed_process_left_of_it() {
    let place = Place::of("1");
    place.succeed("keep", &["2"]);
    fs::write(place.directory.path().join(".secret.previous.keyroll-new"), "1").unwrap();
    place.succeed("forget", &["3"]);
    assert_eq!(place.text().as_deref(), Some("3"));
    assert_eq!(place.names(), ["secret"]);
    place.succeed("forget", &["4"]);
    assert_eq!(place.names(), ["secret"]);
}

#[test]
fn a_copy_that_cannot_be_removed_is_told_and_the_file_is_written() {
    let place = Place::of("1");
    fs::create_dir(&place.previous).unwrap();
    let run = place.run("", "forget", &["2"]);
    assert!(run.status.success());
    let message = stderr(&run);
    assert!(message.starts_with("Cannot remove "), "{message}");
    assert!(message.contains("the test file itself is written"), "{message}");
    assert_eq!(place.text().as_deref(), Some("2"));
}

#[test]
fn a_reader_never_sees_half_a_copy() {
    let place = Place::of(&"0".repeat(1024));
    let texts: Vec<String> = (1..=60).map(|n| (n % 10).to_string().repeat(1024)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    place.succeed("keep", &texts[..1]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| place.succeed("keep", &texts));
        let mut seen = 0;
        while !writer.is_finished() {
            let text = place.previous_text().expect("it is always there");
            assert_eq!(text.len(), 1024);
            assert_eq!(text.matches(&text[..1]).count(), 1024, "of one writing");
            seen += 1;
        }
        assert!(seen > 60, "{seen}");
    });
}

#[test]
fn a_link_in_the_copys_place_is_replaced_and_what_it_leads_to_is_not() {
    let place = Place::of("old");
    let other = place.directory.path().join("other");
    fs::write(&other, "someone else's").unwrap();
    symlink(&other, &place.previous).unwrap();
    place.succeed("keep", &["new"]);
    assert!(!place.previous.is_symlink());
    assert_eq!(place.previous_text().as_deref(), Some("old"));

    fs::remove_file(&place.previous).unwrap();
    fs::hard_link(&other, &place.previous).unwrap();
    place.succeed("keep", &["newer"]);
    assert_eq!(place.previous_text().as_deref(), Some("new"));
    assert_eq!(fs::read_to_string(&other).unwrap(), "someone else's");
}

#[test]
fn a_folder_in_the_copys_place_fails_the_replacement_and_nothing_changes() {
    let place = Place::of("old");
    fs::create_dir(&place.previous).unwrap();
    let failed = place.run("", "keep", &["new"]);
    let message = stderr(&failed);
    assert_eq!(failed.status.code(), Some(2), "{message}");
    let wanted = format!("Cannot replace {}: ", place.previous.display());
    assert!(
        message.starts_with(&wanted) && message.contains("is as it was"),
        "{message}"
    );
    assert_eq!(place.text().as_deref(), Some("old"));
    assert_eq!(place.names(), ["secret", "secret.previous"]);
}

#[test]
fn a_text_beyond_the_limit_is_not_written() {
    let place = Place::empty();
    let long = "x".repeat(1025);
    for action in ["create", "keep"] {
        let message = stderr(&place.run("", action, &[&long]));
        let wanted = "is larger than the 1024 bytes a test file may have (check that it is the right file; \
                      make it smaller)\n";
        assert!(message.ends_with(wanted), "{message}");
        assert_eq!(place.text(), (action == "keep").then(|| "old".into()));
        fs::write(&place.path, "old").unwrap();
    }
}
