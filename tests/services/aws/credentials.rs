//! The chain of credentials, link by link, against moto's STS and instance metadata.

use std::fs;
use std::process::Command;

use super::support::{Environment, KEYSTORE, PATIENT, opened, refused, with, without, works, wrap};
use test_support::aws::{REGION, Server, installed, shared_moto};

/// An environment without credentials.
fn bare(moto: &Server) -> Environment {
    without(
        &moto.environment(),
        &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    )
}

const ROLE: &str = "arn:aws:iam::123456789012:role/keyroll";

#[test]
fn an_instance_gives_its_role_by_version_2_of_the_metadata_service() {
    let moto = shared_moto();
    let environment = with(&bare(moto), "AWS_EC2_METADATA_SERVICE_ENDPOINT", &moto.url());
    works(&*opened(&moto.create_key(), &environment, PATIENT));
}

#[test]
fn a_container_is_given_credentials_with_a_token_of_a_file() {
    let moto = shared_moto();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "Bearer x\n").unwrap();
    let url = format!(
        "{}/latest/meta-data/iam/security-credentials/default-role",
        moto.url()
    );
    let environment = with(&bare(moto), "AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    let environment = with(
        &environment,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        token.to_str().unwrap(),
    );
    works(&*opened(&moto.create_key(), &environment, PATIENT));
    fs::write(&token, "").unwrap();
    let error = refused(wrap_with(moto, &environment));
    assert!(error.to_string().contains("token: it is empty"), "{error}");
}

