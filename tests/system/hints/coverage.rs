//! What the rows have left out: errors without a row, and commands in the source that no row has run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use keyroll::settings::as_variables;

use super::tried::{
    OF_FILES, OF_KEYS, OF_KEYSTORES, OF_MARKS, OF_PLUGIN, OF_SETTINGS, OF_STORES, OF_VAULT, OF_WARNINGS,
    Tried,
};

/// Errors that are made and mended elsewhere: by this function in this file.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "FileError::NoMemory",
        "tests/system/little_memory.rs",
        "a_reload_or_a_rotation_that_lacks_memory_fails_and_ends_nothing",
    ),
    (
        "FileError::Cancelled",
        "mariadb-test/keyroll/t/waits.test",
        "KILL QUERY $id",
    ),
    (
        "PluginError::TooManyCreated",
        "src/plugin/keystore_tests.rs",
        "no_more_keys_are_made_between_two_starts_than_the_limit_allows",
    ),
    (
        "PluginError::RedoLogDowngrade",
        "mariadb-test/keyroll_keystore/t/algorithm_downgrade.test",
        "--keyroll-algorithm-downgrade=report --innodb-log-file-size",
    ),
    (
        "PluginError::RedoLogUnseen",
        "src/plugin/downgrades.rs",
        "a_redo_log_that_is_elsewhere_or_cannot_be_read_is_not_taken_for_a_good_one",
    ),
    (
        "FileError::NotAsWritten",
        "tests/stores/key_file/faults.rs",
        "a_file_that_does_not_read_back_as_written_is_taken_back",
    ),
    (
        "StoreError::MasterKeyRotationUnfinished",
        "tests/stores/keystore/refusals.rs",
        "a_provider_that_wraps_so_that_nothing_unwraps_it_ruins_no_keystore",
    ),
    (
        "KeystoreError::NotMade",
        "tests/command/init.rs",
        "a_wrong_key_and_a_key_service_that_is_away_have_codes_of_their_own",
    ),
    (
        "KeystoreError::UnusableProvider",
        "tests/stores/keystore/refusals.rs",
        "a_provider_that_wraps_so_that_nothing_unwraps_it_ruins_no_keystore",
    ),
    (
        "StoreError::NoMasterKeyHeld",
        "src/plugin/save_tests.rs",
        "a_key_file_that_is_gone_is_saved_under_a_new_master_key_file",
    ),
    (
        "StoreError::VaultKv",
        "tests/stores/vault_kv/hints.rs",
        "a_url_is_as_the_hint_shows_it",
    ),
    (
        "KvError::NoPrefix",
        "tests/stores/vault_kv/hints.rs",
        "a_url_is_as_the_hint_shows_it",
    ),
    (
        "KvError::NoHost",
        "tests/stores/vault_kv/hints.rs",
        "a_url_is_as_the_hint_shows_it",
    ),
    (
        "KvError::NoSecretName",
        "tests/stores/vault_kv/hints.rs",
        "a_url_is_as_the_hint_shows_it",
    ),
    (
        "KvError::Query",
        "tests/stores/vault_kv/hints.rs",
        "what_follows_a_question_mark_is_left_out",
    ),
    (
        "KvError::KvVersion1",
        "tests/stores/vault_kv/hints.rs",
        "an_engine_of_version_1_becomes_one_of_version_2",
    ),
    (
        "KvError::Vault",
        "tests/stores/vault_kv/faults.rs",
        "a_sealed_vault_is_told_and_comes_back",
    ),
    (
        "KvError::NoKeys",
        "tests/stores/vault_kv/hints.rs",
        "the_first_key_is_made_as_the_hint_says",
    ),
    (
        "KvError::NotAKey",
        "tests/stores/vault_kv/hints.rs",
        "a_secret_that_is_no_key_is_mended",
    ),
    (
        "KvError::NothingLeft",
        "tests/stores/vault_kv/hints.rs",
        "what_was_deleted_is_brought_back",
    ),
    (
        "KvError::NotListed",
        "tests/stores/vault_kv/hints.rs",
        "one_key_is_rotated_where_they_may_not_be_listed",
    ),
    (
        "StoreError::NoneOfKeys",
        "tests/stores/vault_kv/hints.rs",
        "the_first_key_is_made_where_keys_may_not_be_listed",
    ),
    (
        "Warning::Unread",
        "tests/stores/vault_kv/hints.rs",
        "a_secret_that_may_not_be_read_is_read_under_the_rule_that_is_named",
    ),
    (
        "PluginError::DataNeedsKeys",
        "tests/stores/vault_kv/start.rs",
        "a_server_whose_data_needs_keys_does_not_start_without_them_whatever_is_checked",
    ),
    (
        "StoreError::KeyExists",
        "tests/conformance/key_stores.rs",
        "a_key_is_added_once_and_beside_all_others",
    ),
    (
        "KvError::NotFirst",
        "tests/stores/vault_kv/add_key.rs",
        "a_key_that_was_deleted_is_brought_back_and_not_made_anew",
    ),
    (
        "KvError::WouldLose",
        "tests/stores/vault_kv/hints.rs",
        "room_for_more_versions_is_made_and_none_is_lost",
    ),
    (
        "KvError::StepTooLarge",
        "tests/stores/vault_kv/hints.rs",
        "a_smaller_step_writes_no_secrets_in_masses",
    ),
    (
        "KvError::NumbersTaken",
        "tests/stores/vault_kv/hints.rs",
        "numbers_that_are_taken_are_passed_over",
    ),
    (
        "StoreError::KeyRotationUnfinished",
        "tests/stores/vault_kv/interrupted.rs",
        "a_rotation_that_ends_at_any_request_loses_nothing_and_tells_what_it_wrote",
    ),
    (
        "Warning::VersionGone",
        "tests/stores/vault_kv/hints.rs",
        "what_was_deleted_is_brought_back",
    ),
    (
        "Warning::NotAKey",
        "tests/stores/vault_kv/hints.rs",
        "a_secret_that_is_no_key_is_mended",
    ),
    (
        "Warning::HeldVersionGone",
        "mariadb-test/keyroll_vault/t/save_keys.test",
        "SET GLOBAL keyroll_save_keys = '",
    ),
    (
        "PluginError::NotMarked",
        "src/plugin/mark_tests.rs",
        "a_rotation_whose_mark_cannot_be_written_fails_and_publishes_nothing",
    ),
    (
        "SettingsError::SecretHidden",
        "mariadb-test/keyroll_vault/t/backup.test",
        "VAULT_TOKEN=$token",
    ),
    (
        "SettingsError::KeysOfPeer",
        "mariadb-test/keyroll_aws/t/moving_over.test",
        "import --no-defaults --from-aws $datadir --keystore $datadir/keyroll.keystore",
    ),
    (
        "PluginError::ByStatement",
        "mariadb-test/keyroll_keystore/t/other_master_key.test",
        "--let $restart_parameters= --keyroll-master-key=exec:",
    ),
    (
        "PluginError::SaveTo",
        "mariadb-test/keyroll_keystore/t/save_keys.test",
        "SET GLOBAL keyroll_save_keys = '$dir/saved file:$dir/master/saved'",
    ),
    (
        "PluginError::SaveOver",
        "src/plugin/save_tests.rs",
        "a_damaged_keystore_is_moved_away_first",
    ),
    (
        "PluginError::NotAKeyId",
        "mariadb-test/keyroll/t/json_table.test",
        "keyroll_keys()",
    ),
    (
        "PluginError::KeyInUse",
        "mariadb-test/keyroll_keystore/t/older_store.test",
        "keyroll: making key 20 failed",
    ),
    (
        "PluginError::NotInStore",
        "mariadb-test/keyroll_vault/t/first_use.test",
        "--exec $put keys/7 data=",
    ),
    (
        "PluginError::NoAnswer",
        "src/plugin/lookup_tests.rs",
        "a_store_that_hangs_is_waited_for_in_time_and_told",
    ),
    (
        "PluginError::StatementKilled",
        "src/plugin/keystore_tests.rs",
        "a_statement_that_is_killed_makes_no_key_and_the_next_one_does",
    ),
];

