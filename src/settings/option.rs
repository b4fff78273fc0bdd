//! Settings as text, as option files and command lines have them, read as the server reads them.

use super::{Settings, SettingsError};
use crate::secret::SecretBytes;

/// One option of the server, in text.
#[derive(Debug)]
pub struct ServerOption {
    /// The name as it is written.
    pub name: Vec<u8>,
    /// The value, without quotes and escapes; `None` if there is no `=`. It may be a secret.
    pub value: Option<SecretBytes>,
}

/// The prefix of the server's own key file plugin, whose settings have the meanings of ours.
pub const FILE_KEY_MANAGEMENT: &str = "file_key_management_";

/// The prefix of the server's own plugin for AWS KMS, whose settings have the meanings of ours.
pub const AWS_KEY_MANAGEMENT: &str = "aws_key_management_";

impl Settings {
    /// The settings that these options make, which begin with this prefix; the last of a name wins.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for a value that the server refuses, too.
    pub fn from_options(options: &[ServerOption], prefix: &str) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        for option in options {
            let Some((full, value)) = option.meaning() else {
                continue;
            };
            if let Some(name) = full.strip_prefix(prefix) {
                let refused = |values| SettingsError::Value {
                    name: full.clone(),
                    values,
                };
                settings.set(name, &value).map_err(refused)?;
            }
        }
        Ok(settings)
    }
}

impl ServerOption {
    /// The name in small letters with underscores, without the words before it that the server
    /// knows, and the value with what those words make of it.
    pub fn meaning(&self) -> Option<(String, TextValue<'_>)> {
        let name = str::from_utf8(&self.name).ok()?;
        let name = name.to_ascii_lowercase().replace('-', "_");
        let mut rest = name.as_str();
        let mut negated = false;
        loop {
            if let Some(tail) = rest.strip_prefix("loose_").or(rest.strip_prefix("enable_")) {
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix("skip_").or(rest.strip_prefix("disable_")) {
                rest = tail;
                negated = true;
            } else {
                break;
            }
        }
        let text = self.value.as_ref().map(SecretBytes::expose);
        Some((rest.to_owned(), TextValue { text, negated }))
    }
}

/// A value in text, and what a word before the name made of it.
#[derive(Clone, Copy)]
pub struct TextValue<'a> {
    text: Option<&'a [u8]>,
    /// `skip-` or `disable-`.
    negated: bool,
}

