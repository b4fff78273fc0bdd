//! The one plugin of the process, and the server around it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;

use super::{published, services};
use crate::keystore::{KeySpec, NewVersions, VersionStep};
use crate::plugin::{Level, Plugin, PluginError, Published, Server, Status, Wake, log, start_reencryption};

/// The plugin between init and deinit.
static PLUGIN: Mutex<Option<Plugin>> = Mutex::new(None);

/// What it tells about itself; it outlives the plugin, so that status variables need no lock of the plugin.
pub(super) static STATUS: Lazy<Status> = Lazy::new(Status::default);

/// The plugin, locked. Rotations wait here for each other; lookups, ciphers and status variables do not.
pub(super) fn plugin() -> MutexGuard<'static, Option<Plugin>> {
    PLUGIN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rotates keys as `SET GLOBAL keyroll_rotate_key = request` asks for; otherwise the statement's error.
pub(super) fn rotate(request: i64, step: VersionStep) -> Result<(), String> {
    let doing = if request == -1 {
        "rotation of all keys".into()
    } else {
        format!("rotation of key {request}")
    };
    act(&doing, step, |plugin| {
        plugin.rotate(
            request,
            NewVersions {
                step,
                spec: KeySpec::DEFAULT,
            },
            &Host,
            &STATUS,
        )
    })
}

/// Takes up key versions that were added to the store; otherwise the statement's error.
pub(super) fn reload(step: VersionStep) -> Result<(), String> {
    act("reload of the keys", step, |plugin| plugin.reload(&Host, &STATUS))
}

fn act(
    doing: &str,
    step: VersionStep,
    action: impl FnOnce(&mut Plugin) -> Result<(), PluginError>,
) -> Result<(), String> {
    let result = plugin().as_mut().ok_or(PluginError::NotRunning).and_then(action);
    // The lock is released: waking runs SQL, which may wait for others.
    match result {
        Ok(()) => {
            start_reencryption(&Host, step);
            Ok(())
        }
        Err(error) => Err(log::failed(&Host, &STATUS, doing, &error)),
    }
}

/// mariadbd or mariadb-backup, by its services.
pub(super) struct Host;

impl Server for Host {
    fn log(&self, level: Level, text: &str) {
        services::log(level, text);
    }

    fn publish(&self, keys: Arc<Published>) {
        published::publish(keys);
    }

    fn wake_encryption_threads(&self) -> Wake {
        services::wake_encryption_threads().unwrap_or(Wake::NotPossible)
    }
}
