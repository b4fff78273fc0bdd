//! The thread that looks for new keys in a store that others add keys to. It is the only one that waits for such a store
//! while nobody has asked for anything; the server's threads read the ring.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{PluginError, Published};
use crate::crypto::scrub;
use crate::store::{News, Pace, Watch};

/// No two looks begin within this time, however often the server asks for unknown keys.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The most unknown ids that are remembered.
const MOST_WANTED: usize = 1000;

/// The running plugin as its thread sees it.
pub trait Watched: Send + Sync + 'static {
    /// The keys that are published; `None` once the plugin has ended.
    fn published(&self) -> Option<Published>;

    /// Publishes what a look has brought. `true` if there were new versions.
    fn take_up(&self, news: &News) -> Result<bool, PluginError>;

    /// Has new versions taken up by the server's background threads. `false`: not yet, because the server starts.
    fn start_reencryption(&self) -> bool;

    /// A look failed, for another reason than the one before.
    fn look_failed(&self, error: &PluginError);

    /// A look succeeded after one that failed.
    fn look_succeeded(&self);
}

/// The thread. Dropping it ends and joins it, whatever it waits for.
pub struct Watcher {
    shared: Arc<Shared>,
    interrupt: Arc<dyn Fn() + Send + Sync>,
    set_pace: Arc<dyn Fn(Pace) + Send + Sync>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_ending: bool,
    /// Ids that the server has asked for in vain.
    wanted: BTreeSet<u32>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Starts the thread; the first look is one interval away.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(watch: Box<dyn Watch>, plugin: impl Watched) -> std::io::Result<Watcher> {
        let shared = Arc::new(Shared::default());
        let (interrupt, set_pace) = (watch.interrupter(), watch.pacer());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("keyroll-watch".into())
            .spawn(move || run(watch, &of_thread, &plugin))?;
        Ok(Watcher {
            shared,
            interrupt,
            set_pace,
            thread: Some(thread),
        })
    }

    /// Has the next look, which comes at once, see to a key that is not there. Never waits.
    pub fn want(&self, id: u32) {
        let mut state = self.shared.state();
        if state.wanted.len() < MOST_WANTED && state.wanted.insert(id) {
            self.shared.changed.notify_all();
        }
    }

    /// Has the store looked at, and waited for, at another pace: at once where that makes a look due. Never waits.
    pub fn set_pace(&self, pace: Pace) {
        (self.set_pace)(pace);
        // The lock, so that the thread is not between reading the pace and waiting.
        let _state = self.shared.state();
        self.shared.changed.notify_all();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.state().is_ending = true;
        self.shared.changed.notify_all();
        (self.interrupt)();
        if let Some(thread) = self.thread.take() {
            // A panic outside a look has been told by the hook, and is not worth failing a shutdown.
            let _ = thread.join();
        }
    }
}

fn run(mut watch: Box<dyn Watch>, shared: &Shared, plugin: &impl Watched) {
    // The server has a thread for signals; none may end up here.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let mut last_failure = None;
    let mut has_news = false;
    loop {
        let began = Instant::now();
        // While the server starts, it cannot be told of news: it is tried again.
        let interval = || match has_news {
            true => SHORTEST_PAUSE,
            false => watch.interval(),
        };
        let Some(wanted) = wait(shared, began, interval) else {
            return;
        };
        let Some(published) = plugin.published() else {
            return;
        };
        let look = || {
            let looked = watch.refresh(&published.ring, &wanted);
            if shared.state().is_ending {
                return None;
            }
            Some(
                looked
                    .map_err(PluginError::from)
                    .and_then(|news| plugin.take_up(&news)),
            )
        };
        // A thread that ended here would keep all new keys out, and nobody would notice. What a look leaves half done is
        // its own list of warnings; keys are published as a whole or not at all.
        let looked = catch_unwind(AssertUnwindSafe(|| scrub::around(look)))
            .unwrap_or(Some(Err(PluginError::LookPanicked)));
        let Some(looked) = looked else {
            return;
        };
        match looked {
            Ok(is_new) => {
                has_news |= is_new;
                if last_failure.take().is_some() {
                    plugin.look_succeeded();
                }
            }
            Err(error) => {
                let text = error.to_string();
                if last_failure.as_ref() != Some(&text) {
                    plugin.look_failed(&error);
                    last_failure = Some(text);
                }
            }
        }
        if has_news {
            has_news = !plugin.start_reencryption();
        }
    }
}

