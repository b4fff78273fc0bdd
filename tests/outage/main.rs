//! Every key service away, slow, broken or not itself, at every moment at which a server asks it: one suite, unchanged over all
//! of them, against the real services behind a proxy that makes the trouble. And clocks that are wrong.
//!
//! Needs what tests/aws and tests/vault need.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../aws/servers.rs"]
mod aws;
mod clock;
mod left;
#[path = "../openbao/mod.rs"]
mod openbao;
mod services;
mod suite;
#[path = "../trouble/mod.rs"]
mod trouble;
mod writes;
