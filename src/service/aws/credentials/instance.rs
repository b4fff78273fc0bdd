//! Credentials of an EC2 instance's role: the instance metadata service, version 2 alone ("Use the
//! Instance Metadata Service", Amazon EC2 User Guide). Version 1, which any request that can be
//! forged reaches, is not asked.

use std::fmt;
use std::time::Duration;

use super::{Credentials, answer};
use crate::net::{
    Deadline, HttpClient, HttpOptions, Method, NetError, NetFailure, PlainHttp, Request, Response, Url,
};
use crate::secret::SecretBytes;
use crate::service::aws::answer::successful;
use crate::service::aws::profile::Profiles;
use crate::service::aws::variables::Variables;
use crate::service::aws::{AwsError, METADATA_BODY_LIMIT};

/// Who answers, in messages.
const NAME: &str = "the instance metadata service";

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// Off EC2 nobody answers at its address, and packets to it may vanish: so long and no longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// For a container, whose network takes one hop more than the instance's own.
const MORE_HOPS: &str = "in a container its answers need a hop more: `aws ec2 modify-instance-metadata-options --instance-id \
                         INSTANCE --http-put-response-hop-limit 2`, or give the container a role of its own; \
                         docs/aws-kms.md has all ways";

/// For a service without version 2.
const VERSION_2: &str = "version 1 is not asked, which any request that can be forged reaches. Switch version 2 on: `aws ec2 \
                         modify-instance-metadata-options --instance-id INSTANCE --http-endpoint enabled --http-tokens \
                         required`, and see what stands before the service; docs/aws-kms.md has other ways";

/// The metadata service of this instance.
pub(crate) struct Instance {
    address: String,
    /// What was passed over before, for the end of a message.
    remarks: String,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl Instance {
    /// The service, unless it is not to be asked.
    pub(super) fn of_environment(variables: &Variables, profiles: &Profiles) -> Option<Instance> {
        if variables.flag("AWS_EC2_METADATA_DISABLED") {
            return None;
        }
        let ipv6 = variables
            .text("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if ipv6 {
            "http://[fd00:ec2::254]"
        } else {
            "http://169.254.169.254"
        };
        let address = variables
            .text("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            .unwrap_or(usual);
        Some(Instance {
            address: address.trim_end_matches('/').to_owned(),
            remarks: profiles.remarks(),
        })
    }

    pub(super) fn fetch(&self, deadline: Deadline) -> Result<Credentials, AwsError> {
        let service = MetadataService {
            // That packets to it leave the machine with no more than one hop is up to the instance.
            http: HttpClient::for_plain_http(HttpOptions {
                plain_http: PlainHttp::Anywhere,
                connect_timeout: CONNECT_TIMEOUT,
                max_body: METADATA_BODY_LIMIT,
                ..HttpOptions::default()
            }),
            url: Url::parse(&self.address)?,
            deadline,
        };
        let token = service.token().map_err(|error| self.without_token(error))?;
        let roles = service.get(ROLES, &token)?;
        let role = std::str::from_utf8(roles.body())
            .unwrap_or_default()
            .lines()
            .next()
            .unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
        if role.is_empty() || !role.chars().all(is_name) {
            return Err(bad_answer("the name of the instance's role is none"));
        }
        let credentials = service.get(&format!("{ROLES}{role}"), &token)?;
        answer::of_json(credentials.body()).map_err(bad_answer)
    }

    /// What it means that there is no token, the first that is asked for.
    fn without_token(&self, error: AwsError) -> AwsError {
        let no_credentials = |what: &str, mend| AwsError::NoCredentials {
            looked: format!(
                "none are in the environment or in a profile, there is no token file and no container, and {what} at \
                 {}{}",
                self.address, self.remarks
            ),
            mend,
        };
        match error {
            // Mostly: this machine is no instance of EC2, and nothing else is set up either.
            AwsError::Net(NetError::At {
                failure: NetFailure::Unreachable(_),
                ..
            }) => no_credentials("no instance metadata service answers", None),
            // It takes the connection and the request, and the answer dies on the way.
            AwsError::Net(NetError::At {
                failure: NetFailure::TimedOut(_),
                ..
            }) => no_credentials(
                "no token comes in time from the instance metadata service",
                Some(MORE_HOPS),
            ),
            AwsError::Answered(answered) if matches!(answered.status, 403..=405) => no_credentials(
                &format!(
                    "no token of version 2 (status {}) is to be had of the instance metadata service",
                    answered.status
                ),
                Some(VERSION_2),
            ),
            other => other,
        }
    }
}

struct MetadataService {
    http: HttpClient,
    url: Url,
    deadline: Deadline,
}

impl MetadataService {
    fn token(&self) -> Result<SecretBytes, AwsError> {
        let request = Request::new(Method::PUT, self.url.with_path("/latest/api/token")?)
            .header("x-aws-ec2-metadata-token-ttl-seconds", b"60");
        let response = self.send(request)?;
        if response.body().is_empty() {
            return Err(bad_answer("the token is empty"));
        }
        Ok(SecretBytes::new(response.body().to_vec()))
    }

    fn get(&self, path: &str, token: &SecretBytes) -> Result<Response, AwsError> {
        let request = Request::new(Method::GET, self.url.with_path(path)?);
        match self.send(request.header("x-aws-ec2-metadata-token", token.expose())) {
            Err(AwsError::Answered(answered)) if answered.status == 404 => Err(AwsError::NoCredentials {
                looked: "the instance has no role, and no credentials are elsewhere".into(),
                mend: None,
            }),
            result => result,
        }
    }

    fn send(&self, request: Request) -> Result<Response, AwsError> {
        let deadline = Deadline::after(self.deadline.remaining().min(ANSWER_TIMEOUT));
        successful(self.http.send(request, deadline)?, NAME, "a request")
    }
}

fn bad_answer(reason: &str) -> AwsError {
    AwsError::bad_answer(NAME, reason)
}
