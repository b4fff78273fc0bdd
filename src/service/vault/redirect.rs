//! Redirects: where a standby says that the active node is, and whether a request with its token
//! may go there.
//!
//! A standby that forwards nothing answers 307 with the active node's `api_addr` before the path
//! that was asked for ("High availability", documentation of Vault). Vault's own clients follow
//! one of 301, 302 and 307, with method, body and token, and never from https to http.

use thiserror::Error;

use crate::net::{PlainHttp, Url};

/// As many redirects of one request are followed.
pub(super) const MOST: usize = 2;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say what they mean")]
pub enum RedirectError {
    #[error("the answer has no Location")]
    NoLocation,
    #[error("its Location is no whole URL with https or http")]
    NotAUrl,
    #[error("its Location would lead from https to http")]
    Downgrade,
    #[error("its Location is another machine without TLS")]
    Unprotected,
    #[error("its Location has another path than was asked for")]
    OtherPath,
    /// The status is 303.
    #[error("another request is wanted than the one that was made")]
    OtherRequest,
    #[error("it was redirected again and again")]
    TooMany,
}

impl RedirectError {
    /// Whether the nodes may have agreed on an active one a moment later.
    pub(super) fn is_retryable(self) -> bool {
        self == RedirectError::TooMany
    }

    pub(super) fn hint(self) -> &'static str {
        match self {
            RedirectError::Downgrade | RedirectError::Unprotected => {
                "give the active node an api_addr that begins with https://, in its configuration"
            }
            RedirectError::TooMany => {
                "see which node is active, and the api_addr in the configuration of each node"
            }
            RedirectError::NoLocation
            | RedirectError::NotAUrl
            | RedirectError::OtherPath
            | RedirectError::OtherRequest => {
                "check that the address (‹vault_url› or ‹master_key›) is Vault's own, and what stands before it"
            }
        }
    }
}

/// Whether an answer with this status leads elsewhere.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a request goes on that was redirected: the same path and query at another node.
pub(super) fn follow(
    asked: &Url,
    status: u16,
    location: Option<&str>,
    plain: PlainHttp,
) -> Result<Url, RedirectError> {
    if status == 303 {
        return Err(RedirectError::OtherRequest);
    }
    let location = location.ok_or(RedirectError::NoLocation)?;
    let to = Url::parse(location).map_err(|_| RedirectError::NotAUrl)?;
    if asked.is_https() && !to.is_https() {
        return Err(RedirectError::Downgrade);
    }
    if to.check_protection(plain).is_err() {
        return Err(RedirectError::Unprotected);
    }
    if to.path() != asked.path() || to.query() != asked.query() {
        return Err(RedirectError::OtherPath);
    }
    Ok(to)
}

/// Scheme and host of a Location, for messages: no path and query, which may hold anything, and no
/// password.
pub(super) fn shown(location: Option<&str>) -> String {
    let location = location.unwrap_or_default();
    let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host: String = authority
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .chars()
        .take(100)
        .collect();
    match (scheme, host.as_str()) {
        ("", _) | (_, "") => String::new(),
        (scheme, host) => format!(" to {}://{}", scheme.escape_debug(), host.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "https://standby:8200/v1/keys/metadata/?list=true";

    fn followed(asked: &str, status: u16, location: Option<&str>) -> Result<String, RedirectError> {
        let asked = Url::parse(asked).unwrap();
        follow(&asked, status, location, PlainHttp::ToLoopback).map(|url| url.to_string())
    }

    #[test]
    fn a_redirect_leads_to_the_same_path_at_another_node() {
        let active = "https://active:8200/v1/keys/metadata/?list=true";
        for status in [301, 302, 307, 308] {
            assert!(is_redirect(status));
            assert_eq!(followed(ASKED, status, Some(active)), Ok(active.into()));
        }
        let upgraded = followed("http://127.0.0.1:8200/v1/x", 307, Some("https://active/v1/x"));
        assert_eq!(upgraded, Ok("https://active/v1/x".into()));
        let on_loopback = followed("http://127.0.0.1:1/v1/x", 307, Some("http://127.0.0.1:2/v1/x"));
        assert_eq!(on_loopback, Ok("http://127.0.0.1:2/v1/x".into()));
    }

    #[test]
    fn what_leads_elsewhere_is_not_followed() {
        let path = "/v1/keys/metadata/?list=true";
        for (location, error) in [
            (None, RedirectError::NoLocation),
            (Some(path.to_owned()), RedirectError::NotAUrl),
            (Some(String::new()), RedirectError::NotAUrl),
            (Some(format!("//active:8200{path}")), RedirectError::NotAUrl),
            (Some(format!("ftp://active{path}")), RedirectError::NotAUrl),
            (
                Some(format!("https://root:s3cr3t@active{path}")),
                RedirectError::NotAUrl,
            ),
            (
                Some(format!("http://active:8200{path}")),
                RedirectError::Downgrade,
            ),
            (
                Some(format!("http://127.0.0.1:8200{path}")),
                RedirectError::Downgrade,
            ),
            (Some("https://sso/login".into()), RedirectError::OtherPath),
            (
                Some("https://active:8200/v1/keys/metadata/".into()),
                RedirectError::OtherPath,
            ),
        ] {
            assert_eq!(
                followed(ASKED, 307, location.as_deref()),
                Err(error),
                "{location:?}"
            );
        }
        let see_other = followed(ASKED, 303, Some(ASKED));
        assert_eq!(see_other, Err(RedirectError::OtherRequest));
        let elsewhere = followed("http://127.0.0.1/v1/x", 307, Some("http://10.0.0.1/v1/x"));
        assert_eq!(elsewhere, Err(RedirectError::Unprotected));
        assert!(!is_redirect(304) && !is_redirect(200));
    }

    #[test]
    fn of_a_location_only_scheme_and_host_are_shown() {
        for (location, words) in [
            (None, ""),
            (Some("/v1/x?token=s3cr3t"), ""),
            (
                Some("https://root:s3cr3t@active:8200/s3cr3t"),
                " to https://active:8200",
            ),
            (Some("ftp://active\u{1b}[0m"), r" to ftp://active\u{1b}[0m"),
        ] {
            assert_eq!(shown(location), words);
        }
    }
}