#[test]
fn a_service_account_takes_its_role_on_with_its_token() {
    let moto = shared_moto();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.").unwrap();
    let environment = with(
        &bare(moto),
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        token.to_str().unwrap(),
    );
    works(&*opened(
        &moto.create_key(),
        &with(&environment, "AWS_ROLE_ARN", ROLE),
        PATIENT,
    ));
    fs::remove_file(&token).unwrap();
    let error = refused(wrap_with(moto, &with(&environment, "AWS_ROLE_ARN", ROLE)));
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_profile_gives_keys_a_region_an_endpoint_and_a_role() {
    let moto = shared_moto();
    let directory = tempfile::tempdir().unwrap();
    let (config, credentials) = (
        directory.path().join("config"),
        directory.path().join("credentials"),
    );
    fs::write(
        &config,
        format!(
            "[profile role]\nrole_arn = {ROLE}\nsource_profile = keys\nregion = {REGION}\nservices = moto\n\
             [services moto]\nkms =\n  endpoint_url = {url}\nsts =\n  endpoint_url = {url}\n",
            url = moto.url()
        ),
    )
    .unwrap();
    fs::write(
        &credentials,
        "[keys]\naws_access_key_id = AKIA\naws_secret_access_key = hunter2\n",
    )
    .unwrap();
    let environment = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ("AWS_PROFILE", "role"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    works(&*opened(&moto.create_key(), &environment, PATIENT));
}

#[test]
fn without_credentials_it_is_said_where_they_were_looked_for() {
    let moto = shared_moto();
    let disabled = with(&bare(moto), "AWS_EC2_METADATA_DISABLED", "true");
    let away = with(
        &bare(moto),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "http://127.0.0.1:1",
    );
    for (environment, words) in [
        (disabled, "AWS_EC2_METADATA_DISABLED"),
        (away, "no instance metadata service"),
    ] {
        let error = refused(wrap_with(moto, &environment));
        assert!(
            error.to_string().contains("there are no AWS credentials"),
            "{error}"
        );
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().contains("docs/aws-kms.md"), "{}", error.hint());
    }
}

#[test]
fn credentials_are_fetched_once_and_again_before_they_end() {
    use test_support::fault_proxy::{Fault, Proxy};
    let moto = shared_moto();
    let proxy = Proxy::plain(moto.port);
    let url = proxy.url();
    let environment = with(&bare(moto), "AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let master = opened(&moto.create_key(), &environment, PATIENT);
    let (_, wrapped) = wrap(&*master);
    let asked = proxy.requests();
    assert!(asked > 0);
    for _ in 0..3 {
        master.unwrap(&wrapped, KEYSTORE).unwrap();
    }
    assert_eq!(proxy.requests(), asked, "they last for a day");

    // Credentials that end in four minutes are good, but others are looked for each time.
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(240);
    let body = format!(
        r#"{{"AccessKeyId":"ASIA","SecretAccessKey":"hunter2","Token":"t","Expiration":"{}"}}"#,
        keyroll::clock::rfc3339(end)
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let environment = with(&bare(moto), "AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    let master = opened(&moto.create_key(), &environment, PATIENT);
    proxy.makes(Fault::Answer(answer.leak()));
    let before = proxy.requests();
    let (_, wrapped) = wrap(&*master);
    master.unwrap(&wrapped, KEYSTORE).unwrap();
    assert_eq!(proxy.requests(), before + 2);
    // Whoever gives them may be away meanwhile.
    proxy.makes(Fault::Closed);
    master.unwrap(&wrapped, KEYSTORE).unwrap();
}

#[test]
fn credentials_that_have_ended_for_aws_are_replaced_at_once_whatever_our_clock_says() {
    use test_support::fault_proxy::{Fault, Proxy};
    let moto = shared_moto();
    let (instance, kms) = (Proxy::plain(moto.port), Proxy::plain(moto.port));
    let environment = with(&bare(moto), "AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.url());
    let environment = with(&environment, "AWS_ENDPOINT_URL_KMS", &kms.url());
    let master = opened(&moto.create_key(), &environment, PATIENT);
    let (_, wrapped) = wrap(&*master);
    let for_credentials = instance.requests();
    kms.makes(Fault::AnswerOnce(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 68\r\n\r\n\
         {\"__type\":\"ExpiredTokenException\",\"message\":\"The token has expired\"}",
    ));
    master.unwrap(&wrapped, KEYSTORE).unwrap();
    assert_eq!(instance.requests(), 2 * for_credentials);
    assert_eq!(kms.requests(), 3);
}

fn wrap_with(
    moto: &Server,
    environment: &[(String, String)],
) -> Result<keyroll::master_key::Wrapped, keyroll::master_key::MasterKeyError> {
    let key = keyroll::secret::KeystoreKey::random().unwrap();
    opened(&moto.create_key(), environment, PATIENT).wrap(&key, KEYSTORE)
}

const NO_METHOD: &str = "HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const NO_TOKEN: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 38\r\n\r\n\
                        Service account token cannot be empty\n";

#[test]
fn an_instance_whose_answers_do_not_reach_a_container_or_that_knows_version_1_alone_is_told_so() {
    use test_support::fault_proxy::{Fault, Proxy};
    let moto = shared_moto();
    let proxy = Proxy::plain(moto.port);
    let environment = with(&bare(moto), "AWS_EC2_METADATA_SERVICE_ENDPOINT", &proxy.url());
    let instance = run_instance(moto);
    for (fault, words, option, value) in [
        (
            Fault::Hanging,
            "no token comes in time from the instance metadata service at ",
            "HttpPutResponseHopLimit",
            "2",
        ),
        (
            Fault::Answer(NO_METHOD),
            "no token of version 2 (status 405)",
            "HttpTokens",
            "\"required\"",
        ),
    ] {
        proxy.makes(fault);
        let error = refused(wrap_with(moto, &environment));
        assert!(
            error.to_string().contains("there are no AWS credentials: "),
            "{error}"
        );
        assert!(error.to_string().contains(words), "{error}");
        let hint = error.hint();
        aws(
            moto,
            &hint.split('`').nth(1).unwrap().replace("INSTANCE", &instance),
        );
        let options = aws(
            moto,
            &format!(
                "aws ec2 describe-instances --instance-ids {instance} --output json \
                 --query Reservations[0].Instances[0].MetadataOptions.{option}"
            ),
        );
        assert_eq!(options.trim(), value, "{option}");
    }
    proxy.makes(Fault::None);
    works(&*opened(&moto.create_key(), &environment, PATIENT));
}

fn run_instance(moto: &Server) -> String {
    let image = aws(
        moto,
        "aws ec2 describe-images --query Images[0].ImageId --output text",
    );
    let made = aws(
        moto,
        &format!(
            "aws ec2 run-instances --image-id {} --query Instances[0].InstanceId --output text",
            image.trim()
        ),
    );
    made.trim().to_owned()
}

/// What a command of `aws` says.
fn aws(moto: &Server, command: &str) -> String {
    let programs = installed("aws").parent().unwrap().display().to_string();
    let ran = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .envs(moto.environment())
        .env("AWS_DEFAULT_REGION", REGION)
        .env("PATH", format!("{programs}:/usr/bin:/bin"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command}: {said}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn pod_identity_without_its_token_is_named_as_the_cause() {
    use test_support::fault_proxy::{Fault, Proxy};
    let moto = shared_moto();
    let proxy = Proxy::plain(moto.port);
    let environment = with(&bare(moto), "AWS_CONTAINER_CREDENTIALS_FULL_URI", &proxy.url());
    proxy.makes(Fault::Answer(NO_TOKEN));
    let error = refused(wrap_with(moto, &environment));
    let said = error.to_string();
    assert!(
        said.contains(
            "HTTP status 400; no token was sent: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is not set"
        ),
        "{said}"
    );
    assert!(
        error.hint().contains("hand both variables of the container on"),
        "{}",
        error.hint()
    );
    // With a token it is another cause.
    let environment = with(&environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "t");
    let said = refused(wrap_with(moto, &environment)).to_string();
    assert!(
        said.contains("HTTP status 400") && !said.contains("no token was sent"),
        "{said}"
    );
}

#[test]
fn a_home_that_is_no_folder_hinders_nobody_whose_environment_says_all_and_is_told_where_it_may_matter() {
    let moto = shared_moto();
    let home = tempfile::NamedTempFile::new().unwrap();
    let home = home.path().to_str().unwrap();
    works(&*opened(
        &moto.create_key(),
        &with(&moto.environment(), "HOME", home),
        PATIENT,
    ));
    let environment = with(
        &with(&bare(moto), "HOME", home),
        "AWS_EC2_METADATA_DISABLED",
        "true",
    );
    let error = refused(wrap_with(moto, &environment)).to_string();
    assert!(
        error.contains("/.aws/config cannot be opened: Not a directory"),
        "{error}"
    );
}

#[test]
fn a_token_in_another_encoding_is_named_and_not_sent() {
    let moto = shared_moto();
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "\u{feff}Bearer x\r\n").unwrap();
    let url = format!(
        "{}/latest/meta-data/iam/security-credentials/default-role",
        moto.url()
    );
    let environment = with(&bare(moto), "AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    let environment = with(
        &environment,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        token.to_str().unwrap(),
    );
    let error = refused(wrap_with(moto, &environment));
    assert!(
        error
            .to_string()
            .contains("token: it begins with a byte order mark"),
        "{error}"
    );
    assert!(error.hint().starts_with("`f="), "{}", error.hint());
}
