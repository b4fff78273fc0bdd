//! `SET GLOBAL keyroll_add_key`: a key that a DBA asks for, where the store has none of its id.

use super::{Plugin, PluginError, Server, log};
use crate::keys::KeySpec;

impl Plugin {
    /// Makes version 1 of the key with the id `request`, and publishes it once it is durable. A
    /// store that records no algorithm gives it 256 bits, which fit every cipher.
    ///
    /// # Errors
    /// There is one, or data that needs one: another key of this id reads none of it. Nothing has
    /// changed then, on disk or in memory.
    pub fn add_key(&self, request: i64, spec: KeySpec, server: &dyn Server) -> Result<(), PluginError> {
        let id = u32::try_from(request).ok().filter(|&id| id > 0);
        let or_all = false;
        let id = id.ok_or(PluginError::NotAKeyId { request, or_all })?;
        let is_there = self.state()?.published.ring.latest(id).is_some();
        // Reading files takes long, and where there is the key the store's own error says more.
        if !is_there && let Some(file) = self.data_under(id, server)? {
            let store = self.source.clone();
            return Err(PluginError::KeyInUse { id, file, store });
        }
        let spec = if self.makes_keys { spec } else { KeySpec::DEFAULT };
        let mut state = self.state()?;
        let added = state.store.add_key(id, spec, Some(&state.published.ring))?;
        state.not_created.remove(&id);
        state.publish(&added.keys, server)?;
        log::added(server, &added.new, &state.published);
        Ok(())
    }
}
