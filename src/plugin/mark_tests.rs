//! The mark beside the data: which stores a start accepts, which it refuses, and what it tells.

use std::fs;
use std::path::{Path, PathBuf};

use super::tests::{Recorder, settings};
use super::*;
use crate::keys::KeyName;
use crate::store::MarkError;

const ONE: &str = "00112233445566778899aabbccddeeff";
const TWO: &str = "ffeeddccbbaa99887766554433221100";

/// A data directory, and a key file outside of it.
struct Site {
    _directory: tempfile::TempDir,
    data: PathBuf,
    keys: PathBuf,
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let (data, keys) = (directory.path().join("data"), directory.path().join("keys"));
        fs::create_dir(&data).unwrap();
        Site {
            _directory: directory,
            data,
            keys,
        }
    }

    fn write(&self, lines: &[&str]) {
        fs::write(&self.keys, lines.concat()).unwrap();
    }

    fn start_with(&self, accept_lost_keys: bool) -> Result<(Plugin, Recorder), PluginError> {
        let server = Recorder {
            data_elsewhere: Some(self.data.clone()),
            ..Recorder::default()
        };
        let settings = Settings {
            accept_lost_keys,
            ..settings(&self.keys)
        };
        Ok((Plugin::start(settings, &server)?, server))
    }

    fn start(&self) -> Result<(Plugin, Recorder), PluginError> {
        self.start_with(false)
    }

    fn mark(&self) -> PathBuf {
        self.data.join("keyroll.mark")
    }
}

fn line(id: u32, version: u32, digits: &str) -> String {
    format!("{id};{version};{digits}\n")
}

fn refusal(site: &Site) -> String {
    let error = site.start().err().unwrap();
    assert!(
        matches!(error, PluginError::Mark(MarkError::StoreLacks(_))),
        "{error}"
    );
    format!("{error}. Hint: {}", error.hint())
}

#[test]
fn a_first_start_accepts_any_store_and_leaves_a_mark() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    site.start().unwrap();
    assert!(site.mark().exists());
    site.start().unwrap();
}

#[test]
fn a_store_that_lacks_a_version_is_refused_and_the_version_is_named() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE), &line(1, 3, TWO), &line(7, 1, TWO)]);
    site.start().unwrap();
    let mark = fs::read(site.mark()).unwrap();
    site.write(&[&line(1, 1, ONE)]);
    let text = refusal(&site);
    assert!(text.contains("version 3 of key 1 (fingerprint "), "{text}");
    assert!(text.contains("version 1 of key 7"), "{text}");
    assert!(text.contains("put the lines that are missing"), "{text}");
    assert_eq!(fs::read(site.mark()).unwrap(), mark, "a refusal changes nothing");
}

#[test]
fn a_store_with_other_bytes_is_refused() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    site.start().unwrap();
    site.write(&[&line(1, 1, TWO)]);
    let text = refusal(&site);
    assert!(text.contains("holds other bytes"), "{text}");
    assert!(text.contains("it is another store"), "{text}");
}

#[test]
fn versions_that_are_lost_for_good_can_be_given_up_once() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE), &line(1, 3, TWO)]);
    site.start().unwrap();
    site.write(&[&line(1, 1, ONE)]);
    let (_, server) = site.start_with(true).unwrap();
    assert!(server.logged(
        Severity::Warning,
        "given up, as keyroll_accept_lost_keys says: version 3 of key 1"
    ));
    // From now on nothing is lost any more.
    site.start().unwrap();
    let (_, server) = site.start_with(true).unwrap();
    assert!(server.logged(Severity::Warning, "take it out of my.cnf"));
}

#[test]
fn a_rotation_takes_no_number_that_was_ever_seen() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE), &line(1, 9, TWO)]);
    site.start().unwrap();
    site.write(&[&line(1, 1, ONE)]);
    let (plugin, server) = site.start_with(true).unwrap();
    plugin
        .rotate_keys(1, NewVersions::DEFAULT, &server, &Status::default())
        .unwrap();
    assert_eq!(server.latest(1), Some(11));
}

#[test]
fn a_rotation_is_in_the_mark_before_it_is_published() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    let (plugin, server) = site.start().unwrap();
    let before = fs::read(&site.keys).unwrap();
    plugin
        .rotate_keys(1, NewVersions::DEFAULT, &server, &Status::default())
        .unwrap();
    fs::write(&site.keys, before).unwrap();
    assert!(refusal(&site).contains("version 3 of key 1"));
}

#[test]
fn a_rotation_whose_mark_cannot_be_written_fails_and_publishes_nothing() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    let (plugin, server) = site.start().unwrap();
    let hidden = site.data.with_extension("away");
    fs::rename(&site.data, &hidden).unwrap();
    let error = plugin
        .rotate_keys(1, NewVersions::DEFAULT, &server, &Status::default())
        .unwrap_err();
    assert!(matches!(error, PluginError::NotMarked { .. }), "{error}");
    assert_eq!(server.latest(1), Some(1));
    // The remedy that is told: the cause mended, a reload takes the version up.
    fs::rename(&hidden, &site.data).unwrap();
    plugin.reload(&server, &Status::default()).unwrap();
    assert_eq!(server.latest(1), Some(3));
}

