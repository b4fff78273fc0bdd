//! Whether the binary logs give the keys of other data away.

use keyroll::crypto::Algorithm;
use keyroll::keys::{KeyName, KeySet};
use keyroll::store::StoreConfig;

use super::report::Report;
use crate::failure::named;
use crate::option_files::last;
use crate::store_args::ChosenStore;

/// The key of binary logs and of the redo log.
const SYSTEM_DATA: u32 = 1;

/// What the server does with its binary logs, and what follows from it for a key store.
pub(super) struct BinaryLogs {
    are_encrypted: bool,
    /// The algorithm of versions for which the store records none.
    default_algorithm: Algorithm,
    is_keystore: bool,
    refuses_downgrades: bool,
}

impl BinaryLogs {
    /// As the server's option files say; where none was read nothing is known.
    pub(super) fn of(chosen: &ChosenStore) -> BinaryLogs {
        let options = chosen.options.as_deref().unwrap_or_default();
        BinaryLogs {
            are_encrypted: last(options, "encrypt_binlog").is_some_and(|value| value.flag()),
            default_algorithm: chosen.settings.algorithm(),
            is_keystore: matches!(chosen.store, StoreConfig::Keystore(_)),
            refuses_downgrades: chosen.settings.refuses_downgrades(),
        }
    }

    /// Warns where a known block of a binary log is one of a data key that other keys are made of.
    pub(super) fn check(&self, keys: &KeySet, report: &mut Report) {
        if !self.are_encrypted {
            return;
        }
        let algorithm = |name| keys.algorithm(name).unwrap_or(self.default_algorithm);
        let shows_pairs = |name: &KeyName| name.id == SYSTEM_DATA && !algorithm(*name).derives_keys();
        let latest = keys.latest(SYSTEM_DATA);
        let names = keys.iter().map(|(name, _)| name);
        let older: Vec<KeyName> = names
            .filter(|name| shows_pairs(name) && Some(*name) != latest)
            .collect();
        if let Some(name) = latest.filter(shows_pairs) {
            report.warning(
                format!(
                    "encrypt_binlog with {}: known blocks of an encrypted binary log let whoever writes to the stopped \
                     server's disk choose the redo log's key, and that of a table that he empties; aes_256_xts has no such path",
                    algorithm(name).name()
                ),
                self.remedy().into(),
            );
        } else if !older.is_empty() && !self.refuses_downgrades {
            report.warning(
                format!(
                    "binary logs may have been encrypted with a weaker algorithm, under {}: whoever writes to the stopped server's \
                     disk can have the redo log encrypted under it again, with a key of his choice",
                    named(&older)
                ),
                "start once with another innodb_log_file_size, which makes the redo log anew, and set keyroll_algorithm_downgrade = \
                 strict then"
                    .into(),
            );
        }
    }

    fn remedy(&self) -> &'static str {
        match self.is_keystore {
            true => {
                "set keyroll_key_algorithm = aes_256_xts, SET GLOBAL keyroll_rotate_key = 1, and start with another \
                 innodb_log_file_size, which makes the redo log anew"
            }
            false => {
                "this store has one algorithm for all data: move the keys into a keystore, and rotate key 1 there with \
                 keyroll_key_algorithm = aes_256_xts"
            }
        }
    }
}
