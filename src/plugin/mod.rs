//! The running plugin: settings in, running state out; rotation and reload. No C types.

pub mod error;
pub mod log;
pub mod server;
pub mod settings;
pub mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::PluginError;
pub use server::{Level, Server, Wake};
pub use settings::Settings;
pub use status::Status;

use crate::crypto::{CipherError, Direction, Padding, PageCipher};
use crate::keystore::{self, KeyName, KeySet, KeyStore, NewVersions, Ring, Rotate, VersionStep};

/// What every lookup reads: the keys and how they encrypt. Immutable; a change publishes a new one.
#[derive(Debug)]
pub struct Published {
    /// All data keys, with their cipher.
    pub ring: Ring,
    /// Where they live for good.
    pub source: String,
}

impl Published {
    /// Starts a cipher of a message. `key` is what the server passes, mostly derived from the data key `name`;
    /// the algorithm encrypts with it or derives keys from both.
    ///
    /// # Errors
    /// Those of [`PageCipher::start`] and [`PageCipher::start_derived`]; [`CipherError::NoDataKey`] if the ring
    /// lacks the version and the algorithm needs it.
    #[inline]
    pub fn start(
        &self,
        cipher: &mut PageCipher,
        name: KeyName,
        padding: Padding,
        direction: Direction,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), CipherError> {
        let algorithm = self.ring.algorithm();
        if !algorithm.derives_keys() {
            return cipher.start(algorithm, padding, direction, key, iv);
        }
        let origin = self
            .ring
            .origin(name.id, name.version)
            .ok_or(CipherError::NoDataKey)?;
        cipher.start_derived(&origin, padding, direction, key, iv)
    }
}

/// The plugin between a successful start and the shutdown of the server.
pub struct Plugin {
    store: Box<dyn KeyStore>,
    published: Arc<Published>,
}

impl Plugin {
    /// Reads all keys and publishes them.
    ///
    /// # Errors
    /// Whatever keeps the keys from being read whole; nothing is published then.
    pub fn start(settings: Settings, server: &dyn Server) -> Result<Plugin, PluginError> {
        if settings.lacks_hidden_filekey() {
            return Err(PluginError::FilekeyHidden);
        }
        let algorithm = settings.algorithm();
        let store = keystore::open(settings.store())?;
        let loaded = store.load()?;
        log::warnings(server, &loaded.warnings);
        let published = Published {
            ring: Ring::new(&loaded.keys, algorithm)?,
            source: store.describe(),
        };
        log::loaded(server, &published);
        let published = Arc::new(published);
        server.publish(Arc::clone(&published));
        Ok(Plugin { store, published })
    }

    /// Makes a new version of the key with the id `request`, or of all keys if it is -1, and publishes it once
    /// it is durable.
    ///
    /// # Errors
    /// Nothing has changed then, on disk or in memory.
    pub fn rotate(
        &mut self,
        request: i64,
        new: NewVersions,
        server: &dyn Server,
        status: &Status,
    ) -> Result<(), PluginError> {
        let which = rotation_of(request)?;
        let rotated = self.store.rotate(which, new, Some(&self.published.ring))?;
        self.publish(&rotated.keys, server)?;
        status.count_rotation();
        log::rotated(server, &rotated.new, &self.published.source);
        Ok(())
    }

    /// Reads all keys anew and publishes what was added.
    ///
    /// # Errors
    /// A known version that is gone or has other bytes, and whatever keeps the keys from being read whole;
    /// the keys in use stay as they are.
    pub fn reload(&mut self, server: &dyn Server, status: &Status) -> Result<(), PluginError> {
        let loaded = self.store.load()?;
        log::warnings(server, &loaded.warnings);
        let before = self.published.ring.versions();
        self.publish(&loaded.keys, server)?;
        status.count_reload();
        log::reloaded(server, &self.published, self.published.ring.versions() - before);
        Ok(())
    }

    fn publish(&mut self, keys: &KeySet, server: &dyn Server) -> Result<(), PluginError> {
        let now = &self.published;
        let ring = now.ring.successor(keys)?;
        let next = Arc::new(Published {
            ring,
            source: now.source.clone(),
        });
        server.publish(Arc::clone(&next));
        self.published = next;
        Ok(())
    }
}

/// Wakes InnoDB's encryption threads after new versions came into force, and logs what a DBA must know about
/// it. Call it without holding anything: it runs SQL.
pub fn start_reencryption(server: &dyn Server, step: VersionStep) {
    log::woken(server, server.wake_encryption_threads(), step);
}

fn rotation_of(request: i64) -> Result<Rotate, PluginError> {
    match (request, u32::try_from(request)) {
        (-1, _) => Ok(Rotate::All),
        (_, Ok(id)) if id > 0 => Ok(Rotate::Key(id)),
        _ => Err(PluginError::NotAKeyId { request }),
    }
}
