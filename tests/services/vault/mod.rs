//! Vault as a service: each way to log in, and what docs/vault.md has people do.

mod docs;
mod logins;
