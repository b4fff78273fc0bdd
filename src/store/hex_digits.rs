//! Keys as hex digits, as key files and Vault KV hold them.

use crate::secret::DataKey;

/// Appends a key's bytes as hex digits.
pub(super) fn push_hex(out: &mut Vec<u8>, key: &DataKey) {
    let start = out.len();
    out.resize(start + 2 * key.len(), b'0');
    #[expect(clippy::expect_used, reason = "room was just made for two digits a byte")]
    hex::encode_to_slice(key.expose(), &mut out[start..]).expect("two digits a byte");
}
