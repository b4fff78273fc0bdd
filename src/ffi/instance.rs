//! The one plugin of the process, and the server around it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use super::sysvar::values;
use super::{published, services};
use crate::cancel;
use crate::datadir::aria;
use crate::keys::{KeyName, NewVersions, VersionStep};
use crate::plugin::look_again::LookAgain;
use crate::plugin::{
    Level, Plugin, PluginError, Published, Server, Statement, Status, Wake, Watched, Watcher, apart, log,
    start_reencryption,
};
use crate::store::{News, Pace};

/// The plugin between init and deinit.
static PLUGIN: Mutex<Option<Arc<Plugin>>> = Mutex::new(None);

/// What it tells about itself; it outlives the plugin, so that status variables need no lock of the plugin.
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

/// The thread that looks for new keys, where the store has one.
static WATCHER: Mutex<Option<Watcher>> = Mutex::new(None);

/// Starts the thread that looks for new keys, where the store wants one.
pub(super) fn start_watching(plugin: &Plugin) {
    let Some(watch) = plugin.watch() else {
        return;
    };
    match Watcher::start(watch, Running) {
        Ok(watcher) => *watcher_slot() = Some(watcher),
        Err(error) => Host.log(
            Level::Warning,
            &format!("keyroll: no thread to look for new keys: {error}; keyroll_reload_keys takes them up"),
        ),
    }
}

/// Ends and joins the thread.
pub(super) fn stop_watching() {
    let watcher = watcher_slot().take();
    drop(watcher);
}

fn watcher_slot() -> MutexGuard<'static, Option<Watcher>> {
    WATCHER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a key looked for that the server asks for and the ring lacks; `false` where nothing looks for keys. Never waits
/// for the store.
#[cold]
pub(super) fn want(id: u32) -> bool {
    let watcher = watcher_slot();
    if let Some(watcher) = watcher.as_ref() {
        watcher.want(id);
    }
    watcher.is_some()
}

/// Has the store looked at and waited for at another pace, where a thread looks at one. Never waits for the store.
pub(super) fn set_pace(pace: Pace) {
    if let Some(watcher) = watcher_slot().as_ref() {
        watcher.set_pace(pace);
    }
}

/// What is to be done about a version that the server asks for and the ring lacks; whether it may be there now.
///
/// The tool reads the store again: a server that rotates while a backup runs writes the new version into its redo log
/// (before MariaDB 10.8 at each checkpoint), and the tool fails unless it can read that. A server knows of no version
/// that is not in its ring, but in a store that others write to, where the thread that looks for keys sees to it.
#[cold]
pub(super) fn look_again(name: KeyName) -> bool {
    static READS: Lazy<LookAgain> = Lazy::new(LookAgain::default);
    let reload = || run("reload of the keys", |plugin| plugin.reload(&Host, &STATUS)).is_ok();
    services::is_backup_tool() && READS.look(name, reload)
}

/// Has a version that the ring lacks looked for where something looks for keys, and told to the DBA.
#[cold]
pub(super) fn lacks_version(name: KeyName) {
    // The tool has just read the store.
    let is_sought = !services::is_backup_tool() && want(name.id);
    let (Some(plugin), Some(ring)) = (plugin(), published::current()) else {
        return;
    };
    if let Some(untold) = plugin.lacks_version(name, ring, is_sought) {
        // Without a thread it stays untold; there are worse troubles then.
        let _ = apart(|| plugin.tell_version(untold, ring, &Host));
    }
}

/// Ends the server, whose start keyroll has refused, where going on would lose data: the server lets Aria recover from a crash
/// without the plugin, which leaves encrypted tables out and then counts what was to be done to them as done.
///
/// Nothing but this library has run by then that wrote to the data directory; so it ends at once, as after a kill.
pub(super) fn end_before_recovery_without_keys() {
    if !services::is_server_starting() {
        return;
    }
    let table = Host
        .data_directory()
        .and_then(|data| aria::encrypted_table(&data));
    if let Some(table) = table {
        let text = format!(
            "keyroll: the server ends here: without its keys Aria's recovery would lose rows of encrypted tables, {} for one",
            table.display()
        );
        Host.log(Level::Error, &text);
        services::end_process();
    }
}

/// The running plugin, as the thread that looks for new keys sees it.
struct Running;

impl Watched for Running {
    fn published(&self) -> Option<Published> {
        plugin().map(|plugin| plugin.published())
    }

