//! The plugin's lines in the server's error log: each event once, here.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::crypto::Algorithm;
use crate::keys::{Added, KeyName, Ring, VersionStep};
use crate::secret::needed_limit;
use crate::settings::as_variables;
use crate::store::{StoreError, Warning};

use super::missing::{Missing, StoreContents, is_implausible};
use super::server::MESSAGE_ROOM;
use super::{PluginError, Published, Server, Severity, Wake};

/// The statement that makes InnoDB's encryption threads look for new key versions.
const WAKING_STATEMENT: &str = "SELECT COUNT(*) FROM information_schema.INNODB_TABLESPACES_ENCRYPTION";

/// Writes a line of this severity.
macro_rules! line {
    ($server:ident, $severity:ident, $($text:tt)*) => {
        $server.log(Severity::$severity, &format!($($text)*))
    };
}

pub(super) use line;

/// What should be mended in the key store.
pub(crate) fn warnings(server: &dyn Server, warnings: &[Warning]) {
    for warning in warnings {
        line!(server, Warning, "keyroll: {warning}");
    }
}

/// The start.
pub(crate) fn loaded(server: &dyn Server, published: &Published) {
    let (amount, source) = (amount(published), &published.source);
    let wrapped = match published.master_key.as_str() {
        "" => String::new(),
        master_key => format!(", wrapped by {master_key}"),
    };
    let ciphers = ciphers(&published.ring);
    line!(
        server,
        Note,
        "keyroll: loaded {amount} from {source}{wrapped}, encrypting with {ciphers}"
    );
    if_not_locked(server);
    if_too_late(server);
}

/// The start, where the store could not be read and no data needs keys.
pub(crate) fn started_without(server: &dyn Server, why: &StoreError) {
    line!(
        server,
        Warning,
        "keyroll: started without keys, as keyroll_check_kv_version = OFF says: {why}; they are taken up when they are there. \
         Hint: {}",
        why.hint()
    );
    if_too_late(server);
}

/// A store that lists its keys and does not describe them.
pub(crate) fn not_described(server: &dyn Server, published: &Published) {
    line!(
        server,
        Note,
        "keyroll: {} does not let the metadata of its keys be read. With `read` on MOUNT/metadata/* in the policy what is deleted or \
         brought back shows at each look and not only within keyroll_cache_timeout, and a rotation sees how many versions are kept",
        published.source
    );
}

/// A store that does not tell which keys it has.
pub(crate) fn not_listed(server: &dyn Server, published: &Published) {
    line!(
        server,
        Note,
        "keyroll: {} does not let its keys be listed: keys 1 and 2 and those that the data needs were read, another is at its first \
         use. With `list` and `read` on MOUNT/metadata/* in the policy all are at the start, and what is new, deleted or brought \
         back shows at each look",
        published.source
    );
}

/// Warns of a plugin that the server's recovery goes without.
fn if_too_late(server: &dyn Server) {
    // The server reads mysql.plugin after it has started InnoDB.
    if server.is_up() {
        line!(
            server,
            Warning,
            "keyroll: loaded by INSTALL, which is too late after a crash: InnoDB does not start again without its keys; \
             write plugin_load_add = keyroll into my.cnf"
        );
    }
}

/// Warns once that keys could not be locked in memory.
fn if_not_locked(server: &dyn Server) {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    if let Some(kib) = needed_limit()
        && !IS_TOLD.swap(true, Ordering::Relaxed)
    {
        line!(
            server,
            Warning,
            "keyroll: the keys could not be locked in memory and may be swapped out: that takes {kib} KiB now and a little more \
             with each new version; raise the limit (LimitMEMLOCK={kib}K or more in the systemd unit, ulimit -l {kib})"
        );
    }
}

/// A reload.
pub(crate) fn reloaded(server: &dyn Server, published: &Published, new: usize) {
    if_not_locked(server);
    let (amount, source) = (amount(published), &published.source);
    line!(
        server,
        Note,
        "keyroll: reloaded {amount}, {new} of them new, from {source}"
    );
}

/// New versions that someone else has added to the store.
pub(crate) fn noticed(server: &dyn Server, added: &[Added], now: &Published) {
    if_not_locked(server);
    for Added { name, before, .. } in added.iter().filter(|added| added.latest) {
        let text = match before {
            Some((was, _)) => format!("{name} is the latest now, after version {was}"),
            None => format!("key {} is there now, with version {}", name.id, name.version),
        };
        line!(server, Note, "keyroll: noticed in {}: {text}", now.source);
    }
}

