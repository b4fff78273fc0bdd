//! The refresher: the thread that takes up keys which others add to the store.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{PluginError, Published};
use crate::crypto::scrub;
use crate::store::{ChangeSource, Changes, RefreshPolicy};

/// The shortest time from the end of a refresh to the next one.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The most unknown ids that are remembered.
const MOST_REQUESTED: usize = 1000;

/// The running plugin as the refresher sees it.
pub trait RefreshTarget: Send + Sync + 'static {
    /// The keys that are published; `None` once the plugin has ended.
    fn published(&self) -> Option<Published>;

    /// Publishes what a refresh has read; whether there were new versions.
    fn apply(&self, changes: &Changes) -> Result<bool, PluginError>;

    /// Makes the server's background threads take up new versions; `false` while it is starting.
    fn start_reencryption(&self) -> bool;

    /// A refresh failed, for another reason than the one before.
    fn refresh_failed(&self, error: &PluginError);

    /// A refresh succeeded after one that failed.
    fn refresh_succeeded(&self);
}

/// The thread. Dropping it ends and joins it, whatever it waits for.
pub struct Refresher {
    shared: Arc<Shared>,
    interrupt: Arc<dyn Fn() + Send + Sync>,
    set_policy: Arc<dyn Fn(RefreshPolicy) + Send + Sync>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Requests>,
    changed: Condvar,
}

#[derive(Default)]
struct Requests {
    is_ending: bool,
    /// Ids that the server has asked for in vain.
    ids: BTreeSet<u32>,
    /// Whether others have published new versions.
    is_reencryption_due: bool,
}

/// What the thread has waited for.
enum Due {
    /// A refresh, which looks for these ids.
    Refresh(BTreeSet<u32>),
    /// The start of re-encryption alone.
    Reencryption,
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refresher {
    /// Starts the thread; the first refresh is one interval away.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(source: Box<dyn ChangeSource>, target: impl RefreshTarget) -> std::io::Result<Refresher> {
        let shared = Arc::new(Shared::default());
        let (interrupt, set_policy) = (source.interrupter(), source.policy_setter());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("keyroll-refresh".into())
            .spawn(move || run(source, &of_thread, &target))?;
        Ok(Refresher {
            shared,
            interrupt,
            set_policy,
            thread: Some(thread),
        })
    }

    /// Requests a refresh, at once, that looks for this key. Never waits.
    pub fn request(&self, id: u32) {
        let mut requests = self.shared.requests();
        if requests.ids.len() < MOST_REQUESTED && requests.ids.insert(id) {
            self.shared.changed.notify_all();
        }
    }

    /// Requests the start of re-encryption, for new versions that a statement has published, which
    /// cannot start it itself. Never waits.
    pub fn request_reencryption(&self) {
        self.shared.requests().is_reencryption_due = true;
        self.shared.changed.notify_all();
    }

    /// Refreshes by another policy from now on, perhaps at once. Never waits.
    pub fn set_policy(&self, policy: RefreshPolicy) {
        (self.set_policy)(policy);
        // The lock, so that the thread is not between reading the policy and waiting.
        let _requests = self.shared.requests();
        self.shared.changed.notify_all();
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.shared.requests().is_ending = true;
        self.shared.changed.notify_all();
        (self.interrupt)();
        if let Some(thread) = self.thread.take() {
            // A panic outside a refresh has been told by the hook, and is not worth failing a
            // shutdown.
            let _ = thread.join();
        }
    }
}

