//! Commands that a running server names.

use std::fs;

use keyroll::plugin::PluginError;
use keyroll::settings::SettingsError;

use super::key_files::Row;
use super::site::{ONE, Site, TWO, keys_of};
use super::tried::Tried;

pub(crate) const ROWS: &[Row] = &[
    ("two key stores in my.cnf", several_stores),
    (
        "keys saved under a master key that no statement may name",
        save_under,
    ),
];

fn several_stores(site: &Site, tried: &mut Tried) {
    site.write("store/keys", &format!("{ONE}{TWO}"));
    let before = keys_of(&site.key_file());
    let both = [
        site.option("keyroll_filename", "store/keys"),
        site.option("keyroll_keystore", "store/keystore"),
    ];
    site.my_cnf(&both);
    let set = vec!["keyroll_filename", "keyroll_keystore"];
    let hint = tried.plugin(&SettingsError::SeveralStores { set }.into());
    site.my_cnf(&both[..1]);
    let (keystore, master) = (site.word("store/keystore"), site.uri_word("apart/master"));
    tried.must(site, &hint, 0, &[("PATH", &keystore), ("URI", &master)]);
    assert_eq!(keys_of(&site.keystore()), before);
}

fn save_under(site: &Site, tried: &mut Tried) {
    let all = site.make_keystore();
    let hint = tried.plugin(&PluginError::SaveUnder {
        uri: "exec:/bin/keys".into(),
    });
    tried.must(site, &hint, 0, &[("URI", &site.uri_word("apart/another"))]);
    assert_eq!(keys_of(&site.keystore_at("store/keystore", "apart/another")), all);
    // The one before opens it no more, nor is there a copy that it would open.
    assert!(!fs::exists(site.path("store/keystore.previous")).unwrap());
}
