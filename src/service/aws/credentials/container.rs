//! Credentials of a container: the agents of ECS and of EKS Pod Identity ("Container credential
//! provider", AWS SDKs and Tools Reference Guide).

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::{Credentials, answer, sts};
use crate::net::{Deadline, HttpClient, HttpOptions, Method, PlainHttp, Request, Url};
use crate::service::aws::answer::successful;
use crate::service::aws::api::ApiClient;
use crate::service::aws::variables::Variables;
use crate::service::aws::{AwsError, METADATA_BODY_LIMIT};

/// Who answers, in messages.
const NAME: &str = "the container's credential service";

/// The agent of ECS, where `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` leads.
const ECS_AGENT: &str = "http://169.254.170.2";

/// The hosts beside the loopback that may be asked without TLS: the agents of ECS and of EKS Pod
/// Identity.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Where a container's credentials are.
pub(crate) struct Endpoint {
    url: Url,
    authorization: Authorization,
}

enum Authorization {
    None,
    Token(Zeroizing<String>),
    File(PathBuf),
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

impl Endpoint {
    /// The endpoint that the environment names, if it names one.
    pub(super) fn of_environment(variables: &Variables) -> Result<Option<Endpoint>, AwsError> {
        let url = match (
            variables.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            variables.text("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ) {
            (Some(path), _) => Url::parse(ECS_AGENT)?.with_path(path)?,
            (None, Some(url)) => Url::parse(url)?,
            (None, None) => return Ok(None),
        };
        let address = url.address();
        let is_agent = address.is_some() && AGENTS.iter().any(|agent| agent.parse().ok() == address);
        if !is_agent {
            url.check_protection(PlainHttp::ToLoopback)?;
        }
        let authorization = match (
            variables.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            variables.text("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        ) {
            (Some(file), _) => Authorization::File(file.into()),
            (None, Some(token)) => Authorization::Token(Zeroizing::new(token.to_owned())),
            (None, None) => Authorization::None,
        };
        Ok(Some(Endpoint { url, authorization }))
    }

    pub(super) fn fetch(&self, api: &ApiClient, deadline: Deadline) -> Result<Credentials, AwsError> {
        let mut request = Request::new(Method::GET, self.url.clone()).header("accept", b"application/json");
        match &self.authorization {
            Authorization::None => {}
            Authorization::Token(token) => request = request.header("authorization", token.as_bytes()),
            Authorization::File(file) => {
                let token = sts::token_of(file)?;
                request = request.header("authorization", token.expose());
            }
        }
        let response = if self.url.is_https() {
            api.http.send(request, deadline)?
        } else {
            // The address was checked above.
            let options = HttpOptions {
                plain_http: PlainHttp::Anywhere,
                max_body: METADATA_BODY_LIMIT,
                ..HttpOptions::default()
            };
            HttpClient::for_plain_http(options).send(request, deadline)?
        };
        let response = successful(response, NAME, "GET").map_err(|error| self.told_of_token(error))?;
        answer::of_json(response.body()).map_err(|reason| AwsError::bad_answer(NAME, reason))
    }
}

impl Endpoint {
    /// Names a token that was not sent to a service that may want one.
    fn told_of_token(&self, error: AwsError) -> AwsError {
        match (error, &self.authorization) {
            (AwsError::Answered(answered), Authorization::None)
                if matches!(answered.status, 400..=403) && !self.is_of_ecs() =>
            {
                AwsError::settings(
                    format!(
                        "{answered}; no token was sent: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is not set, which EKS Pod \
                         Identity sets beside AWS_CONTAINER_CREDENTIALS_FULL_URI"
                    ),
                    "hand both variables of the container on to the server's process, which su, sudo and service managers do not \
                     by themselves",
                )
            }
            (error, _) => error,
        }
    }

    /// Whether it is the agent of ECS, which wants no token.
    fn is_of_ecs(&self) -> bool {
        self.url.address() == AGENTS[0].parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, value: &str) -> Result<Option<Endpoint>, AwsError> {
        Endpoint::of_environment(&Variables::of(&[(name.into(), value.into())].into()))
    }

    #[test]
    fn a_relative_uri_leads_to_the_agent_of_ecs() {
        let found = endpoint("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1?id=x")
            .unwrap()
            .unwrap();
        assert_eq!(format!("{found:?}"), "http://169.254.170.2/v2/credentials/1?id=x");
        for escape in ["@evil.example/", ".evil.example/", ":80@evil.example/"] {
            let found = endpoint("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", escape);
            assert!(found.is_err(), "{escape}");
        }
    }

    #[test]
    fn a_full_uri_without_tls_leads_to_this_machine_or_an_agent_alone() {
        for (url, is_allowed) in [
            ("http://localhost:1338/x", true),
            ("http://127.0.0.1/x", true),
            ("http://169.254.170.2/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("https://credentials.example/x", true),
            ("http://169.254.170.22/x", false),
            ("http://credentials.example/x", false),
            ("http://169.254.170.2.example/x", false),
            ("ftp://localhost/x", false),
        ] {
            let found = endpoint("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
            assert_eq!(found.is_ok(), is_allowed, "{url}");
        }
    }
}