/// Waits for the interval to pass, which may change meanwhile, for a wanted key, or for the end (`None`).
fn wait(shared: &Shared, began: Instant, interval: impl Fn() -> Duration) -> Option<BTreeSet<u32>> {
    let mut state = shared.state();
    loop {
        if state.is_ending {
            return None;
        }
        let until = match state.wanted.is_empty() {
            true => interval(),
            false => SHORTEST_PAUSE.min(interval()),
        };
        let left = until.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Some(std::mem::take(&mut state.wanted));
        }
        state = shared
            .changed
            .wait_timeout(state, left)
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

    /// What a look does.
    enum Look {
        Succeeds,
        Fails,
        Panics,
        /// Until it is interrupted.
        Hangs,
    }

    struct Script {
        looks: VecDeque<Look>,
        interval: Arc<Mutex<Duration>>,
        is_interrupted: Arc<AtomicBool>,
    }

    impl Watch for Script {
        fn refresh(&mut self, _: &Ring, wanted: &BTreeSet<u32>) -> Result<News, StoreError> {
            let failure = || StoreError::UnknownKey {
                id: 7,
                store: "the script".into(),
                ids: Vec::new(),
            };
            match self.looks.pop_front().unwrap_or(Look::Succeeds) {
                Look::Succeeds => {}
                Look::Fails => return Err(failure()),
                Look::Panics => panic!("of the script"),
                Look::Hangs => {
                    while !self.is_interrupted.load(Ordering::SeqCst) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    return Err(failure());
                }
            }
            let mut keys = KeySet::default();
            for id in wanted {
                let name = KeyName { id: *id, version: 1 };
                keys.insert(name, DataKey::new(&[1; 32]).unwrap());
            }
            Ok(News {
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

        fn pacer(&self) -> Arc<dyn Fn(Pace) + Send + Sync> {
            let interval = Arc::clone(&self.interval);
            Arc::new(move |pace| *interval.lock().unwrap() = pace.version_interval)
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

    impl Watched for Told {
        fn published(&self) -> Option<Published> {
            let mut keys = KeySet::default();
            keys.insert(KeyName { id: 1, version: 1 }, DataKey::new(&[1; 32]).unwrap());
            Some(Published {
                ring: Arc::new(Ring::new(&keys, Algorithm::AesCbc).unwrap()),
                source: String::new(),
                master_key: String::new(),
            })
        }

        fn take_up(&self, news: &News) -> Result<bool, PluginError> {
            let ids = news.keys.ids();
            self.say(format!("{ids:?}"));
            Ok(!ids.is_empty())
        }

        fn start_reencryption(&self) -> bool {
            self.say("woken".into());
            true
        }

        fn look_failed(&self, error: &PluginError) {
            self.say(format!("failed: {error}"));
        }

        fn look_succeeded(&self) {
            self.say("well again".into());
        }
    }

    fn watching(looks: impl IntoIterator<Item = Look>, interval: Duration) -> (Watcher, Told) {
        let told = Told::default();
        let script = Script {
            looks: looks.into_iter().collect(),
            interval: Arc::new(Mutex::new(interval)),
            is_interrupted: Arc::default(),
        };
        (Watcher::start(Box::new(script), told.clone()).unwrap(), told)
    }

    const SOON: Duration = Duration::from_millis(5);
    const NEVER: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn a_shorter_interval_counts_for_a_thread_that_waits_for_a_longer_one() {
        let (watcher, told) = watching([], NEVER);
        // So that it waits.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(told.0.lock().unwrap().len(), 0);
        watcher.set_pace(Pace {
            version_interval: SOON,
            key_interval: NEVER,
            timeout: NEVER,
            max_retries: 0,
        });
        told.first(2);
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let (_watcher, told) = watching([Look::Fails, Look::Fails, Look::Fails], SOON);
        let told = told.first(4);
        assert!(told[0].starts_with("failed: "), "{told:?}");
        assert_eq!(told[1..4], ["[]", "well again", "[]"]);
    }

    #[test]
    fn a_panic_in_a_look_is_told_and_the_next_look_comes() {
        let (_watcher, told) = watching([Look::Succeeds, Look::Panics, Look::Succeeds], SOON);
        let told = told.first(4);
        assert_eq!(told[0], "[]");
        assert!(told[1].starts_with("failed: a bug of keyroll"), "{told:?}");
        assert_eq!(told[2..4], ["[]", "well again"]);
    }

    #[test]
    fn an_unknown_id_is_looked_for_at_once_and_brings_reencryption() {
        let (watcher, told) = watching([], NEVER);
        watcher.want(9);
        assert_eq!(told.first(2), ["[9]", "woken"]);
    }

    #[test]
    fn the_end_does_not_wait_for_a_look_under_way_nor_for_the_next() {
        for (looks, interval) in [(Some(Look::Hangs), SOON), (None, NEVER)] {
            let (watcher, told) = watching(looks, interval);
            thread::sleep(Duration::from_millis(100));
            let start = Instant::now();
            drop(watcher);
            assert!(start.elapsed() < Duration::from_millis(500));
            assert!(told.first(0).is_empty(), "what ended is no failure");
        }
    }
}