#[test]
fn a_start_goes_on_without_a_mark_that_cannot_be_written_and_says_so() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    fs::remove_dir(&site.data).unwrap();
    let (_, server) = site.start().unwrap();
    assert!(server.logged(Severity::Warning, "the mark could not be written"));
}

#[test]
fn a_reload_that_adds_no_version_needs_no_mark() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    let (plugin, server) = site.start().unwrap();
    let (ring, missing) = (
        plugin.published().ring,
        Arc::clone(&plugin.state().unwrap().missing),
    );
    assert!(
        missing
            .add_version(KeyName { id: 1, version: 5 }, &ring, false)
            .is_some()
    );
    fs::remove_file(site.mark()).unwrap();
    fs::remove_dir(&site.data).unwrap();
    plugin.reload(&server, &Status::default()).unwrap();
    assert!(server.logged(Severity::Warning, "the mark could not be written"));
}

#[test]
fn twenty_versions_that_are_given_up_are_told_and_more_are_counted() {
    for (lost, more) in [(20, 0), (21, 1)] {
        let site = Site::new();
        let lines: Vec<String> = (1..=lost + 1).map(|version| line(1, version, ONE)).collect();
        site.write(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        site.start().unwrap();
        site.write(&[&lines[0]]);
        let (_, server) = site.start_with(true).unwrap();
        let told = server.lines.lock().unwrap();
        let about = |words: &str| told.iter().filter(|(_, text)| text.contains(words)).count();
        assert_eq!(about("given up, as keyroll_accept_lost_keys says"), 20);
        assert_eq!(about("given up are 1 more versions"), more);
        assert_eq!(about("more versions"), more);
    }
}

#[test]
fn a_damaged_mark_is_kept_aside_and_told() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    site.start().unwrap();
    fs::write(site.mark(), "garbage").unwrap();
    let (_, server) = site.start().unwrap();
    assert!(server.logged(Severity::Warning, "was damaged and is kept as"));
    assert_eq!(
        fs::read(site.data.join("keyroll.mark.unreadable")).unwrap(),
        b"garbage"
    );
    site.start().unwrap();
}

#[test]
fn no_warning_about_a_mark_is_cut_by_the_server() {
    let site = Site::new();
    // Longer paths than most.
    let long = site.data.join("srv-mariadb-production-cluster-7/of-node-1");
    let site = Site {
        data: long.join("data"),
        keys: long.join("keys"),
        ..site
    };
    fs::create_dir_all(&site.data).unwrap();
    let warned = |accept_lost, of: &str| {
        let (_, server) = site.start_with(accept_lost).unwrap();
        assert!(server.logged(Severity::Warning, of));
        for (_, text) in server.lines.lock().unwrap().iter() {
            assert!(text.len() <= 511, "{} bytes: {text}", text.len());
        }
    };
    site.write(&[&line(1, 1, ONE), &line(u32::MAX, u32::MAX - 1, TWO)]);
    site.start().unwrap();
    site.write(&[&line(1, 1, ONE)]);
    warned(true, "given up");
    fs::write(site.mark(), "garbage").unwrap();
    warned(false, "was damaged and is kept as");
    fs::remove_dir_all(&site.data).unwrap();
    warned(false, "the mark could not be written");
}

#[test]
fn a_mark_of_a_newer_format_is_not_passed_over() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    site.start().unwrap();
    let newer = fs::read_to_string(site.mark())
        .unwrap()
        .replace("\"version\":1,", "\"version\":2,");
    fs::write(site.mark(), &newer).unwrap();
    let error = site.start().err().unwrap();
    assert!(
        error.to_string().contains("it has version 2 of the format"),
        "{error}"
    );
    assert!(
        error.hint().starts_with("install the keyroll that wrote it"),
        "{}",
        error.hint()
    );
    assert_eq!(fs::read_to_string(site.mark()).unwrap(), newer);
}

#[test]
fn two_data_directories_on_one_store_know_what_each_has_seen() {
    let one = Site::new();
    one.write(&[&line(1, 1, ONE)]);
    let (plugin, server) = one.start().unwrap();
    let two = Site::new();
    let two = Site {
        keys: one.keys.clone(),
        ..two
    };
    two.start().unwrap();
    plugin
        .rotate_keys(1, NewVersions::DEFAULT, &server, &Status::default())
        .unwrap();
    one.start().unwrap();
    two.start().unwrap();
}

#[test]
fn without_a_data_directory_there_is_no_mark() {
    let site = Site::new();
    site.write(&[&line(1, 1, ONE)]);
    let server = Recorder {
        data: None,
        ..Recorder::default()
    };
    Plugin::start(settings(&site.keys), &server).unwrap();
    assert_eq!(fs::read_dir(&site.data).unwrap().count(), 0);
    assert!(!Path::new("keyroll.mark").exists());
}
