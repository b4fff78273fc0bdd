//! The settings of a server that say which key store it uses, out of its option files.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use keyroll::crypto::Algorithm;
use keyroll::crypto::password::Digest;
use keyroll::keys::{KeySpec, VersionStep};
use keyroll::secret::SecretBytes;
use keyroll::service::aws::{KmsSettings, LOG_LEVELS};

use crate::option_files::{FileOption, OptionFileError};

/// What the settings' names begin with: ours, or those of the server's own key file plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `keyroll_…`
    Keyroll,
    /// `file_key_management_…`
    FileKeyManagement,
}

impl Plugin {
    fn prefix(self) -> &'static str {
        match self {
            Plugin::Keyroll => "keyroll-",
            Plugin::FileKeyManagement => "file-key-management-",
        }
    }
}

/// Settings as a server would have them. What no file sets has the server's default.
#[derive(Debug)]
pub(crate) struct ServerSettings {
    /// `filename`; empty if not set.
    pub(crate) filename: PathBuf,
    /// `filekey`; empty if not set.
    pub(crate) filekey: SecretBytes,
    /// `digest`.
    pub(crate) digest: Digest,
    /// `use_pbkdf2`.
    pub(crate) use_pbkdf2: u32,
    /// `encryption_algorithm`.
    pub(crate) encryption_algorithm: Algorithm,
    /// `keystore`; empty if not set.
    pub(crate) keystore: PathBuf,
    /// `master_key`; empty if not set.
    pub(crate) master_key: String,
    /// `master_key_id`, `region`, `endpoint_url`, `log_level`.
    pub(crate) kms: KmsSettings,
    /// The server's own `datadir`.
    pub(crate) datadir: PathBuf,
    /// `key_algorithm` and `key_spec`.
    pub(crate) key_spec: KeySpec,
    /// `rotate_version_step`.
    pub(crate) version_step: VersionStep,
    /// `strict_permissions`.
    pub(crate) strict_permissions: bool,
    /// `request_timeout` in milliseconds; 0 is the default.
    pub(crate) request_timeout: u32,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            filename: PathBuf::new(),
            filekey: SecretBytes::default(),
            digest: Digest::Sha1,
            use_pbkdf2: 0,
            encryption_algorithm: Algorithm::AesCbc,
            keystore: PathBuf::new(),
            master_key: String::new(),
            kms: KmsSettings::default(),
            datadir: DEFAULT_DATADIR.into(),
            key_spec: KeySpec::DEFAULT,
            version_step: VersionStep::DEFAULT,
            strict_permissions: false,
            request_timeout: 0,
        }
    }
}

/// Where the server's packages have it.
const DEFAULT_DATADIR: &str = "/var/lib/mysql";

/// The values of `keyroll_key_spec`, and their lengths in bits.
pub(crate) const KEY_SPECS: [(&str, u32); 2] = [("AES_128", 128), ("AES_256", 256)];

impl ServerSettings {
    /// The settings that these options make; the last of a name wins.
    pub(crate) fn from_options(options: &[FileOption], plugin: Plugin) -> Result<Self, OptionFileError> {
        let mut settings = ServerSettings::default();
        for option in options {
            if let Some(datadir) = datadir(option) {
                settings.datadir = datadir;
            } else if let Some((name, value)) = meant(option, plugin) {
                settings
                    .set(&name, &value)
                    .map_err(|values| OptionFileError::Value {
                        place: option.place.clone(),
                        name: format!("{}{name}", plugin.prefix()).replace('-', "_"),
                        values,
                    })?;
            }
        }
        Ok(settings)
    }

