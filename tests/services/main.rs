//! The clients of services: HTTP and TLS against servers that behave badly, logins at a real OpenBao, and AWS KMS against servers
//! that stand in for AWS. What happens while a service is away is in tests/outage.
//!
//! Needs `scripts/install_openbao.sh` and `scripts/install_aws_servers.sh`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aws;
mod net;
mod vault;