/// Errors that nothing can be done about but to look, and why no test makes them.
const NOT_MADE: &[(&str, &str)] = &[
    ("StoreError::CannotEncrypt", "the cipher refuses no text"),
    ("StoreError::NoRandomBytes", "the system gives random bytes"),
    ("KeystoreError::CannotSeal", "the cipher refuses no key"),
    (
        "KvError::NotReadBack",
        "someone else's writes, which the hint says where to find",
    ),
    ("PluginError::KeyStore", "the store's own hint"),
    ("PluginError::Mark", "the mark's own hint"),
    ("SettingsError::Value", "a line to mend, and what it may be"),
    ("SettingsError::Store", "the store's own hint"),
    ("SettingsError::MasterKey", "the master key's own hint"),
    ("SettingsError::LoginLacks", "it names a document"),
    ("SettingsError::NoMasterKey", "it lists what a setting may be"),
    ("SettingsError::TwoMasterKeys", "it says which line to leave out"),
    (
        "PluginError::DataUnseen",
        "a server cannot start on a data directory that it may not read",
    ),
    (
        "PluginError::DataUnread",
        "a server cannot start on a data directory that it may not read",
    ),
    (
        "PluginError::NoThread",
        "a process that may start no thread more runs no test",
    ),
    ("PluginError::Busy", "it says where to look"),
    (
        "PluginError::NotShown",
        "the reload that it names is the one after any change from outside",
    ),
    ("PluginError::RefreshPanicked", "a fault of ours, to be reported"),
    ("PluginError::NotRunning", "it names the error log"),
    ("MarkError::File", "those of any file"),
];

