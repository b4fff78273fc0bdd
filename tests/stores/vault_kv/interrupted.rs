//! A rotation that ends anywhere: what is in Vault then are whole versions, none is lost, and the error says which are new.

use keyroll::keys::NewVersions;
use keyroll::store::{KeyStore, Rotate};
use serde_json::json;

use test_support::openbao::Bao;
use test_support::vault_kv::*;

#[test]
fn a_rotation_that_ends_at_any_request_loses_nothing_and_tells_what_it_wrote() {
    let bao = Bao::shared();
    let mount = bao.kv();
    let rights = format!(
        r#"
path "{mount}/metadata/*" {{ capabilities = ["list", "read"] }}
path "{mount}/data/*" {{ capabilities = ["read", "create", "update"] }}
path "{mount}/config" {{ capabilities = ["read"] }}
"#
    );
    let (mut tries, mut half_made) = (0, Vec::new());
    for uses in 1.. {
        bao.put(&mount, format!("f{uses}/1"), KEY);
        bao.put(&mount, format!("f{uses}/2"), LONG_KEY);
        let folder = format!("{mount}/f{uses}");
        let all = store(bao, &folder);
        let before = ring(&all.load().unwrap());
        // Vault itself ends the token at the request after these: a real refusal, at each request in turn.
        let short_lived = bao.token(&rights, &json!({"num_uses": uses}));
        let result = store_with(bao, &folder, token(&short_lived)).rotate_keys(
            Rotate::All,
            NewVersions::DEFAULT,
            Some(&before),
        );
        let after = all.load().unwrap().keys;
        let new: Vec<(u32, u32)> = names(&after).into_iter().filter(|name| name.1 > 1).collect();
        before.check_successor(&after).unwrap();
        let Err(error) = result else {
            assert_eq!(new, [(1, 2), (1, 3), (2, 2), (2, 3)]);
            break;
        };
        tries += 1;
        let (text, hint) = (error.to_string(), error.hint());
        assert!(!format!("{text}{hint}{error:?}").contains(&short_lived), "{text}");
        assert!(
            text.ends_with("does not take the token: it has expired or was revoked"),
            "{text}"
        );
        assert_eq!(new, [(1, 2), (1, 3), (2, 2), (2, 3)][..new.len()]);
        if !new.is_empty() {
            let list: Vec<String> = new
                .iter()
                .map(|(id, version)| format!("version {version} of key {id}"))
                .collect();
            let told = format!(
                "{} of 4 new versions were written ({}), then: ",
                new.len(),
                list.join(", ")
            );
            assert!(text.starts_with(&told), "{text}");
            let helps = match new.len() {
                4 => "takes them up when it is mended",
                _ => "rotate again when it is mended",
            };
            assert!(hint.contains(helps), "{hint}");
            half_made.push(new.len());
        }
        // Mended, it goes on from there.
        let rotated = all
            .rotate_keys(Rotate::All, NewVersions::DEFAULT, Some(&before))
            .unwrap();
        before.check_successor(&rotated.keys).unwrap();
    }
    half_made.dedup();
    assert_eq!(half_made, [1, 2, 3, 4], "of {tries} tries");
}

#[test]
fn nothing_is_written_where_one_of_the_keys_cannot_be_rotated() {
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, KEY);
    keep_versions(bao, &mount, 2, 2);
    bao.put(&mount, 2, KEY);
    let store = store(bao, &mount);
    let error = store
        .rotate_keys(Rotate::All, NewVersions::DEFAULT, None)
        .unwrap_err();
    assert!(
        error.to_string().contains("would remove version 1 of key 2"),
        "{error}"
    );
    assert_eq!(names(&store.load().unwrap().keys), [(1, 1), (2, 1)]);
}
