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
mod settle;
mod support;
mod taken_back;
mod tampering;
mod together;
mod traced;
