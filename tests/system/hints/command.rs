//! Refusals of the command, each with the words that help, and the same command as they say.

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet, LAST_VERSION};
use keyroll::secret::DataKey;

use super::site::{ONE, Site, TWO, keys_of, set_mode};

/// A refusal of the command.
struct Refusal {
    /// The error, as the source names it.
    name: &'static str,
    /// What is refused.
    before: &'static str,
    /// What is said of it.
    hint: &'static str,
    /// What is done then.
    after: &'static str,
}

const fn row(name: &'static str, before: &'static str, hint: &'static str, after: &'static str) -> Refusal {
    Refusal {
        name,
        before,
        hint,
        after,
    }
}

/// KEYS is a key file, STORE a keystore of master key MASTER, which my.cnf names; SHORT is a key file of short keys.
const REFUSALS: &[Refusal] = &[
    row(
        "Store",
        "keyroll rotate --key 7",
        "name one of these, or --all",
        "keyroll rotate --all",
    ),
    row(
        "Store",
        "keyroll rotate --all --keystore LATE --master-key file:MASTER",
        "set a smaller --version-step",
        "keyroll rotate --all --keystore LATE --master-key file:MASTER --version-step 1",
    ),
    row(
        "MasterKey",
        "keyroll init --keystore NEW --master-key MASTER",
        "a master key is file:PATH",
        "keyroll init --keystore NEW --master-key file:MASTER",
    ),
    row(
        "NoStore",
        "keyroll list --no-defaults",
        "give --keystore and --master-key, or --filename",
        "keyroll list --no-defaults --filename KEYS",
    ),
    row(
        "Unreadable",
        "keyroll scan --no-defaults nowhere",
        "check the path, and run it as root or as the server's user",
        "keyroll scan --no-defaults .",
    ),
    row(
        "Settings",
        "keyroll list --defaults-file=TWO",
        "unset one of them",
        "sed -i /keyroll_filename/d TWO && keyroll list --defaults-file=TWO",
    ),
    row(
        "Settings",
        "grep -v master_key my.cnf > CNF; keyroll list --defaults-file=CNF",
        "set it to the master key that the keystore was made with",
        "grep master_key my.cnf >> CNF; keyroll list --defaults-file=CNF",
    ),
    row(
        "Settings",
        "cp my.cnf CNF; echo keyroll_master_key_id=alias/a >> CNF; keyroll list --defaults-file=CNF",
        "unset one of them",
        "sed -i /key_id/d CNF; keyroll list --defaults-file=CNF",
    ),
    row(
        "NotInSource",
        "keyroll import --add --from-filename KEYS --from-id 9",
        "`keyroll list` shows what a store holds",
        "keyroll list --filename KEYS && keyroll import --add --from-filename KEYS --from-id 7",
    ),
    row(
        "NoOtherMasterKey",
        "keyroll check --filename KEYS --against STORE",
        "give --against-master-key",
        "keyroll check --filename KEYS --against STORE --against-master-key file:MASTER; [ $? -lt 3 ]",
    ),
    row(
        "LiteralFilekey",
        "keyroll init --filename NEW --filekey hunter2",
        "write the password into a file of mode 0600 and give --filekey FILE:PATH",
        "umask 077; echo hunter2 > PASSWORD; keyroll init --filename NEW --filekey FILE:PASSWORD",
    ),
    row(
        "NoAlgorithms",
        "keyroll rotate --filename KEYS --all --key-algorithm aes_ctr",
        "leave it out",
        "keyroll rotate --filename KEYS --all",
    ),
    row(
        "NoLength",
        "keyroll rotate --filename KEYS --all --key-spec AES_256",
        "leave --key-spec out",
        "keyroll rotate --filename KEYS --all",
    ),
    row(
        "NotAKeystore",
        "keyroll rotate-master-key --filename KEYS",
        "`keyroll import --keystore PATH --master-key URI` moves the keys of a key file into a keystore",
        "cp KEYCNF my.cnf; keyroll import --keystore NEW --master-key file:MASTER && keyroll rotate-master-key --keystore NEW \
         --master-key file:MASTER",
    ),
    row(
        "NotInsecure",
        "keyroll export --to NEW",
        "give --insecure-plaintext",
        "keyroll export --insecure-plaintext --to NEW && keyroll check --user root --quiet --filename NEW; [ $? -lt 2 ]",
    ),
    row(
        "NothingToImport",
        "keyroll import --no-defaults --keystore NEW --master-key file:MASTER",
        "give --from-filename",
        "keyroll import --no-defaults --keystore NEW --master-key file:MASTER --from-filename KEYS",
    ),
    row(
        "NotItsAlgorithm",
        "keyroll import --keystore NEW --master-key file:MASTER --from-filename SHORT --from-encryption-algorithm aes_256_xts",
        "give --from-encryption-algorithm as the server had it",
        "keyroll import --keystore NEW --master-key file:MASTER --from-filename SHORT --from-encryption-algorithm aes_cbc",
    ),
    row(
        "NoSuchUser",
        "keyroll init --filename NEW --owner nobody-of-that-name",
        "give the name of the user that the server runs as",
        "keyroll init --filename NEW --owner $(id -un)",
    ),
    row(
        "NoSuchUser",
        "keyroll check --filename KEYS --user nobody-of-that-name",
        "give the name of the user that the server runs as",
        "keyroll check --filename KEYS --user root; [ $? -lt 2 ]",
    ),
    row(
        "NoSuchSubcommand",
        "keyroll man rotat",
        "`keyroll help` lists them",
        "keyroll help && keyroll man rotate",
    ),
    row(
        "ManPage",
        "keyroll man --dir none",
        "check that the directory exists and that you may write there",
        "mkdir none && keyroll man --dir none",
    ),
    row(
        "NoKeysOfAws",
        "keyroll import --from-aws data --keystore NEW --master-key file:MASTER",
        "give --from-aws the data directory of the server that ran aws_key_management",
        "true",
    ),
    row(
        "OptionFile",
        "keyroll list --defaults-file=none.cnf",
        "check its name and that you may read it",
        "keyroll list --defaults-file=my.cnf",
    ),
    row(
        "OptionFile",
        "cp my.cnf CNF; echo '!includedir none' >> CNF; keyroll list --defaults-file=CNF",
        "mend the file",
        "mkdir none; keyroll list --defaults-file=CNF",
    ),
    row(
        "Store",
        "keyroll add-key --filename KEYS --key 7",
        "`SET GLOBAL keyroll_reload_keys = 1` takes it up where a server lacks it; `keyroll rotate --key 7` makes a new version of it",
        "keyroll rotate --filename KEYS --key 7",
    ),
    row(
        "NamesAnotherStore",
        "keyroll init --filename NEW --cnf my.cnf",
        "give --cnf another file",
        "keyroll init --filename NEW --cnf CNF && keyroll list --defaults-file=CNF",
    ),
    row(
        "NamedStoreIsGone",
        "keyroll init --filename NEW --cnf CNF && mv NEW AWAY && keyroll init --if-missing --filename NEW --cnf CNF",
        "mount it, or restore it from the backup",
        "mv AWAY NEW && keyroll init --if-missing --filename NEW --cnf CNF",
    ),
    row(
        "NamedStoreIsGone",
        "keyroll init --filename NEW --cnf CNF && rm NEW && keyroll init --if-missing --filename NEW --cnf CNF",
        "If it never encrypted any, run this without --if-missing",
        "keyroll init --filename NEW --cnf CNF && keyroll list --defaults-file=CNF",
    ),
    row(
        "OptionFileFolder",
        "keyroll init --filename NEW --cnf none/my.cnf",
        "make the folder first",
        "mkdir none && keyroll init --filename NEW --cnf none/my.cnf && keyroll list --defaults-file=none/my.cnf",
    ),
    row(
        "Settings",
        "cp my.cnf CNF; echo keyroll_key_spec=AES_512 >> CNF; keyroll rotate --all --defaults-file=CNF",
        "mend the line",
        "sed -i s/AES_512/AES_256/ CNF; keyroll rotate --all --defaults-file=CNF",
    ),
];

