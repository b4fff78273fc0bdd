//! The one plugin of the process, and the server around it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use super::sysvar::values;
use super::{published, services};
use crate::cancel;
use crate::keys::{KeyName, Ring, VersionStep};
use crate::plugin::missing::Missing;
use crate::plugin::reload_throttle::ReloadThrottle;
use crate::plugin::{
    LookedUp, Plugin, PluginError, Published, RefreshTarget, Refresher, Server, Severity, Statement, Status,
    Wake, log, needed, on_own_stack, start_reencryption,
};
use crate::store::{Changes, RefreshPolicy};

/// The plugin between init and deinit.
static PLUGIN: Mutex<Option<Arc<Plugin>>> = Mutex::new(None);

/// What the plugin tells about itself. It outlives the plugin, so that status variables take no
/// lock.
pub(super) static STATUS: Lazy<Status> = Lazy::new(Status::default);

/// The plugin, if it runs. Lookups, ciphers and status variables do without it.
fn plugin() -> Option<Arc<Plugin>> {
    plugin_slot().clone()
}

/// Puts a plugin in place that has started; `None` ends the one that runs.
pub(super) fn set_plugin(plugin: Option<Plugin>) {
    *plugin_slot() = plugin.map(Arc::new);
}

fn plugin_slot() -> MutexGuard<'static, Option<Arc<Plugin>>> {
    PLUGIN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that takes up new keys, where the store has a source of them.
static REFRESHER: Mutex<Option<Refresher>> = Mutex::new(None);

/// Starts the refresher, where others add keys to the store.
pub(super) fn start_refresher(plugin: &Plugin) {
    let Some(source) = plugin.change_source() else {
        return;
    };
    match Refresher::start(source, Running) {
        Ok(refresher) => *refresher_slot() = Some(refresher),
        Err(error) => Host.log(
            Severity::Warning,
            &format!("keyroll: no thread to refresh the keys: {error}; keyroll_reload_keys takes them up"),
        ),
    }
}

/// Ends and joins the thread.
pub(super) fn stop_refresher() {
    // A statement of its own, so that the thread is joined without the lock.
    let refresher = refresher_slot().take();
    drop(refresher);
}

fn refresher_slot() -> MutexGuard<'static, Option<Refresher>> {
    REFRESHER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests a key that the ring lacks; `false` where there is no refresher. Never waits.
fn request_key(id: u32) -> bool {
    let refresher = refresher_slot();
    if let Some(refresher) = refresher.as_ref() {
        refresher.request(id);
    }
    refresher.is_some()
}

/// Sets how often and how patiently the store is refreshed, where it is. Never waits.
pub(super) fn set_refresh_policy(policy: RefreshPolicy) {
    if let Some(refresher) = refresher_slot().as_ref() {
        refresher.set_policy(policy);
    }
}

/// Looks for a version that the ring lacks where the store may have it by now, and reports it to
/// the DBA where it has not; whether it is there.
#[cold]
#[inline(never)]
pub(super) fn find_version(name: KeyName) -> bool {
    reload_for(name);
    let (Some(plugin), Some(ring)) = (plugin(), published::current()) else {
        return false;
    };
    let missing = Missing::of(name.id, Some(name.version), ring);
    if missing.is_in(ring) {
        return true;
    }
    let looked_up = while_wanted(|| look_up(&plugin, missing, ring, services::statement()));
    if looked_up == LookedUp::Found {
        return true;
    }
    // The tool has just read the store.
    let may_come = looked_up == LookedUp::Unknown && !services::is_backup_tool();
    let is_requested = may_come && request_key(name.id);
    if let Some(report) = plugin.missing.add_version(name, ring, is_requested) {
        // Without a thread nothing is logged; there are worse troubles then.
        let _ = on_own_stack(|| report.log(plugin.contents(ring), None, &Host));
    }
    false
}

