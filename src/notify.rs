//! Who is told what a DBA should see beside the answers: the server's error log, or the terminal.

use std::fmt;
use std::sync::Arc;

/// A receiver of lines for a DBA, without secrets. By default they go nowhere.
#[derive(Clone, Default)]
pub struct Notify(Option<Arc<Tell>>);

type Tell = dyn Fn(&str) + Send + Sync;

impl Notify {
    /// Has each line given to `tell`, in the thread that it comes from.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Notify {
        Notify(Some(Arc::new(tell)))
    }

    /// Passes a line on at once.
    pub fn tell(&self, line: &str) {
        if let Some(tell) = &self.0 {
            tell(line);
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notify")
    }
}
