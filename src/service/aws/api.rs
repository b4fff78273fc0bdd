//! API calls: signed requests to the endpoints that the settings and the shared files come to.

use std::time::SystemTime;

use super::AwsError;
use super::answer::successful;
use super::credentials::Credentials;
use super::endpoint::{self, Service, Variant, is_region};
use super::key::KmsKey;
use super::profile::Profiles;
use super::signature;
use super::variables::{Variables, is_true};
use crate::net::{Deadline, HttpClient, HttpOptions, Method, Request, Response, TlsOptions, Url};
use crate::secret::SecretBytes;

/// The most bytes that an answer of KMS or STS may have. Their longest are some 10 KB.
const BODY_LIMIT: u64 = 256 * 1024;

/// Calls KMS and STS in one region.
pub(super) struct ApiClient {
    pub(super) http: HttpClient,
    pub(super) region: String,
    kms: Url,
    sts: Url,
}

/// A call of a service's API: always a POST to its endpoint.
pub(super) struct ApiCall<'a> {
    pub(super) service: Service,
    pub(super) operation: &'static str,
    /// Beside those that each request has.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: SecretBytes,
}

impl ApiClient {
    /// Reads the certificates. Nobody is asked yet.
    pub(super) fn new(
        key: &KmsKey,
        variables: &Variables,
        profiles: &Profiles,
    ) -> Result<ApiClient, AwsError> {
        let region = region(key, variables, profiles)?;
        let flag = |variable, property| {
            variables
                .text(variable)
                .or_else(|| profiles.text(property))
                .is_some_and(is_true)
        };
        let variant = Variant {
            fips: flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
            dual_stack: flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"),
        };
        let ignores = flag(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "ignore_configured_endpoint_urls",
        );
        let url = |service: Service| match named_endpoint(service, variables, profiles).filter(|_| !ignores) {
            Some(url) => Url::parse(url),
            None => Url::parse(&endpoint::url(service, &region, variant)),
        };
        let (kms, sts) = (url(Service::KMS)?, url(Service::STS)?);
        let ca = variables
            .text("AWS_CA_BUNDLE")
            .or_else(|| profiles.text("ca_bundle"));
        let http = HttpOptions {
            tls: TlsOptions {
                ca: ca.map(|path| variables.expanded(path)),
                client_certificate: None,
            },
            proxies: variables.proxies.clone(),
            max_body: BODY_LIMIT,
            ..HttpOptions::default()
        };
        Ok(ApiClient {
            // Where everything is on this machine and without TLS, as in tests, no roots of trust
            // are needed.
            http: match kms.is_https() || sts.is_https() {
                true => HttpClient::new(http)?,
                false => HttpClient::for_plain_http(http),
            },
            region,
            kms,
            sts,
        })
    }

    /// Makes the call, signed if there are credentials; the answer has the status 200.
    pub(super) fn call(
        &self,
        call: &ApiCall<'_>,
        credentials: Option<&Credentials>,
        deadline: Deadline,
    ) -> Result<Response, AwsError> {
        let service = call.service;
        let url = if service == Service::STS {
            &self.sts
        } else {
            &self.kms
        };
        let now = SystemTime::now();
        let headers = [&[("host", url.authority())], call.headers].concat();
        let body = call.body.expose();
        let mut request = Request::new(Method::POST, url.clone());
        for (name, value) in &headers {
            request = request.header(name, value.as_bytes());
        }
        if let Some(credentials) = credentials {
            let signed = signature::Signable {
                method: "POST",
                path: url.path(),
                query: url.query().unwrap_or_default(),
                headers: &headers,
                body,
            };
            for (name, value) in signature::sign(&signed, &self.region, service.name, credentials, now) {
                request = request.header(name, value.as_bytes());
            }
        }
        let response = self
            .http
            .send(request.body(SecretBytes::new(body.to_vec())), deadline)?;
        successful(response, service.title, call.operation)
    }
}