/// Errors of the command that are not made here, and where or why.
const NOT_HERE: &[(&str, &str)] = &[
    ("Mark", "tests/command/two_stores.rs"),
    ("KeyInUse", "tests/command/add_key.rs"),
    ("SystemData", "tests/command/add_key.rs"),
    ("DataUnread", "a data directory that root may not read"),
    ("NotInOptionFile", "tests/command/init.rs"),
    ("NamesAnotherStoreNow", "src/bin/keyroll/cnf_file.rs"),
    ("StoreOfDataIsGone", "tests/command/init.rs"),
    ("MadeInVault", "tests/command/vault.rs"),
    ("Directory", "as a directory without keys"),
    ("MissingOfAws", "tests/command/snapshots/two_stores.trycmd"),
    ("AwsSettings", "tests/examples/aws_stories.py"),
    ("KeyOfAws", "tests/services/aws/import.rs"),
    ("UserLookup", "the system's list of users answers"),
    ("NoWorkingDirectory", "a shell stands in a directory"),
    ("Output", "tests/command/scripts.rs"),
];

fn filled(site: &Site, command: &str) -> String {
    let mut command = command.to_owned();
    for (word, file) in [
        ("KEYCNF", "key.cnf"),
        ("KEYS", "store/keys"),
        ("SHORT", "store/short"),
        ("STORE", "store/keystore"),
        ("LATE", "store/late"),
        ("MASTER", "apart/master"),
        ("PASSWORD", "apart/password"),
        ("NEW", "store/new"),
        ("AWAY", "store/away"),
        ("TWO", "two.cnf"),
        ("CNF", "another.cnf"),
    ] {
        command = command.replace(word, &site.word(file));
    }
    command
}

