//! What every key store and every master key provider does: one suite over all key stores, one over all providers.
//!
//! Everything is real: files, processes, signals, full and read-only file systems (unshare, mount), other users (setpriv),
//! services. Debian: `apt-get install util-linux openssl`; `scripts/install_openbao.sh` for Vault,
//! `scripts/install_aws_servers.sh` for AWS KMS.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod key_stores;
mod master_keys;
mod places;
