//! The files that AWS's tools share, `~/.aws/config` and `~/.aws/credentials`, and the profiles in
//! them.
//!
//! "Shared config and credentials files", AWS SDKs and Tools Reference Guide:
//!
//! ```text
//! config                               credentials
//! [default]                            [default]
//! region = eu-central-1                aws_access_key_id = AKIA...
//! [profile keyroll]                    aws_secret_access_key = ...
//! role_arn = arn:aws:iam::1:role/x
//! source_profile = default
//! services = local
//! [services local]
//! kms =
//!   endpoint_url = http://localhost:5000
//! ```
//!
//! Where both files have a profile, what the credentials file says goes first. Of `[default]` and
//! `[profile default]` in the config file, the latter counts alone, as in the SDKs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::AwsError;
use super::endpoint::Service;
use super::variables::Variables;
use crate::durable::{FileError, OddText, read};

const SIZE_LIMIT: u64 = 1024 * 1024;

/// The profile that counts unless another is named.
const DEFAULT_PROFILE: &str = "default";

/// The profiles of both files. Secrets are among them: there is no `Debug`.
pub(super) struct Profiles {
    profiles: BTreeMap<String, Properties>,
    services: BTreeMap<String, Properties>,
    /// The profile that `AWS_PROFILE` names.
    chosen: Option<String>,
    /// Whether the config file has a section `[profile default]`.
    has_profile_default: bool,
    /// What was passed over, as the SDKs do, and may have been meant.
    remarks: Vec<String>,
}

/// The properties of one section. Those under another, as of a service, are named
/// `kms.endpoint_url`.
#[derive(Default)]
pub(super) struct Properties(BTreeMap<String, Zeroizing<String>>);

impl Properties {
    /// A property's value; `None` also if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.as_str();
        (!value.is_empty()).then_some(value)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Config,
    Credentials,
}

