//! Turns include/mariadb_plugin_abi.h into Rust declarations, and holds it against the headers of an installed
//! server where there are some.
//!
//! Environment: `KEYROLL_SERVER_INCLUDE` lists include directories of a server (separated by `:`) and replaces
//! the search; `KEYROLL_REQUIRE_ABI_CHECK=1` makes missing headers an error, as continuous integration wants it.

#![expect(
    clippy::expect_used,
    reason = "a build script fails by panicking, with a message for whoever builds"
)]

use std::env;
use std::path::{Path, PathBuf};

/// Where distributions put the server's headers (Debian: libmariadbd-dev).
const SERVER_INCLUDES: [&str; 3] = [
    "/usr/include/mariadb/server",
    "/usr/include/mysql/server",
    "/usr/local/include/mariadb/server",
];

fn main() {
    for input in ["include/mariadb_plugin_abi.h", "include/abi_check.c", "build.rs"] {
        println!("cargo::rerun-if-changed={input}");
    }
    for variable in ["KEYROLL_SERVER_INCLUDE", "KEYROLL_REQUIRE_ABI_CHECK"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    make_abi();
    if env::var_os("TARGET") == env::var_os("HOST") {
        check_abi();
    } else {
        // The headers of this machine's server say nothing about another machine's.
        println!("cargo::rustc-env=KEYROLL_ABI_CHECKED=cross");
    }
}

fn make_abi() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("abi.rs");
    bindgen::Builder::default()
        .header("include/mariadb_plugin_abi.h")
        .allowlist_item("(kr|KR)_.*")
        .prepend_enum_name(false)
        .generate_comments(false)
        .formatter(bindgen::Formatter::None)
        .generate()
        .expect("include/mariadb_plugin_abi.h is valid C; libclang is needed (Debian: libclang-dev)")
        .write_to_file(out)
        .expect("OUT_DIR is writable");
}

fn check_abi() {
    let includes = match env::var("KEYROLL_SERVER_INCLUDE") {
        Ok(list) => list.split(':').map(PathBuf::from).collect(),
        Err(_) => SERVER_INCLUDES
            .iter()
            .map(PathBuf::from)
            .filter(|dir| has_headers(dir))
            .take(1)
            .collect(),
    };
    let includes: Vec<PathBuf> = includes;
    if !includes.iter().any(|dir| has_headers(dir)) {
        let required = env::var("KEYROLL_REQUIRE_ABI_CHECK").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "no server headers to check the interface against (Debian: libmariadbd-dev)"
        );
        return;
    }
    // Cargo takes a file that is not there for one that has changed.
    for dir in includes.iter().filter(|dir| has_headers(dir)) {
        println!("cargo::rerun-if-changed={}", dir.join("mysql/plugin.h").display());
    }
    cc::Build::new()
        .file("include/abi_check.c")
        .includes(&includes)
        .std("gnu11")
        // The server's own headers are not clean under our warnings.
        .warnings(false)
        .cargo_metadata(false)
        .try_compile("keyroll_abi_check")
        .expect("include/mariadb_plugin_abi.h differs from the server's headers");
    println!("cargo::rustc-env=KEYROLL_ABI_CHECKED=1");
}

fn has_headers(dir: &Path) -> bool {
    dir.join("mysql/plugin_encryption.h").exists()
}
