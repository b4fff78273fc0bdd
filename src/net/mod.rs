//! What everything that asks a service has in common: deadlines and retries.

pub mod retry;

pub use retry::{Deadline, retry};
