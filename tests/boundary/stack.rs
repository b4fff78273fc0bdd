//! How much stack the shipped library takes on threads of the server: a C program (`tests/boundary/c/stack`) measures each entry.
//!
//! Needs a C compiler, OpenSSL's headers and OpenBao; a missing one is a failure.

use std::process::Command;

use test_support::openbao::{Bao, program};
use test_support::vault_kv::LONG_KEY;

use crate::c_host::{self, Built, make_keystore, succeed};

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
    let built = Built {
        host,
        // What a frame takes is up to the optimiser.
        library: c_host::shipped_library(),
    };

    let scratch = tempfile::tempdir().unwrap();
    make_keystore(scratch.path());
    let bao = Bao::shared();
    let mount = bao.kv();
    bao.put(&mount, 1, LONG_KEY);
    let url = format!("http://127.0.0.1:{}", bao.plain_port);
    let add = format!(
        "BAO_ADDR={url} BAO_TOKEN={} {} kv put {mount}/5 data={LONG_KEY} >&2",
        bao.root_token,
        program().display()
    );
    let out = succeed(
        Command::new(built.host)
            .arg(built.library)
            .arg(scratch.path())
            .arg(format!("{url}/v1/{mount}"))
            .arg(&bao.root_token)
            .arg(add)
            // As servers are linked: a symbol that is bound at its first use takes stack of its own.
            .env("LD_BIND_NOW", "1"),
    );
    assert_eq!(out.matches("ok - ").count(), 3, "{out}");
}
