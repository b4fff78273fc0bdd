//! Files that hold secrets: what replacing keeps, and what a kill or a failure at any of its steps leaves.

mod failpoints;
mod nfs;
mod previous;
mod support;