/// Commands that are run elsewhere; or that are named and not advised, and then why.
const NOT_RUN_HERE: &[(&str, &str)] = &[
    (
        "keyroll check --datadir DIR --against COPY",
        "tests/moves/store_moves.py",
    ),
    (
        "keyroll check --datadir DIR --against BACKUP",
        "tests/moves/store_moves.py",
    ),
    ("keyroll check --against BACKUP", "tests/command/two_stores.rs"),
    ("chmod a+x {}", "tests/command/server_user.rs"),
    ("setfacl -m {} {path}", "tests/command/server_user.rs"),
    (
        "cp -p --backup=numbered {} {new} && sync {new}",
        "tests/command/backup.rs",
    ),
    (
        "keyroll import --add --from-filename PATH",
        "tests/moves/store_moves.py",
    ),
    ("mv -n {path} {path}.damaged", "src/plugin/save_tests.rs"),
    (
        "SET GLOBAL keyroll_reload_keys = 1",
        "mariadb-test/keyroll/t/reload.test",
    ),
    ("keyroll list", "tests/command/snapshots/list.trycmd"),
    ("keyroll import", "it says what makes a keystore"),
    ("keyroll help", "tests/command/snapshots/help.trycmd"),
    ("keyroll rotate --key ID", "tests/command/vault.rs"),
    ("keyroll rotate --key {id}", "tests/system/hints/command.rs"),
    ("keyroll add-key --key ID", "tests/command/add_key.rs"),
    ("keyroll rotate --all", "tests/command/snapshots/rotate.trycmd"),
    (
        "openssl s_client -connect {host} -CAfile CA",
        "tests/services/vault/messages.rs",
    ),
    (
        "keyroll import --from-aws {} --keystore {} --master-key {} --owner mysql",
        "mariadb-test/keyroll_aws/t/moving_over.test",
    ),
    (
        "aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-put-response-hop-limit 2",
        "tests/services/aws/credentials.rs",
    ),
    (
        "aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-endpoint enabled --http-tokens required",
        "tests/services/aws/credentials.rs",
    ),
    (
        "vault kv enable-versioning {mount}/",
        "tests/stores/vault_kv/hints.rs",
    ),
    (
        "vault kv put MOUNT/1 data=$(openssl rand -hex 32)",
        "tests/stores/vault_kv/hints.rs",
    ),
    (
        "vault kv put MOUNT/{1} data=$(openssl rand -hex 32)",
        "tests/stores/vault_kv/hints.rs",
    ),
    (
        "vault kv undelete -versions=VERSION MOUNT/ID",
        "tests/stores/vault_kv/hints.rs",
    ),
    (
        "vault kv undelete -versions=VERSION MOUNT/{}",
        "tests/stores/vault_kv/add_key.rs",
    ),
    (
        "vault kv metadata put -max-versions={room} MOUNT/{}",
        "tests/stores/vault_kv/hints.rs",
    ),
    (
        "vault kv metadata put -max-versions={0} MOUNT/{1}",
        "tests/stores/vault_kv/hints.rs",
    ),
    ("vault operator unseal", "tests/stores/vault_kv/faults.rs"),
    ("vault secrets list", "it shows what there is"),
    ("vault kv list MOUNT", "tests/stores/vault_kv/hints.rs"),
    ("vault list {mount}/keys", "tests/master_keys/vault_transit.rs"),
    (
        "vault write {mount}/keys/{key}/config min_decryption_version=1",
        "tests/master_keys/vault_transit.rs",
    ),
    (
        "vault write -f {mount}/keys/NAME type=aes256-gcm96",
        "tests/master_keys/vault_transit.rs",
    ),
    (
        "openssl pkey -inform DER -in {file} -out NEW",
        "tests/services/net/tls.rs",
    ),
    (
        "openssl x509 -inform DER -in {file} -out NEW",
        "tests/services/net/tls.rs",
    ),
    ("openssl pkey -in {file} -out NEW", "tests/services/net/tls.rs"),
    (
        "openssl req -x509 -nodes -newkey rsa:3072 -keyout KEY -out CERTIFICATE -days 365 -subj /CN={host} -addext \
         subjectAltName={kind}:{host} -addext basicConstraints=critical,CA:FALSE",
        "tests/services/net/tls.rs",
    ),
];

