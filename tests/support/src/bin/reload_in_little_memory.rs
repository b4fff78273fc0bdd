//! The plugin in a process that may have only so much more memory, when its keystore has grown: tests see whether it fails or
//! ends the process.
//!
//! ```text
//! reload_in_little_memory KEYSTORE MASTER_KEY_URI GROWN MIB ACTION
//! ```
//!
//! Starts on KEYSTORE, puts the file GROWN in its place, and then reloads the keys (`reload`) or makes new versions of all keys
//! (`rotate`) with MIB mebibytes of address space more than it has. Prints `done` or `failed: MESSAGE`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, thread};

use keyroll::keys::NewVersions;
use keyroll::plugin::{Plugin, PluginError, Published, Server, Severity, Status, Wake};
use keyroll::settings::Settings;
use nix::sys::resource::{Resource, setrlimit};

/// A server without a data directory, which keeps nothing.
struct Nothing;

impl Server for Nothing {
    fn log(&self, _: Severity, _: &str) {}
    fn publish(&self, now: &Published) {
        // As a server's lookups, which may be under way for ever.
        std::mem::forget(now.clone());
    }
    fn wake_encryption_threads(&self) -> Wake {
        Wake::NotPossible
    }
    fn request_reencryption(&self) {}
    fn is_up(&self) -> bool {
        true
    }
    fn data_directory(&self) -> Option<PathBuf> {
        None
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keystore, master_key, grown, mib, action] = arguments.as_slice() else {
        return ExitCode::from(64);
    };
    let Ok(mib) = mib.parse() else {
        return ExitCode::from(64);
    };
    match act(keystore, master_key, grown, mib, action) {
        Ok(text) => match writeln!(std::io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(3),
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "reload_in_little_memory: {error}");
            ExitCode::from(2)
        }
    }
}

fn act(
    keystore: &str,
    master_key: &str,
    grown: &str,
    mib: u64,
    action: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let plugin = Plugin::start(settings(keystore, master_key), &Nothing)?;
    fs::copy(grown, keystore)?;
    let status = Status::default();
    let work = || -> Result<(), PluginError> {
        match action {
            "rotate" => plugin.rotate_keys(-1, NewVersions::DEFAULT, &Nothing, &status),
            _ => plugin.reload(&Nothing, &status),
        }
    };
    // In a thread, as a server has one for each connection; its own memory is there before the limit.
    let done = thread::scope(|scope| {
        let statement = scope.spawn(|| {
            limit(mib)?;
            Ok(work().map_err(|error| error.to_string()))
        });
        statement.join().unwrap_or_else(|_| Err("it panicked".into()))
    });
    Ok(
        match done.map_err(|error: Box<dyn std::error::Error + Send + Sync>| error.to_string())? {
            Ok(()) => "done".into(),
            Err(message) => format!("failed: {message}"),
        },
    )
}

/// Allows this process so much more address space than it has.
fn limit(mib: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().unwrap_or_default().parse()?;
    let bytes = pages * 4096 + mib * 1024 * 1024;
    Ok(setrlimit(Resource::RLIMIT_AS, bytes, bytes)?)
}

fn settings(keystore: &str, master_key: &str) -> Settings {
    Settings {
        keystore: keystore.into(),
        master_key: master_key.into(),
        ..Settings::default()
    }
}
