//! The built `keyroll.so` in the hands of a C program that does what a server does (`tests/boundary/c`): once plain and
//! once under valgrind, which finds reads of memory that is not initialised, overruns and leaks.
//!
//! Needs a C compiler, OpenSSL's headers, valgrind and binutils; a missing one is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod c_host;
mod memory;
mod stack;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::OnceLock;

use c_host::{Built, make_keystore, succeed};

/// What `main.c` calls its parts.
const TOPICS: [&str; 12] = [
    "declarations",
    "lookups",
    "contexts",
    "null_pointers",
    "panics",
    "openssl",
    "threads",
    "actions",
    "variables",
    "secrets",
    "aes_256_xts",
    "first_use",
];

/// The program and the library, built once.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = c_host::target("boundary");
        let host = target.join("host");
        c_host::build_host(&c_host::sources("c"), &host);
        // Optimised a little: valgrind is slow. Overflow checks and assertions stay.
        let mut cargo = c_host::cargo();
        cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        c_host::build_library(&mut cargo, &["--features", "test-panic"], &target);
        Built {
            host,
            library: target.join("debug/libkeyroll.so"),
        }
    })
}

/// Runs one topic, with `under` in front of the program; the sentences that it checked.
fn check(topic: &str, under: &[&str]) -> Vec<String> {
    let built = built();
    let scratch = tempfile::tempdir().unwrap();
    if topic == "first_use" {
        make_keystore(scratch.path());
    }
    let mut words: Vec<&OsStr> = under.iter().map(OsStr::new).collect();
    words.extend([
        built.host.as_os_str(),
        OsStr::new(topic),
        built.library.as_os_str(),
        scratch.path().as_os_str(),
    ]);
    let (program, arguments) = words.split_first().unwrap();
    // Panics are provoked; their traces would hide what matters.
    let out = succeed(
        Command::new(program)
            .args(arguments)
            .env_remove("KEYROLL_FILEKEY")
            .env("RUST_BACKTRACE", "0"),
    );
    let sentences: Vec<String> = out
        .lines()
        .filter_map(|line| line.strip_prefix("ok - "))
        .map(Into::into)
        .collect();
    assert!(!sentences.is_empty(), "{topic} checked nothing:\n{out}");
    sentences
}

/// A keystore with the keys 1 and 2, and the file with its master key.
/// One test for each topic, plain, and that all of them are named.
macro_rules! plain {
    ($($test:ident: $topic:literal;)*) => {
        $(#[test]
        fn $test() {
            check($topic, &[]);
        })*

        #[test]
        fn every_topic_of_the_c_program_has_a_test() {
            assert_eq!([$($topic),*], TOPICS);
            let main = include_str!("c/main.c");
            assert_eq!(main.matches("{\"").count(), TOPICS.len());
        }
    };
}

plain! {
    a_server_can_read_the_declarations: "declarations";
    lookups_keep_the_vtables_contract: "lookups";
    crypt_contexts_keep_the_vtables_contract: "contexts";
    null_pointers_are_errors_and_never_a_crash: "null_pointers";
    a_panic_behind_any_entry_is_its_documented_failure: "panics";
    ciphers_agree_with_openssl_called_as_the_server_does: "openssl";
    lookups_never_fail_while_keys_rotate_and_reload: "threads";
    actions_take_effect_at_once_or_fail_with_reason_and_remedy: "actions";
    variables_hide_passwords_and_a_start_never_rotates: "variables";
    no_key_and_no_password_is_ever_shown: "secrets";
    aes_256_xts_encrypts_under_the_data_key_that_is_named_or_not_at_all: "aes_256_xts";
    keys_are_made_for_statements_that_make_tables_and_told_where_they_are_missing: "first_use";
}

#[test]
fn valgrind_finds_no_error_and_no_leak_in_any_topic() {
    let valgrind = [
        "valgrind",
        // Otherwise threads that never wait can keep the one out that they wait for.
        "--fair-sched=yes",
        "--quiet",
        "--leak-check=full",
        "--error-exitcode=99",
        "--track-origins=yes",
        concat!(
            "--suppressions=",
            env!("CARGO_MANIFEST_DIR"),
            "/tests/boundary/valgrind.supp"
        ),
    ];
    for topic in TOPICS {
        assert_eq!(check(topic, &valgrind), check(topic, &[]), "{topic}");
    }
}

#[test]
fn the_library_exports_what_a_server_looks_up_and_nothing_else() {
    let listed = succeed(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=just-symbols"])
            .arg(&built().library),
    );
    let exported: BTreeSet<&str> = listed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let expected = BTreeSet::from([
        "_maria_plugin_declarations_",
        "_maria_plugin_interface_version_",
        "_maria_sizeof_struct_st_plugin_",
        "keyroll_keys",
        "keyroll_keys_deinit",
        "keyroll_keys_init",
        // The feature that this test builds with.
        "keyroll_test_panic",
        "sql_service",
    ]);
    assert_eq!(exported, expected);
}

#[test]
fn failpoints_are_compiled_out_unless_asked_for() {
    let holds_failpoints = |library: &std::path::Path| {
        let bytes = std::fs::read(library).unwrap();
        bytes.windows(17).any(|window| window == b"KEYROLL_FAILPOINT")
    };
    assert!(!holds_failpoints(&built().library));
    let with = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("failpoints");
    succeed(
        Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "--lib",
                "--features",
                "test-failpoints",
                "--target-dir",
            ])
            .arg(&with)
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    );
    assert!(
        holds_failpoints(&with.join("debug/libkeyroll.so")),
        "the search finds them"
    );
}

#[test]
fn the_library_needs_no_library_but_the_systems_own() {
    let listed = succeed(Command::new("readelf").args(["-d", "-W"]).arg(&built().library));
    let needed = listed
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.strip_suffix(']'));
    let mut count = 0;
    for name in needed {
        count += 1;
        let stem = name.split(".so").next().unwrap();
        assert!(
            ["libc", "libm", "libgcc_s"].contains(&stem) || stem.starts_with("ld-linux"),
            "the library needs {name}"
        );
    }
    assert!(count > 0, "readelf lists nothing:\n{listed}");
}
