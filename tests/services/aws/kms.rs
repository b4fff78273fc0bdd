//! Keys, aliases, rotation, what does not open, and what is said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll::master_key::{ProviderOptions, Wrapped, open};
use keyroll::notify::Notify;
use keyroll::service::aws::LOG_LEVEL;
use keyroll::settings::Settings;
use serde_json::json;

use super::support::{KEYSTORE, PATIENT, opened, options, refused, with, without, works, wrap};
use test_support::aws::{REGION, Server, shared_moto};

fn arn(key: &str) -> String {
    format!("arn:aws:kms:{REGION}:123456789012:key/{key}")
}

#[test]
fn a_key_is_named_by_its_id_its_arn_or_an_alias() {
    let moto = shared_moto();
    let key = moto.create_key();
    moto.point("alias/by-any-name", &key);
    for name in [
        &key,
        &arn(&key),
        "alias/by-any-name",
        "arn:aws:kms:us-east-1:123456789012:alias/by-any-name",
    ] {
        let master = opened(name, &moto.environment(), PATIENT);
        let (plain, wrapped) = wrap(&*master);
        assert_eq!(wrapped.key_version, arn(&key), "{name}");
        assert_eq!(
            master.unwrap(&wrapped, KEYSTORE).unwrap().expose(),
            plain.expose()
        );
        assert_eq!(master.describe(), format!("AWS KMS key {name}"));
    }
}

#[test]
fn after_an_alias_points_to_another_key_old_wraps_still_open_and_new_ones_are_of_the_other_key() {
    let moto = shared_moto();
    let (old_key, new_key) = (moto.create_key(), moto.create_key());
    moto.point("alias/moving", &old_key);
    let master = opened("alias/moving", &moto.environment(), PATIENT);
    let (plain, old) = wrap(&*master);
    moto.point("alias/moving", &new_key);
    master.rotate().unwrap();
    let (_, new) = wrap(&*master);
    assert_eq!(
        (old.key_version.clone(), new.key_version.clone()),
        (arn(&old_key), arn(&new_key))
    );
    for master in [&master, &opened("alias/moving", &moto.environment(), PATIENT)] {
        assert_eq!(master.unwrap(&old, KEYSTORE).unwrap().expose(), plain.expose());
        let swapped = Wrapped {
            key_version: old.key_version.clone(),
            ..new.clone()
        };
        assert!(refused(master.unwrap(&swapped, KEYSTORE)).is_wrong_key());
    }
}

#[test]
fn after_the_rotation_of_kms_itself_nothing_is_left_to_be_done() {
    let moto = shared_moto();
    let key = moto.create_key();
    let master = opened(&key, &moto.environment(), PATIENT);
    let (plain, old) = wrap(&*master);
    moto.kms("EnableKeyRotation", &json!({ "KeyId": key }));
    moto.kms("RotateKeyOnDemand", &json!({ "KeyId": key }));
    master.rotate().unwrap();
    works(&*master);
    assert_eq!(master.unwrap(&old, KEYSTORE).unwrap().expose(), plain.expose());
}

#[test]
fn another_key_is_refused_without_asking_kms() {
    let moto = shared_moto();
    let (_, wrapped) = wrap(&*opened(&moto.create_key(), &moto.environment(), PATIENT));
    let nobody = with(&moto.environment(), "AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let error = refused(opened(&moto.create_key(), &nobody, PATIENT).unwrap(&wrapped, KEYSTORE));
    assert!(error.is_wrong_key(), "{error}");
    assert!(error.to_string().contains(&wrapped.key_version), "{error}");
}

#[test]
fn signatures_and_policies_are_checked_and_refusals_in_xml_are_understood() {
    // The calls that set things up are not checked; the next one is.
    let moto = Server::moto(&[("INITIAL_NO_AUTH_ACTION_COUNT", "4")]);
    let key = moto.create_key();
    let good = moto.environment_of_user(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["kms:Encrypt"], "Resource": "*" }
    ] }));

    let (_, wrapped) = wrap(&*opened(&key, &good, PATIENT));
    let denied = refused(opened(&key, &good, PATIENT).unwrap(&wrapped, KEYSTORE));
    let message = denied.to_string();
    assert!(
        message.contains("KMS answered Decrypt with AccessDenied"),
        "{message}"
    );
    assert!(
        message.contains("user/keyroll is not authorized to perform: kms:Decrypt"),
        "{message}"
    );
    assert!(message.contains("request id "), "{message}");
    assert!(
        denied.hint().contains("kms:Encrypt and kms:Decrypt"),
        "{}",
        denied.hint()
    );
    assert!(!denied.is_wrong_key() && !denied.is_retryable());

    let bad = with(&good, "AWS_SECRET_ACCESS_KEY", "hunter2");
    let refusal = refused(opened(&key, &bad, PATIENT).unwrap(&wrapped, KEYSTORE));
    assert!(refusal.to_string().contains("SignatureDoesNotMatch"), "{refusal}");
    assert!(refusal.hint().contains("access key"), "{}", refusal.hint());
    let unknown = with(&good, "AWS_ACCESS_KEY_ID", "AKIAUNKNOWN");
    let refusal = refused(opened(&key, &unknown, PATIENT).unwrap(&wrapped, KEYSTORE));
    assert!(refusal.to_string().contains("InvalidClientTokenId"), "{refusal}");
}

