//! What several test binaries use: real servers, a proxy that makes faults, certificates, stores and master keys to try things
//! on, and programs of ours that tests start, kill and trace.

pub mod aws;
pub mod certificates;
pub mod fault_proxy;
pub mod forgery;
pub mod master_keys;
pub mod openbao;
pub mod programs;
pub mod vault_kv;

use std::path::Path;

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
