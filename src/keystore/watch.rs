//! Stores that others add keys to at any time: what a thread of the plugin asks them, beside the threads of the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{KeySet, KeyStoreError, Ring, Warning};

/// What a look at the store has brought.
#[derive(Debug)]
pub struct News {
    /// Versions that the ring lacks, and possibly others that it holds.
    pub keys: KeySet,
    /// What a DBA should know, each once.
    pub warnings: Vec<Warning>,
}

/// A look at a store now and then.
pub trait Watch: Send {
    /// Asks the store what the ring lacks. `wanted` are ids that the server has asked for in vain.
    ///
    /// # Errors
    /// Whatever keeps the store from answering; nothing is lost by it, and the next look may succeed.
    fn refresh(&mut self, ring: &Ring, wanted: &BTreeSet<u32>) -> Result<News, KeyStoreError>;

    /// The time until the next look.
    fn interval(&self) -> Duration;

    /// What makes a look under way, in another thread, end at once with an error, and all later ones.
    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync>;
}
