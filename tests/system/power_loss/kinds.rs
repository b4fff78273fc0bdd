//! The kinds of write: one row each.

use std::fs;
use std::path::Path;

use super::commands::{
    KEYS, KEYSTORE, MARK, MASTER, OTHER, PASSWORD, PREVIOUS, SECRET, encrypted_key_file, folders, import,
    init_encrypted, init_keystore, keyroll, new_keystore, nothing, of_encrypted, of_key_file, of_keystore,
    plain_key_file, rotate_all, rotated_keystore, text, uri, write_mark,
};
use super::record::Recording;
use super::stores::Store;
use super::strace::Step;
use test_support::programs;

/// One kind of write.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    /// The store's file.
    pub(crate) file: &'static str,
    /// The files without which something is lost: the store's own, what opens it.
    pub(crate) needed: &'static [&'static str],
    /// Makes what is there before.
    prepare: fn(&Path),
    /// The command that writes.
    act: fn(&Path) -> Step,
    /// What befalls it: which fault, and at the first fsync of a folder after which file got its name.
    befalls: Option<(&'static str, &'static str)>,
    /// A second command, after it.
    then: Option<fn(&Path) -> Step>,
    /// Whether the first command is not ours: what it does to the file before the user knows is its own affair.
    pub(crate) is_foreign: bool,
    /// The text by which the user knows; empty for anything on standard output.
    pub(crate) told_by: &'static str,
}

