//! Files that hold secrets: what replacing keeps, and what a kill or a failure at any of its steps leaves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod failpoints;
mod nfs;
mod previous;
#[path = "../programs/mod.rs"]
mod programs;
mod support;