fn site() -> Site {
    let site = Site::new();
    site.make_keystore();
    let of_keystore = std::fs::read_to_string(site.path("my.cnf")).unwrap();
    let of_keys = site.option("keyroll_filename", "store/keys");
    site.write("key.cnf", &format!("[mysqld]\n{of_keys}\n"));
    site.write("two.cnf", &format!("{of_keystore}{of_keys}\n"));
    site.write("store/keys", &format!("{ONE}{TWO}7;{}\n", "ab".repeat(32)));
    site.write("store/short", "1;00112233445566778899aabbccddeeff\n");
    let mut late = KeySet::default();
    let name = KeyName {
        id: 1,
        version: LAST_VERSION - 1,
    };
    late.insert(name, DataKey::new(&[1; 32]).unwrap());
    site.keystore_at("store/late", "apart/master")
        .import(&late, Algorithm::AesCbc, None)
        .unwrap();
    for folder in ["store", "apart"] {
        set_mode(&site.path(folder), 0o700);
    }
    site
}

#[test]
fn what_the_command_says_of_its_own_refusals_helps_and_loses_nothing() {
    for Refusal {
        name,
        before,
        hint,
        after,
    } in REFUSALS
    {
        let site = site();
        let keys = || [keys_of(&site.keystore()), keys_of(&site.key_file())];
        let held = keys();
        let refused = site.shell(&filled(&site, before));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            matches!(refused.status.code(), Some(2 | 64 | 73)),
            "{name}: {before}: {said}"
        );
        let told = said.lines().find_map(|line| line.strip_prefix("hint: "));
        assert!(
            told.is_some_and(|told| told.contains(hint)),
            "{name}: {before}: {said}"
        );
        assert_eq!(keys(), held, "{name}: {before}");
        let done = site.shell(&filled(&site, after));
        assert!(done.status.success(), "{name}: {after}: {done:?}");
        for (now, held) in keys().iter().zip(&held) {
            assert!(
                held.iter().all(|(name, key)| now.get(name) == Some(key)),
                "{name}: {after}"
            );
        }
    }
}

#[test]
fn every_refusal_of_the_command_has_a_row() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join("src/bin/keyroll/failure.rs")).unwrap();
    let hints = source.split("fn hint").nth(1).unwrap();
    let mut names: Vec<&str> = hints
        .split("Failure::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let is_tried = REFUSALS.iter().any(|refusal| refusal.name == name);
        let elsewhere = NOT_HERE.iter().find(|row| row.0 == name);
        assert!(
            is_tried != elsewhere.is_some(),
            "Failure::{name} has no row, or one too many"
        );
        if let Some((_, place)) = elsewhere.filter(|row| row.1.contains('/')) {
            assert!(root.join(place).exists(), "Failure::{name}: there is no {place}");
        }
    }
}