impl<'a> TextValue<'a> {
    /// The text; nothing where there is no value.
    pub fn bytes(&self) -> &'a [u8] {
        self.text.unwrap_or_default()
    }

    /// A flag, as the server reads it: without a value it is on, and what is no word for on is off.
    pub fn flag(&self) -> bool {
        let on = self.text.is_none_or(|text| {
            ["1", "on", "true"]
                .iter()
                .any(|word| word.as_bytes().eq_ignore_ascii_case(text))
        });
        on != self.negated
    }

    /// A choice, as the server reads it: a name, what only one name begins with, or its number,
    /// from 0.
    pub(super) fn choice(&self, names: &[&str]) -> Result<usize, String> {
        let text = String::from_utf8_lossy(self.bytes()).to_ascii_lowercase();
        let exact = names.iter().position(|name| name.eq_ignore_ascii_case(&text));
        let only = || {
            let begins = |(_, name): &(usize, &&str)| name.to_ascii_lowercase().starts_with(&text);
            let mut all = names.iter().enumerate().filter(begins);
            let (first, _) = all.next().filter(|_| !text.is_empty())?;
            all.next().is_none().then_some(first)
        };
        let numbered = || text.parse::<usize>().ok().filter(|number| *number < names.len());
        exact
            .or_else(only)
            .or_else(numbered)
            .ok_or_else(|| names.join(", "))
    }

    /// A number, as the server reads it: with K, M, G, T, P or E behind it, and what is out of
    /// range is brought into it.
    pub(super) fn number(&self, least: i64, most: i64) -> Result<i64, String> {
        let text = String::from_utf8_lossy(self.bytes())
            .trim_start()
            .to_ascii_lowercase();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let exponent = ["", "k", "m", "g", "t", "p", "e"]
            .iter()
            .position(|suffix| *suffix == &text[digits.len()..]);
        match exponent {
            Some(exponent) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let number = digits.parse::<i64>().unwrap_or(i64::MAX);
                Ok(number.saturating_mul(1 << (10 * exponent)).clamp(least, most))
            }
            _ => Err(format!("{least} to {most}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PREFIX;
    use super::*;
    use crate::crypto::password::Digest;

    fn option(line: &str) -> ServerOption {
        let (name, value) = line
            .split_once('=')
            .map_or((line, None), |(name, value)| (name, Some(value)));
        ServerOption {
            name: name.as_bytes().to_vec(),
            value: value.map(|value| SecretBytes::new(value.into())),
        }
    }

    fn settings(lines: &[&str]) -> Result<Settings, String> {
        let options: Vec<ServerOption> = lines.iter().map(|line| option(line)).collect();
        Settings::from_options(&options, PREFIX).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_written_with_dashes_or_underscores_in_any_case_and_loosely() {
        for line in [
            "keyroll_filename=/k",
            "keyroll-filename=/k",
            "loose-keyroll_filename=/k",
            "LOOSE_Keyroll-FileName=/k",
            "loose-loose_keyroll_filename=/k",
        ] {
            assert_eq!(settings(&[line]).unwrap().filename, b"/k", "{line}");
        }
        for line in ["filename=/k", "keyrollfilename=/k", "mykeyroll_filename=/k"] {
            assert_eq!(settings(&[line]).unwrap().filename, b"", "{line}");
        }
    }

    #[test]
    fn the_last_of_a_name_wins() {
        let settings = settings(&["keyroll_keystore=/a", "loose-keyroll-keystore=/b"]).unwrap();
        assert_eq!(settings.keystore, b"/b");
    }

    #[test]
    fn flags_are_read_as_the_server_reads_them() {
        for (line, on) in [
            ("keyroll_strict_permissions", true),
            ("keyroll_strict_permissions=ON", true),
            ("keyroll_strict_permissions=tRue", true),
            ("keyroll_strict_permissions=1", true),
            ("keyroll_strict_permissions=yes", false),
            ("keyroll_strict_permissions=", false),
            ("keyroll_strict_permissions=2", false),
            ("skip-keyroll_strict_permissions", false),
            ("loose-disable_keyroll_strict_permissions", false),
            ("skip-keyroll_strict_permissions=0", true),
            ("enable-keyroll_strict_permissions", true),
        ] {
            assert_eq!(settings(&[line]).unwrap().strict_permissions, on, "{line}");
        }
    }

    #[test]
    fn choices_are_names_their_beginnings_or_numbers() {
        for (value, digest) in [
            ("SHA256", Digest::Sha256),
            ("sha25", Digest::Sha256),
            ("4", Digest::Sha512),
        ] {
            let line = format!("keyroll_digest={value}");
            let index = settings(&[&line]).unwrap().digest;
            assert_eq!(Digest::ALL[index], digest, "{value}");
        }
        for value in ["", "sha", "5", "md5", "-1"] {
            let error = settings(&[&format!("keyroll_digest={value}")]).unwrap_err();
            assert_eq!(
                error,
                "keyroll_digest cannot be this: it takes sha1, sha224, sha256, sha384, sha512"
            );
        }
        assert_eq!(
            settings(&["keyroll_key_spec=aes_128", "keyroll_key_algorithm=aes_ctr"])
                .unwrap()
                .key_spec()
                .bits,
            128
        );
        assert_eq!(settings(&["keyroll_vault_login=approle"]).unwrap().vault_login, 1);
    }

    #[test]
    fn numbers_may_have_a_suffix_and_are_brought_into_range() {
        for (value, number) in [
            ("0", 0),
            (" 7", 7),
            ("2k", 2048),
            ("1M", 1 << 20),
            ("9E", u32::MAX),
            ("99999999999999999999999", u32::MAX),
        ] {
            let line = format!("keyroll_use_pbkdf2={value}");
            assert_eq!(settings(&[&line]).unwrap().use_pbkdf2, number, "{value}");
        }
        for value in ["", "x", "-5", "1.5", "5x", "1kk", "0x10"] {
            assert!(
                settings(&[&format!("keyroll_use_pbkdf2={value}")]).is_err(),
                "{value}"
            );
        }
        let small = settings(&["keyroll_rotate_version_step=0"]).unwrap();
        assert_eq!(small.version_step().get(), 1);
        let wide = settings(&["keyroll_cache_timeout=9223372036854775808"]).unwrap();
        assert_eq!(wide.cache_timeout, i64::MAX);
    }

    #[test]
    fn each_plugin_has_its_own_settings() {
        let options = [
            option("file_key_management_filename=/f"),
            option("keyroll_filename=/k"),
        ];
        let of = |prefix| Settings::from_options(&options, prefix).unwrap().filename;
        assert_eq!(of(PREFIX), b"/k");
        assert_eq!(of(FILE_KEY_MANAGEMENT), b"/f");
    }
}
