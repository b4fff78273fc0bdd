//! What a core dump shows: a C program (`tests/boundary/c/memory`) uses the shipped library as a server does and wipes its
//! own copies of keys; then neither a dump nor, after the end of the plugin, any memory has a trace of one.
//!
//! Needs a C compiler, OpenSSL's headers, gdb and util-linux; a missing one is a failure.

mod keystore;
mod traces;
mod victim;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use traces::Traces;
use victim::Victim;

use crate::c_host::{self, Built, succeed};

/// A user without rights.
const NOBODY: u32 = 65534;

const ALGORITHMS: [&str; 4] = ["aes_cbc", "aes_ctr", "aes_256_xts", "aes_256_hctr2"];

/// The program, and the library as it is shipped: what stays on a stack is up to the optimiser.
fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = c_host::target("memory");
        let host = target.join("memory");
        let mut sources = c_host::sources("c");
        sources.retain(|source| {
            ["host.c", "server.c", "services.c", "cipher_calls.c"]
                .contains(&source.file_name().unwrap().to_str().unwrap())
        });
        sources.extend(c_host::sources("c/memory"));
        c_host::build_host(&sources, &host);
        Built {
            host,
            library: c_host::shipped_library(),
        }
    })
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// A key file with canaries, a key that stands in for a tablespace's, and maybe a password.
struct Secrets {
    directory: tempfile::TempDir,
    password: Option<String>,
}

impl Secrets {
    fn plain() -> Secrets {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let text: String = [1, 2, 3]
            .map(|id| format!("{id};{}\n", hex::encode(random::<32>())))
            .concat();
        fs::write(at("keys"), text).unwrap();
        fs::write(at("derived"), random::<32>()).unwrap();
        fs::set_permissions(at("keys"), fs::Permissions::from_mode(0o600)).unwrap();
        Secrets {
            directory,
            password: None,
        }
    }

