//! The addresses that requests go to.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

use super::host::{bare, is_this_machine};
use super::{NetError, NetFailure};

/// Where requests may go without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// To this machine alone.
    ToLoopback,
    /// Anywhere: whoever can see the network sees tokens and keys.
    Anywhere,
}

/// An absolute `https` or `http` URL, no secret: without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`NetError::BadUrl`].
    pub fn parse(text: &str) -> Result<Url, NetError> {
        let bad = |reason: &str| NetError::BadUrl {
            // What stands before an @ may be a password.
            url: text
                .rsplit('@')
                .next()
                .unwrap_or_default()
                .escape_debug()
                .to_string(),
            reason: reason.into(),
        };
        if text.contains('#') {
            return Err(bad("it has a fragment"));
        }
        let uri: Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        match uri.scheme_str() {
            Some("https" | "http") => {}
            _ => return Err(bad("it does not begin with https:// or http://")),
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user name"));
        }
        if authority.host().is_empty() {
            return Err(bad("it names no host"));
        }
        let port = &authority.as_str()[authority.host().len()..];
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(bad("its port is no number from 1 to 65535"));
        }
        Ok(Url(uri))
    }

    /// The same with another path, which begins with a slash and may have a query.
    ///
    /// # Errors
    /// [`NetError::BadUrl`] for a path that a URL cannot have.
    pub fn with_path(&self, path_and_query: &str) -> Result<Url, NetError> {
        let scheme = self.0.scheme_str().unwrap_or_default();
        Url::parse(&format!("{scheme}://{}{path_and_query}", self.authority()))
    }

    /// Whether TLS protects requests to it.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The name or address; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// Host and, where the URL names one, port: what messages call the service.
    pub fn authority(&self) -> &str {
        self.0.authority().map(|a| a.as_str()).unwrap_or_default()
    }

    /// The path; `/` where the URL has none.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// What follows the question mark.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// The port, where the URL names one.
    pub(super) fn port(&self) -> Option<u16> {
        self.0.port_u16()
    }

    /// The address, where it names one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        bare(self.host()).parse().ok()
    }

    /// Whether it is this machine: `localhost` or an address of the loopback.
    pub fn is_loopback(&self) -> bool {
        is_this_machine(bare(self.host()))
    }

    /// Whether a request with secrets may go there.
    ///
    /// # Errors
    /// [`NetFailure::PlainHttp`].
    pub fn check_protection(&self, plain: PlainHttp) -> Result<(), NetError> {
        if self.is_https() || plain == PlainHttp::Anywhere || self.is_loopback() {
            return Ok(());
        }
        Err(NetFailure::PlainHttp.at(self.authority()))
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("https://vault.example:8200/v1/secret?list=true").unwrap();
        assert_eq!(
            (url.host(), url.authority(), url.path(), url.query()),
            (
                "vault.example",
                "vault.example:8200",
                "/v1/secret",
                Some("list=true")
            )
        );
        assert_eq!(
            url.with_path("/v1/x").unwrap().to_string(),
            "https://vault.example:8200/v1/x"
        );
        assert_eq!(Url::parse("http://[::1]:80").unwrap().host(), "[::1]");
    }

    #[test]
    fn what_is_no_url_of_a_service_is_refused_without_its_password() {
        for text in [
            "",
            "vault.example",
            "/v1/secret",
            "ftp://vault.example/",
            "https://",
            "https:///v1/",
            "https://:8200/v1",
            "https://host:0/",
            "https://host:65536/",
            "https://host:x/",
            "https://host/a b",
            "https://host/#x",
            "https://root:secret@host/",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(matches!(error, NetError::BadUrl { .. }), "{text}");
            assert!(!error.to_string().contains("secret@"), "{error}");
            assert!(!error.to_string().contains("root:"), "{error}");
        }
    }

    #[test]
    fn plain_http_leaves_the_machine_only_when_told() {
        for (url, is_allowed) in [
            ("https://vault.example", true),
            ("http://localhost:8200", true),
            ("http://127.0.0.1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8200", true),
            ("http://vault.example", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(
                url.check_protection(PlainHttp::ToLoopback).is_ok(),
                is_allowed,
                "{url}"
            );
            assert!(url.check_protection(PlainHttp::Anywhere).is_ok());
        }
    }
}
