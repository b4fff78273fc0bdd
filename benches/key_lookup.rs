//! Key lookups of the release build of `keyroll.so` beside those of the server's own file_key_management, both
//! loaded into this process and called through their vtables as the server calls them.
//!
//! `cargo bench --bench key_lookup [-- --json]`. The peer's library is `/usr/lib/mysql/plugin/…` or what
//! `KEYROLL_PEER_PLUGIN` names. All cases take turns, so that a machine that is busy for a while is busy for
//! all; a case's time is the best of many medians.

#![allow(unsafe_code, reason = "both libraries are called through their C vtables")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark ends where it cannot measure"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong};
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyroll::ffi::abi;
use libloading::Library;

/// Calls between two looks at the clock.
const BATCH: u32 = 20_000;
/// Batches whose median counts as one measurement.
const MEDIAN_OF: usize = 15;
/// Medians of which the best counts.
const BEST_OF: usize = 15;
/// The ids that are looked up in turn.
const IDS: u32 = 4;
/// How often keys are rotated in the cases that do so.
const ROTATE_EVERY: Duration = Duration::from_millis(20);

const PEER: &str = "/usr/lib/mysql/plugin/file_key_management.so";

/// A loaded and started encryption plugin. It stays until the process ends.
#[derive(Clone, Copy)]
struct Plugin {
    vtable: &'static abi::kr_encryption,
    declaration: &'static abi::kr_plugin,
}

// SAFETY: the declarations are the libraries' statics, which nobody changes after the start, and the functions
// in them are called from many threads by contract.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

impl Plugin {
    fn start(library: &Path, key_file: &Path) -> Plugin {
        // SAFETY: the library is an encryption plugin, whose constructors do nothing but what C++ needs.
        let library = unsafe { Library::new(library) }
            .unwrap_or_else(|error| panic!("{} cannot be loaded: {error}", library.display()));
        // Never unloaded.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the symbol is the array of declarations; the first of them is a plugin.
        let declaration: &'static abi::kr_plugin = unsafe {
            &**library
                .get::<*const abi::kr_plugin>(b"_maria_plugin_declarations_")
                .expect("a MariaDB plugin")
        };
        // keyroll has none, and prints where there is no server.
        // SAFETY: the symbol is a pointer variable that waits for the service.
        unsafe {
            if let Ok(service) =
                library.get::<*mut *const abi::kr_print_error_service>(b"my_print_error_service")
            {
                **service = Box::leak(Box::new(print_error_service()));
            }
        }
        declaration.set_default_texts();
        let filename = CString::new(key_file.to_str().expect("a path in UTF-8")).expect("a path");
        let variable: *mut abi::kr_sys_var_str = declaration.variable(c"filename").cast();
        // SAFETY: `filename` is a variable of text in both plugins; the text is never freed.
        unsafe { *(*variable).value = filename.into_raw() };
        // SAFETY: both use no argument, and this is the first and only call.
        let failed = unsafe { (declaration.init.expect("an init"))(ptr::null_mut()) };
        assert_eq!(failed, 0, "the plugin does not start");
        // SAFETY: what the declaration of an encryption plugin points to.
        let vtable = unsafe { &*declaration.info.cast::<abi::kr_encryption>() };
        Plugin { vtable, declaration }
    }

    /// `SET GLOBAL keyroll_rotate_key = -1`.
    fn rotate_all(&self) {
        let variable = self.declaration.variable(c"rotate_key");
        let mut value = value_of_minus_one();
        let mut save = 0_i64;
        // SAFETY: the call that a server makes; the check uses neither connection nor variable.
        let refused = unsafe {
            ((*variable).check.expect("an action"))(
                ptr::null_mut(),
                variable,
                (&raw mut save).cast(),
                &raw mut value,
            )
        };
        assert_eq!(refused, 0, "the rotation failed");
    }
}

/// What the benchmark reads of a declaration.
trait Declaration {
    fn variables(&self) -> Vec<*mut abi::kr_sys_var>;
    fn variable(&self, name: &CStr) -> *mut abi::kr_sys_var;
    /// As a server does; the peer counts on it.
    fn set_default_texts(&self);
}