    /// Sets what the name names. The error is what the value could be.
    fn set(&mut self, name: &str, value: &Value<'_>) -> Result<(), String> {
        match name {
            "filename" => self.filename = value.path(),
            "filekey" => self.filekey = SecretBytes::new(value.bytes().to_vec()),
            "digest" => self.digest = value.choice(Digest::ALL.map(|d| (d.name(), d)))?,
            "use-pbkdf2" => self.use_pbkdf2 = value.number(0, u32::MAX)?,
            "encryption-algorithm" => self.encryption_algorithm = value.choice(algorithms())?,
            "keystore" => self.keystore = value.path(),
            "master-key" => self.master_key = value.text()?,
            "master-key-id" => self.kms.master_key_id = value.text()?,
            "region" => self.kms.region = value.text()?,
            "endpoint-url" => self.kms.endpoint_url = value.text()?,
            "log-level" => {
                let mut index = 0;
                let levels = LOG_LEVELS.map(|name| {
                    index += 1;
                    (name, index - 1)
                });
                self.kms.log_level = value.choice(levels)?;
            }
            "key-algorithm" => self.key_spec.algorithm = value.choice(algorithms())?,
            "key-spec" => self.key_spec.bits = value.choice(KEY_SPECS)?,
            "rotate-version-step" => {
                let step = value.number(1, VersionStep::MAX)?;
                self.version_step = VersionStep::new(step).unwrap_or(VersionStep::DEFAULT);
            }
            "strict-permissions" => self.strict_permissions = value.flag(),
            "request-timeout" => self.request_timeout = value.number(0, u32::MAX)?,
            // Of no use to the command.
            _ => {}
        }
        Ok(())
    }
}

fn algorithms() -> [(&'static str, Algorithm); Algorithm::ALL.len()] {
    Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm))
}

/// A value, and what a word before the name made of it.
struct Value<'a> {
    text: Option<&'a [u8]>,
    /// `skip-` or `disable-`.
    negated: bool,
}

/// The server's data directory, if that is what the option sets.
fn datadir(option: &FileOption) -> Option<PathBuf> {
    let value = option.value.as_ref().filter(|value| !value.expose().is_empty())?;
    (option.name == b"datadir").then(|| OsString::from_vec(value.expose().to_vec()).into())
}

