//! The command `keyroll`, as people and scripts use it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod add_key;
mod backup;
mod binary_logs;
mod help;
mod init;
mod keystore;
mod manual;
mod one_line;
mod option_files;
mod permissions;
mod scan;
mod scripts;
mod server_user;
mod snapshots;
mod two_stores;
mod vault;