/// A change of a keystore, which has been changed before.
const CHANGED_KEYSTORE: Kind = Kind {
    name: "",
    store: Store::Keystore(&[MASTER]),
    file: KEYSTORE,
    needed: &[KEYSTORE, MASTER],
    prepare: rotated_keystore,
    act: rotate_all,
    befalls: None,
    then: None,
    is_foreign: false,
    told_by: "",
};

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "keystore made, with its master key file",
        prepare: nothing,
        act: init_keystore,
        told_by: "made the keystore",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "keystore made, after a try that was killed",
        prepare: nothing,
        act: init_keystore,
        befalls: Some(("signal=KILL", MASTER)),
        then: Some(init_keystore),
        told_by: "made the keystore",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "keystore made of a key file",
        prepare: plain_key_file,
        act: import,
        told_by: "",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "key made at first use",
        act: |root| {
            let uri = uri(root, MASTER);
            let words = [&text(root, KEYSTORE), &uri, "60000", "create-key", "9"];
            Step::of(&programs::program("change_keystore"), &words)
        },
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "data key rotated",
        act: |root| keyroll(&["rotate", "--key", "1"], &of_keystore(root)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "all data keys rotated",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "all rotated, no copy kept before",
        prepare: new_keystore,
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "versions of another store added",
        act: |root| {
            let uri = uri(root, MASTER);
            let words = [&text(root, KEYSTORE), &uri, "60000", "add-all"];
            Step::of(&programs::program("change_keystore"), &words)
        },
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "master key rotated, with its file",
        act: |root| keyroll(&["rotate-master-key"], &of_keystore(root)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "moved to another master key, which is made",
        store: Store::Keystore(&[OTHER, MASTER]),
        needed: &[KEYSTORE, OTHER],
        act: |root| {
            keyroll(
                &["rotate-master-key", "--to", &uri(root, OTHER)],
                &of_keystore(root),
            )
        },
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "rotation killed before its last fsync, then read",
        befalls: Some(("signal=KILL", KEYSTORE)),
        then: Some(|root| keyroll(&["list"], &of_keystore(root))),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "rotation killed on the way, then another",
        befalls: Some(("signal=KILL", PREVIOUS)),
        then: Some(rotate_all),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "rotation whose last fsync fails",
        befalls: Some(("error=EIO", KEYSTORE)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "rotation whose last fsync fails, then another",
        befalls: Some(("error=EIO", KEYSTORE)),
        then: Some(rotate_all),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "master key file made",
        store: Store::MasterKeyFile,
        file: MASTER,
        needed: &[MASTER],
        prepare: nothing,
        act: init_keystore,
        told_by: "made the master key file",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "master key file rotated",
        store: Store::MasterKeyFile,
        file: MASTER,
        needed: &[MASTER],
        act: |root| keyroll(&["rotate-master-key"], &of_keystore(root)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "key file made",
        store: Store::KeyFile(None),
        file: KEYS,
        needed: &[KEYS],
        prepare: nothing,
        act: |root| keyroll(&["init"], &of_key_file(root)),
        told_by: "made the key file",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "encrypted key file made, with its password file",
        store: Store::KeyFile(Some(PASSWORD)),
        file: KEYS,
        needed: &[KEYS, PASSWORD],
        prepare: nothing,
        act: init_encrypted,
        told_by: "made the key file",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "encrypted key file made, after a try that was killed",
        store: Store::KeyFile(Some(PASSWORD)),
        file: KEYS,
        needed: &[KEYS, PASSWORD],
        prepare: nothing,
        act: init_encrypted,
        befalls: Some(("signal=KILL", PASSWORD)),
        then: Some(init_encrypted),
        told_by: "made the key file",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "password file made",
        store: Store::Whole,
        file: PASSWORD,
        needed: &[PASSWORD],
        prepare: nothing,
        act: init_encrypted,
        told_by: "made the password file",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "key file written by export",
        store: Store::KeyFile(None),
        file: KEYS,
        needed: &[KEYS],
        act: |root| {
            keyroll(
                &["export", "--insecure-plaintext", "--to", &text(root, KEYS)],
                &of_keystore(root),
            )
        },
        told_by: "made",
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "key file rotated",
        store: Store::KeyFile(None),
        file: KEYS,
        needed: &[KEYS],
        prepare: plain_key_file,
        act: |root| keyroll(&["rotate", "--all"], &of_key_file(root)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "key file changed by sed, then read",
        store: Store::KeyFile(None),
        file: KEYS,
        needed: &[KEYS],
        prepare: |root| {
            plain_key_file(root);
            // Other modes sed gives by way of an access control list, which the model lacks.
            programs::set_mode(&root.join(KEYS), 0o600);
        },
        act: |root| {
            let line = "$a 7;00112233445566778899aabbccddeeff";
            Step::of(Path::new("/bin/sed"), &["-i", line, &text(root, KEYS)])
        },
        then: Some(|root| keyroll(&["list"], &of_key_file(root))),
        is_foreign: true,
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "encrypted key file rotated",
        store: Store::KeyFile(Some(PASSWORD)),
        file: KEYS,
        needed: &[KEYS],
        prepare: encrypted_key_file,
        act: |root| keyroll(&["rotate", "--all"], &of_encrypted(root)),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "mark made",
        store: Store::Mark,
        file: MARK,
        needed: &[MARK],
        prepare: nothing,
        act: |root| write_mark(root, "1"),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "mark changed",
        store: Store::Mark,
        file: MARK,
        needed: &[MARK],
        prepare: |root| {
            folders(root);
            assert!(programs::run(&write_mark(root, "1").words).status.success());
        },
        act: |root| write_mark(root, "3"),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "change of a mark killed before its last fsync, then another start",
        store: Store::Mark,
        file: MARK,
        needed: &[MARK],
        prepare: |root| {
            folders(root);
            assert!(programs::run(&write_mark(root, "1").words).status.success());
        },
        act: |root| write_mark(root, "3"),
        befalls: Some(("signal=KILL", MARK)),
        then: Some(|root| write_mark(root, "3")),
        ..CHANGED_KEYSTORE
    },
    Kind {
        name: "any file replaced, the one before kept",
        store: Store::Whole,
        file: SECRET,
        needed: &[SECRET],
        prepare: |root| {
            folders(root);
            fs::write(root.join(SECRET), "what was there at first").unwrap();
        },
        act: |root| {
            let words = [&text(root, SECRET), "keep", "what comes then"];
            Step::of(&programs::program("write_secret_file"), &words)
        },
        ..CHANGED_KEYSTORE
    },
];

impl Kind {
    /// The folder in which to try it, as it is before.
    pub(crate) fn prepare(&self, root: &Path) {
        (self.prepare)(root);
    }

    /// The write, in such a folder.
    pub(crate) fn record(&self, root: &Path) -> Recording {
        self.prepare(root);
        let mut first = (self.act)(root);
        if let Some((what, name)) = self.befalls {
            let trial = tempfile::tempdir().unwrap();
            let path = trial.path().canonicalize().unwrap();
            self.prepare(&path);
            let undisturbed = Recording::of(&path, &[(self.act)(&path)], "");
            first = first.with(what, undisturbed.fsync_after_naming(name));
        }
        let steps: Vec<Step> = [first]
            .into_iter()
            .chain(self.then.map(|then| then(root)))
            .collect();
        Recording::of(root, &steps, self.told_by)
    }

    /// Does it again, where it did not come about.
    pub(crate) fn again(&self, root: &Path) -> Result<(), String> {
        let output = programs::run(&(self.act)(root).words);
        match output.status.success() {
            true => Ok(()),
            false => Err(programs::stderr(&output)),
        }
    }
}