    fn take_up(&self, news: &News) -> Result<bool, PluginError> {
        let plugin = plugin().ok_or(PluginError::NotRunning)?;
        let is_new = plugin.take_up(news, &Host)?;
        for id in plugin.looked(&Host) {
            want(id);
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

    fn look_failed(&self, error: &PluginError) {
        log::look_failed(&Host, &STATUS, error);
    }

    fn look_succeeded(&self) {
        log::look_succeeded(&Host);
    }
}

/// The latest version of a key that is not in the ring, made just now where the settings, the statement and the data allow it.
#[cold]
pub(super) fn first_use(id: u32) -> Option<u32> {
    let is_sought = id != 0 && want(id);
    let plugin = plugin().filter(|_| id != 0)?;
    let ring = published::current()?;
    // The tool only reads what a server has written: it has no use for a new key, and must not change a keystore.
    let may_make = !is_sought && values::auto_create_keys() && !services::is_backup_tool();
    let statement = services::statement();
    let work = || {
        if may_make && statement == Statement::MakesOrAltersTable && plugin.makes_keys() {
            return apart(|| plugin.first_use(id, values::new_keys(), &Host, &STATUS))
                .unwrap_or_else(|error| Err(log::not_made(&Host, &STATUS, id, &PluginError::NoThread(error))))
                .unwrap_or_else(|text| {
                    services::warn_statement(&text);
                    None
                });
        }
        if plugin.lacks_key(id, statement) {
            // Without a thread it stays untold; there are worse troubles then.
            let _ = apart(|| plugin.tell_key(id, statement, ring, is_sought, &Host));
        }
        None
    };
    let thd = services::current_thd();
    // SAFETY: this thread runs that connection's statement, and nobody asks when `work` has ended.
    cancel::while_wanted(move || unsafe { services::is_killed(thd) }, work)
}

/// Rotates keys as `SET GLOBAL keyroll_rotate_key = request` asks for; otherwise the statement's error.
pub(super) fn rotate(request: i64, new: NewVersions<'_>) -> Result<(), String> {
    let doing = if request == -1 {
        "rotation of all keys".into()
    } else {
        format!("rotation of key {request}")
    };
    act(&doing, new.step, |plugin| {
        plugin.rotate(request, new, &Host, &STATUS)
    })
}

/// Takes up key versions that were added to the store; otherwise the statement's error.
pub(super) fn reload(step: VersionStep) -> Result<(), String> {
    act("reload of the keys", step, |plugin| plugin.reload(&Host, &STATUS))
}

/// Wraps the keystore anew; otherwise the statement's error.
pub(super) fn rotate_master_key() -> Result<(), String> {
    run("rotation of the master key", |plugin| {
        plugin.rotate_master_key(&Host, &STATUS)
    })
}

/// Writes all keys into a new keystore; otherwise the statement's error.
pub(super) fn save_keys(request: &[u8]) -> Result<(), String> {
    run("saving the keys", |plugin| plugin.save_keys(request, &Host))
}

/// Goes on with another master key; otherwise the statement's error.
pub(super) fn adopt_master_key(uri: &str) -> Result<(), String> {
    run("change of the master key", |plugin| {
        plugin.adopt_master_key(uri, &Host)
    })
}

/// Runs an action that may bring new versions.
fn act(
    doing: &str,
    step: VersionStep,
    action: impl FnOnce(&Plugin) -> Result<(), PluginError> + Send,
) -> Result<(), String> {
    run(doing, action)?;
    // The lock is released: waking runs SQL, which may wait for others.
    start_reencryption(&Host, step);
    Ok(())
}

/// Runs an action on a stack of its own: a statement may have little left.
fn run(doing: &str, action: impl FnOnce(&Plugin) -> Result<(), PluginError> + Send) -> Result<(), String> {
    let act = || {
        let plugin = plugin().ok_or(PluginError::NotRunning)?;
        action(&plugin)
    };
    apart(|| act().map_err(|error| log::failed(&Host, &STATUS, doing, &error)))
        .unwrap_or_else(|error| Err(log::failed(&Host, &STATUS, doing, &PluginError::NoThread(error))))
}

/// mariadbd or mariadb-backup, by its services.
pub(super) struct Host;

impl Server for Host {
    fn log(&self, level: Level, text: &str) {
        services::log(level, text);
    }

    fn publish(&self, now: &Published) {
        published::publish(&now.ring);
        STATUS.tell_store(&now.source, &now.master_key);
    }

    fn wake_encryption_threads(&self) -> Wake {
        services::wake_encryption_threads().unwrap_or(Wake::NotPossible)
    }

    fn is_up(&self) -> bool {
        services::is_server_up()
    }

    fn data_directory(&self) -> Option<PathBuf> {
        services::data_directory()
    }
}
