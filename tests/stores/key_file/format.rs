//! The text of a key file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use keyroll::durable::OddText;
use keyroll::keys::{KeyName, KeySet, LAST_VERSION};
use keyroll::secret::{DataKey, SecretBytes};
use keyroll::store::key_file::format::{KeyText, ParseError, render};
use proptest::prelude::*;

use test_support::programs::plain_keys;

#[path = "../../../fuzz/checks/key_file.rs"]
mod fuzz_check;

const KEY: &str = "00112233445566778899aabbccddeeff";

fn parse(text: impl AsRef<[u8]>) -> Result<KeyText, ParseError> {
    KeyText::parse(SecretBytes::new(text.as_ref().to_vec()))
}

fn names(text: impl AsRef<[u8]>) -> Vec<(u32, u32)> {
    plain_keys(&parse(text).unwrap().keys).into_keys().collect()
}

fn message(text: impl AsRef<[u8]>) -> String {
    parse(text).unwrap_err().at(Path::new("F"))
}

#[test]
fn a_line_without_a_version_is_version_1() {
    assert_eq!(names(format!("1;{KEY}\n2;9;{KEY}")), [(1, 1), (2, 9)]);
    assert_eq!(
        names(format!("1;1;{KEY}\n4294967295;4294967294;{KEY}")),
        [(1, 1), (u32::MAX, LAST_VERSION)]
    );
    assert_eq!(names(format!("0001;0000000003;{KEY}")), [(1, 3)]);
}

#[test]
fn keys_of_digits_alone_are_keys_and_not_versions() {
    let digits = "12345678".repeat(4);
    let text = parse(format!("1;{digits};whatever")).unwrap();
    assert_eq!(plain_keys(&text.keys)[&(1, 1)], hex::decode(digits).unwrap());
}

