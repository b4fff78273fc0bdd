//! The key file as a key store: its format, what it refuses, and what it survives.
//!
//! Faults are real: processes killed or given errors at a chosen system call (strace), full and read-only
//! file systems (unshare, mount), other users (setpriv). Debian: `apt-get install strace util-linux openssl`.

mod cases;
mod create;
mod documented;
mod environment;
mod faults;
mod format;
mod load;
mod rotation;
mod support;
mod together;