#[test]
fn a_disabled_key_and_one_that_is_to_be_deleted_are_told_apart_and_keys_outlive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let first = Server::ministack(state.path());
    let key = first.create_key();
    let (plain, wrapped) = wrap(&*opened(&key, &first.environment(), PATIENT));
    drop(first);

    let server = Server::ministack(state.path());
    let master = opened(&key, &server.environment(), PATIENT);
    assert_eq!(
        master.unwrap(&wrapped, KEYSTORE).unwrap().expose(),
        plain.expose()
    );

    server.kms("DisableKey", &json!({ "KeyId": key }));
    let disabled = refused(master.unwrap(&wrapped, KEYSTORE));
    assert!(disabled.to_string().contains("DisabledException"), "{disabled}");
    assert!(disabled.hint().contains("enable-key"), "{}", disabled.hint());

    server.kms("EnableKey", &json!({ "KeyId": key }));
    server.kms(
        "ScheduleKeyDeletion",
        &json!({ "KeyId": key, "PendingWindowInDays": 7 }),
    );
    let doomed = refused(master.unwrap(&wrapped, KEYSTORE));
    assert!(
        doomed.to_string().contains("KMSInvalidStateException"),
        "{doomed}"
    );
    assert!(doomed.hint().contains("cancel-key-deletion"), "{}", doomed.hint());

    let missing = refused(
        opened("alias/nowhere", &server.environment(), PATIENT)
            .wrap(&keyroll::secret::KeystoreKey::random().unwrap(), KEYSTORE),
    );
    assert!(missing.to_string().contains("NotFoundException"), "{missing}");
}

#[test]
fn requests_are_told_as_the_log_level_says() {
    let moto = shared_moto();
    let key = moto.create_key();
    for (level, told) in [
        ("", 0),
        ("Off", 0),
        ("Error", 0),
        ("Warn", 0),
        ("Info", 2),
        ("trace", 2),
    ] {
        let environment = with(&moto.environment(), LOG_LEVEL, level);
        let messages = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&messages);
        let mut options = options(&environment, PATIENT);
        options.notify = Notify::new(move |line| lines.lock().unwrap().push(line.into()));
        works(&*open(&format!("aws-kms:{key}"), &options).unwrap());
        let messages = messages.lock().unwrap();
        assert_eq!(messages.len(), told, "{level}: {messages:?}");
        assert!(
            messages.iter().all(|message| message.contains("request id")),
            "{messages:?}"
        );
    }
}

#[test]
fn settings_go_before_the_environment() {
    let moto = shared_moto();
    let key = moto.create_key();
    let wrong = with(
        &without(&moto.environment(), &["AWS_REGION"]),
        "AWS_ENDPOINT_URL",
        "http://127.0.0.1:1",
    );
    let mut environment = wrong.iter().map(|(n, v)| (n.into(), v.into())).collect();
    let settings = Settings {
        region: REGION.into(),
        endpoint_url: moto.url().into(),
        ..Settings::default()
    };
    settings.put_kms_into(&mut environment);
    let options = ProviderOptions::new(Duration::from_secs(10), environment);
    works(&*open(&format!("aws-kms:{key}"), &options).unwrap());
}
