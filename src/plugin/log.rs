//! The plugin's lines in the server's error log: each event once, here.

use crate::keystore::{KeyName, VersionStep, Warning};

use super::{Level, PluginError, Published, Server, Wake};

/// The statement that makes InnoDB's encryption threads look for new key versions.
const WAKING_STATEMENT: &str = "SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION";

/// What should be mended in the key store.
pub fn warnings(server: &dyn Server, warnings: &[Warning]) {
    for warning in warnings {
        server.log(Level::Warning, &format!("keyroll: {warning}"));
    }
}

/// The start.
pub fn loaded(server: &dyn Server, published: &Published) {
    let ring = &published.ring;
    server.log(
        Level::Note,
        &format!(
            "keyroll: loaded {} from {}, encrypting with {}",
            amount(published),
            published.source,
            ring.algorithm().name()
        ),
    );
    if !ring.is_locked_in_memory() {
        server.log(
            Level::Warning,
            "keyroll: the keys could not be locked in memory and may be swapped out; raise the limit \
             (LimitMEMLOCK= in the systemd unit, ulimit -l)",
        );
    }
}

/// A reload.
pub fn reloaded(server: &dyn Server, published: &Published, new: usize) {
    server.log(
        Level::Note,
        &format!(
            "keyroll: reloaded {}, {} of them new, from {}",
            amount(published),
            new,
            published.source
        ),
    );
}

/// A rotation.
pub fn rotated(server: &dyn Server, new: &[KeyName], source: &str) {
    for name in new {
        server.log(
            Level::Note,
            &format!(
                "keyroll: rotated key {}: version {} is the latest now, stored in {source}",
                name.id, name.version
            ),
        );
    }
}

/// What came of waking the encryption threads.
pub fn woken(server: &dyn Server, wake: Wake, step: VersionStep) {
    match wake {
        Wake::Done { threads: 0, .. } => server.log(
            Level::Note,
            "keyroll: InnoDB re-encrypts nothing while innodb_encryption_threads is 0; set it to start",
        ),
        Wake::Done { rotate_key_age: 0, .. } => server.log(
            Level::Note,
            "keyroll: InnoDB re-encrypts nothing while innodb_encryption_rotate_key_age is 0; set it to start",
        ),
        Wake::Done { rotate_key_age, .. } if rotate_key_age >= u64::from(step.get()) => server.log(
            Level::Note,
            &format!(
                "keyroll: innodb_encryption_rotate_key_age is {rotate_key_age}, so InnoDB leaves pages alone whose key \
                 version is up to {rotate_key_age} behind; one rotation adds {step}. Lower the age to 1, or set \
                 keyroll_rotate_version_step above the age",
                step = step.get()
            ),
        ),
        Wake::Done { .. } => {}
        Wake::NotPossible => server.log(
            Level::Note,
            &format!("keyroll: InnoDB's encryption threads could not be woken; run this statement to start them: {WAKING_STATEMENT}"),
        ),
    }
}

/// A failed rotation or reload: the message for the statement, logged and remembered.
pub fn failed(server: &dyn Server, status: &super::Status, doing: &str, error: &PluginError) -> String {
    let text = format!("keyroll: {doing} failed: {error}. Hint: {}", error.hint());
    server.log(Level::Error, &text);
    status.remember_error(&format!("{doing}: {error}"));
    text
}

/// `2 keys in 5 versions`.
fn amount(published: &Published) -> String {
    let ring = &published.ring;
    let plural = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    format!(
        "{} in {}",
        plural(ring.keys(), "key"),
        plural(ring.versions(), "version")
    )
}
