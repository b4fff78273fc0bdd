//! Stores that others add keys to at any time: what a thread of the plugin asks them, beside the threads of the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{StoreError, Warning};
use crate::keys::{KeySet, Ring};

/// What a look at the store has brought.
#[derive(Debug)]
pub struct News {
    /// Versions that the ring lacks, and possibly others that it holds.
    pub keys: KeySet,
    /// What a DBA should know, each once.
    pub warnings: Vec<Warning>,
}

/// How often a store is looked at and how long it is waited for: what may be set anew while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// New versions are in force after this time.
    pub version_interval: Duration,
    /// The bytes of all versions are compared with the store's after this time.
    pub key_interval: Duration,
    /// The longest time for one request.
    pub timeout: Duration,
    /// How often a request is sent again.
    pub max_retries: u32,
}

/// A look at a store now and then.
pub trait Watch: Send {
    /// Asks the store what the ring lacks. `wanted` are ids that the server has asked for in vain.
    ///
    /// # Errors
    /// Whatever keeps the store from answering; nothing is lost by it, and the next look may succeed.
    fn refresh(&mut self, ring: &Ring, wanted: &BTreeSet<u32>) -> Result<News, StoreError>;

    /// The time until the next look.
    fn interval(&self) -> Duration;

    /// What makes a look under way, in another thread, end at once with an error, and all later ones.
    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync>;

    /// What has looks, in another thread, and all other requests to the store keep another pace, from their next request
    /// on. It never waits.
    fn pacer(&self) -> Arc<dyn Fn(Pace) + Send + Sync>;
}
