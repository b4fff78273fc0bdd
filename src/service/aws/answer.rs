//! What an answer of AWS says: an error by its name, in JSON or in XML, and texts out of XML.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::error::{Answered, AwsError, Class};
use crate::clock;
use crate::net::Response;

/// How far a clock may be off before a signature is refused ("Signature Version 4", elements of a
/// request).
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The most characters of AWS's own words that are quoted.
const MESSAGE_LIMIT: usize = 400;

/// The answer, if its status is 200. Errors: [`AwsError::Answered`] for an answer with another
/// status.
pub(super) fn successful(
    response: Response,
    from: &str,
    operation: &'static str,
) -> Result<Response, AwsError> {
    match response.status {
        200 => Ok(response),
        _ => Err(AwsError::Answered(Box::new(error_of(
            &response,
            from,
            operation,
            SystemTime::now(),
        )))),
    }
}

/// The error that an answer with another status than 200 stands for.
fn error_of(response: &Response, from: &str, operation: &'static str, now: SystemTime) -> Answered {
    let text = std::str::from_utf8(response.body())
        .unwrap_or_default()
        .trim_start();
    let said = if text.starts_with('<') {
        Said::of_xml(text)
    } else {
        Said::of_json(text)
    };
    let header = |name| response.header(name).map(str::to_owned);
    let date = response.header("date").and_then(clock::of_http_date);
    let mut answered = Answered {
        from: from.to_owned(),
        operation,
        status: response.status,
        name: plain_name(header("x-amzn-errortype").or(said.name).unwrap_or_default()),
        message: said.message.map(|message| quotable(&message)),
        request_id: header("x-amzn-requestid")
            .or(said.request_id)
            .filter(|id| is_plain(id)),
        clock_off: date.and_then(|theirs| clock_off(now, theirs)),
    };
    // What AWS says of a signature repeats headers, the session token among them; what it says of a
    // wrong request repeats members of it, and one of those is the key.
    let may_be_quoted = matches!(
        answered.class(),
        Class::WrongKey
            | Class::Disabled
            | Class::PendingDeletion
            | Class::InvalidState
            | Class::NotFound
            | Class::AccessDenied
            | Class::WrongUsage
    );
    answered.message = answered
        .message
        .filter(|message| may_be_quoted && !message.is_empty());
    answered
}

/// What a body says of an error.
#[derive(Default)]
struct Said {
    name: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl Said {
    /// `{"__type":"com.amazonaws.kms#NotFoundException","message":"..."}`
    fn of_json(text: &str) -> Said {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(rename = "__type", borrow, default)]
            name: Option<Cow<'a, str>>,
            #[serde(alias = "code", alias = "Code", borrow, default)]
            code: Option<Cow<'a, str>>,
            #[serde(alias = "Message", borrow, default)]
            message: Option<Cow<'a, str>>,
        }
        let Ok(body) = serde_json::from_str::<Body<'_>>(text) else {
            return Said::default();
        };
        Said {
            name: body.name.or(body.code).map(Cow::into_owned),
            message: body.message.map(Cow::into_owned),
            request_id: None,
        }
    }

    /// `<ErrorResponse><Error><Code>AccessDenied</Code><Message>...</Message></Error>...`
    fn of_xml(text: &str) -> Said {
        let element = |name| xml_text(text, name).map(Cow::into_owned);
        Said {
            name: element("Code"),
            message: element("Message"),
            request_id: element("RequestId").or_else(|| element("RequestID")),
        }
    }
}

/// The text of the first element of this name, which has no attributes and no elements in it.
pub(super) fn xml_text<'a>(xml: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    if !text.contains('&') {
        return Some(Cow::Borrowed(text));
    }
    let unescaped = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    });
    Some(Cow::Owned(unescaped))
}

/// `NotFoundException` out of `com.amazonaws.kms#NotFoundException` and
/// `NotFoundException:http://...`; empty if it is no name.
fn plain_name(name: String) -> String {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    Some(name)
        .filter(|name| is_plain(name))
        .unwrap_or_default()
        .to_owned()
}

/// Whether a text can be a name or an id, and nothing else.
fn is_plain(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}

fn quotable(message: &str) -> String {
    let start = message.chars().take(MESSAGE_LIMIT);
    start.flat_map(char::escape_debug).collect()
}

/// The seconds that our clock is ahead of theirs, if it is too many either way.
fn clock_off(ours: SystemTime, theirs: SystemTime) -> Option<i64> {
    let seconds = |time: SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs().cast_signed());
    let off = seconds(ours)? - seconds(theirs)?;
    (off.unsigned_abs() >= CLOCK_TOLERANCE.as_secs()).then_some(off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_json_and_in_xml() {
        let said = Said::of_json(
            r#"{"__type":"com.amazonaws.kms#NotFoundException","message":"Alias a\/b is not found."}"#,
        );
        assert_eq!(plain_name(said.name.unwrap()), "NotFoundException");
        assert_eq!(said.message.unwrap(), "Alias a/b is not found.");
        let said = Said::of_xml(
            "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"https://iam\"><Error><Code>AccessDenied</Code>\
             <Message>User: &quot;x&quot; &amp;lt; is not</Message></Error><RequestId>r-1</RequestId></ErrorResponse>",
        );
        assert_eq!(
            (
                said.name.as_deref(),
                said.message.as_deref(),
                said.request_id.as_deref()
            ),
            (Some("AccessDenied"), Some("User: \"x\" &lt; is not"), Some("r-1"))
        );
        for garbage in [
            "",
            "null",
            "[]",
            "{",
            "{\"__type\":3}",
            "<",
            "<Code>",
            "<html><Code></html>",
        ] {
            let (json, xml) = (Said::of_json(garbage), Said::of_xml(garbage));
            assert!(json.name.is_none() && xml.message.is_none(), "{garbage}");
        }
    }

    #[test]
    fn a_name_is_a_name_or_nothing() {
        for (name, plain) in [
            (
                "AccessDeniedException:http://internal.amazon.com/coral/",
                "AccessDeniedException",
            ),
            ("InvalidRequest.Expired", "InvalidRequest.Expired"),
            ("a b", ""),
            ("<script>", ""),
            ("", ""),
        ] {
            assert_eq!(plain_name(name.into()), plain);
        }
    }

    #[test]
    fn a_clock_is_off_by_five_minutes() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(clock_off(at(1000), at(1299)), None);
        assert_eq!(clock_off(at(1000), at(1300)), Some(-300));
        assert_eq!(clock_off(at(2000), at(1000)), Some(1000));
    }
}
