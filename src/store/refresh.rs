//! Stores that others add keys to at any time: how a thread of the plugin reads what they changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{StoreError, Warning};
use crate::keys::{KeySet, Ring};

/// What others have changed in a store since it was last read.
#[derive(Debug, Default)]
pub struct Changes {
    /// Versions that the ring lacks, and possibly others that it holds.
    pub keys: KeySet,
    /// What a DBA should know, each once.
    pub warnings: Vec<Warning>,
}

/// How often a store is refreshed and how long it is waited for. It can change while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshPolicy {
    /// New versions are in force after this time.
    pub version_interval: Duration,
    /// The bytes of all versions are compared with the store's after this time.
    pub key_interval: Duration,
    /// The longest time for one request.
    pub timeout: Duration,
    /// How often a request is sent again.
    pub max_retries: u32,
}

/// Reads what others change in a store.
pub trait ChangeSource: Send {
    /// Asks the store for what the ring lacks. `requested` are ids that the server has asked for in
    /// vain.
    ///
    /// # Errors
    /// Whatever keeps the store from answering; nothing is lost by it, and the next refresh may
    /// succeed.
    fn refresh(&mut self, ring: &Ring, requested: &BTreeSet<u32>) -> Result<Changes, StoreError>;

    /// The time until the next refresh.
    fn interval(&self) -> Duration;

    /// A function that ends the refresh under way in another thread, and all later ones, at once
    /// with an error.
    fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync>;

    /// A function that sets the policy of all requests to the store from the next one on, from any
    /// thread. It never waits.
    fn policy_setter(&self) -> Arc<dyn Fn(RefreshPolicy) + Send + Sync>;
}
