//! The settings of the server, and of the command, that aws_key_management has too.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::variables::{LOG_LEVEL, LOG_LEVELS};

/// The keystore in the data directory of a server that names a KMS key and no keystore. KMS wraps
/// it, so that it may lie there, as the peer's key files do.
pub const DEFAULT_KEYSTORE: &str = "keyroll.keystore";

/// Settings; what is empty is as the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KmsSettings {
    /// The setting `master_key_id`: a KMS key as [`Kms::new`](super::Kms::new) takes
    /// it.
    pub master_key_id: String,
    /// The setting `region`, in the place of `AWS_REGION`.
    pub region: String,
    /// The setting `endpoint_url`, in the place of `AWS_ENDPOINT_URL_KMS`.
    pub endpoint_url: String,
    /// The setting `log_level` as an index into [`LOG_LEVELS`]; 0 is as the environment says.
    pub log_level: usize,
}

impl KmsSettings {
    /// The URI of the master key that they name by its id alone, if they do.
    pub fn master_key(&self) -> Option<String> {
        (!self.master_key_id.is_empty()).then(|| format!("aws-kms:{}", self.master_key_id))
    }

    /// Puts the settings before what this environment says, which is not the process's own.
    pub fn put_into(&self, environment: &mut BTreeMap<OsString, OsString>) {
        let log_level = match self.log_level {
            0 => "",
            level => LOG_LEVELS.get(level).copied().unwrap_or_default(),
        };
        for (name, value) in [
            ("AWS_REGION", self.region.as_str()),
            ("AWS_ENDPOINT_URL_KMS", &self.endpoint_url),
            (LOG_LEVEL, log_level),
        ] {
            if !value.is_empty() {
                environment.insert(name.into(), value.into());
            }
        }
        if !self.endpoint_url.is_empty() {
            environment.remove(&OsString::from("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::aws::variables::Variables;

    #[test]
    fn settings_stand_before_the_environment_and_empty_ones_do_not() {
        let mut environment = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_KMS", "https://other"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        KmsSettings::default().put_into(&mut environment);
        let unchanged = Variables::of(&environment);
        assert_eq!(unchanged.text("AWS_REGION"), Some("eu-west-1"));
        assert!(unchanged.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
        let settings = KmsSettings {
            master_key_id: "alias/x".into(),
            region: "us-west-2".into(),
            endpoint_url: "https://kms.example".into(),
            log_level: 4,
        };
        settings.put_into(&mut environment);
        let changed = Variables::of(&environment);
        assert_eq!(changed.text("AWS_REGION"), Some("us-west-2"));
        assert_eq!(changed.text("AWS_ENDPOINT_URL_KMS"), Some("https://kms.example"));
        assert_eq!(changed.text(LOG_LEVEL), Some("Info"));
        assert!(!changed.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
        assert_eq!(settings.master_key().as_deref(), Some("aws-kms:alias/x"));
        assert_eq!(KmsSettings::default().master_key(), None);
    }
}
