//! Which errors were met and which commands were run.

use std::collections::BTreeSet;
use std::process::Output;

use keyroll::durable::FileError;
use keyroll::keys::KeysError;
use keyroll::plugin::PluginError;
use keyroll::settings::{SettingsError, as_variables};
use keyroll::store::keystore::KeystoreError;
use keyroll::store::vault_kv::KvError;
use keyroll::store::{MarkError, StoreError, Warning};

use super::site::Site;

/// The names of all variants of an enum, and which one this is: without a wildcard, so that a new one cannot be forgotten.
macro_rules! variants {
    ($($of:ident: $all:ident, $name:ident, [$($variant:ident)*];)*) => { $(
        pub(crate) const $all: &[&str] = &[$(concat!(stringify!($of), "::", stringify!($variant))),*];

        fn $name(error: &$of) -> &'static str {
            match error {
                $($of::$variant { .. } => concat!(stringify!($of), "::", stringify!($variant))),*
            }
        }
    )* };
}

variants! {
    FileError: OF_FILES, of_file, [
        FileNotFound ReadFailed FileTooLarge LoosePermissions NotOwnerOnly Locked HardLinked FileExists NotAsWritten NotWritten
        NoMemory Cancelled
    ];
    StoreError: OF_STORES, of_store, [
        FilenameNotSet File Keystore VaultKv KeyFileSyntax WrongKey NotEncrypted CannotEncrypt PasswordCutOff FilekeyTooLong Keys
        UnknownKey NoneOfKeys VersionsUsedUp InvalidNewKey NoSystemKey
        KeysAreMadeElsewhere KeyExists NoMasterKey NoMasterKeyHeld ImpossibleSpec NoRandomBytes
        KeyRotationUnfinished MasterKeyRotationUnfinished
    ];
    KeysError: OF_KEYS, of_keys, [KnownVersionMissing KnownVersionDiffers KnownAlgorithmDiffers KeyTooShort];
    KeystoreError: OF_KEYSTORES, of_keystore, [
        PathNotSet MasterKey Missing Unreadable Changed DataKey WrongMasterKey NoMasterKey NotMade UnusableProvider
        Older GrewApart Foreign OthersUnderOneName CannotSeal
    ];
    KvError: OF_VAULT, of_vault, [
        NoPrefix NoHost NoSecretName Query KvVersion1 Vault NoKeys NotAKey NothingLeft NotListed NotFirst WouldLose StepTooLarge
        NumbersTaken NotReadBack
    ];
    PluginError: OF_PLUGIN, of_plugin, [
        KeyStore Mark NotMarked Settings ByStatement SaveTo SaveUnder SaveOver NotAKeyId KeyInUse DataUnseen StatementKilled
        NotInStore NoAnswer RefreshPanicked NotRunning NoThread TooManyCreated Busy NotShown RedoLogDowngrade RedoLogUnseen
        DataUnread DataNeedsKeys
    ];
    SettingsError: OF_SETTINGS, of_settings, [
        Value SeveralStores NoMasterKey TwoMasterKeys KeysOfPeer MasterKey SecretHidden LoginLacks Store
    ];
    MarkError: OF_MARKS, of_mark, [File Unreadable StoreLacks];
    Warning: OF_WARNINGS, of_warning, [LoosePermissions KeyBehindKey OlderMasterKeyOpens VersionGone NotAKey Unread HeldVersionGone];
}

/// A text as a running server shows it.
fn shown(text: &str) -> String {
    as_variables(text).into_owned()
}

/// What the rows have done.
#[derive(Default)]
pub(crate) struct Tried {
    pub(crate) errors: BTreeSet<&'static str>,
    pub(crate) commands: BTreeSet<String>,
}

impl Tried {
    /// Meets an error, and answers its hint.
    pub(crate) fn store(&mut self, error: &StoreError) -> String {
        self.errors.insert(of_store(error));
        match error {
            StoreError::File(error) => self.file(error),
            StoreError::Keystore(error) => {
                self.errors.insert(of_keystore(error));
                shown(&error.hint())
            }
            StoreError::Keys(error) => {
                self.errors.insert(of_keys(error));
                shown(&error.hint())
            }
            StoreError::VaultKv(error) => {
                self.errors.insert(of_vault(error));
                shown(&error.hint())
            }
            error => shown(&error.hint()),
        }
    }

    pub(crate) fn file(&mut self, error: &FileError) -> String {
        self.errors.insert(of_file(error));
        shown(&error.hint())
    }

    pub(crate) fn mark(&mut self, error: &MarkError) -> String {
        self.errors.insert(of_mark(error));
        match error {
            MarkError::File(error) => self.file(error),
            error => shown(&error.hint()),
        }
    }

    pub(crate) fn plugin(&mut self, error: &PluginError) -> String {
        self.errors.insert(of_plugin(error));
        if let PluginError::Settings(error) = error {
            self.errors.insert(of_settings(error));
        }
        shown(&error.hint())
    }

    /// Meets a warning, and answers its text, which holds the remedy.
    pub(crate) fn warning(&mut self, warning: &Warning) -> String {
        self.errors.insert(of_warning(warning));
        shown(&warning.to_string())
    }

    /// Runs the nth command that stands between backquotes, with the words in capitals that a user replaces.
    pub(crate) fn run(&mut self, site: &Site, hint: &str, nth: usize, words: &[(&str, &str)]) -> Output {
        let found = hint.split('`').skip(1).step_by(2).nth(nth);
        let found = found.unwrap_or_else(|| panic!("no command {nth} in: {hint}"));
        self.commands.insert(found.to_owned());
        let mut command = found.to_owned();
        for (word, is) in words {
            assert!(command.contains(word), "{word} is not in: {command}");
            command = command.replacen(word, is, 1);
        }
        site.shell(&command)
    }

    /// The same for a command that must succeed; answers what it printed.
    pub(crate) fn must(&mut self, site: &Site, hint: &str, nth: usize, words: &[(&str, &str)]) -> String {
        let output = self.run(site, hint, nth, words);
        assert!(output.status.success(), "{hint}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
