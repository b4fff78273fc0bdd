//! The master key in AWS KMS, against servers that stand in for AWS: what is particular to it. What all providers have in
//! common is in tests/master_key.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod credentials;
mod docs;
mod kms;
mod outage;
mod proxy;
mod servers;
mod support;
