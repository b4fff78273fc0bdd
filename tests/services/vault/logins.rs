//! Each way to a token, and what happens at its end.

use std::thread::sleep;
use std::time::Duration;

use keyroll::durable::SecretSource;
use keyroll::net::ClientCertificate;
use keyroll::service::vault::Login;
use keyroll::store::KeyStore;
use keyroll::store::vault_kv::{VaultKv, VaultKvConfig};
use serde_json::{Value, json};

use test_support::openbao::Bao;
use test_support::vault_kv::*;

fn mount_with_key(bao: &Bao) -> String {
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    bao.must(
        "PUT",
        &format!("sys/policies/acl/{mount}"),
        &json!({"policy": reading(&mount)}),
    );
    mount
}

fn secret(text: &str) -> SecretSource {
    SecretSource::value(text.as_bytes())
}

fn refused(store: &VaultKv, words: &str) {
    let error = store.load().unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_token_is_taken_from_a_setting_or_a_file_that_is_read_anew() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    refused(&store_with(bao, &mount, None), "keyroll-token is not set");
    refused(
        &store_with(bao, &mount, token("s.nonsense")),
        "does not take the token",
    );
    let first = bao.token(&reading(&mount), &json!({}));
    let path = secret_file(bao, &mount, &format!("{first}\n"));
    let store = store_with(bao, &mount, Some(Login::Token(SecretSource::File(path.clone()))));
    store.load().unwrap();
    bao.must("POST", "auth/token/revoke", &json!({ "token": first }));
    refused(&store, "it has expired or was revoked");
    std::fs::write(&path, bao.token(&reading(&mount), &json!({}))).unwrap();
    store.load().unwrap();
    std::fs::remove_file(&path).unwrap();
    store.load().unwrap();
}

#[test]
fn a_token_file_that_others_may_read_is_warned_about_at_every_load_or_refused() {
    use std::os::unix::fs::PermissionsExt;
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let path = secret_file(
        bao,
        &format!("{mount}-loose"),
        &bao.token(&reading(&mount), &json!({})),
    );
    let store = |strict_permissions| {
        let login = Some(Login::Token(SecretSource::File(path.clone())));
        let url = bao.url(&format!("v1/{mount}"));
        VaultKv::new(VaultKvConfig {
            strict_permissions,
            ..config(&url, access(bao, login))
        })
        .unwrap()
    };
    let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o644);
    let words = format!("others may read or change {}: its mode is 0644", path.display());
    let lax = store(false);
    for _ in 0..2 {
        let warnings = lax.load().unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].to_string().starts_with(&words), "{}", warnings[0]);
    }
    refused(&store(true), &words);
    set_mode(0o600);
    assert!(store(true).load().unwrap().warnings.is_empty());
}

#[test]
fn a_valid_token_without_the_right_is_told_from_one_that_is_not_valid() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let powerless = bao.token("path \"nothing\" { capabilities = [\"read\"] }", &json!({}));
    let store = store_with(bao, &mount, token(&powerless));
    let error = load_with(&store, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("does not allow {mount}/data/1")),
        "{error}"
    );
    let least = format!("path \"{mount}/data/*\" {{ capabilities = [\"read\"");
    assert!(error.hint().contains(&least), "{}", error.hint());
}

#[test]
fn a_token_is_renewed_before_its_end() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let short = bao.token(&reading(&mount), &json!({"ttl": "3s", "period": "3s"}));
    let store = store_with(bao, &mount, token(&short));
    let ring = ring(&store.load().unwrap());
    let mut source = store.change_source().unwrap();
    for _ in 0..6 {
        let interval = source.interval();
        assert!(interval <= Duration::from_secs(3), "{interval:?}");
        sleep(interval.min(Duration::from_millis(1100)));
        source.refresh(&ring, &Default::default()).unwrap();
    }
}

#[test]
fn an_app_role_logs_in_and_logs_in_anew_when_its_token_ends() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let method = format!("approle-{mount}");
    bao.must("POST", &format!("sys/auth/{method}"), &json!({"type": "approle"}));
    bao.must(
        "POST",
        &format!("auth/{method}/role/keyroll"),
        &json!({"token_policies": [mount], "token_ttl": "2s", "token_max_ttl": "4s"}),
    );
    let role = bao.must(
        "GET",
        &format!("auth/{method}/role/keyroll/role-id"),
        &Value::Null,
    );
    let secret_id = bao.must(
        "POST",
        &format!("auth/{method}/role/keyroll/secret-id"),
        &json!({}),
    );
    let login = |secret_id: &str| Login::AppRole {
        mount: method.clone(),
        role_id: role["data"]["role_id"].as_str().unwrap().into(),
        secret_id: secret(secret_id),
    };
    let store = store_with(
        bao,
        &mount,
        Some(login(secret_id["data"]["secret_id"].as_str().unwrap())),
    );
    let ring = ring(&store.load().unwrap());
    let mut source = store.change_source().unwrap();
    for _ in 0..7 {
        sleep(Duration::from_secs(1));
        source.refresh(&ring, &Default::default()).unwrap();
    }
    sleep(Duration::from_secs(5));
    store.load().unwrap();
    let wrong = store_with(bao, &mount, Some(login("wrong")));
    refused(
        &wrong,
        &format!("refused the AppRole login at auth/{method}/login (status 400)"),
    );
}