/// Where the file with access keys is.
pub(super) fn credentials_file(variables: &Variables) -> Option<PathBuf> {
    variables.path_or_in_home("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
}

impl Profiles {
    /// Reads both files. One that is not there has no profiles, and so one in a home directory that
    /// cannot be entered. Errors: a file that cannot be read or whose text is wrong; `AWS_PROFILE`
    /// that names no profile.
    pub(super) fn read(variables: &Variables) -> Result<Profiles, AwsError> {
        let mut all = Profiles {
            profiles: BTreeMap::new(),
            services: BTreeMap::new(),
            chosen: variables.text("AWS_PROFILE").map(str::to_owned),
            has_profile_default: false,
            remarks: Vec::new(),
        };
        let config = variables.path_or_in_home("AWS_CONFIG_FILE", ".aws/config");
        for (kind, variable, path) in [
            (Kind::Config, "AWS_CONFIG_FILE", config),
            (
                Kind::Credentials,
                "AWS_SHARED_CREDENTIALS_FILE",
                credentials_file(variables),
            ),
        ] {
            if let Some(path) = path {
                let is_named = variables.text(variable).is_some();
                all.read_file(kind, &path, is_named)?;
            }
        }
        if let Some(name) = &all.chosen {
            all.named(name)?;
        } else if all.profiles.contains_key(DEFAULT_PROFILE) {
            all.chosen = Some(DEFAULT_PROFILE.into());
        }
        Ok(all)
    }

    /// The name of the profile that counts, if there is one.
    pub(super) fn chosen(&self) -> Option<&str> {
        self.chosen.as_deref()
    }

    /// A property of the profile that counts.
    pub(super) fn text(&self, property: &str) -> Option<&str> {
        self.profiles.get(self.chosen()?)?.text(property)
    }

    /// Another endpoint of a service, as the profile that counts names it.
    pub(super) fn endpoint_url(&self, service: Service) -> Option<&str> {
        let of_service = || {
            let services = self.services.get(self.text("services")?)?;
            services.text(&format!("{}.endpoint_url", service.name))
        };
        of_service().or_else(|| self.text("endpoint_url"))
    }

    /// What of the files was passed over and may have been meant, for the end of a message.
    pub(super) fn remarks(&self) -> String {
        self.remarks.iter().map(|remark| format!("; {remark}")).collect()
    }

    pub(super) fn named(&self, name: &str) -> Result<&Properties, AwsError> {
        self.profiles.get(name).ok_or_else(|| AwsError::Settings {
            reason: format!("there is no profile '{}'{}", name.escape_debug(), self.remarks()),
            mend: "add it to the shared config or credentials file, which AWS_CONFIG_FILE and \
                   AWS_SHARED_CREDENTIALS_FILE name and which otherwise lie in the server user's ~/.aws, or correct \
                   AWS_PROFILE"
                .into(),
        })
    }

    /// Reads one file. `is_named`: a variable names it, so that it is not passed over.
    fn read_file(&mut self, kind: Kind, path: &Path, is_named: bool) -> Result<(), AwsError> {
        let file = match read::open_regular(path) {
            Ok(file) => file,
            // Mostly there is none.
            Err(FileError::FileNotFound { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            // The home of the server's user may be closed to it, or be no directory.
            Err(FileError::FileNotFound { source, .. }) if !is_named => {
                if self.remarks.is_empty() {
                    let remark = format!("{} cannot be opened: {source}", path.display());
                    self.remarks.push(remark);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = read::up_to(&file, path, SIZE_LIMIT)?;
        let odd = bytes.as_ref().and_then(|bytes| OddText::at_begin(bytes.expose()));
        if let Some(odd) = odd {
            return Err(AwsError::settings(
                format!("{} {}", path.display(), odd.told()),
                format!("{} makes a plain text of it", odd.mend(path)),
            ));
        }
        let mut passed_over = Vec::new();
        let parsed = match &bytes {
            Some(bytes) => self.parse(kind, bytes.expose(), &mut passed_over),
            None => Err((1, "the file has more than 1 MiB")),
        };
        let remarks = passed_over
            .iter()
            .map(|(line, what)| format!("{}:{line}: {what}", path.display()));
        self.remarks.extend(remarks);
        parsed.map_err(|(line, reason)| {
            let mend =
                "correct the line, or name another file in AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE";
            AwsError::settings(format!("{}:{line}: {reason}", path.display()), mend)
        })
    }

    /// Takes up the text of one file. An error names the line and quotes nothing of it, and so does
    /// what is `passed_over`.
    fn parse(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        passed_over: &mut Vec<(usize, &'static str)>,
    ) -> Result<(), (usize, &'static str)> {
        let text = std::str::from_utf8(bytes).map_err(|_| (1, "the file is not UTF-8"))?;
        let mut section: Option<&mut Properties> = None;
        let mut in_section = false;
        // The property that lines with space at their start belong to.
        let mut outer = String::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |reason| (index + 1, reason);
            let is_nested = line.starts_with([' ', '\t']);
            let line = without_comment(line).trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest
                    .strip_suffix(']')
                    .ok_or(wrong("a section's name lacks its closing bracket"))?;
                if kind == Kind::Credentials && name.trim_start().starts_with("profile ") {
                    passed_over.push((
                        index + 1,
                        "a credentials file names a profile without the word profile, as [default]",
                    ));
                }
                section = self.section(kind, name);
                in_section = true;
                outer.clear();
                continue;
            }
            let is_of_shell = line.starts_with("export ");
            if !in_section {
                return Err(wrong(match is_of_shell {
                    true => "this is no shell script: write [default] above, and no export before a property",
                    false => "a property stands before the first section, as [default] is one",
                }));
            }
            if is_of_shell {
                passed_over.push((
                    index + 1,
                    "a property has no export before it, as in a shell script",
                ));
            }
            let Some((name, value)) = line.split_once('=') else {
                if is_nested {
                    // The rest of a value of several lines: no property that counts here has such a
                    // one.
                    continue;
                }
                return Err(wrong("a line has no '='"));
            };
            let name = name.trim().to_ascii_lowercase();
            let name = if is_nested && !outer.is_empty() {
                format!("{outer}.{name}")
            } else {
                outer.clone_from(&name);
                name
            };
            if let Some(Properties(properties)) = section.as_deref_mut() {
                properties.insert(name, Zeroizing::new(value.trim().to_owned()));
            }
        }
        Ok(())
    }

    /// The section of this name, to be filled; `None` for one of a kind that does not count here.
    fn section(&mut self, kind: Kind, name: &str) -> Option<&mut Properties> {
        let mut words = name.split_whitespace();
        let (first, second) = (words.next()?, words.next());
        if (kind, first, second) == (Kind::Config, "profile", Some(DEFAULT_PROFILE))
            && !self.has_profile_default
        {
            self.has_profile_default = true;
            self.profiles.remove(DEFAULT_PROFILE);
        }
        let (sections, name) = match (kind, first, second) {
            (Kind::Credentials, name, None) => (&mut self.profiles, name),
            (Kind::Config, DEFAULT_PROFILE, None) if self.has_profile_default => return None,
            (Kind::Config, DEFAULT_PROFILE, None) => (&mut self.profiles, DEFAULT_PROFILE),
            (Kind::Config, "profile", Some(name)) => (&mut self.profiles, name),
            (Kind::Config, "services", Some(name)) => (&mut self.services, name),
            _ => return None,
        };
        Some(sections.entry(name.to_owned()).or_default())
    }
}

/// The line up to a comment: `#` or `;` with white space before it.
fn without_comment(line: &str) -> &str {
    let starts = [" #", " ;", "\t#", "\t;"]
        .iter()
        .filter_map(|mark| line.find(mark));
    &line[..starts.min().unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::service::ServiceError;

    fn profiles(config: &str, credentials: &str, profile: &str) -> Result<Profiles, AwsError> {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (
            directory.path().join("config"),
            directory.path().join("credentials"),
        );
        fs::write(&a, config).unwrap();
        fs::write(&b, credentials).unwrap();
        Profiles::read(&Variables::of(
            &[
                ("AWS_CONFIG_FILE", a.to_str().unwrap()),
                ("AWS_SHARED_CREDENTIALS_FILE", b.to_str().unwrap()),
                ("AWS_PROFILE", profile),
            ]
            .map(|(n, v)| (n.into(), v.into()))
            .into(),
        ))
    }

    const CONFIG: &str = "\
# of the machine
[default]
region = eu-central-1   ; Frankfurt
[profile keyroll]
role_arn=arn:aws:iam::1:role/x
SOURCE_PROFILE = default
services = local
[sso-session x]
sso_region = us-east-1
[services local]
s3 =
  endpoint_url = http://localhost:1
kms =
  endpoint_url = http://localhost:2
[notaprofile]
region = us-west-2
";

    #[test]
    fn profiles_are_read_from_both_files() {
        let credentials =
            "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = a=b#c\nregion=us-east-1\n";
        let all = profiles(CONFIG, credentials, "").unwrap();
        assert_eq!(all.chosen(), Some("default"));
        assert_eq!(all.text("aws_access_key_id"), Some("AKIDEXAMPLE"));
        assert_eq!(all.text("aws_secret_access_key"), Some("a=b#c"));
        assert_eq!(
            all.text("region"),
            Some("us-east-1"),
            "the credentials file goes first"
        );
        assert_eq!(all.endpoint_url(Service::KMS), None);
        let all = profiles(CONFIG, credentials, "keyroll").unwrap();
        assert_eq!(all.text("source_profile"), Some("default"));
        assert_eq!(all.endpoint_url(Service::KMS), Some("http://localhost:2"));
        assert_eq!(all.endpoint_url(Service::STS), None);
    }

    #[test]
    fn profile_default_counts_alone_in_the_config_file_wherever_it_stands() {
        let (bare, word) = (
            "[default]\nregion = a\nca_bundle = b\n",
            "[profile default]\nregion = c\n",
        );
        for config in [format!("{bare}{word}"), format!("{word}{bare}")] {
            let all = profiles(&config, "", "").unwrap();
            assert_eq!((all.text("region"), all.text("ca_bundle")), (Some("c"), None));
        }
        let all = profiles(word, "[default]\naws_access_key_id = x\n", "").unwrap();
        assert_eq!(
            (all.text("region"), all.text("aws_access_key_id")),
            (Some("c"), Some("x"))
        );
    }

    #[test]
    fn what_is_passed_over_and_may_have_been_meant_is_told_where_a_profile_is_missed() {
        let credentials = "[profile default]\naws_access_key_id = hunter2\n";
        let all = profiles("", credentials, "").unwrap();
        assert_eq!(all.chosen(), None);
        assert!(
            all.remarks()
                .contains("credentials:1: a credentials file names a profile without"),
            "{}",
            all.remarks()
        );
        let missed = profiles("", credentials, "default").err().unwrap().to_string();
        assert!(
            missed.contains("there is no profile 'default'; ") && missed.contains(":1: a credentials"),
            "{missed}"
        );
        let all = profiles("", "[default]\nexport AWS_ACCESS_KEY_ID=hunter2\n", "").unwrap();
        assert_eq!(all.text("aws_access_key_id"), None);
        assert!(
            all.remarks().contains("credentials:2: a property has no export"),
            "{}",
            all.remarks()
        );
        assert_eq!(profiles(CONFIG, "[default]\n", "").unwrap().remarks(), "");
    }

    #[test]
    fn a_home_that_cannot_be_entered_has_no_profiles_and_a_file_that_is_named_must_be_readable() {
        let directory = tempfile::tempdir().unwrap();
        let no_directory = directory.path().join("home");
        fs::write(&no_directory, "").unwrap();
        let read =
            |name: &str, path: &Path| Profiles::read(&Variables::of(&[(name.into(), path.into())].into()));
        let all = read("HOME", &no_directory).unwrap();
        assert!(all.chosen().is_none());
        let remark = format!(
            "; {}/.aws/config cannot be opened: Not a directory",
            no_directory.display()
        );
        assert!(all.remarks().starts_with(&remark), "{}", all.remarks());
        assert_eq!(all.remarks().matches("cannot be opened").count(), 1);
        assert!(read("AWS_CONFIG_FILE", &no_directory.join("config")).is_err());
        assert_eq!(
            read("AWS_CONFIG_FILE", &directory.path().join("none"))
                .unwrap()
                .remarks(),
            ""
        );
    }

    #[test]
    fn a_file_that_is_no_plain_text_is_named_as_such() {
        for (text, told) in [
            ("\u{feff}[default]\n", "begins with a byte order mark"),
            ("[\0d\0e\0f\0", "is UTF-16"),
        ] {
            let error = profiles("", text, "").err().unwrap();
            assert!(error.to_string().contains(told), "{error}");
            assert!(error.hint().starts_with("`f="), "{}", error.hint());
        }
    }

    #[test]
    fn a_profile_that_is_not_there_is_an_error_only_where_it_is_named() {
        assert_eq!(profiles("", "", "").unwrap().chosen(), None);
        for missing in ["other", "notaprofile", "local", "x"] {
            let error = profiles(CONFIG, "", missing).err().unwrap();
            assert_eq!(error.to_string(), format!("there is no profile '{missing}'"));
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_quoted() {
        for (config, place) in [
            ("hunter2 = x\n[default]\n", ":1: a property stands before"),
            ("[default]\nhunter2\n", ":2: a line has no '='"),
            ("[default\nregion = hunter2", ":1: a section's name lacks"),
            (
                "export AWS_ACCESS_KEY_ID=hunter2\n",
                ":1: this is no shell script",
            ),
        ] {
            let error = profiles(config, "", "").err().unwrap().to_string();
            assert!(error.contains(place) && !error.contains("hunter2"), "{error}");
        }
    }
}
