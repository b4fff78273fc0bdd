//! What everything that asks a service has in common: connections, TLS, HTTP within bounds,
//! deadlines and retries.

pub(crate) mod error;
mod host;
pub(crate) mod http;
mod proxy;
mod resolve;
pub(crate) mod retry;
mod tcp;
pub(crate) mod tls;
pub(crate) mod url;

pub use error::{NetError, NetFailure, Pem, PemFault};
pub use http::{HttpClient, HttpOptions, Method, Request, Response};
pub use proxy::{Proxies, ProxyRefusal};
pub use retry::{Deadline, retry};
pub use tls::{ClientCertificate, TlsOptions};
pub use url::{PlainHttp, Url};
