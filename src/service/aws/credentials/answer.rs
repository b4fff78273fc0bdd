//! Credentials as services write them: JSON of metadata services, XML of STS.

use std::borrow::Cow;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::Credentials;
use crate::clock;
use crate::service::aws::answer::xml_text;

/// `{"AccessKeyId":"...","SecretAccessKey":"...","Token":"...","Expiration":"2026-11-22T01:02Z"}`:
/// containers and instances. An error says what is wrong, and quotes nothing.
pub(super) fn of_json(body: &[u8]) -> Result<Credentials, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        #[serde(borrow)]
        access_key_id: Cow<'a, str>,
        #[serde(borrow)]
        secret_access_key: Cow<'a, str>,
        #[serde(borrow, default)]
        token: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        expiration: Option<Cow<'a, str>>,
    }
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|_| "it is not JSON with AccessKeyId and SecretAccessKey as texts")?;
    checked(
        body.access_key_id,
        body.secret_access_key,
        body.token,
        body.expiration,
    )
}

/// `<Credentials><AccessKeyId>...</AccessKeyId><SecretAccessKey>...`: STS.
pub(super) fn of_xml(body: &[u8]) -> Result<Credentials, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8")?;
    let element = |name| xml_text(text, name);
    let (Some(id), Some(secret)) = (element("AccessKeyId"), element("SecretAccessKey")) else {
        return Err("it is not XML with AccessKeyId and SecretAccessKey");
    };
    let token = element("SessionToken").ok_or("it has no SessionToken")?;
    let expiration = element("Expiration").ok_or("it has no Expiration")?;
    checked(id, secret, Some(token), Some(expiration))
}

fn checked(
    id: Cow<'_, str>,
    secret: Cow<'_, str>,
    token: Option<Cow<'_, str>>,
    expiration: Option<Cow<'_, str>>,
) -> Result<Credentials, &'static str> {
    let secret = Zeroizing::new(secret.into_owned());
    let token = token
        .filter(|token| !token.is_empty())
        .map(|token| Zeroizing::new(token.into_owned()));
    let expires = match expiration {
        Some(text) => Some(clock::of_rfc3339(&text).ok_or("its Expiration is no time in UTC")?),
        None => None,
    };
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_word(&id) || !is_word(&secret) || !token.as_deref().is_none_or(|token| is_word(token)) {
        return Err("a part of the credentials is empty or has characters that none has");
    }
    Ok(Credentials {
        access_key_id: id.into_owned(),
        secret_access_key: secret,
        session_token: token,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_json_and_in_xml() {
        let json = br#"{"RoleArn":"arn","AccessKeyId":"ASIA","SecretAccessKey":"a\/b","Token":"t","Expiration":"2026-11-22T01:02:03Z"}"#;
        let xml = b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
                    <SecretAccessKey>a/b</SecretAccessKey><SessionToken>t</SessionToken>\
                    <Expiration>2026-11-22T01:02:03.000Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        for read in [of_json(json).unwrap(), of_xml(xml).unwrap()] {
            assert_eq!(read.access_key_id, "ASIA");
            assert_eq!(read.secret_access_key.as_str(), "a/b");
            assert_eq!(read.session_token.unwrap().as_str(), "t");
            assert_eq!(read.expires, clock::of_rfc3339("2026-11-22T01:02:03Z"));
        }
        let endless = of_json(br#"{"AccessKeyId":"AKIA","SecretAccessKey":"s"}"#).unwrap();
        assert!(endless.expires.is_none() && endless.session_token.is_none());
    }

    #[test]
    fn what_are_no_credentials_is_refused_without_a_word_of_it() {
        for json in [
            "",
            "{}",
            r#"{"AccessKeyId":"A"}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":3}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":""}"#,
            r#"{"AccessKeyId":"A\r\nx: y","SecretAccessKey":"hunter2"}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":"hunter2","Expiration":"tomorrow"}"#,
            r#"{"AccessKeyId":"A","SecretAccessKey":"hunter2","Token":"a b"}"#,
        ] {
            assert!(
                !of_json(json.as_bytes()).unwrap_err().contains("hunter2"),
                "{json}"
            );
        }
        for xml in [
            "",
            "<AccessKeyId>A</AccessKeyId>",
            "<AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>",
        ] {
            assert!(of_xml(xml.as_bytes()).is_err(), "{xml}");
        }
    }
}
