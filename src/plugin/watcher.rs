//! The thread that looks for new keys in a store that others add keys to. It is the only one that waits for such a store
//! while nobody has asked for anything; the server's threads read the ring.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{PluginError, Published};
use crate::crypto::scrub;
use crate::keystore::{News, Watch};

/// No two looks begin within this time, however often the server asks for unknown keys.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The most unknown ids that are remembered.
const MOST_WANTED: usize = 1000;

/// The running plugin as its thread sees it.
pub trait Watched: Send + Sync + 'static {
    /// The keys that are published; `None` once the plugin has ended.
    fn published(&self) -> Option<Arc<Published>>;

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
        let interrupt = watch.interrupter();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("keyroll-watch".into())
            .spawn(move || run(watch, &of_thread, &plugin))?;
        Ok(Watcher {
            shared,
            interrupt,
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
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.state().is_ending = true;
        self.shared.changed.notify_all();
        (self.interrupt)();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been told to the error log by nobody, and is not worth failing a shutdown.
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
        let interval = if has_news {
            SHORTEST_PAUSE
        } else {
            watch.interval()
        };
        let Some(wanted) = wait(shared, began, interval) else {
            return;
        };
        let Some(published) = plugin.published() else {
            return;
        };
        let looked = scrub::around(|| {
            let looked = watch.refresh(&published.ring, &wanted);
            if shared.state().is_ending {
                return None;
            }
            Some(
                looked
                    .map_err(PluginError::from)
                    .and_then(|news| plugin.take_up(&news)),
            )
        });
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

/// Waits for the interval to pass, for a wanted key, or for the end (`None`).
fn wait(shared: &Shared, began: Instant, interval: Duration) -> Option<BTreeSet<u32>> {
    let mut state = shared.state();
    loop {
        if state.is_ending {
            return None;
        }
        let until = if state.wanted.is_empty() {
            interval
        } else {
            SHORTEST_PAUSE.min(interval)
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