    fn encrypted() -> Secrets {
        let mut secrets = Secrets::plain();
        // No two letters that follow each other: in hexadecimal digits, "1234" is a piece of the table of all two-digit numbers,
        // which programs have.
        let letter = |byte| char::from(b'a' + byte % 13 * 2);
        let password: String = random::<48>().into_iter().map(letter).collect();
        let at = |name: &str| secrets.directory.path().join(name);
        succeed(
            Command::new("openssl")
                .args(["enc", "-aes-256-cbc", "-md", "sha256", "-pbkdf2", "-iter", "1000"])
                .args(["-k", &password, "-in"])
                .arg(at("keys"))
                .arg("-out")
                .arg(at("encrypted")),
        );
        fs::rename(at("encrypted"), at("keys")).unwrap();
        fs::set_permissions(at("keys"), fs::Permissions::from_mode(0o600)).unwrap();
        secrets.password = Some(password);
        secrets
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn text(&self) -> String {
        let path = self.path().join("keys");
        match &self.password {
            None => fs::read_to_string(path).unwrap(),
            Some(password) => succeed(
                Command::new("openssl")
                    .args([
                        "enc",
                        "-d",
                        "-aes-256-cbc",
                        "-md",
                        "sha256",
                        "-pbkdf2",
                        "-iter",
                        "1000",
                    ])
                    .args(["-k", password, "-in"])
                    .arg(path),
            ),
        }
    }

    /// All that must not be found, of the keys that there are by now.
    fn traces(&self) -> Traces {
        let mut traces = Traces::default();
        let derived = fs::read(self.path().join("derived")).unwrap();
        let mut keys = 0;
        for line in self.text().lines() {
            let fields: Vec<&str> = line.split(';').collect();
            let version = if fields.len() == 3 { fields[1] } else { "1" };
            let key = hex::decode(fields.last().unwrap()).unwrap();
            traces.add_data_key(
                fields[0].parse().unwrap(),
                version.parse().unwrap(),
                &key,
                &[&derived, &key],
            );
            keys += 1;
        }
        assert!(keys >= 3, "the keys were not read");
        traces.add_key("the tablespace's key", &derived);
        if let Some(password) = &self.password {
            traces.add_bytes("the password", password.as_bytes());
            traces.add_key("the password as a key", password.as_bytes());
        }
        traces
    }
}

/// Runs the program, and fails with all that was found where there should be nothing. A dump after each message is
/// taken where there is no password.
fn search(secrets: &Secrets, algorithm: usize, environment: &[(&str, &str)]) {
    let mut victim = Victim::start(built(), secrets.path(), &[&algorithm.to_string()], environment);
    let (mut stages, mut wrong) = (Vec::new(), Vec::new());
    while let Some(stage) = victim.stage() {
        if secrets.password.is_some() && stage.contains("crypted") {
            stages.push(stage);
            victim.go_on();
            continue;
        }
        let traces = secrets.traces();
        let mut dump = traces.search(&victim.core_dump(secrets.path()));
        if stage == "held" {
            // Where there is a key, it is found: its four pieces in the buffer, and in the registers through which
            // get_key has just handed it over.
            let pieces = dump.remove("version 1 of key 1, bytes");
            assert!(pieces.is_some_and(|count| count >= 4), "{pieces:?}");
            let all = traces.search(&victim.whole_memory());
            assert!(all["version 1 of key 1, bytes"] > 4, "the ring holds it too");
            assert!(all.contains_key("version 1 of key 2, bytes"));
        }
        if !dump.is_empty() {
            wrong.push(format!("dump, {stage}: {dump:#?}"));
        }
        if stage == "ended" {
            let all = traces.search(&victim.whole_memory());
            if !all.is_empty() {
                wrong.push(format!("memory, {stage}: {all:#?}"));
            }
        }
        stages.push(stage);
        victim.go_on();
    }
    // Four lengths, both paddings, both directions, between the other four.
    assert_eq!(stages.len(), 4 * 2 * 2 + 4, "{stages:?}");
    let name = ALGORITHMS[algorithm];
    assert!(
        wrong.is_empty(),
        "{name}: there are traces in\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_dump_shows_a_key_that_aes_cbc_has_used() {
    search(&Secrets::plain(), 0, &[]);
}

#[test]
fn no_dump_shows_a_key_that_aes_ctr_has_used() {
    search(&Secrets::plain(), 1, &[]);
}

#[test]
fn no_dump_shows_a_key_that_aes_256_xts_has_used_or_derived() {
    search(&Secrets::plain(), 2, &[]);
}

#[test]
fn no_dump_shows_a_key_that_aes_256_hctr2_has_used_or_derived() {
    search(&Secrets::plain(), 3, &[]);
}

#[test]
fn no_dump_shows_a_password_or_a_key_of_an_encrypted_key_file() {
    let secrets = Secrets::encrypted();
    fs::write(
        secrets.path().join("password"),
        secrets.password.as_deref().unwrap(),
    )
    .unwrap();
    search(&secrets, 0, &[]);
}

#[test]
fn no_dump_shows_a_password_that_came_in_the_environment_once_that_is_wiped() {
    let secrets = Secrets::encrypted();
    let password = secrets.password.clone().unwrap();
    search(&secrets, 0, &[("KEYROLL_FILEKEY", &password)]);
}

#[test]
fn a_server_that_may_lock_no_memory_starts_warns_with_the_limit_that_is_enough_and_works() {
    let built = built();
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let at = |name: &str| directory.path().join(name);
    // Where a user without rights can reach them.
    fs::copy(&built.host, at("memory")).unwrap();
    fs::copy(&built.library, at("libkeyroll.so")).unwrap();
    fs::create_dir(at("data")).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |limit: usize, what: &str| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--memlock={limit}:{limit}"));
        // Root may lock what it likes, whatever the limits say.
        if nix::unistd::geteuid().is_root() {
            chown(at("data"), Some(NOBODY), Some(NOBODY)).unwrap();
            let id = NOBODY.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"]);
            command.args(["--inh-caps=-all", "--bounding-set=-all"]);
        }
        succeed(
            command
                .args([at("memory"), at("libkeyroll.so"), at("data")])
                .arg(what)
                .env_remove("KEYROLL_FILEKEY"),
        )
    };
    let out = run(0, "limits");
    assert_eq!(out.matches("ok - ").count(), 3, "{out}");
    let needed = out.split_once("# needs ").unwrap().1;
    let kib: usize = needed.split(' ').next().unwrap().parse().unwrap();
    assert!((4..1000).contains(&kib), "{out}");
    let out = run(kib * 1024, "enough");
    assert_eq!(out.matches("ok - ").count(), 1, "{out}");
}

#[test]
fn the_search_knows_the_schedules_of_fips_197() {
    // FIPS 197, A.1 to A.3: keys and the last word of their schedules.
    for (key, last) in [
        ("2b7e151628aed2a6abf7158809cf4f3c", "b6630ca6"),
        ("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", "01002202"),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "706c631e",
        ),
    ] {
        let keys = traces::round_keys(&hex::decode(key).unwrap());
        assert!(hex::encode(keys).ends_with(last));
    }
}
