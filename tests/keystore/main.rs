//! The keystore: its format, what it refuses, and what it survives.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod damage;
mod lifecycle;
mod support;
mod tampering;