/// A failed refresh of the store.
pub(crate) fn refresh_failed(server: &dyn Server, status: &super::Status, error: &PluginError) {
    line!(
        server,
        Warning,
        "keyroll: the refresh of the keys failed: {error}; the keys that are here go on working. Hint: {}",
        error.hint()
    );
    status.remember_error(format!("refresh of the keys: {error}"));
}

/// The first refresh of the store that succeeded after failures.
pub(crate) fn refresh_succeeded(server: &dyn Server) {
    line!(server, Note, "keyroll: the refresh of the keys succeeds again");
}

/// A rotation. A key that changed its cipher is pointed out.
pub(crate) fn keys_rotated(server: &dyn Server, new: &[KeyName], added: &[Added], now: &Published) {
    if_not_locked(server);
    for name in new {
        let KeyName { id, version } = name;
        let changed = match added.iter().find(|added| added.name == *name) {
            Some(Added {
                algorithm: is,
                before: Some((_, was)),
                ..
            }) if was != is => format!(" (encrypts with {}, before with {})", is.name(), was.name()),
            _ => String::new(),
        };
        line!(
            server,
            Note,
            "keyroll: rotated key {id}: version {version}{changed} is the latest now, stored in {}",
            now.source
        );
    }
}

/// A key that a statement asked for.
pub(crate) fn added(server: &dyn Server, new: &[KeyName], now: &Published) {
    if_not_locked(server);
    for KeyName { id, version } in new {
        line!(
            server,
            Note,
            "keyroll: added key {id}: version {version} is stored in {}",
            now.source
        );
    }
}

/// A key that was made when the server first asked for it.
pub(crate) fn created(server: &dyn Server, new: &[KeyName], now: &Published) {
    if_not_locked(server);
    for KeyName { id, version } in new {
        line!(
            server,
            Note,
            "keyroll: made key {id} because it was asked for: version {version} is stored in {}. If there is data that was \
             encrypted with another key {id}, this is not its keystore",
            now.source
        );
    }
}

/// A rotation of the master key.
pub(crate) fn master_key_rotated(server: &dyn Server, now: &Published) {
    line!(
        server,
        Note,
        "keyroll: rotated the master key: {} wraps {} now; keep older versions as long as copies of the keystore \
         that they wrapped",
        now.master_key,
        now.source
    );
}

/// Another master key.
pub(crate) fn master_key_adopted(server: &dyn Server, now: &Published) {
    line!(
        server,
        Note,
        "keyroll: {} opens {} from now on; set keyroll_master_key in my.cnf too",
        now.master_key,
        now.source
    );
}

/// Keys that were saved in a new keystore, under this master key.
pub(crate) fn saved(server: &dyn Server, keystore: &Path, master_key: &str, now: &Published) {
    let (amount, keystore) = (amount(now), keystore.display());
    let master_key = match master_key {
        "" => String::new(),
        uri => format!(", keyroll_master_key = {uri}"),
    };
    line!(
        server,
        Note,
        "keyroll: saved {amount} in keystore {keystore}. To start with it, write into my.cnf, in place of keyroll_filename and \
         keyroll_vault_url: keyroll_keystore = {keystore}{master_key}"
    );
}

/// What the master key's provider has to say.
pub(crate) fn provider_said(server: &dyn Server, text: &str) {
    line!(server, Note, "keyroll: {text}");
}

/// What came of waking the encryption threads.
pub(crate) fn woken(server: &dyn Server, wake: Wake, step: VersionStep) {
    let step = step.get();
    let idle = |setting| {
        line!(
            server,
            Note,
            "keyroll: InnoDB re-encrypts nothing while {setting} is 0; set it to start"
        )
    };
    match wake {
        Wake::Done { threads: 0, .. } => idle("innodb_encryption_threads"),
        Wake::Done {
            rotate_key_age: 0, ..
        } => idle("innodb_encryption_rotate_key_age"),
        Wake::Done { rotate_key_age, .. } if rotate_key_age >= u64::from(step) => line!(
            server,
            Note,
            "keyroll: innodb_encryption_rotate_key_age is {rotate_key_age}, so InnoDB leaves pages alone whose key \
             version is up to {rotate_key_age} behind; one rotation adds {step}. Lower the age to 1, or set \
             keyroll_rotate_version_step above the age"
        ),
        Wake::Done { .. } => {}
        Wake::NotPossible => line!(
            server,
            Note,
            "keyroll: InnoDB's encryption threads could not be woken; run this statement to start them: {WAKING_STATEMENT}"
        ),
    }
}

