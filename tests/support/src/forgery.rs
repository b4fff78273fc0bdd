//! A keystore's text in the hands of someone who can change anything in it.

use std::fs;
use std::path::Path;

use keyroll::crypto::wrap::sha256;
use keyroll::store::keystore::derived_keys::DerivedKeys;
use serde_json::{Value, json};

/// The members of all records, in the order in which keyroll writes those of each.
const ORDER: [&str; 13] = [
    "uuid",
    "generation",
    "id",
    "version",
    "algorithm",
    "bits",
    "provider",
    "key_version",
    "created",
    "nonce",
    "wrapped",
    "wrapped_at",
    "key_check",
];

/// A keystore as one JSON value: the members of its own record, `version`, `master_key`, `keys` and `mac`.
pub struct Forgery(pub Value);

impl Forgery {
    pub fn of(path: &Path) -> Forgery {
        let text = fs::read_to_string(path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.pop().unwrap().strip_prefix("checksum ").unwrap();
        let mac = lines.pop().unwrap().strip_prefix("mac ").unwrap();
        let version: u64 = lines[0]
            .strip_prefix("keyroll keystore ")
            .unwrap()
            .parse()
            .unwrap();
        let record = |line: &&str| -> Value { serde_json::from_str(line).unwrap() };
        let mut whole = record(&lines[1]);
        whole["version"] = json!(version);
        whole["master_key"] = record(&lines[2]);
        whole["keys"] = lines[3..].iter().map(record).collect();
        whole["mac"] = json!(mac);
        let forgery = Forgery(whole);
        assert_eq!(forgery.text(), text.as_bytes(), "nothing is changed yet");
        forgery
    }

    /// A member by its path: names, and numbers of elements.
    pub fn at(&mut self, path: &[&str]) -> &mut Value {
        let pointer: String = path.iter().map(|step| format!("/{step}")).collect();
        self.0.pointer_mut(&pointer).unwrap()
    }

    /// With a checksum that is right.
    pub fn text(&self) -> Vec<u8> {
        let mac = self.0["mac"].as_str().unwrap();
        with_checksum(format!("{}mac {mac}\n", self.signed()))
    }

    /// Signed, as only someone with the keystore key can.
    pub fn signed_text(&self, keys: &DerivedKeys) -> Vec<u8> {
        let signed = self.signed();
        let mac = hex::encode(keys.mac().sign(signed.as_bytes()));
        with_checksum(format!("{signed}mac {mac}\n"))
    }

    fn signed(&self) -> String {
        let mut own = self.0.as_object().unwrap().clone();
        let mut take = |name| own.remove(name).unwrap();
        let (version, master_key, keys) = (take("version"), take("master_key"), take("keys"));
        take("mac");
        let (own, records) = (Value::Object(own), keys.as_array().unwrap());
        let lines = [&own, &master_key].into_iter().chain(records);
        let lines: String = lines.map(line).collect();
        format!("keyroll keystore {version}\n{lines}")
    }
}

/// The text with the checksum that it must have behind it.
pub fn with_checksum(text: String) -> Vec<u8> {
    let checksum = hex::encode(sha256(text.as_bytes()));
    format!("{text}checksum {checksum}\n").into_bytes()
}

/// A record as keyroll writes it.
fn line(record: &Value) -> String {
    let Value::Object(members) = record else {
        return format!("{record}\n");
    };
    let place = |name: &String| {
        ORDER
            .iter()
            .position(|known| known == name)
            .unwrap_or(ORDER.len())
    };
    let mut names: Vec<&String> = members.keys().collect();
    names.sort_by_key(|name| place(name));
    let members: Vec<String> = names
        .into_iter()
        .map(|name| format!("{}:{}", json!(name), members[name]))
        .collect();
    format!("{{{}}}\n", members.join(","))
}
