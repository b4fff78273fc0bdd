//! KMS and STS by a proxy of the environment, metadata services never.

use super::support::{PATIENT, opened, refused, with, without, works};
use test_support::aws::shared_moto;
use test_support::fault_proxy::Proxy;
use test_support::forward_proxy::{ForwardProxy, Manner};

const ROLE: &str = "arn:aws:iam::123456789012:role/keyroll";

#[test]
fn kms_and_sts_are_asked_by_the_proxy_and_the_instance_is_not() {
    let moto = shared_moto();
    let front = Proxy::tls_of("aws.test", moto.port);
    let proxy = ForwardProxy::start(Manner::Leads, &[("aws.test:443", front.port)]);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.").unwrap();
    let key = moto.create_key();
    let environment = with(&moto.environment(), "AWS_ENDPOINT_URL", "https://aws.test");
    let environment = with(&environment, "AWS_CA_BUNDLE", front.ca().to_str().unwrap());
    let environment = with(&environment, "https_proxy", &proxy.url(""));
    works(&*opened(&key, &environment, PATIENT));
    assert_eq!(proxy.asked(), ["CONNECT aws.test:443 HTTP/1.1"]);
    // The credentials of a role: STS and KMS by one tunnel.
    let bare = without(&environment, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let role = with(&bare, "AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap());
    works(&*opened(&key, &with(&role, "AWS_ROLE_ARN", ROLE), PATIENT));
    assert_eq!(proxy.asked().len(), 2);
    // Those of an instance come without any proxy, here from this machine.
    let instance = with(&bare, "AWS_EC2_METADATA_SERVICE_ENDPOINT", &moto.url());
    works(&*opened(
        &key,
        &with(&instance, "http_proxy", &proxy.url("")),
        PATIENT,
    ));
    assert_eq!(proxy.asked(), ["CONNECT aws.test:443 HTTP/1.1"; 3]);
    // A metadata service elsewhere is not asked by it either: nobody answers there.
    let elsewhere = with(&bare, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://192.0.2.1");
    let error = refused(
        opened(&key, &with(&elsewhere, "http_proxy", &proxy.url("")), PATIENT)
            .wrap(&keyroll::secret::KeystoreKey::random().unwrap(), "k"),
    );
    assert!(
        error.to_string().contains("no instance metadata service answers"),
        "{error}"
    );
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn a_proxy_that_lets_nobody_to_kms_is_named() {
    let moto = shared_moto();
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let proxy = ForwardProxy::start(Manner::Answers(refusal), &[]);
    let environment = with(&moto.environment(), "AWS_ENDPOINT_URL", "https://aws.test");
    let environment = with(&environment, "https_proxy", &proxy.url("u:hunter2@"));
    let master = opened(&moto.create_key(), &environment, PATIENT);
    let error = refused(master.wrap(&keyroll::secret::KeystoreKey::random().unwrap(), "k"));
    let named = format!(
        "the proxy 127.0.0.1:{} of https_proxy does not lead to aws.test",
        proxy.port
    );
    assert!(error.to_string().contains(&named), "{error}");
    assert!(error.hint().contains("no_proxy"), "{}", error.hint());
    let direct = with(&environment, "no_proxy", ".test");
    assert!(
        !format!(
            "{}",
            refused(
                opened("alias/x", &direct, PATIENT)
                    .wrap(&keyroll::secret::KeystoreKey::random().unwrap(), "k")
            )
        )
        .contains("proxy")
    );
}