/// The name without the plugin's prefix, with dashes and in small letters, if the option is one of the plugin's.
fn meant(option: &FileOption, plugin: Plugin) -> Option<(String, Value<'_>)> {
    let name = str::from_utf8(&option.name).ok()?;
    let name = name.to_ascii_lowercase().replace('_', "-");
    let mut rest = name.as_str();
    let mut negated = false;
    loop {
        if let Some(tail) = rest.strip_prefix("loose-").or(rest.strip_prefix("enable-")) {
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("skip-").or(rest.strip_prefix("disable-")) {
            rest = tail;
            negated = true;
        } else {
            break;
        }
    }
    let name = rest.strip_prefix(plugin.prefix())?.to_owned();
    let text = option.value.as_ref().map(SecretBytes::expose);
    Some((name, Value { text, negated }))
}

impl Value<'_> {
    fn bytes(&self) -> &[u8] {
        self.text.unwrap_or_default()
    }

    fn text(&self) -> Result<String, String> {
        String::from_utf8(self.bytes().to_vec()).map_err(|_| "text in UTF-8".to_owned())
    }

    fn path(&self) -> PathBuf {
        OsString::from_vec(self.bytes().to_vec()).into()
    }

    /// As the server reads a flag: without a value it is on, and what is no word for on is off.
    fn flag(&self) -> bool {
        let on = self.text.is_none_or(|text| {
            ["1", "on", "true"]
                .iter()
                .any(|word| word.as_bytes().eq_ignore_ascii_case(text))
        });
        on != self.negated
    }

    /// As the server reads a choice: a name, what only one name begins with, or its number, from 0.
    fn choice<T: Copy, const N: usize>(&self, choices: [(&str, T); N]) -> Result<T, String> {
        let text = String::from_utf8_lossy(self.bytes()).to_ascii_lowercase();
        let begins = |(name, _): &&(&str, T)| name.to_ascii_lowercase().starts_with(&text);
        let exact = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        let only = || {
            let mut all = choices.iter().filter(begins);
            all.next().filter(|_| !text.is_empty() && all.next().is_none())
        };
        let numbered = || text.parse::<usize>().ok().and_then(|number| choices.get(number));
        exact
            .or_else(only)
            .or_else(numbered)
            .map(|&(_, choice)| choice)
            .ok_or_else(|| choices.map(|(name, _)| name).join(", "))
    }

    /// As the server reads a number: with K, M or G behind it, and what is out of range is brought into it.
    fn number(&self, least: u32, most: u32) -> Result<u32, String> {
        let text = String::from_utf8_lossy(self.bytes())
            .trim_start()
            .to_ascii_lowercase();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let factor = match &text[digits.len()..] {
            "" => Some(1_u64),
            "k" => Some(1 << 10),
            "m" => Some(1 << 20),
            "g" => Some(1 << 30),
            _ => None,
        };
        let number = (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse::<u64>().unwrap_or(u64::MAX));
        match (number, factor) {
            (Some(number), Some(factor)) => {
                let number = number.saturating_mul(factor).clamp(least.into(), most.into());
                Ok(u32::try_from(number).unwrap_or(most))
            }
            _ => Err(format!("{least} to {most}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option_files::Place;

    fn option(line: &str) -> FileOption {
        let (name, value) = line
            .split_once('=')
            .map_or((line, None), |(name, value)| (name, Some(value)));
        FileOption {
            name: name.as_bytes().to_vec(),
            value: value.map(|value| SecretBytes::new(value.into())),
            place: Place {
                path: "my.cnf".into(),
                line: 1,
            },
        }
    }

    fn settings(lines: &[&str]) -> Result<ServerSettings, String> {
        let options: Vec<FileOption> = lines.iter().map(|line| option(line)).collect();
        ServerSettings::from_options(&options, Plugin::Keyroll).map_err(|error| error.to_string())
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
            assert_eq!(settings(&[line]).unwrap().filename, PathBuf::from("/k"), "{line}");
        }
        for line in ["filename=/k", "keyrollfilename=/k", "mykeyroll_filename=/k"] {
            assert_eq!(settings(&[line]).unwrap().filename, PathBuf::new(), "{line}");
        }
    }

    #[test]
    fn the_last_of_a_name_wins() {
        let settings = settings(&["keyroll_keystore=/a", "loose-keyroll-keystore=/b"]).unwrap();
        assert_eq!(settings.keystore, PathBuf::from("/b"));
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
            assert_eq!(settings(&[&line]).unwrap().digest, digest, "{value}");
        }
        for value in ["", "sha", "5", "md5", "-1"] {
            let error = settings(&[&format!("keyroll_digest={value}")]).unwrap_err();
            assert_eq!(
                error,
                "my.cnf line 1: keyroll_digest cannot be this: it takes sha1, sha224, sha256, sha384, sha512"
            );
        }
        assert_eq!(
            settings(&["keyroll_key_spec=aes_128"]).unwrap().key_spec.bits,
            128
        );
    }

    #[test]
    fn numbers_may_have_a_suffix_and_are_brought_into_range() {
        for (value, number) in [
            ("0", 0),
            (" 7", 7),
            ("2k", 2048),
            ("1M", 1 << 20),
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
        assert_eq!(
            settings(&["keyroll_rotate_version_step=0"])
                .unwrap()
                .version_step
                .get(),
            1
        );
    }

    #[test]
    fn each_plugin_has_its_own_settings() {
        let options = [
            option("file_key_management_filename=/f"),
            option("keyroll_filename=/k"),
        ];
        let of = |plugin| ServerSettings::from_options(&options, plugin).unwrap().filename;
        assert_eq!(of(Plugin::Keyroll), PathBuf::from("/k"));
        assert_eq!(of(Plugin::FileKeyManagement), PathBuf::from("/f"));
    }
}
