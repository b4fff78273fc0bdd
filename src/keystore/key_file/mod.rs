//! The key file: file_key_management's format, plus versions.
