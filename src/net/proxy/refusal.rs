//! Why a proxy leads nowhere, in words.

use thiserror::Error;

/// Why a proxy does not lead on. It quotes nothing that the proxy says.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProxyRefusal {
    /// The HTTP status that it answers with.
    #[error("status {0}{meaning}", meaning = of_status(*.0))]
    Status(u16),
    /// The code that it answers with in SOCKS 4.
    #[error("SOCKS 4 code {0}{meaning}", meaning = of_socks_4(*.0))]
    Socks4(u8),
    /// The code that it answers with in SOCKS 5 (RFC 1928, 6).
    #[error("SOCKS 5 code {0}{meaning}", meaning = of_socks_5(*.0))]
    Socks5(u8),
    /// It wants a user and a password, and none were given.
    #[error("it wants a user and a password")]
    WantsLogin,
    /// It wants another login than by user and password.
    #[error("it wants a login of another kind than by user and password")]
    WantsOtherLogin,
    /// User and password are not those that it knows.
    #[error("it does not take the user and the password")]
    LoginRefused,
    /// The host cannot be named to it; why.
    #[error("{0}")]
    CannotName(&'static str),
    /// It answers in another protocol than this one.
    #[error("it does not answer in {0}")]
    OtherProtocol(&'static str),
}

fn of_status(status: u16) -> &'static str {
    match status {
        407 => ", it wants a user and a password",
        403 => ", it lets nobody there",
        _ => "",
    }
}

fn of_socks_4(code: u8) -> &'static str {
    match code {
        91 => ", it lets nobody there or cannot reach it",
        92 | 93 => ", it wants to know the user from an ident service of this machine",
        _ => "",
    }
}

fn of_socks_5(code: u8) -> &'static str {
    match code {
        1 => ", it failed",
        2 => ", it lets nobody there",
        3 | 4 => ", it cannot reach the host",
        5 => ", the host refuses the connection",
        6 => ", the host is too far away",
        7 | 8 => ", it does not know what it was asked for",
        _ => "",
    }
}

impl ProxyRefusal {
    /// Whether the same request may succeed a moment later: the proxy is asked too often, or the
    /// service is away from it.
    pub(in crate::net) fn is_retryable(self) -> bool {
        match self {
            ProxyRefusal::Status(status) => status == 429 || status >= 500,
            ProxyRefusal::Socks4(code) => code == 91,
            ProxyRefusal::Socks5(code) => matches!(code, 1 | 3..=6),
            ProxyRefusal::CannotName(_) => true,
            _ => false,
        }
    }

    /// What helps, unless it is the proxy's log or another way to this host.
    pub(in crate::net) fn own_hint(self) -> Option<&'static str> {
        match self {
            ProxyRefusal::WantsLogin => Some(
                "write them into the variable of the environment, before the proxy's host: USER:PASSWORD@",
            ),
            // It says so of wrong ones, too.
            ProxyRefusal::Status(407) => Some(
                "write the right ones into the variable of the environment, before the proxy's host: USER:PASSWORD@",
            ),
            ProxyRefusal::LoginRefused => Some(
                "check them in the variable of the environment, where they stand before the proxy's host: USER:PASSWORD@",
            ),
            ProxyRefusal::CannotName(_) => Some(
                "have the proxy look for the host: write socks5h:// before the proxy's host into the variable of the \
                 environment",
            ),
            ProxyRefusal::OtherProtocol(_) => Some(
                "check the proxy's port, and which of http://, https://, socks4://, socks5:// stands in the variable of the \
                 environment",
            ),
            _ => None,
        }
    }
}
