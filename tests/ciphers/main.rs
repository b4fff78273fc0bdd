//! The ciphers against OpenSSL, which the server itself calls, against published vectors and against each other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aes_256_hctr2;
mod aes_256_xts;
mod against_openssl;
mod levels;
mod passwords;
mod tails;
mod vectors;
