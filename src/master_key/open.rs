//! The one factory of master key providers: a URI in, a provider out. Each provider names itself in
//! [`PROVIDERS`], once.

use std::path::Path;

use super::error::MasterKeyError;
use super::options::{FORMS, ProviderOptions};
use super::{MasterKey, aws_kms, credential, exec, file, vault_transit};

/// What a statement may name. Who may set variables may not thereby run programs as the server, nor
/// have its token for Vault.
#[derive(Debug)]
pub enum ByStatement {
    /// Name any.
    Any,
    /// Name none, for this reason.
    Never(&'static str),
    /// Name another one at the service of the one in force, which this finds out of what follows
    /// the scheme: whether TLS protects the way there, and its host. No other, for this reason.
    SameService(fn(&str) -> Option<(bool, String)>, &'static str),
}

/// A kind of master key.
pub struct Provider {
    /// What its URIs begin with, before the colon.
    pub scheme: &'static str,
    /// How people write its URIs.
    pub form: &'static str,
    /// The page about it.
    pub page: &'static str,
    /// Whether the master key leaves no machine of a service: the keystore that it wraps may be
    /// copied with the data.
    pub is_service: bool,
    /// What a statement may do with it.
    pub by_statement: ByStatement,
    /// Makes the provider out of what follows the scheme. An error says what is wrong with that.
    open: Opener,
}

type Opener = fn(&str, &ProviderOptions) -> Result<Box<dyn MasterKey>, String>;

/// Every kind of master key.
pub static PROVIDERS: [Provider; 5] = [
    Provider {
        scheme: "file",
        form: "file:PATH",
        page: "docs/master-keys.md",
        is_service: false,
        by_statement: ByStatement::Any,
        open: file::open,
    },
    Provider {
        scheme: "credential",
        form: "credential:NAME",
        page: "docs/master-keys.md",
        is_service: false,
        by_statement: ByStatement::Any,
        open: credential::open,
    },
    Provider {
        scheme: "exec",
        form: "exec:PATH",
        page: "docs/exec-provider.md",
        is_service: false,
        by_statement: ByStatement::Never("the server would run a program"),
        open: exec::open,
    },
    Provider {
        scheme: "aws-kms",
        form: "aws-kms:KEY",
        page: "docs/aws-kms.md",
        is_service: true,
        by_statement: ByStatement::Any,
        open: aws_kms::open,
    },
    Provider {
        scheme: "vault-transit",
        form: "vault-transit:https://HOST:PORT/MOUNT/KEY",
        page: "docs/vault.md",
        is_service: true,
        by_statement: ByStatement::SameService(
            vault_transit::service,
            "the server's token for Vault would go to another host",
        ),
        open: vault_transit::open,
    },
];

impl Provider {
    /// The provider of the master key that a URI names, and what follows the scheme; `None` for
    /// another scheme.
    pub fn of(uri: &str) -> Option<(&'static Provider, &str)> {
        let (scheme, rest) = uri.split_once(':')?;
        let provider = PROVIDERS.iter().find(|provider| provider.scheme == scheme)?;
        Some((provider, rest))
    }

    /// Whether a path follows the scheme.
    pub fn takes_path(&self) -> bool {
        self.form.ends_with(":PATH")
    }
}

/// The file that holds the master key of this URI, if one does.
pub fn file_of(uri: &str) -> Option<&Path> {
    uri.strip_prefix("file:").map(Path::new)
}

/// Whether a statement may name this master key while the server uses another one.
///
/// # Errors
/// Why not.
pub fn check_by_statement(uri: &str, in_force: &str) -> Result<(), &'static str> {
    let Some((provider, rest)) = Provider::of(uri) else {
        return Ok(());
    };
    match provider.by_statement {
        ByStatement::Any => Ok(()),
        ByStatement::Never(reason) => Err(reason),
        ByStatement::SameService(service, reason) => {
            let before = Provider::of(in_force).filter(|(other, _)| other.scheme == provider.scheme);
            let before = before.and_then(|(_, rest)| service(rest));
            let is_same = before.is_some() && before == service(rest);
            is_same.then_some(()).ok_or(reason)
        }
    }
}

/// The provider that a URI names, such as `file:/etc/keyroll/master`. Reads and calls nothing yet.
///
/// # Errors
/// [`MasterKeyError::BadUri`] for another scheme (it lists the known ones), a relative path or a
/// name that is none.
pub fn open(uri: &str, options: &ProviderOptions) -> Result<Box<dyn MasterKey>, MasterKeyError> {
    let opened = match Provider::of(uri) {
        Some((provider, rest)) => (provider.open)(rest, options),
        None => Err(match uri.split_once(':') {
            Some((scheme, _)) => format!(
                "there is no scheme '{}'; known are {FORMS}",
                scheme.escape_debug()
            ),
            None => format!("it has no scheme; known are {FORMS}"),
        }),
    };
    opened.map_err(|reason| MasterKeyError::BadUri {
        uri: uri.escape_debug().to_string(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::options::DEFAULT_REQUEST_TIMEOUT;
    use super::*;

    fn options() -> ProviderOptions {
        ProviderOptions::new(DEFAULT_REQUEST_TIMEOUT, BTreeMap::new())
    }

    fn refused(uri: &str) -> String {
        match open(uri, &options()) {
            Err(error @ MasterKeyError::BadUri { .. }) => error.to_string(),
            Err(other) => panic!("{uri}: {other}"),
            Ok(_) => panic!("{uri} was opened"),
        }
    }

    #[test]
    fn each_scheme_opens_its_provider() {
        for (uri, description) in [
            ("file:/etc/keyroll/master", "master key file /etc/keyroll/master"),
            ("credential:keyroll-master", "credential keyroll-master"),
            (
                "exec:/usr/local/lib/keyroll/kms",
                "command /usr/local/lib/keyroll/kms",
            ),
            ("aws-kms:alias/mariadb", "AWS KMS key alias/mariadb"),
            (
                "vault-transit:https://vault:8200/a/transit/keyroll",
                "Vault transit key a/transit/keyroll at vault:8200",
            ),
        ] {
            assert_eq!(open(uri, &options()).unwrap().describe(), description);
        }
    }

    #[test]
    fn an_unknown_scheme_names_the_known_ones() {
        for uri in ["", "/etc/keyroll/master", "File:/x", "vault:x", ":"] {
            let message = refused(uri);
            assert!(message.ends_with(&format!("known are {FORMS}")), "{message}");
        }
        let forms = PROVIDERS.each_ref().map(|provider| provider.form);
        let (last, others) = forms.split_last().unwrap();
        assert_eq!(FORMS, format!("{} or {last}", others.join(", ")));
        for Provider { scheme, form, .. } in &PROVIDERS {
            assert_eq!(form.split_once(':').unwrap().0, *scheme);
        }
    }

    /// What a new row is to be written into, beside this file.
    #[test]
    fn each_provider_stands_in_the_documents_and_has_a_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        // The comment of a variable is cut into lines there.
        let option_file = read("support-files/keyroll.cnf").replace("\n# ", " ");
        assert!(option_file.contains(FORMS), "the comment of the variable");
        let table = read("docs/master-keys.md");
        for Provider {
            scheme, form, page, ..
        } in &PROVIDERS
        {
            assert!(
                table.contains(&format!("\n| `{form}` |")),
                "{form} is not in the table"
            );
            assert!(
                read(page).contains(&format!("{scheme}:")),
                "{form} is not in {page}"
            );
        }
    }

    #[test]
    fn a_relative_path_is_refused() {
        for uri in [
            "file:",
            "file:master",
            "file:./master",
            "exec:kms",
            "exec:",
            "exec:~/kms",
        ] {
            assert!(refused(uri).contains("must be absolute"), "{uri}");
        }
        assert!(refused("file:///etc/keyroll/master").contains("file:/PATH"));
        assert!(refused("file:/etc/\0").contains("NUL"));
    }

    #[test]
    fn a_credential_has_a_plain_file_name() {
        for name in ["", ".", "..", "a/b", "/a", "../a", "a\0b", "a\nb"] {
            assert!(
                refused(&format!("credential:{name}")).contains("plain file name"),
                "{name:?}"
            );
        }
    }
}
