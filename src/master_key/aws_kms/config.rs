//! Which KMS key, and who hears of its requests.

use crate::master_key::options::ProviderOptions;
use crate::notify::Notify;
use crate::service::aws::KmsConfig;

/// The settings of a master key in AWS KMS.
#[derive(Debug)]
pub struct AwsKmsConfig {
    /// The KMS key and how it is reached.
    pub kms: KmsConfig,
    /// Who is told of the requests, as the log level wants it.
    pub notify: Notify,
}

impl AwsKmsConfig {
    /// The KMS key of this id, alias or ARN.
    ///
    /// # Errors
    /// It is none of the three; or the log level is none.
    pub fn new(key: &str, options: &ProviderOptions) -> Result<AwsKmsConfig, String> {
        Ok(AwsKmsConfig {
            kms: KmsConfig::new(key, &options.environment, options.request_timeout)?,
            notify: options.notify.clone(),
        })
    }
}