impl Declaration for abi::kr_plugin {
    fn variables(&self) -> Vec<*mut abi::kr_sys_var> {
        let mut variables = Vec::new();
        let mut at = self.system_vars;
        // SAFETY: the array ends with a null.
        unsafe {
            while !(*at).is_null() {
                variables.push(*at);
                at = at.add(1);
            }
        }
        variables
    }

    fn variable(&self, name: &CStr) -> *mut abi::kr_sys_var {
        self.variables()
            .into_iter()
            // SAFETY: every variable has a name.
            .find(|variable| unsafe { CStr::from_ptr((**variable).name) } == name)
            .unwrap_or_else(|| panic!("there is no variable {name:?}"))
    }

    fn set_default_texts(&self) {
        const KIND: c_int = 0x7f;
        for variable in self.variables() {
            // SAFETY: the flags tell the kind, and nobody else uses the variables yet.
            unsafe {
                if (*variable).flags & KIND == abi::KR_VAR_STR as c_int {
                    let text = variable.cast::<abi::kr_sys_var_str>();
                    *(*text).value = (*text).def_val.cast_mut();
                }
            }
        }
    }
}

/// A service that prints errors and drops notes.
fn print_error_service() -> abi::kr_print_error_service {
    unsafe extern "C" fn print(_nr: c_uint, _format: *const c_char, flags: c_ulong, text: *const c_char) {
        if flags & c_ulong::from(abi::KR_ME_NOTE | abi::KR_ME_WARNING) == 0 {
            // SAFETY: the peer passes formats of its own with a text or a number, and only when it fails to start.
            eprintln!("{:?}", unsafe { CStr::from_ptr(text) });
        }
    }
    type Print = unsafe extern "C" fn(c_uint, *const c_char, c_ulong, *const c_char);
    type Variadic = unsafe extern "C" fn(c_uint, *const c_char, c_ulong, ...);
    abi::kr_print_error_service {
        error: ptr::null_mut(),
        // SAFETY: Linux passes variable arguments that are pointers like any others.
        printf_error: Some(unsafe { std::mem::transmute::<Print, Variadic>(print) }),
        printv_error: ptr::null_mut(),
    }
}

fn value_of_minus_one() -> abi::kr_value {
    unsafe extern "C" fn integer(_value: *mut abi::kr_value, number: *mut i64) -> c_int {
        // SAFETY: the check function passes a place for the number.
        unsafe { *number = -1 };
        0
    }
    unsafe extern "C" fn is_integer(_value: *mut abi::kr_value) -> c_int {
        abi::KR_VALUE_INT as c_int
    }
    unsafe extern "C" fn is_unsigned(_value: *mut abi::kr_value) -> c_int {
        0
    }
    abi::kr_value {
        value_type: Some(is_integer),
        val_str: None,
        val_real: None,
        val_int: Some(integer),
        is_unsigned: Some(is_unsigned),
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum Lookup {
    Latest,
    Key,
}

impl Lookup {
    fn name(self) -> &'static str {
        match self {
            Lookup::Latest => "get_latest_key_version",
            Lookup::Key => "get_key",
        }
    }

    /// Nanoseconds for one call, from a batch.
    fn time(self, plugin: Plugin) -> f64 {
        let latest = plugin.vtable.get_latest_key_version.expect("a whole vtable");
        let get_key = plugin.vtable.get_key.expect("a whole vtable");
        let mut key = [0_u8; 32];
        let start = Instant::now();
        for call in 0..BATCH {
            let id = black_box(call % IDS + 1);
            match self {
                // SAFETY: may be called from any thread.
                Lookup::Latest => drop(black_box(unsafe { latest(id) })),
                Lookup::Key => {
                    let mut length = 32;
                    // SAFETY: the buffer has the length told.
                    let failed = unsafe { get_key(id, 1, key.as_mut_ptr(), &raw mut length) };
                    debug_assert_eq!(black_box(failed), 0);
                }
            }
        }
        let time = start.elapsed();
        black_box(key);
        time.as_secs_f64() * 1e9 / f64::from(BATCH)
    }

    /// The mean of the times of one batch in each of so many threads at once.
    fn time_in_threads(self, plugin: Plugin, threads: usize) -> f64 {
        if threads == 1 {
            return self.time(plugin);
        }
        let barrier = Barrier::new(threads);
        let sum: f64 = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        self.time(plugin)
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().expect("no panic"))
                .sum()
        });
        sum / threads as f64
    }
}