/// A failed rotation or reload: the message for the statement, logged and remembered.
pub(crate) fn failed(
    server: &dyn Server,
    status: &super::Status,
    doing: &str,
    error: &PluginError,
) -> String {
    let (failed, hint) = (format!("keyroll: {doing} failed: {error}"), error.hint());
    let text = format!("{failed}. Hint: {hint}");
    // A longer message would lose its middle, perhaps in a command.
    if as_variables(&text).len() < MESSAGE_ROOM {
        server.log(Severity::Error, &text);
    } else {
        server.log(Severity::Error, &failed);
        line!(server, Note, "keyroll: hint: {hint}");
    }
    status.remember_error(format!("{doing}: {error}"));
    text
}

/// A key that could not be made: the warning for the statement, logged and remembered.
pub(crate) fn not_made(server: &dyn Server, status: &super::Status, id: u32, error: &PluginError) -> String {
    failed(server, status, &format!("making key {id}"), error)
}

/// A key that a statement waited for and does not get: the warning for the statement. It is not
/// logged: where the store is in trouble the refresher says so, once.
pub(crate) fn not_to_be_had(missing: Missing, error: &PluginError) -> String {
    format!(
        "keyroll: {missing} is not to be had: {error}. Hint: {}",
        error.hint()
    )
}

/// What a DBA must do and must not, for the end of a message, which is never cut off.
const REMEDY: &str =
    "Put the right store back; until then drop and repair nothing: the data is locked, not damaged";

/// A key, or a version of one, that was asked for and is not there. `file` is encrypted with it.
pub(crate) fn missing(server: &dyn Server, missing: Missing, file: Option<&Path>, store: StoreContents<'_>) {
    let Missing { id, version, .. } = missing;
    let latest = store.ring.latest(id);
    let has = match latest {
        Some(_) => {
            let names = store.ring.versions_of(id);
            let versions: Vec<u32> = names.iter().map(|name| name.version).collect();
            format!("of key {id} it has {}", list("version", &versions))
        }
        None => format!("it has {}", list("key", &store.ring.ids())),
    };
    let file = file
        .map(|file| format!(" by {}", file_name(file)))
        .unwrap_or_default();
    let why = match version {
        Some(version) if is_implausible(version, latest) => {
            "That is far above all versions: a damaged page asks for any number. If no page is damaged, the store is not \
             the one of this data"
        }
        Some(version) if latest.is_some_and(|latest| version < latest) => {
            "The store has lost it, or is not the one of this data"
        }
        _ => "The data is newer than this copy of the store",
    };
    line!(
        server,
        Error,
        "keyroll: {missing} was asked for{file}, but the store lacks it: {has}. It is {}. {why}. {REMEDY}",
        store.source
    );
}

/// A version that data is encrypted with, although it is a downgrade of its key's latest one.
pub(crate) fn downgrade(server: &dyn Server, name: KeyName, ring: &Ring) {
    let is = ring.algorithm(name.id, name.version);
    let (Some(is), Some((latest, of_latest))) = (is, ring.latest_algorithm(name.id)) else {
        return;
    };
    line!(
        server,
        Error,
        "keyroll: {name}, for {}, still encrypts, although the latest version, {latest}, is for {}. After a rotation that is so \
         for the redo log until a start with another innodb_log_file_size, for binary logs until FLUSH BINARY LOGS, for temporary \
         files until a restart. If all that was done, someone has put the old version into the redo log, to read it: \
         keyroll_algorithm_downgrade = strict refuses to start with it",
        is.name(),
        of_latest.name()
    );
}

/// More is missing than is told.
pub(crate) fn missing_no_more(server: &dyn Server) {
    line!(
        server,
        Error,
        "keyroll: so many keys and versions are asked for in vain that no more are told until the next start"
    );
}

/// A database's folder and the file in it, which is short and tells enough.
pub(crate) fn file_name(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// `versions 1, 3, 5 and 12 more up to 29`.
fn list(one: &str, numbers: &[u32]) -> String {
    const MOST: usize = 5;
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let first: Vec<String> = numbers.iter().take(MOST).map(u32::to_string).collect();
    let more = match numbers.last() {
        Some(last) if numbers.len() > MOST => format!(" and {} more up to {last}", numbers.len() - MOST),
        _ => String::new(),
    };
    match numbers.is_empty() {
        true => format!("no {one}s"),
        false => format!("{one}{plural} {}{more}", first.join(", ")),
    }
}

/// The ciphers that new data is encrypted with.
fn ciphers(ring: &Ring) -> String {
    let held = ring.held();
    let mut used = Vec::from(Algorithm::ALL);
    used.retain(|algorithm| held.iter().any(|v| v.latest && v.algorithm == *algorithm));
    let names: Vec<&str> = used.into_iter().map(Algorithm::name).collect();
    names.join(" and ")
}

/// `2 keys in 5 versions`.
fn amount(published: &Published) -> String {
    let plural = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let ring = &published.ring;
    [plural(ring.keys(), "key"), plural(ring.versions(), "version")].join(" in ")
}