fn run(mut source: Box<dyn ChangeSource>, shared: &Shared, target: &impl RefreshTarget) {
    // The server has a thread for signals; none may end up here.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let mut last_failure = None;
    let mut is_reencryption_due = false;
    let mut ended = Instant::now();
    loop {
        // While the server starts, it cannot be told of new versions: it is tried again.
        let interval = || match is_reencryption_due {
            true => SHORTEST_PAUSE,
            false => source.interval(),
        };
        let requested = match wait(shared, ended, interval) {
            None => return,
            Some(Due::Refresh(requested)) => Some(requested),
            Some(Due::Reencryption) => None,
        };
        is_reencryption_due |= requested.is_none();
        if let Some(requested) = requested {
            let Some(refreshed) = refresh(source.as_mut(), shared, target, &requested) else {
                return;
            };
            ended = Instant::now();
            match refreshed {
                Ok(is_new) => {
                    is_reencryption_due |= is_new;
                    if last_failure.take().is_some() {
                        target.refresh_succeeded();
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    if last_failure.as_ref() != Some(&text) {
                        target.refresh_failed(&error);
                        last_failure = Some(text);
                    }
                }
            }
        }
        if is_reencryption_due {
            is_reencryption_due = !target.start_reencryption();
        }
    }
}

/// Whether a refresh has brought new versions; `None` at the end.
fn refresh(
    source: &mut dyn ChangeSource,
    shared: &Shared,
    target: &impl RefreshTarget,
    requested: &BTreeSet<u32>,
) -> Option<Result<bool, PluginError>> {
    let published = target.published()?;
    let refresh = || {
        let changes = source.refresh(&published.ring, requested);
        if shared.requests().is_ending {
            return None;
        }
        Some(
            changes
                .map_err(PluginError::from)
                .and_then(|changes| target.apply(&changes)),
        )
    };
    // A thread that ended here would keep all new keys out, and nobody would notice. Keys are
    // published as a whole or not at all, so a panic leaves nothing torn.
    catch_unwind(AssertUnwindSafe(|| scrub::around(refresh)))
        .unwrap_or(Some(Err(PluginError::RefreshPanicked)))
}

/// Waits for the interval, which may change meanwhile and counts from `ended`, or for a request;
/// `None` at the end.
fn wait(shared: &Shared, ended: Instant, interval: impl Fn() -> Duration) -> Option<Due> {
    let mut requests = shared.requests();
    loop {
        if requests.is_ending {
            return None;
        }
        let until = match requests.ids.is_empty() {
            true => interval(),
            false => SHORTEST_PAUSE.min(interval()),
        };
        let left = until.saturating_sub(ended.elapsed());
        if left.is_zero() {
            return Some(Due::Refresh(std::mem::take(&mut requests.ids)));
        }
        if std::mem::take(&mut requests.is_reencryption_due) {
            return Some(Due::Reencryption);
        }
        requests = shared
            .changed
            .wait_timeout(requests, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::crypto::Algorithm;
    use crate::keys::{KeyName, KeySet, Ring};
    use crate::secret::DataKey;
    use crate::store::StoreError;

    /// What a refresh does.
    enum Outcome {
        Succeeds,
        Fails,
        Panics,
        /// Until it is interrupted.
        Hangs,
    }

    struct Script {
        steps: VecDeque<Outcome>,
        interval: Arc<Mutex<Duration>>,
        is_interrupted: Arc<AtomicBool>,
    }

    impl ChangeSource for Script {
        fn refresh(&mut self, _: &Ring, requested: &BTreeSet<u32>) -> Result<Changes, StoreError> {
            let failure = || StoreError::UnknownKey {
                id: 7,
                store: "the script".into(),
                ids: Vec::new(),
            };
            match self.steps.pop_front().unwrap_or(Outcome::Succeeds) {
                Outcome::Succeeds => {}
                Outcome::Fails => return Err(failure()),
                Outcome::Panics => panic!("of the script"),
                Outcome::Hangs => {
                    while !self.is_interrupted.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    return Err(failure());
                }
            }
            let mut keys = KeySet::default();
            for id in requested {
                let name = KeyName { id: *id, version: 1 };
                keys.insert(name, DataKey::new(&[1; 32]).unwrap());
            }
            Ok(Changes {
                keys,
                warnings: Vec::new(),
            })
        }

        fn interval(&self) -> Duration {
            *self.interval.lock().unwrap()
        }

        fn interrupter(&self) -> Arc<dyn Fn() + Send + Sync> {
            let is_interrupted = Arc::clone(&self.is_interrupted);
            Arc::new(move || is_interrupted.store(true, Ordering::SeqCst))
        }

        fn policy_setter(&self) -> Arc<dyn Fn(RefreshPolicy) + Send + Sync> {
            let interval = Arc::clone(&self.interval);
            Arc::new(move |policy| *interval.lock().unwrap() = policy.version_interval)
        }
    }

    /// What the thread told, in its order.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Told {
        fn say(&self, text: String) {
            self.0.lock().unwrap().push(text);
        }

        /// Waits until so much was told.
        fn first(&self, count: usize) -> Vec<String> {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let told = self.0.lock().unwrap().clone();
                if told.len() >= count {
                    return told;
                }
                assert!(Instant::now() < deadline, "{told:?}");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl RefreshTarget for Told {
        fn published(&self) -> Option<Published> {
            let mut keys = KeySet::default();
            keys.insert(KeyName { id: 1, version: 1 }, DataKey::new(&[1; 32]).unwrap());
            Some(Published {
                ring: Arc::new(Ring::new(&keys, Algorithm::AesCbc).unwrap()),
                source: String::new(),
                master_key: String::new(),
                wrapped_at: None,
            })
        }

        fn apply(&self, changes: &Changes) -> Result<bool, PluginError> {
            let ids = changes.keys.ids();
            self.say(format!("{ids:?}"));
            Ok(!ids.is_empty())
        }

        fn start_reencryption(&self) -> bool {
            self.say("woken".into());
            true
        }

        fn refresh_failed(&self, error: &PluginError) {
            self.say(format!("failed: {error}"));
        }

        fn refresh_succeeded(&self) {
            self.say("well again".into());
        }
    }

    fn refreshing(steps: impl IntoIterator<Item = Outcome>, interval: Duration) -> (Refresher, Told) {
        let told = Told::default();
        let script = Script {
            steps: steps.into_iter().collect(),
            interval: Arc::new(Mutex::new(interval)),
            is_interrupted: Arc::default(),
        };
        (Refresher::start(Box::new(script), told.clone()).unwrap(), told)
    }

    const SOON: Duration = Duration::from_millis(5);
    const NEVER: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn a_shorter_interval_counts_for_a_thread_that_waits_for_a_longer_one() {
        let (refresher, told) = refreshing([], NEVER);
        // So that it waits.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(told.0.lock().unwrap().len(), 0);
        refresher.set_policy(RefreshPolicy {
            version_interval: SOON,
            key_interval: NEVER,
            timeout: NEVER,
            max_retries: 0,
        });
        told.first(2);
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let (_refresher, told) = refreshing([Outcome::Fails, Outcome::Fails, Outcome::Fails], SOON);
        let told = told.first(4);
        assert!(told[0].starts_with("failed: "), "{told:?}");
        assert_eq!(told[1..4], ["[]", "well again", "[]"]);
    }

    #[test]
    fn a_panic_in_a_refresh_is_told_and_the_next_one_comes() {
        let (_refresher, told) = refreshing([Outcome::Succeeds, Outcome::Panics, Outcome::Succeeds], SOON);
        let told = told.first(4);
        assert_eq!(told[0], "[]");
        assert!(told[1].starts_with("failed: a bug of keyroll"), "{told:?}");
        assert_eq!(told[2..4], ["[]", "well again"]);
    }

    #[test]
    fn an_unknown_id_is_requested_at_once_and_brings_reencryption() {
        let (refresher, told) = refreshing([], NEVER);
        refresher.request(9);
        assert_eq!(told.first(2), ["[9]", "woken"]);
    }

    #[test]
    fn new_versions_of_others_bring_reencryption_and_no_refresh() {
        let (refresher, told) = refreshing([], NEVER);
        refresher.request_reencryption();
        assert_eq!(told.first(1), ["woken"]);
        refresher.request(9);
        assert_eq!(told.first(3), ["woken", "[9]", "woken"]);
    }

    #[test]
    fn the_end_does_not_wait_for_a_refresh_under_way_nor_for_the_next() {
        for (steps, interval) in [(Some(Outcome::Hangs), SOON), (None, NEVER)] {
            let (refresher, told) = refreshing(steps, interval);
            thread::sleep(Duration::from_millis(100));
            let start = Instant::now();
            drop(refresher);
            assert!(start.elapsed() < Duration::from_millis(500));
            assert!(told.first(0).is_empty(), "what ended is no failure");
        }
    }
}
