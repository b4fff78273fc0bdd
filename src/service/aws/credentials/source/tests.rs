//! Which source of the chain counts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use super::*;

/// The source that is found with these variables and this config file.
fn find(environment: &[(&str, &str)], config: &str) -> Result<Source, AwsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    fs::write(&path, config).unwrap();
    let mut all: BTreeMap<OsString, OsString> =
        environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
    all.insert("AWS_CONFIG_FILE".into(), path.into());
    let variables = Variables::of(&all);
    Source::find(&variables, &Profiles::read(&variables)?)
}

fn found(environment: &[(&str, &str)], config: &str) -> String {
    match find(environment, config).unwrap() {
        Source::Fixed(credentials) => credentials.access_key_id,
        Source::AssumedRole(role, source) => match *source {
            Source::Fixed(credentials) => format!("{} with {}", role.arn, credentials.access_key_id),
            other => format!("{} with {other:?}", role.arn),
        },
        Source::WebIdentity(role, file) => format!("{} with {}", role.arn, file.display()),
        other => format!("{other:?}"),
    }
}

fn refused(environment: &[(&str, &str)], config: &str) -> String {
    find(environment, config).unwrap_err().to_string()
}

const KEYS: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "AKIAENV"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2"),
];
const WEB: &[(&str, &str)] = &[
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ("AWS_ROLE_ARN", "arn:web"),
];
const ECS: &[(&str, &str)] = &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")];
const PROFILE: &str = "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = hunter2\n";

#[test]
fn the_first_source_that_is_set_up_counts() {
    let all = [KEYS, WEB, ECS].concat();
    assert_eq!(found(&all, PROFILE), "AKIAENV");
    assert_eq!(found(&all[2..], PROFILE), "AKIAFILE");
    assert_eq!(found(&all[2..], ""), "arn:web with /token");
    assert!(found(ECS, "").starts_with("Container("));
    assert_eq!(found(&[], ""), "Instance(http://169.254.169.254)");
    assert!(
        refused(&[("AWS_EC2_METADATA_DISABLED", "true")], "").starts_with("there are no AWS credentials")
    );
}

#[test]
fn a_role_is_taken_on_with_the_source_that_its_profile_names() {
    let profile = |line: &str| format!("{PROFILE}[profile x]\nrole_arn = arn:x\n{line}\n");
    let chosen = [("AWS_PROFILE", "x")];
    assert_eq!(
        found(&chosen, &profile("source_profile = default")),
        "arn:x with AKIAFILE"
    );
    assert_eq!(
        found(&chosen, &profile("web_identity_token_file = /t")),
        "arn:x with /t"
    );
    let with = |more: &[(&'static str, &'static str)]| [&chosen, more].concat();
    let ecs = found(&with(ECS), &profile("credential_source = EcsContainer"));
    assert!(ecs.starts_with("arn:x with Container("), "{ecs}");
    let ec2 = found(&chosen, &profile("credential_source = Ec2InstanceMetadata"));
    assert!(ec2.starts_with("arn:x with Instance("), "{ec2}");
    // Credentials in the environment go before any profile, even before one that wants them for a
    // role.
    assert_eq!(
        found(&with(KEYS), &profile("credential_source = Environment")),
        "AKIAENV"
    );
}

#[test]
fn a_profile_may_be_the_source_of_its_own_role() {
    let config = format!("{PROFILE}role_arn = arn:x\nsource_profile = default\n");
    assert_eq!(found(&[], &config), "arn:x with AKIAFILE");
}

#[test]
fn what_is_half_set_up_is_refused() {
    let x = [("AWS_PROFILE", "x")];
    let profile = |lines: &str| format!("{PROFILE}[profile x]\n{lines}\n[profile empty]\nregion = r\n");
    for (environment, config, reason) in [
        (&KEYS[..1], String::new(), "only one is set"),
        (&KEYS[1..], String::new(), "only one is set"),
        (&WEB[..1], String::new(), "AWS_ROLE_ARN is not"),
        (&x, profile("aws_access_key_id = A"), "has only one of"),
        (&x, profile("role_arn = arn:x"), "not exactly one of"),
        (
            &x,
            profile("role_arn = a\nsource_profile = default\ncredential_source = Environment"),
            "not exactly one of",
        ),
        (
            &x,
            profile("role_arn = a\nsource_profile = y"),
            "there is no profile 'y'",
        ),
        (
            &x,
            profile("role_arn = a\nsource_profile = empty"),
            "has no credentials",
        ),
        (
            &x,
            profile("role_arn = a\nsource_profile = default\nmfa_serial = m"),
            "mfa_serial",
        ),
        (
            &x,
            profile("role_arn = a\ncredential_source = Moon"),
            "other than",
        ),
        (
            &x,
            profile("role_arn = a\ncredential_source = EcsContainer"),
            "none were given",
        ),
        (
            &x,
            profile("role_arn = a\nsource_profile = z\n[profile z]\nrole_arn = b\nsource_profile = x"),
            "again and again",
        ),
        (
            &x,
            profile("credential_process = /bin/x"),
            "credential_process, which is not supported",
        ),
        (
            &x,
            profile("sso_session = s"),
            "sso_session, which is not supported",
        ),
        (
            &x,
            profile("sso_start_url = https://hunter2\nsso_region = r\nsso_account_id = 1\nsso_role_name = n"),
            "profile 'x' gets its credentials by sso_start_url, which is not supported",
        ),
        (
            &x,
            profile("login_session = arn:aws:iam::1:user/hunter2"),
            "profile 'x' gets its credentials by login_session, which is not supported",
        ),
        // Also where another profile takes its role on with it.
        (
            &x,
            profile("role_arn = a\nsource_profile = y\n[profile y]\ncredential_process = /bin/hunter2"),
            "profile 'y' gets its credentials by credential_process, which is not supported",
        ),
    ] {
        let error = refused(environment, &config);
        assert!(error.contains(reason) && !error.contains("hunter2"), "{error}");
    }
}