/// An ARN is of one region, and nobody else knows its key. What is set goes before the profile.
fn region(key: &KmsKey, variables: &Variables, profiles: &Profiles) -> Result<String, AwsError> {
    let region = key
        .region()
        .or_else(|| variables.text("AWS_REGION"))
        .or_else(|| variables.text("AWS_DEFAULT_REGION"))
        .or_else(|| profiles.text("region"));
    let wrong = |reason: String| {
        let mend = "set ‹region› or AWS_REGION, as in us-east-1, or name the key by its ARN";
        AwsError::settings(reason, mend)
    };
    match region {
        Some(region) if is_region(region) => Ok(region.to_owned()),
        Some(region) => Err(wrong(format!("'{}' is no AWS region", region.escape_debug()))),
        None => Err(wrong("no AWS region is set".into())),
    }
}

/// The endpoint that someone names: the service's own before all services', the profile last.
fn named_endpoint<'a>(service: Service, variables: &'a Variables, profiles: &'a Profiles) -> Option<&'a str> {
    variables
        .text(service.endpoint_variable)
        .or_else(|| variables.text("AWS_ENDPOINT_URL"))
        .or_else(|| profiles.endpoint_url(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s")];

    fn client(key: &str, more: &[(&str, &str)]) -> Result<ApiClient, AwsError> {
        let environment = KEYS
            .iter()
            .chain(more)
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        let variables = Variables::of(&environment);
        let key = KmsKey::parse(key).unwrap();
        ApiClient::new(&key, &variables, &Profiles::read(&variables)?)
    }

    #[test]
    fn the_region_is_that_of_the_arn_of_the_variable_or_of_the_profile() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        std::fs::write(
            &config,
            "[default]\nregion = eu-west-3\nuse_fips_endpoint = true\n",
        )
        .unwrap();
        let file = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
        let two = [("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-east-2")];
        let arn = "arn:aws:kms:eu-central-1:1:key/x";
        for (key, more, expected) in [
            (arn, [&file[..], &two].concat(), "kms-fips.eu-central-1."),
            ("alias/x", [&file[..], &two].concat(), "kms-fips.us-east-1."),
            ("alias/x", [&file[..], &two[1..]].concat(), "kms-fips.us-east-2."),
            ("alias/x", file.to_vec(), "kms-fips.eu-west-3."),
            (
                "alias/x",
                [&file[..], &[("AWS_USE_FIPS_ENDPOINT", "false")]].concat(),
                "kms.eu-west-3.",
            ),
        ] {
            let client = client(key, &more).unwrap();
            assert!(
                client.kms.authority().starts_with(expected),
                "{} {expected}",
                client.kms
            );
        }
        let missing = client("alias/x", &[]).err().unwrap();
        assert_eq!(missing.to_string(), "no AWS region is set");
        assert!(client("alias/x", &[("AWS_REGION", "evil.example/")]).is_err());
    }

    #[test]
    fn the_endpoint_of_the_service_goes_before_that_of_all_services() {
        let region = ("AWS_REGION", "us-east-1");
        let all = ("AWS_ENDPOINT_URL", "http://localhost:1");
        let kms = ("AWS_ENDPOINT_URL_KMS", "http://localhost:2/x");
        let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
        let urls = |more: &[(&str, &str)]| {
            let client = client("alias/x", more).unwrap();
            (client.kms.to_string(), client.sts.to_string())
        };
        let one = "http://localhost:1/".to_string();
        assert_eq!(urls(&[region, all]), (one.clone(), one.clone()));
        assert_eq!(urls(&[region, all, kms]), ("http://localhost:2/x".into(), one));
        assert_eq!(
            urls(&[region, all, kms, ignore]),
            (
                "https://kms.us-east-1.amazonaws.com/".into(),
                "https://sts.us-east-1.amazonaws.com/".into()
            )
        );
    }
}
