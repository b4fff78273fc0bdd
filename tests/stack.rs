//! How much stack the shipped library takes on threads of the server: a C program (`tests/c/stack`) measures each entry.
//!
//! Needs a C compiler and OpenSSL's headers; a missing one is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod c_host;

use std::path::Path;
use std::process::Command;

use c_host::{Built, succeed};
use keyroll::keystore::KeySpec;
use keyroll::keystore::envelope::{Envelope, EnvelopeConfig, NewKey};
use keyroll::master_key::file::MasterKeyFile;
use keyroll::master_key::open::DEFAULT_REQUEST_TIMEOUT;
use keyroll::master_key::{self, Options};

#[test]
fn no_entry_takes_more_than_4_kib_of_stack() {
    let target = c_host::target("stack");
    let host = target.join("stack");
    let mut sources = c_host::sources("c");
    sources.retain(|source| {
        ["host.c", "server.c", "services.c", "cipher_calls.c"]
            .contains(&source.file_name().unwrap().to_str().unwrap())
    });
    sources.extend(c_host::sources("c/stack"));
    c_host::build_host(&sources, &host);
    // The library that is shipped, built where a build for use finds it again: what a frame takes is up to the optimiser.
    let usual = target.parent().and_then(Path::parent).unwrap();
    c_host::build_library(&mut c_host::cargo(), &["--release"], usual);
    let built = Built {
        host,
        library: usual.join("release/libkeyroll.so"),
    };

    let scratch = tempfile::tempdir().unwrap();
    make_keystore(scratch.path());
    let out = succeed(
        Command::new(built.host)
            .arg(built.library)
            .arg(scratch.path())
            // As servers are linked: a symbol that is bound at its first use takes stack of its own.
            .env("LD_BIND_NOW", "1"),
    );
    assert_eq!(out.matches("ok - ").count(), 2, "{out}");
}

fn make_keystore(directory: &Path) {
    let master = directory.join("master");
    MasterKeyFile::create(&master, None).unwrap();
    let options = Options::of_this_process(DEFAULT_REQUEST_TIMEOUT);
    let config = EnvelopeConfig {
        path: directory.join("keystore"),
        master_key: master_key::open(&format!("file:{}", master.display()), &options).unwrap(),
        options,
        strict_permissions: false,
    };
    let keys = [1, 2].map(|id| NewKey {
        id,
        spec: KeySpec::DEFAULT,
    });
    Envelope::new(config).unwrap().create(&keys, None).unwrap();
}
