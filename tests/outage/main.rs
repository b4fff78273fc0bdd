//! Every key service away, slow, broken or not itself, at every moment at which a server asks it: one suite, unchanged over all
//! of them, against the real services behind a proxy that makes the trouble. And clocks that are wrong.
//!
//! Needs what tests/services needs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clock;
mod leaks;
mod services;
mod suite;
mod writes;
