//! The master key providers: one suite that all of them pass, and what is particular to each.
//!
//! Everything is real: files, processes, signals. Debian: `apt-get install openssl`;
//! `scripts/install_aws_servers.sh` for AWS KMS.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../aws/servers.rs"]
mod aws;
mod conformance;
mod credential;
mod exec;
mod file;
#[path = "../openbao/mod.rs"]
mod openbao;
mod support;
mod trust;
mod vault_transit;
