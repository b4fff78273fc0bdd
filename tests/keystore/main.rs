//! The keystore: its format, what it refuses, and what it survives.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adding;
mod damage;
mod faults;
mod lifecycle;
#[path = "../programs/mod.rs"]
mod programs;
mod properties;
mod refusals;
mod second_reader;
mod support;
mod tampering;
mod together;
