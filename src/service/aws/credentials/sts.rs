//! Roles: temporary credentials from the Security Token Service (AWS STS API Reference,
//! `AssumeRole` and `AssumeRoleWithWebIdentity`).

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Credentials, answer};
use crate::durable::read;
use crate::net::Deadline;
use crate::secret::SecretBytes;
use crate::service::aws::AwsError;
use crate::service::aws::api::{ApiCall, ApiClient};
use crate::service::aws::endpoint::Service;
use crate::service::aws::profile::Properties;
use crate::service::aws::signature::push_encoded;

const TOKEN_LIMIT: u64 = 64 * 1024;

/// A role to be taken on.
#[derive(Clone, Debug, Default)]
pub(in crate::service::aws) struct Role {
    pub(super) arn: String,
    pub(super) session_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) duration_seconds: Option<String>,
}

impl Role {
    /// The role that the profile names, if it names one.
    pub(super) fn of_profile(profile: &Properties) -> Option<Role> {
        let owned = |name| profile.text(name).map(str::to_owned);
        Some(Role {
            arn: owned("role_arn")?,
            session_name: owned("role_session_name"),
            external_id: owned("external_id"),
            duration_seconds: owned("duration_seconds"),
        })
    }

    /// Takes it on with other credentials.
    pub(super) fn assume(
        &self,
        with: &Credentials,
        api: &ApiClient,
        deadline: Deadline,
    ) -> Result<Credentials, AwsError> {
        let body = self.form("AssumeRole", None);
        self.ask("AssumeRole", body, Some(with), api, deadline)
    }

    /// Takes it on with the token that the file holds now: others replace it every now and then.
    pub(super) fn assume_with_web_identity(
        &self,
        file: &Path,
        api: &ApiClient,
        deadline: Deadline,
    ) -> Result<Credentials, AwsError> {
        let token = token_of(file)?;
        let body = self.form("AssumeRoleWithWebIdentity", Some(token.expose().trim_ascii()));
        self.ask("AssumeRoleWithWebIdentity", body, None, api, deadline)
    }

    fn ask(
        &self,
        operation: &'static str,
        body: SecretBytes,
        credentials: Option<&Credentials>,
        api: &ApiClient,
        deadline: Deadline,
    ) -> Result<Credentials, AwsError> {
        let call = ApiCall {
            service: Service::STS,
            operation,
            headers: &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            body,
        };
        let response = api.call(&call, credentials, deadline)?;
        answer::of_xml(response.body()).map_err(|reason| AwsError::bad_answer(call.service.title, reason))
    }

    fn form(&self, action: &str, token: Option<&[u8]>) -> SecretBytes {
        let session_name = match &self.session_name {
            Some(name) => name.clone(),
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                format!("keyroll-{}", now.as_secs())
            }
        };
        let mut fields = vec![
            ("Action", action.as_bytes()),
            ("Version", b"2011-06-15"),
            ("RoleArn", self.arn.as_bytes()),
            ("RoleSessionName", session_name.as_bytes()),
        ];
        let more = [
            (
                "DurationSeconds",
                self.duration_seconds.as_deref().map(str::as_bytes),
            ),
            (
                "ExternalId",
                self.external_id
                    .as_deref()
                    .map(str::as_bytes)
                    .filter(|_| token.is_none()),
            ),
            ("WebIdentityToken", token),
        ];
        fields.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        // All the room at once: a text that grows leaves an unwiped copy of the token behind.
        let room = fields
            .iter()
            .map(|(name, value)| name.len() + 3 * value.len() + 2)
            .sum();
        let mut form = String::with_capacity(room);
        for (name, value) in fields {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            push_encoded(&mut form, value);
        }
        SecretBytes::new(form.into_bytes())
    }
}

/// The contents of a file that holds a token.
pub(super) fn token_of(file: &Path) -> Result<SecretBytes, AwsError> {
    let token = read::up_to(&read::open_regular(file)?, file, TOKEN_LIMIT)?;
    token
        .filter(|token| !token.expose().trim_ascii().is_empty())
        .ok_or_else(|| {
            AwsError::settings(
                format!("{} holds no token: it is empty or too large", file.display()),
                "see what writes the file",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_each_value_encoded() {
        let role = Role {
            arn: "arn:aws:iam::1:role/x".into(),
            session_name: Some("a b".into()),
            external_id: Some("e&f=g".into()),
            duration_seconds: Some("900".into()),
        };
        let form = |action, token| String::from_utf8(role.form(action, token).expose().to_vec()).unwrap();
        assert_eq!(
            form("AssumeRole", None),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&RoleSessionName=a%20b\
             &DurationSeconds=900&ExternalId=e%26f%3Dg"
        );
        assert_eq!(
            form("AssumeRoleWithWebIdentity", Some(b"t+/=")),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx\
             &RoleSessionName=a%20b&DurationSeconds=900&WebIdentityToken=t%2B%2F%3D"
        );
    }
}
