//! The master key in AWS KMS, against servers that stand in for AWS: what is particular to it. What all providers have in
//! common is in tests/master_key, and what a server does while it is away in tests/outage.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials;
mod docs;
mod kms;
mod servers;
mod support;
#[path = "../trouble/mod.rs"]
mod trouble;
