//! What is particular to each master key provider. What all of them do is in tests/conformance.
//!
//! Everything is real: files, processes, signals. Debian: `apt-get install openssl`; `scripts/install_openbao.sh` for Vault
//! transit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credential;
mod documented;
mod exec;
mod file;
mod trust;
mod vault_transit;
