//! A folder in which states are put on a real disk, to be opened there.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::model::{Known, Number, State};
use test_support::programs;

/// How the name of a file ends that only a process at work on it looks at.
pub(crate) const TEMPORARY: &str = ".keyroll-new";

/// The folder.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        // In memory where that can be had: what stands there is judged, not how it got there.
        Scratch(
            tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
        )
    }

    /// Puts the state's files into the scratch folder.
    pub(crate) fn put(&self, known: &Known, state: &State) -> PathBuf {
        let root = self.0.path().join("disk");
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        for folder in ["store", "apart"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let mut first: BTreeMap<Number, PathBuf> = BTreeMap::new();
        for (name, file, content) in state {
            let path = root.join(&known.names[*name]);
            if let Some(first) = first.get(file) {
                fs::hard_link(first, &path).unwrap();
                continue;
            }
            let content = &known.contents[*content];
            fs::write(&path, &content.bytes).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(content.belongings.mode)).unwrap();
            first.insert(*file, path);
        }
        root
    }
}

/// Fails if a temporary file lies beside this one, unless it is another name of it: a password file is never written again.
pub(crate) fn nothing_is_left(root: &Path, needed: &str) -> Result<(), String> {
    let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino()).ok();
    let path = root.join(needed);
    let folder = path.parent().unwrap();
    let mut temporary = programs::names(folder)
        .into_iter()
        .filter(|name| name.ends_with(TEMPORARY));
    match temporary.find(|name| inode(&folder.join(name)) != inode(&path)) {
        Some(left) => Err(format!("the next change leaves {left} behind")),
        None => Ok(()),
    }
}

/// The files of a state: `store/keystore (file 0, 1428 bytes, 16 of them zero)`.
pub(crate) fn in_words(known: &Known, state: &State) -> String {
    let words = state.iter().map(|(name, file, content)| {
        let bytes = &known.contents[*content].bytes;
        let zeros = bytes.iter().filter(|byte| **byte == 0).count();
        let name = known.names[*name].display();
        format!(
            "{name} (file {file}, {} bytes, {zeros} of them zero)",
            bytes.len()
        )
    });
    words.collect::<Vec<_>>().join(", ")
}
