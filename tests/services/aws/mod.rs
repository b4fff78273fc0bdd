//! The master key in AWS KMS, against servers that stand in for AWS: what is particular to it. What all providers have in
//! common is in tests/conformance, and what a server does while it is away in tests/outage.

mod credentials;
mod import;
mod kms;
mod proxies;
mod support;
