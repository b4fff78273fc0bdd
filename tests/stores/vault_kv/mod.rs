//! The key store Vault KV, against a real OpenBao. How it logs in is in tests/services, and what a server does while Vault is
//! away in tests/outage.

mod add_key;
mod faults;
mod hints;
mod interrupted;
mod parallel;
mod policies;
mod refresh;
mod start;
mod store;