/// Reads the store again in mariadb-backup, for a version that the ring lacks.
///
/// A server that rotates while a backup runs writes the new version into its redo log (before
/// MariaDB 10.8 at each checkpoint), which the tool must be able to read. In a server the refresher
/// sees to what others add to the store.
fn reload_for(name: KeyName) {
    static RELOADS: Lazy<ReloadThrottle> = Lazy::new(ReloadThrottle::default);
    let reload = || {
        let reload = |plugin: &Plugin| plugin.reload_for(name.id, &Host, &STATUS);
        run("reload of the keys", reload).is_ok()
    };
    if services::is_backup_tool() {
        RELOADS.reload_for(name, reload);
    }
}

/// Has a statement look in the store for what the ring lacks, where others add keys to it, and
/// tells it why it does not get it.
fn look_up(plugin: &Plugin, missing: Missing, ring: &Ring, statement: Statement) -> LookedUp {
    if services::is_backup_tool() {
        return LookedUp::Unknown;
    }
    let is_there = || published::current().is_some_and(|ring| missing.is_in(ring));
    if let Some(known) = plugin.known_without_look(missing, statement, ring, &is_there) {
        return known;
    }
    let look_up = || plugin.look_up(missing, statement, &is_there, &Host, &STATUS);
    let (looked_up, warning) = on_own_stack(look_up).unwrap_or_else(|error| {
        let error = PluginError::NoThread(error);
        (LookedUp::Unknown, Some(log::not_to_be_had(missing, &error)))
    });
    if let Some(text) = warning {
        services::warn_statement(&text);
    }
    looked_up
}

/// Does what ends early when the statement of this thread is killed.
fn while_wanted<T>(work: impl FnOnce() -> T) -> T {
    let thd = services::current_thd();
    // SAFETY: this thread runs that connection's statement, and nobody asks when `work` has ended.
    cancel::while_wanted(move || unsafe { services::is_killed(thd) }, work)
}

/// Reports to the DBA that data is encrypted with this version, which is a downgrade of its key's
/// latest one.
#[cold]
#[inline(never)]
pub(super) fn report_downgrade(name: KeyName, ring: &Ring) {
    // The tool encrypts nothing that a server goes on with.
    let Some(plugin) = plugin().filter(|_| !services::is_backup_tool()) else {
        return;
    };
    ring.note_reported(name);
    if plugin.downgrades.is_first(name) {
        STATUS.downgrades.add(1);
        // Without a thread nothing is logged; there are worse troubles then, and the number stays.
        let _ = on_own_stack(|| log::downgrade(&Host, name, ring));
    }
}

/// Ends the server, whose start keyroll has refused, where going on would lose data: without the
/// plugin Aria's recovery from a crash leaves encrypted tables out and then counts what was to be
/// done to them as done. Nothing has written to the data directory by then; so it ends at once.
/// After a clean stop the server goes on, as with file_key_management.
pub(super) fn end_before_recovery_without_keys() {
    if !services::is_server_starting() {
        return;
    }
    if let Some(data) = Host.data_directory()
        && let Some(table) = needed::would_lose_rows(&data)
    {
        let text = format!(
            "keyroll: the server ends here: without its keys Aria's recovery would lose rows of tables that are or may be encrypted, {} for one",
            table.display()
        );
        Host.log(Severity::Error, &text);
        services::end_process();
    }
}

/// The running plugin, as the refresher sees it.
struct Running;

impl RefreshTarget for Running {
    fn published(&self) -> Option<Published> {
        plugin().map(|plugin| plugin.published())
    }

    fn apply(&self, changes: &Changes) -> Result<bool, PluginError> {
        let plugin = plugin().ok_or(PluginError::NotRunning)?;
        let is_new = plugin.apply(changes, &Host)?;
        for id in plugin.after_refresh(&Host) {
            request_key(id);
        }
        Ok(is_new)
    }

    fn start_reencryption(&self) -> bool {
        if services::is_backup_tool() {
            return true;
        }
        if !Host.is_up() {
            return false;
        }
        services::with_server_thread(|| start_reencryption(&Host, values::new_versions().step));
        true
    }

