//! Which Vault, and who we are there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::durable::{LoosePermissions, SecretSource, permissions};
use crate::net::{ClientCertificate, PlainHttp, Proxies, TlsOptions, Url};

/// Where a service account's token lies in a pod of Kubernetes.
pub(crate) const KUBERNETES_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A client's settings.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// Scheme, host and port; the path is not looked at.
    pub address: Url,
    /// Who we are there, and how it is asked.
    pub access: VaultAccess,
}

/// How a Vault is asked, wherever it is.
#[derive(Clone, Debug)]
pub struct VaultAccess {
    /// The namespace, or nothing.
    pub namespace: String,
    /// How a token is had; `None` where nothing was said.
    pub login: Option<Login>,
    /// Whom to trust and who to be.
    pub tls: TlsOptions,
    /// Whether Vault may be asked without TLS.
    pub plain_http: PlainHttp,
    /// Whether it is asked by a proxy.
    pub proxies: Proxies,
    /// The longest time for one request.
    pub timeout: Duration,
    /// How often a request is sent again.
    pub max_retries: u32,
}

/// A file that is read to ask Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessFile<'a> {
    /// What messages call it.
    pub kind: &'static str,
    /// Where it is.
    pub path: &'a Path,
    /// Whether others are not to read it.
    pub is_secret: bool,
}

impl VaultAccess {
    /// The files with what we log in with that others may read or change. The token that Kubernetes
    /// puts into a pod has the mode that Kubernetes gives it.
    pub fn loose_files(&self) -> Vec<LoosePermissions> {
        let secret = self.files().into_iter().filter(|file| file.is_secret);
        secret
            .filter_map(|file| permissions::check_path(file.path))
            .collect()
    }

    /// The files that are read to ask Vault.
    pub fn files(&self) -> Vec<AccessFile<'_>> {
        let (kind, secret) = match &self.login {
            Some(Login::Token(source)) => ("token file", Some(source)),
            Some(Login::AppRole { secret_id, .. }) => ("file with the secret_id", Some(secret_id)),
            Some(Login::Jwt { jwt, .. }) => ("file with the JSON web token", Some(jwt)),
            Some(Login::Certificate { .. }) | None => ("", None),
        };
        let file = |kind, path, is_secret| AccessFile {
            kind,
            path,
            is_secret,
        };
        let secret = secret.and_then(SecretSource::file);
        let secret = secret.map(|path| file(kind, path, path != Path::new(KUBERNETES_TOKEN)));
        let ca = self.tls.ca.as_deref();
        let mut files = Vec::from_iter(secret);
        files.extend(ca.map(|path| file("file with the certificates of CAs", path, false)));
        if let Some(client) = &self.tls.client_certificate {
            files.push(file("client certificate", &client.certificate, false));
            files.push(file("private key of the client certificate", &client.key, true));
        }
        files
    }

    /// What the environment says, in the variables of Vault's own command: `VAULT_TOKEN`,
    /// `VAULT_NAMESPACE`, `VAULT_CACERT`, `VAULT_CLIENT_CERT`, `VAULT_CLIENT_KEY`, and in those of
    /// [`Proxies`].
    pub fn from_environment<'a>(
        variable: impl Fn(&str) -> Option<&'a OsStr>,
        timeout: Duration,
    ) -> VaultAccess {
        let path = |name| variable(name).map(PathBuf::from);
        let pair = path("VAULT_CLIENT_CERT").zip(path("VAULT_CLIENT_KEY"));
        let token = variable("VAULT_TOKEN").and_then(|token| SecretSource::from_setting(token.as_bytes()));
        VaultAccess {
            namespace: variable("VAULT_NAMESPACE")
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            login: token.map(Login::Token),
            tls: TlsOptions {
                ca: path("VAULT_CACERT"),
                client_certificate: pair.map(|(certificate, key)| ClientCertificate { certificate, key }),
            },
            plain_http: PlainHttp::ToLoopback,
            proxies: Proxies::from_environment(&variable),
            timeout,
            max_retries: 3,
        }
    }
}

/// How a token is had. `mount` is where the method of the login is mounted.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are parts of the request that is told")]
pub enum Login {
    Token(SecretSource),
    /// The role of a machine: POST `auth/MOUNT/login` with `role_id` and `secret_id`.
    AppRole {
        mount: String,
        role_id: String,
        secret_id: SecretSource,
    },
    /// A JSON web token that someone else vouches for, as Kubernetes does for service accounts:
    /// POST `auth/MOUNT/login` with `role` and `jwt`. A file is read anew for each login, for it is
    /// replaced before it ends.
    Jwt {
        mount: String,
        role: String,
        jwt: SecretSource,
    },
    /// The client certificate of the TLS connection: POST `auth/MOUNT/login` with `name`, the role,
    /// or without one for any that fits.
    Certificate {
        mount: String,
        name: String,
    },
}

impl Login {
    /// What the login is with, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Login::Token(_) => "token",
            Login::AppRole { .. } => "AppRole",
            Login::Jwt { .. } => "JWT",
            Login::Certificate { .. } => "certificate",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_file_that_we_log_in_with_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let logins = |file: PathBuf| {
            let secret = || SecretSource::File(file.clone());
            let name = String::new;
            [
                Login::Token(secret()),
                Login::AppRole {
                    mount: name(),
                    role_id: name(),
                    secret_id: secret(),
                },
                Login::Jwt {
                    mount: name(),
                    role: name(),
                    jwt: secret(),
                },
                Login::Certificate {
                    mount: name(),
                    name: name(),
                },
            ]
        };
        let key = path("key", 0o644);
        for (mode, is_loose) in [(0o600, false), (0o640, false), (0o644, true), (0o660, true)] {
            let secret = path("secret", mode);
            for login in logins(secret.clone()) {
                let is_certificate = matches!(login, Login::Certificate { .. });
                let mut access = VaultAccess::from_environment(|_| None, Duration::ZERO);
                access.login = Some(login);
                access.tls.client_certificate = Some(ClientCertificate {
                    certificate: secret.clone(),
                    key: key.clone(),
                });
                let found: Vec<PathBuf> = access.loose_files().into_iter().map(|loose| loose.path).collect();
                match is_loose && !is_certificate {
                    true => assert_eq!(found, [secret.clone(), key.clone()]),
                    false => assert_eq!(found, std::slice::from_ref(&key)),
                }
            }
        }
        // What is not there, and what lies in no file.
        let mut access = VaultAccess::from_environment(|_| None, Duration::ZERO);
        access.login = Some(Login::Token(SecretSource::File(directory.path().join("none"))));
        assert!(access.loose_files().is_empty());
        access.login = Some(Login::Token(SecretSource::value(b"x")));
        assert!(access.loose_files().is_empty());
    }
}