/// The errors that no row has met.
pub(crate) fn errors(tried: &Tried) -> Vec<String> {
    let all = [
        OF_FILES,
        OF_STORES,
        OF_KEYS,
        OF_KEYSTORES,
        OF_VAULT,
        OF_MARKS,
        OF_WARNINGS,
        OF_PLUGIN,
        OF_SETTINGS,
    ]
    .concat();
    let mut gaps = Vec::new();
    for name in &all {
        let elsewhere = ELSEWHERE.iter().find(|row| row.0 == *name);
        let is_excused = elsewhere.is_some() || NOT_MADE.iter().any(|row| row.0 == *name);
        match tried.errors.contains(name) {
            false if !is_excused => gaps.push(format!("nobody has tried the hint of {name}")),
            true if is_excused => gaps.push(format!("{name} is tried here and needs no excuse")),
            _ => {}
        }
        if let Some((_, file, what)) = elsewhere
            && !text(Path::new(file)).contains(what)
        {
            gaps.push(format!("{name}: {what} is not in {file}"));
        }
    }
    gaps
}

/// The commands in the source that no row has run.
pub(crate) fn commands(tried: &Tried) -> Vec<String> {
    let found = in_source();
    let mut gaps: Vec<String> = found
        .iter()
        .filter(|(template, _)| {
            let is_run = tried.commands.iter().any(|command| is_made_of(command, template));
            !is_run && !NOT_RUN_HERE.iter().any(|row| row.0 == template.as_str())
        })
        .map(|(template, file)| format!("nobody has run `{template}`, which {} names", file.display()))
        .collect();
    for (template, place) in NOT_RUN_HERE {
        if !found.contains_key(*template) {
            gaps.push(format!("`{template}` is in no source any more"));
        }
        if place.contains('/') && !root().join(place).exists() {
            gaps.push(format!("`{template}`: there is no {place}"));
        }
    }
    gaps
}

/// The commands in the source's texts, with the braces of format strings, and a file that names each.
fn in_source() -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    walk(Path::new("src"), &mut files);
    let mut found = BTreeMap::new();
    for file in files {
        let code = text(&file);
        // Unit tests stand at the end.
        let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code: Vec<&str> = code
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"))
            .collect();
        // A text may go on in the next line.
        let code = code.join("\n").replace("\\\n", "");
        let quoted = code.split('`').collect::<Vec<_>>();
        assert!(
            quoted.len() % 2 == 1,
            "a backquote without another in {}",
            file.display()
        );
        for template in quoted.into_iter().skip(1).step_by(2) {
            // A word by itself is a name, and braces alone are filled with a command from elsewhere.
            if template.contains(' ') && literal_parts(template).concat().contains(char::is_alphabetic) {
                found.insert(as_variables(template).into_owned(), file.clone());
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// What stands between the braces of a format string.
fn literal_parts(template: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((part, more)) = rest.split_once('{') {
        parts.push(part);
        rest = more.split_once('}').map_or("", |(_, after)| after);
    }
    parts.push(rest);
    parts
}

fn is_made_of(command: &str, template: &str) -> bool {
    let parts = literal_parts(template);
    let (first, others) = parts.split_first().unwrap();
    let Some(mut rest) = command.strip_prefix(first) else {
        return false;
    };
    for part in others {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    // Braces at the end stand for all that follows.
    rest.is_empty() || template.ends_with('}')
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        let is_test = path.to_str().unwrap().ends_with("tests.rs");
        if root().join(&path).is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_default()
}
