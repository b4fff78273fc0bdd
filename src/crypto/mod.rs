//! The page ciphers.