#[test]
fn blanks_comments_and_what_follows_a_key_are_ignored() {
    let text = format!(
        "\n# 1;x\n \t\u{b}\u{c}\r\n  # 0;\n \t1;{KEY} # first;\r\n\r\n2;{KEY};{KEY}\n3;{KEY} f\n4;{KEY}zz"
    );
    assert_eq!(names(text), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}

#[test]
fn keys_have_16_24_or_32_bytes_and_no_digit_more() {
    for pairs in 0..=40 {
        let text = format!("1;{}", "aB".repeat(pairs));
        match parse(&text) {
            Ok(found) => {
                assert!([16, 24, 32].contains(&pairs), "{pairs}");
                assert_eq!(plain_keys(&found.keys)[&(1, 1)], vec![0xAB; pairs]);
            }
            Err(_) => {
                assert!(![16, 24, 32].contains(&pairs), "{pairs}");
                assert_eq!(
                    message(&text),
                    format!("Invalid key at F line 1, column {}", 3 + 2 * pairs.min(32))
                );
            }
        }
    }
}

#[test]
fn errors_have_the_words_and_the_place_of_the_server() {
    for (text, wanted) in [
        ("", "System key id 1 is missing at F line 0, column 1"),
        ("\n\n# none\n", "System key id 1 is missing at F line 3, column 1"),
        ("2;KEY\n3;KEY", "System key id 1 is missing at F line 2, column 1"),
        ("1;KEY\nx;KEY", "Syntax error at F line 2, column 1"),
        ("  -1;KEY", "Syntax error at F line 1, column 3"),
        ("1 ;KEY", "Syntax error at F line 1, column 2"),
        ("12", "Syntax error at F line 1, column 3"),
        ("12\n", "Syntax error at F line 1, column 3"),
        ("0;KEY", "Invalid key id at F line 1, column 2"),
        ("000;KEY", "Invalid key id at F line 1, column 4"),
        ("4294967296;KEY", "Invalid key id at F line 1, column 10"),
        ("99999999999;KEY", "Invalid key id at F line 1, column 10"),
        ("1;0;KEY", "Invalid key version at F line 1, column 4"),
        ("1;4294967295;KEY", "Invalid key version at F line 1, column 12"),
        ("1;9999999999;KEY", "Invalid key version at F line 1, column 12"),
        // Eleven digits are no version, and too few for a key.
        ("1;00000000001;KEY", "Invalid key at F line 1, column 13"),
        ("1;", "Invalid key at F line 1, column 3"),
        ("1; KEY", "Invalid key at F line 1, column 3"),
        ("1;2; KEY", "Invalid key at F line 1, column 5"),
        ("1;2;", "Invalid key at F line 1, column 5"),
        ("1;2;3;KEY", "Invalid key at F line 1, column 5"),
        ("1;abc;KEY", "Invalid key at F line 1, column 5"),
        ("1;KEYa", "Invalid key at F line 1, column 35"),
        ("1;3;KEYa;", "Invalid key at F line 1, column 37"),
        ("1;KEY\n2;abcd\r\n", "Invalid key at F line 2, column 7"),
        ("\u{feff}1;KEY", "Syntax error at F line 1, column 1"),
        ("Salted__", "Syntax error at F line 1, column 1"),
    ] {
        assert_eq!(message(text.replace("KEY", KEY)), wanted, "{text:?}");
    }
}

#[test]
fn a_nul_is_a_syntax_error_wherever_it_stands() {
    for text in [
        "\0",
        "1;KEY\0",
        "1;KEY # \0 x",
        "1\0;KEY",
        "1;\0KEY",
        "1;ab\0",
        "#\0",
        " \0",
    ] {
        let text = text.replace("KEY", KEY);
        let at = text.find('\0').unwrap() + 1;
        assert_eq!(
            message(format!("\n{text}\n1;{KEY}\n")),
            format!("Syntax error at F line 2, column {at}")
        );
    }
    assert_eq!(
        message("0;\0x"),
        "Invalid key id at F line 1, column 2",
        "the first fault of a line is told"
    );
}

#[test]
fn zero_bytes_and_white_space_behind_the_text_are_no_part_of_it() {
    for behind in ["\0", "\n\0\0\0", "\0\n", " # x\0 \0\r\n", "\0\t\0"] {
        assert_eq!(
            names(format!("1;{KEY}\n2;{KEY}{behind}")),
            [(1, 1), (2, 1)],
            "{behind:?}"
        );
    }
    assert_eq!(
        message("\0\0"),
        "System key id 1 is missing at F line 0, column 1"
    );
    // New lines come before them.
    assert_eq!(inserted("1;KEY\0\0", 1, 2), "1;KEY\n1;2;NEW\n\0\0");
    assert_eq!(
        inserted("1;KEY\r\n2;KEY\0\n", 2, 2),
        "1;KEY\r\n2;KEY\r\n2;2;NEW\r\n\0\n"
    );
}

#[test]
fn a_key_behind_a_key_is_a_remark_and_is_found() {
    let hidden = |text: &str| {
        let hidden = parse(text.replace("KEY", KEY)).unwrap().hidden;
        hidden.map(|hidden| (hidden.line, hidden.column, hidden.behind_carriage_return))
    };
    for (text, place) in [
        ("1;KEY\n2;KEY 3;KEY\n", Some((2, 36, false))),
        ("1;KEY\r2;KEY\r3;KEY\r", Some((1, 36, true))),
        ("1;KEY;2;5;KEY", Some((1, 36, false))),
        ("1;KEY,\t2;KEY\n3;KEY 4;KEY\n", Some((1, 37, false))),
        ("1;KEY # 2;KEY", None),
        ("1;KEY;KEY", None),
        ("1;KEY see 2;KEY", None),
        ("1;KEY 2;00", None),
        ("1;KEY\r\n2;KEY\r\n", None),
        ("1;KEY\r", None),
        ("# 1;KEY\r2;KEY\n1;KEY", None),
    ] {
        assert_eq!(hidden(text), place, "{text:?}");
    }
}

#[test]
fn what_is_odd_about_a_text_comes_with_its_error() {
    let odd = |text: &[u8]| parse(text).unwrap_err().odd;
    for (text, wanted) in [
        (&b"\xEF\xBB\xBF1;00"[..], Some(OddText::ByteOrderMark)),
        (b"\xFF\xFE1\0;\0", Some(OddText::Utf16("UTF-16"))),
        (b"1\0;\0", Some(OddText::Utf16("UTF-16LE"))),
        (b"\x001\0;", Some(OddText::Utf16("UTF-16BE"))),
        (b"#\n\x1A", Some(OddText::CtrlZ)),
        (b"1;\0x", Some(OddText::Nul)),
        (
            b"# keys\r1;00112233445566778899aabbccddeeff\r",
            Some(OddText::CarriageReturns),
        ),
        (b"U2FsdGVkX19", Some(OddText::OpensslBase64)),
        (b"0;00", None),
        (b"", None),
    ] {
        assert_eq!(odd(text), wanted, "{}", text.escape_ascii());
    }
}

#[test]
fn a_version_may_be_repeated_with_the_same_bytes_and_no_others() {
    assert_eq!(names(format!("1;{KEY}\n1;1;{KEY}\n1;{KEY}")), [(1, 1)]);
    let other = KEY.replace('0', "1");
    assert_eq!(
        message(format!("1;{KEY}\n\n1;{KEY}\n1;1;{other}\n")),
        "Another key for version 1 of key 1 at F line 4, column 5 than at F line 1"
    );
}

fn inserted(text: &str, id: u32, version: u32) -> String {
    let new = [(KeyName { id, version }, DataKey::new(&[0xEE; 16]).unwrap())];
    let text = text.replace("KEY", KEY);
    let changed = parse(text).unwrap().with_new_versions(&new);
    let changed = String::from_utf8(changed.expose().to_vec()).unwrap();
    changed.replace(KEY, "KEY").replace(&"ee".repeat(16), "NEW")
}

#[test]
fn a_new_line_stands_after_the_last_of_its_key_and_ends_as_that_one() {
    for (before, after) in [
        ("1;KEY\n2;KEY\n", "1;KEY\n1;2;NEW\n2;KEY\n"),
        (
            "1;KEY\n2;KEY\n1;9;KEY # x\n#\n",
            "1;KEY\n2;KEY\n1;9;KEY # x\n1;2;NEW\n#\n",
        ),
        ("1;KEY", "1;KEY\n1;2;NEW\n"),
        ("2;KEY\r\n1;KEY", "2;KEY\r\n1;KEY\r\n1;2;NEW\r\n"),
        ("1;KEY\r\n2;KEY\n", "1;KEY\r\n1;2;NEW\r\n2;KEY\n"),
        ("2;KEY\r\n1;KEY\n", "2;KEY\r\n1;KEY\n1;2;NEW\n"),
        ("  1;KEY\n\n", "  1;KEY\n1;2;NEW\n\n"),
    ] {
        assert_eq!(inserted(before, 1, 2), after);
    }
}

#[test]
fn the_seed_corpus_passes_the_fuzz_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/key_file");
    let mut files = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        fuzz_check::check(&fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files >= 10, "{files}");
}

