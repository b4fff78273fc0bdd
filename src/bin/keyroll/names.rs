//! How the names of settings are shown: as arguments of this command to whoever names a store by
//! arguments, or else as the variables that stand in the option files.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use keyroll::settings::placeholder::with_names;

/// The settings that have an argument, and the argument.
const ARGUMENTS: [(&str, &str); 10] = [
    ("filename", "--filename"),
    ("filekey", "--filekey or KEYROLL_FILEKEY"),
    ("digest", "--digest"),
    ("use_pbkdf2", "--use-pbkdf2"),
    ("keystore", "--keystore"),
    ("master_key", "--master-key"),
    ("request_timeout", "--request-timeout"),
    ("key_algorithm", "--key-algorithm"),
    ("key_spec", "--key-spec"),
    ("rotate_version_step", "--version-step"),
];

/// Whether the store was named by arguments.
static BY_ARGUMENTS: AtomicBool = AtomicBool::new(false);

/// Has settings be called by their arguments from now on.
pub(crate) fn show_arguments() {
    BY_ARGUMENTS.store(true, Ordering::Relaxed);
}

/// The text of a lower floor with the names of settings.
pub(crate) fn named(text: &str) -> Cow<'_, str> {
    let by_arguments = BY_ARGUMENTS.load(Ordering::Relaxed);
    with_names(text, |name| {
        let mut arguments = ARGUMENTS.iter().filter(|_| by_arguments);
        arguments
            .find(|(setting, _)| *setting == name)
            .map(|(_, argument)| *argument)
    })
}
