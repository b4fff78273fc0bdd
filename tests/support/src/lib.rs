//! What several test binaries use: real servers, a proxy that makes faults, certificates, stores and master keys to try things
//! on, and programs of ours that tests start, kill and trace.

pub mod aws;
pub mod certificates;
pub mod documented;
pub mod fault_proxy;
pub mod forgery;
pub mod forward_proxy;
pub mod front;
pub mod master_keys;
pub mod openbao;
pub mod programs;
pub mod vault_kv;

use std::net::TcpListener;
use std::path::Path;

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A port of the loopback that nobody listens at.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// The texts of a page of Markdown between ```LANGUAGE and ```.
pub fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    page.split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}
