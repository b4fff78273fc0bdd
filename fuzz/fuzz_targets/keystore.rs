//! Any bytes as a keystore.

#![no_main]

#[path = "../checks/keystore.rs"]
mod keystore;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keystore::check(bytes));
