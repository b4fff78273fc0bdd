//! Roles: temporary credentials from the Security Token Service (AWS STS API Reference,
//! `AssumeRole` and `AssumeRoleWithWebIdentity`).

use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Credentials, answer};
use crate::net::Deadline;
use crate::secret::SecretBytes;
use crate::service::aws::AwsError;
use crate::service::aws::api::{ApiCall, ApiClient};
use crate::service::aws::endpoint::Service;
use crate::service::aws::profile::Properties;
use crate::service::aws::signature::push_encoded;
use crate::service::body::CREDENTIAL;

/// A role to be taken on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Role {
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
        self.ask("AssumeRole", None, Some(with), api, deadline)
    }

    /// Takes it on with the token that the file holds now: others replace it every now and then.
    pub(super) fn assume_with_web_identity(
        &self,
        file: &Path,
        api: &ApiClient,
        deadline: Deadline,
    ) -> Result<Credentials, AwsError> {
        let token = token_of(file)?;
        let token = Some(token.expose());
        self.ask("AssumeRoleWithWebIdentity", token, None, api, deadline)
    }

    fn ask(
        &self,
        operation: &'static str,
        token: Option<&[u8]>,
        credentials: Option<&Credentials>,
        api: &ApiClient,
        deadline: Deadline,
    ) -> Result<Credentials, AwsError> {
        let call = ApiCall {
            service: Service::STS,
            operation,
            headers: &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            body: self.form(operation, token),
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
        let external_id = self.external_id.as_deref().filter(|_| token.is_none());
        let fields = [
            ("Action", Some(action.as_bytes())),
            ("Version", Some(b"2011-06-15")),
            ("RoleArn", Some(self.arn.as_bytes())),
            ("RoleSessionName", Some(session_name.as_bytes())),
            (
                "DurationSeconds",
                self.duration_seconds.as_deref().map(str::as_bytes),
            ),
            ("ExternalId", external_id.map(str::as_bytes)),
            ("WebIdentityToken", token),
        ];
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        // All the room at once: a text that grows leaves an unwiped copy of the token behind.
        let room = fields
            .clone()
            .map(|(name, value)| name.len() + 3 * value.len() + 2);
        let mut form = String::with_capacity(room.sum());
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

/// The token that a file holds now.
pub(super) fn token_of(file: &Path) -> Result<SecretBytes, AwsError> {
    CREDENTIAL.read_at(file).map_err(|error| {
        let mend = error.hint(file);
        let error = io::Error::from(error);
        AwsError::settings(
            format!("cannot read the token in {}: {error}", file.display()),
            mend,
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