#[test]
fn a_client_certificate_logs_in() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let method = format!("cert-{mount}");
    bao.must("POST", &format!("sys/auth/{method}"), &json!({"type": "cert"}));
    let ca = std::fs::read_to_string(bao.path("ca.pem")).unwrap();
    bao.must(
        "POST",
        &format!("auth/{method}/certs/keyroll"),
        &json!({"certificate": ca, "token_policies": [mount]}),
    );
    let login = Login::Certificate {
        mount: method.clone(),
        name: "keyroll".into(),
    };
    let mut access = access(bao, Some(login.clone()));
    let url = bao.url(&format!("v1/{mount}"));
    refused(
        &VaultKv::new(config(&url, access.clone())).unwrap(),
        "refused the certificate login",
    );
    access.tls.client_certificate = Some(ClientCertificate {
        certificate: bao.path("client.pem"),
        key: bao.path("client.key"),
    });
    VaultKv::new(config(&url, access)).unwrap().load().unwrap();
}

#[test]
fn a_json_web_token_logs_in() {
    let bao = Bao::shared();
    let mount = mount_with_key(bao);
    let method = format!("jwt-{mount}");
    bao.must("POST", &format!("sys/auth/{method}"), &json!({"type": "jwt"}));
    let key = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    let public = String::from_utf8(key.public_key_to_pem().unwrap()).unwrap();
    bao.must(
        "POST",
        &format!("auth/{method}/config"),
        &json!({"jwt_validation_pubkeys": [public]}),
    );
    bao.must(
        "POST",
        &format!("auth/{method}/role/keyroll"),
        &json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["keyroll"], "token_policies": [mount]}),
    );
    let encode = openssl::base64::encode_block;
    let url_safe = |bytes: &[u8]| encode(bytes).replace('+', "-").replace('/', "_").replace('=', "");
    let expires = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 600;
    let claims = json!({"sub": "mariadb", "aud": "keyroll", "exp": expires, "iat": expires - 1200, "nbf": expires - 1200});
    let signed = [json!({"alg": "RS256", "typ": "JWT"}), claims]
        .map(|part| url_safe(part.to_string().as_bytes()))
        .join(".");
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
    signer.update(signed.as_bytes()).unwrap();
    let jwt = format!("{signed}.{}", url_safe(&signer.sign_to_vec().unwrap()));
    let login = |jwt: &str| {
        Some(Login::Jwt {
            mount: method.clone(),
            role: "keyroll".into(),
            jwt: SecretSource::File(secret_file(bao, &format!("{mount}.jwt"), jwt)),
        })
    };
    let answer = bao.ask(
        "POST",
        &format!("auth/{method}/login"),
        &json!({"role": "keyroll", "jwt": jwt}),
    );
    assert_eq!(answer.0, 200, "{answer:?}");
    store_with(bao, &mount, login(&jwt)).load().unwrap();
    refused(
        &store_with(bao, &mount, login(&jwt[..jwt.len() - 9])),
        "refused the JWT login",
    );
}

#[test]
fn a_namespace_has_secrets_of_its_own() {
    let bao = Bao::shared();
    bao.must("POST", "sys/namespaces/tenant", &json!({}));
    bao.must(
        "POST",
        "tenant/sys/mounts/keys",
        &json!({"type": "kv", "options": {"version": "2"}}),
    );
    sleep(Duration::from_secs(1));
    bao.put("tenant/keys", 1, KEY);
    let mut access = access(bao, token(&bao.root_token));
    access.namespace = "tenant".into();
    let store = VaultKv::new(config(&bao.url("v1/keys"), access.clone())).unwrap();
    assert_eq!(names(&store.load().unwrap().keys), [(1, 1)]);
    access.namespace = "another".into();
    VaultKv::new(config(&bao.url("v1/keys"), access))
        .unwrap()
        .load()
        .unwrap_err();
}
