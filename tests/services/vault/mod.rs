//! Vault as a service: each way to log in and to get there, and what is said where that fails.

mod logins;
mod messages;
mod proxies;
mod standby;