/// One row of the result: ours and the peer's best median, in ns per call.
struct Row {
    lookup: Lookup,
    threads: usize,
    rotating: bool,
    keyroll: f64,
    peer: f64,
}

/// Measures a table of rows: all of them and both plugins take turns, batch by batch.
fn measure(keyroll: Plugin, peer: Plugin, rotating: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = [1, 2]
        .into_iter()
        .flat_map(|threads| {
            [Lookup::Latest, Lookup::Key].map(|lookup| Row {
                lookup,
                threads,
                rotating,
                keyroll: f64::INFINITY,
                peer: f64::INFINITY,
            })
        })
        .collect();
    for _ in 0..BEST_OF {
        let mut times = vec![(Vec::new(), Vec::new()); rows.len()];
        for _ in 0..MEDIAN_OF {
            for (row, (ours, theirs)) in rows.iter().zip(&mut times) {
                ours.push(row.lookup.time_in_threads(keyroll, row.threads));
                theirs.push(row.lookup.time_in_threads(peer, row.threads));
            }
        }
        for (row, (ours, theirs)) in rows.iter_mut().zip(times) {
            row.keyroll = row.keyroll.min(median(ours));
            row.peer = row.peer.min(median(theirs));
        }
    }
    rows
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// As [`measure`], while another thread rotates our keys now and then (the peer cannot).
fn measure_while_rotating(keyroll: Plugin, peer: Plugin) -> (Vec<Row>, u32) {
    let stopping = AtomicBool::new(false);
    thread::scope(|scope| {
        let rotator = scope.spawn(|| {
            let mut rotations = 0;
            while !stopping.load(Ordering::Relaxed) {
                keyroll.rotate_all();
                rotations += 1;
                thread::sleep(ROTATE_EVERY);
            }
            rotations
        });
        let rows = measure(keyroll, peer, true);
        stopping.store(true, Ordering::Relaxed);
        (rows, rotator.join().expect("no panic"))
    })
}

/// The library as it is shipped, in a target directory of its own: cargo may hold the lock of the usual one.
fn build_library() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("key_lookup");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--lib",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the library does not build");
    target.join("release/libkeyroll.so")
}

fn main() {
    let json = env::args().any(|argument| argument == "--json");
    let peer_library = env::var_os("KEYROLL_PEER_PLUGIN").map_or_else(|| PEER.into(), PathBuf::from);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key_file = directory.path().join("keys");
    let mut keys = String::new();
    for id in 1..=IDS {
        writeln!(keys, "{id};{:032x}", 0x0123_4567_89ab_cdef_u128 * u128::from(id)).unwrap();
    }
    fs::write(&key_file, keys).expect("the key file is written");

    let keyroll = Plugin::start(&build_library(), &key_file);
    let peer = Plugin::start(&peer_library, &key_file);
    let mut rows = measure(keyroll, peer, false);
    let (while_rotating, rotations) = measure_while_rotating(keyroll, peer);
    rows.extend(while_rotating);
    if json {
        println!("{}", as_json(&rows, rotations));
    } else {
        print!("{}", as_table(&rows, rotations));
    }
}

fn as_table(rows: &[Row], rotations: u32) -> String {
    let mut table = format!(
        "ns per call, best of {BEST_OF} medians of {MEDIAN_OF} batches of {BATCH} calls; {rotations} rotations\n\
         {:<24}{:>8}{:>10}{:>10}{:>22}{:>8}\n",
        "lookup", "threads", "rotating", "keyroll", "file_key_management", "ratio"
    );
    for row in rows {
        let (name, rotating) = (row.lookup.name(), if row.rotating { "yes" } else { "no" });
        let (ours, theirs) = (row.keyroll, row.peer);
        let ratio = ours / theirs;
        let _ = writeln!(
            table,
            "{name:<24}{:>8}{rotating:>10}{ours:>10.2}{theirs:>22.2}{ratio:>8.2}",
            row.threads
        );
    }
    table
}

fn as_json(rows: &[Row], rotations: u32) -> String {
    let cases: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "lookup": row.lookup.name(),
                "threads": row.threads,
                "rotating": row.rotating,
                "keyroll_ns": row.keyroll,
                "file_key_management_ns": row.peer,
                "ratio": row.keyroll / row.peer,
            })
        })
        .collect();
    serde_json::json!({ "rotations": rotations, "cases": cases }).to_string()
}
