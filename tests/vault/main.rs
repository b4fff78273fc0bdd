//! Vault KV as a key store, against a real OpenBao.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod docs;
mod faults;
mod hints;
mod interrupted;
mod logins;
#[path = "../openbao/mod.rs"]
mod openbao;
mod refresh;
mod store;
mod support;
#[path = "../trouble/mod.rs"]
mod trouble;
