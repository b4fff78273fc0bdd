//! The model itself, on writes of a few calls whose outcome is known.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::file::{Belongings, Change, Content, torn};
use super::model::{Call, Disk, Known};

const NEW: &str = "new text";

fn path(name: &str) -> PathBuf {
    PathBuf::from(name)
}

fn create(name: &str, file: usize) -> Call {
    Call::Create(path(name), file, Belongings::default())
}

fn write(file: usize, text: &str) -> Call {
    Call::Write(file, 0, text.into())
}

fn sync(file: usize) -> Call {
    Call::SyncFile {
        file,
        belongings: true,
    }
}

fn sync_folder() -> Call {
    Call::SyncFolder(path(""))
}

fn rename(from: &str, to: &str) -> Call {
    Call::Rename(path(from), path(to))
}

/// The states after these calls in a folder where `name` has the text `old`: each as `NAME=TEXT` of all its files, zeros as `0`.
fn after(calls: &[Call]) -> BTreeSet<String> {
    let mut disk = Disk::default();
    let old = Content {
        bytes: b"old".into(),
        ..Content::default()
    };
    disk.put(Path::new("name"), 0, old);
    calls.iter().for_each(|call| disk.apply(call));
    let mut states = BTreeSet::new();
    let all = disk.states(&mut Known::default(), &mut |known, state| {
        let words = state.iter().map(|(name, _, content)| {
            let text = String::from_utf8(known.contents[*content].bytes.clone()).unwrap();
            format!("{}={}", known.names[*name].display(), text.replace('\0', "0"))
        });
        let mut words: Vec<String> = words.collect();
        words.sort();
        states.insert(words.join(" "));
        ControlFlow::Continue(())
    });
    assert!(all.is_continue());
    states
}

fn set(states: &[&str]) -> BTreeSet<String> {
    states.iter().map(|state| (*state).to_owned()).collect()
}

#[test]
fn what_is_synced_in_full_has_one_state() {
    let calls = [
        create("temp", 1),
        write(1, NEW),
        sync(1),
        rename("temp", "name"),
        sync_folder(),
    ];
    assert_eq!(after(&calls), set(&["name=new text"]));
}

#[test]
fn a_rename_whose_folder_is_not_synced_is_done_or_not_or_half() {
    let calls = [create("temp", 1), write(1, NEW), sync(1), rename("temp", "name")];
    let wanted = [
        "name=old",
        "name=new text",
        "name=old temp=new text",
        "name=new text temp=new text",
    ];
    assert_eq!(after(&calls), set(&wanted));
}

#[test]
fn a_file_that_is_not_synced_may_be_empty_torn_or_zeros_under_its_new_name() {
    let states = after(&[
        create("temp", 1),
        write(1, NEW),
        rename("temp", "name"),
        sync_folder(),
    ]);
    let wanted = [
        "name=",
        "name=new text",
        "name=new ",
        "name=00000000",
        "name=new 0000",
        "name=ne0 text",
    ];
    assert!(states.is_superset(&set(&wanted)), "{states:?}");
    assert!(!states.contains("name=old"));
}

#[test]
fn a_sync_of_the_file_says_nothing_of_its_name_and_one_of_the_folder_nothing_of_its_bytes() {
    let states = after(&[create("another", 1), write(1, NEW), sync(1)]);
    assert_eq!(states, set(&["name=old", "another=new text name=old"]));
    let states = after(&[create("another", 1), sync_folder(), write(1, NEW)]);
    assert!(states.contains("another= name=old") && states.contains("another=00000000 name=old"));
    assert!(!states.contains("name=old"));
}

#[test]
fn names_come_and_go_in_any_order() {
    let calls = [
        create("one", 1),
        create("two", 2),
        Call::Unlink(path("name")),
        Call::Link(path("two"), path("three")),
    ];
    assert_eq!(after(&calls).len(), 16);
}

#[test]
fn what_is_written_over_is_the_old_or_the_new_piece_by_piece() {
    let states = torn(b"aaaaaaaa", b"bbbbbbbb");
    for wanted in [b"aaaaaaaa", b"bbbbbbbb", b"bbbbaaaa", b"bbbabbbb"] {
        assert!(states.contains(&wanted[..]), "{wanted:?}");
    }
    let cut_off = torn(b"aaaa", b"");
    assert!(cut_off.contains(&b""[..]) && cut_off.contains(&b"aaaa"[..]));
}

#[test]
fn belongings_are_any_of_the_changes_since_the_last_sync() {
    let calls = [
        create("another", 1),
        sync_folder(),
        Call::Change(1, Change::Mode(0o600)),
        Call::Change(1, Change::Owner(Some(7), None)),
        Call::Change(1, Change::Attribute("user.note".into(), Some(b"kept".into()))),
    ];
    let count = |calls: &[Call]| {
        let mut disk = Disk::default();
        calls.iter().for_each(|call| disk.apply(call));
        let mut count = 0;
        let _ = disk.states(&mut Known::default(), &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        });
        count
    };
    assert_eq!(count(&calls), 8);
    assert_eq!(count(&[&calls[..], &[sync(1)]].concat()), 1);
}
