//! Where the credentials come from: the first source of the chain that is set up.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Credentials;
use super::container::Endpoint;
use super::instance::Instance;
use super::sts::Role;
use crate::net::Deadline;
use crate::service::aws::AwsError;
use crate::service::aws::api::ApiClient;
use crate::service::aws::profile::{Profiles, Properties};
use crate::service::aws::variables::Variables;

/// The most profiles that may follow one another by `source_profile`.
const LONGEST_CHAIN: usize = 8;

#[derive(Debug)]
pub(crate) enum Source {
    /// In the environment or in a profile.
    Fixed(Credentials),
    /// A role, taken on with other credentials.
    AssumedRole(Role, Box<Source>),
    /// A role, taken on with the token in this file.
    WebIdentity(Role, PathBuf),
    /// What the container was given.
    Container(Endpoint),
    /// The instance's role.
    Instance(Instance),
}

impl Source {
    /// The first source that is set up. Nothing is asked yet. Errors: there is none, or one that is
    /// half set up or of a kind that is not spoken here.
    pub(crate) fn find(variables: &Variables, profiles: &Profiles) -> Result<Source, AwsError> {
        if let Some(fixed) = of_environment(variables)? {
            return Ok(Source::Fixed(fixed));
        }
        if let Some(name) = profiles.chosen()
            && let Some(source) = of_profile(name, variables, profiles, &mut Vec::new())?
        {
            return Ok(source);
        }
        if let Some(file) = variables.text("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let arn = variables.text("AWS_ROLE_ARN").ok_or_else(|| {
                AwsError::settings(
                    "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not",
                    "set both, as the annotation eks.amazonaws.com/role-arn of a service account does",
                )
            })?;
            let role = Role {
                arn: arn.to_owned(),
                session_name: variables.text("AWS_ROLE_SESSION_NAME").map(str::to_owned),
                ..Role::default()
            };
            return Ok(Source::WebIdentity(role, file.into()));
        }
        if let Some(endpoint) = Endpoint::of_environment(variables)? {
            return Ok(Source::Container(endpoint));
        }
        if let Some(instance) = Instance::of_environment(variables, profiles) {
            return Ok(Source::Instance(instance));
        }
        Err(AwsError::NoCredentials {
            looked: format!(
                "none are in the environment or in a profile, there is no token file and no container, and \
                 AWS_EC2_METADATA_DISABLED keeps the instance from being asked{}",
                profiles.remarks()
            ),
            mend: None,
        })
    }

    pub(super) fn fetch(&self, api: &ApiClient, deadline: Deadline) -> Result<Credentials, AwsError> {
        match self {
            Source::Fixed(credentials) => Ok(credentials.clone()),
            Source::AssumedRole(role, source) => {
                let credentials = source.fetch(api, deadline)?;
                role.assume(&credentials, api, deadline)
            }
            Source::WebIdentity(role, file) => role.assume_with_web_identity(file, api, deadline),
            Source::Container(endpoint) => endpoint.fetch(api, deadline),
            Source::Instance(instance) => instance.fetch(deadline),
        }
    }

    /// Whether it can give other credentials than those that were refused.
    pub(crate) fn renews(&self) -> bool {
        !matches!(self, Source::Fixed(_))
    }
}

fn of_environment(variables: &Variables) -> Result<Option<Credentials>, AwsError> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    fixed(names.map(|name| variables.text(name))).ok_or_else(|| {
        AwsError::settings(
            "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set",
            "set both, or neither",
        )
    })
}

/// The credentials of an id, a secret and a token, or none; `None` for half of them.
fn fixed([id, secret, token]: [Option<&str>; 3]) -> Option<Option<Credentials>> {
    let owned = |text: &str| Zeroizing::new(text.to_owned());
    match (id, secret) {
        (Some(id), Some(secret)) => Some(Some(Credentials {
            access_key_id: id.to_owned(),
            secret_access_key: owned(secret),
            session_token: token.map(owned),
            expires: None,
        })),
        (None, None) => Some(None),
        _ => None,
    }
}

/// The source that a profile names, if it names one. `visited` are the profiles that led here.
fn of_profile<'a>(
    name: &'a str,
    variables: &Variables,
    profiles: &'a Profiles,
    visited: &mut Vec<&'a str>,
) -> Result<Option<Source>, AwsError> {
    let profile = profiles.named(name)?;
    let wrong = |reason: &str| {
        AwsError::settings(
            format!("profile '{}' {reason}", name.escape_debug()),
            "correct the profile; docs/aws-kms.md says what is understood of it",
        )
    };
    // A profile that has both a role and keys, and names itself as the source of the role, means
    // its keys.
    let comes_again = visited.last() == Some(&name);
    if let Some(role) = Role::of_profile(profile).filter(|_| !comes_again) {
        if visited.len() >= LONGEST_CHAIN || visited.contains(&name) {
            return Err(wrong("comes again and again by source_profile"));
        }
        visited.push(name);
        if profile.text("mfa_serial").is_some() {
            return Err(wrong(
                "wants a code of a person (mfa_serial), and a server has none",
            ));
        }
        return role_source(role, profile, variables, profiles, visited, &wrong).map(Some);
    }
    let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
    let fixed = fixed(names.map(|name| profile.text(name)))
        .ok_or_else(|| wrong("has only one of aws_access_key_id and aws_secret_access_key"))?;
    let not_supported = [
        "credential_process",
        "sso_session",
        "sso_start_url",
        "login_session",
    ];
    let named = not_supported.iter().find(|name| profile.text(name).is_some());
    match (fixed, named) {
        (None, Some(name)) => Err(wrong(&format!(
            "gets its credentials by {name}, which is not supported here"
        ))),
        (fixed, _) => Ok(fixed.map(Source::Fixed)),
    }
}

/// The source of a role that a profile names.
fn role_source<'a>(
    role: Role,
    profile: &'a Properties,
    variables: &Variables,
    profiles: &'a Profiles,
    visited: &mut Vec<&'a str>,
    wrong: &dyn Fn(&str) -> AwsError,
) -> Result<Source, AwsError> {
    let source = match (
        profile.text("source_profile"),
        profile.text("credential_source"),
        profile.text("web_identity_token_file"),
    ) {
        (Some(source), None, None) => of_profile(source, variables, profiles, visited)?.ok_or_else(|| {
            wrong(&format!(
                "names '{}' as its source, which has no credentials",
                source.escape_debug()
            ))
        })?,
        (None, Some("Environment"), None) => of_environment(variables)?
            .map(Source::Fixed)
            .ok_or_else(|| wrong("wants credentials of the environment, and none are there"))?,
        (None, Some("EcsContainer"), None) => Endpoint::of_environment(variables)?
            .map(Source::Container)
            .ok_or_else(|| wrong("wants credentials of the container, and none were given to it"))?,
        (None, Some("Ec2InstanceMetadata"), None) => Instance::of_environment(variables, profiles)
            .map(Source::Instance)
            .ok_or_else(|| wrong("wants the instance's role, and AWS_EC2_METADATA_DISABLED is true"))?,
        (None, Some(_), None) => {
            return Err(wrong(
                "has a credential_source other than Environment, EcsContainer and Ec2InstanceMetadata",
            ));
        }
        (None, None, Some(file)) => return Ok(Source::WebIdentity(role, variables.expanded(file))),
        _ => {
            return Err(wrong(
                "has a role_arn and not exactly one of source_profile, credential_source and web_identity_token_file",
            ));
        }
    };
    Ok(Source::AssumedRole(role, Box::new(source)))
}

#[cfg(test)]
mod tests;