    fn refresh_failed(&self, error: &PluginError) {
        log::refresh_failed(&Host, &STATUS, error);
    }

    fn refresh_succeeded(&self) {
        log::refresh_succeeded(&Host);
    }
}

/// The latest version of a key that is not in the ring: taken up or made just now where the store,
/// the settings, the statement and the data allow it.
#[cold]
#[inline(never)]
pub(super) fn first_use(id: u32) -> Option<u32> {
    let plugin = plugin().filter(|_| id != 0)?;
    let ring = published::current()?;
    let statement = services::statement();
    while_wanted(|| {
        let looked_up = look_up(&plugin, Missing::of(id, None, ring), ring, statement);
        if looked_up == LookedUp::Found {
            return published::current()?.latest(id);
        }
        let is_requested = looked_up == LookedUp::Unknown && request_key(id);
        // The tool only reads what a server has written: it has no use for a new key, and must not
        // change a keystore.
        let may_make = !is_requested && values::auto_create_keys() && !services::is_backup_tool();
        if may_make && statement == Statement::MakesOrAltersTable && plugin.makes_keys {
            return on_own_stack(|| plugin.first_use(id, values::new_keys(), &Host, &STATUS))
                .unwrap_or_else(|error| Err(log::not_made(&Host, &STATUS, id, &PluginError::NoThread(error))))
                .unwrap_or_else(|text| {
                    services::warn_statement(&text);
                    None
                });
        }
        if plugin.should_report_key(id, statement) {
            // Without a thread nothing is logged; there are worse troubles then.
            let _ = on_own_stack(|| plugin.report_missing_key(id, statement, ring, is_requested, &Host));
        }
        None
    })
}

/// Runs an action that may bring new versions; otherwise the statement's error.
pub(super) fn run_and_reencrypt(
    doing: &str,
    step: VersionStep,
    action: impl FnOnce(&Plugin) -> Result<(), PluginError> + Send,
) -> Result<(), String> {
    run(doing, action)?;
    // The lock is released: waking runs SQL, which may wait for others.
    start_reencryption(&Host, step);
    Ok(())
}

/// Runs an action on a stack of its own, as a statement may have little left; otherwise the
/// statement's error.
pub(super) fn run(
    doing: &str,
    action: impl FnOnce(&Plugin) -> Result<(), PluginError> + Send,
) -> Result<(), String> {
    let act = || {
        let plugin = plugin().ok_or(PluginError::NotRunning)?;
        action(&plugin)
    };
    on_own_stack(|| act().map_err(|error| log::failed(&Host, &STATUS, doing, &error)))
        .unwrap_or_else(|error| Err(no_thread(doing, error)))
}

/// In a frame that the caller's does not grow by.
#[cold]
#[inline(never)]
fn no_thread(doing: &str, error: io::Error) -> String {
    log::failed(&Host, &STATUS, doing, &PluginError::NoThread(error))
}

/// mariadbd or mariadb-backup, by its services.
pub(super) struct Host;

impl Server for Host {
    fn log(&self, level: Severity, text: &str) {
        services::log(level, text);
    }

    fn publish(&self, now: &Published) {
        published::publish(&now.ring);
        let mut store = STATUS.store();
        now.source.clone_into(&mut store.source);
        now.master_key.clone_into(&mut store.master_key);
        store.wrapped_at = now.wrapped_at;
    }

    fn wake_encryption_threads(&self) -> Wake {
        services::wake_encryption_threads().unwrap_or(Wake::NotPossible)
    }

    fn request_reencryption(&self) {
        if let Some(refresher) = refresher_slot().as_ref() {
            refresher.request_reencryption();
        }
    }

    fn is_up(&self) -> bool {
        services::is_server_up()
    }

    fn data_directory(&self) -> Option<PathBuf> {
        services::data_directory()
    }

    fn tables_directory(&self) -> Option<PathBuf> {
        services::tables_directory()
    }
}