/// Any keys that a file can hold, key 1 among them.
fn any_keys() -> impl Strategy<Value = BTreeMap<(u32, u32), Vec<u8>>> {
    let key = prop::sample::select(vec![16usize, 24, 32])
        .prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    let id = prop_oneof![1..5u32, 1..=u32::MAX];
    let version = prop_oneof![1..5u32, 1..=LAST_VERSION];
    (
        prop::collection::btree_map((id, version.clone()), key.clone(), 0..20),
        version,
        key,
    )
        .prop_map(|(mut keys, version, key)| {
            keys.insert((1, version), key);
            keys
        })
}

fn key_set(keys: &BTreeMap<(u32, u32), Vec<u8>>) -> KeySet {
    let mut set = KeySet::default();
    for (&(id, version), key) in keys {
        set.insert(KeyName { id, version }, DataKey::new(key).unwrap());
    }
    set
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail_with_a_place(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_check::check(&bytes);
    }

    #[test]
    fn any_lines_like_those_of_a_key_file_parse_or_fail_with_a_place(
        first in r"(1;[0-9a-f]{32}\n)?",
        lines in r"((\s|#.{0,5}|[0-9]{0,11};([0-9]{0,11};)?([0-9a-fA-F]{31,33})?.{0,3}){0,3}\r?\n?){0,6}",
    ) {
        fuzz_check::check((first + &lines).as_bytes());
    }

    #[test]
    fn what_is_rendered_parses_to_the_same_keys(keys in any_keys()) {
        let text = render("# header\n", &key_set(&keys));
        prop_assert_eq!(plain_keys(&parse(text.expose()).unwrap().keys), keys);
    }

    #[test]
    fn new_versions_change_no_other_byte(keys in any_keys(), line_end in "\r?\n", cut in any::<bool>()) {
        let text = String::from_utf8(render("# header\n", &key_set(&keys)).expose().to_vec()).unwrap();
        let text = text.replace('\n', &line_end);
        let text = if cut { text.trim_end() } else { &text };
        fuzz_check::check(text.as_bytes());
    }
}

#[test]
fn each_problem_has_a_hint_of_its_own() {
    let of = |text: &str| parse(text).unwrap_err().problem.hint();
    for (text, words) in [
        (
            format!("1;{KEY}\nno key"),
            "a line is `id;key` or `id;version;key`",
        ),
        (format!("0;{KEY}"), "a key id is a number from 1 to 4294967295"),
        (
            format!("1;0;{KEY}"),
            "a key version is a number from 1 to 4294967294",
        ),
        ("1;aabb".into(), "a key has 32, 48 or 64 hexadecimal digits"),
        (format!("2;{KEY}"), "put the line of key 1 back"),
        (
            format!("1;{KEY}\n1;{}", "ab".repeat(16)),
            "find out which of the two lines encrypted the data",
        ),
    ] {
        assert!(of(&text).starts_with(words), "{text}: {}", of(&text));
    }
}
