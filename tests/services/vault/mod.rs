//! Vault as a service: each way to log in and to get there, what is said where that fails, and what docs/vault.md has people do.

mod docs;
mod logins;
mod messages;
mod proxies;
mod standby;
