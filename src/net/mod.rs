//! What everything that asks a service has in common: deadlines, retries, and HTTPS within bounds.

mod connect;
pub mod error;
pub mod http;
mod resolve;
pub mod retry;
pub mod tls;
pub mod url;

pub use error::NetError;
pub use http::{HttpClient, HttpOptions, Method, Request, Response};
pub use retry::{Deadline, retry};
pub use tls::{ClientCertificate, TlsOptions};
pub use url::{PlainHttp, Url};
