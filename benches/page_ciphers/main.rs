//! The page ciphers through the plugin's vtable beside OpenSSL 3 as the server calls it: each
//! message with a key schedule and a fresh IV of its own.
//!
//! `cargo bench --bench page_ciphers -- [--level portable|aesni|vaes] [--key-length 16|24|32]
//! [--rounds N] [--only WORDS] [--json]`
//!
//! All cases take turns in one process and each has many short rounds, so that other work on the
//! machine hits all alike; the numbers are medians. A case that misses its target is marked. Below
//! the highest level OpenSSL runs on the same processor, as far as AES goes, in a process started
//! for that with `OPENSSL_ia32cap`: at aesni without VAES, VPCLMULQDQ and AVX-512, at portable also
//! without AES-NI and PCLMULQDQ. (OpenSSL 3.0 has VAES in GCM alone, from 3.1 on.) The portable
//! implementation uses the AES instructions that it finds, unless it was built with
//! `RUSTFLAGS='--cfg aes_backend="soft" --cfg polyval_backend="soft"'`, as for a processor without
//! them.

#![allow(unsafe_code, reason = "the vtable and OpenSSL are C functions")]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark prints, and fails by panicking"
)]

mod cases;
mod ceiling;
mod keyroll;
mod openssl;

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use ::keyroll::crypto::Level;
use serde_json::json;

use self::cases::{Case, Mode};
use self::keyroll::Plugin;

/// How long one round of one case takes, in nanoseconds.
const ROUND: u64 = 30_000;

/// The share of the ceiling that aes_ctr has to reach for pages.
const SHARE_OF_CEILING: f64 = 0.85;

/// What tells OpenSSL which instructions to leave alone: bits of CPUID leaf 1 (EDX, then ECX), a
/// colon, bits of leaf 7 (EBX, then ECX).
const OPENSSL_INSTRUCTIONS: &str = "OPENSSL_ia32cap";

/// All but what is above a level.
fn openssl_instructions(level: Level) -> Option<&'static str> {
    // PCLMULQDQ and AES-NI; AVX-512 F, DQ, BW and VL; VAES and VPCLMULQDQ.
    match level {
        Level::Portable => Some("~0x200000200000000:~0x600C0030000"),
        Level::AesNi => Some(":~0x600C0030000"),
        Level::Vaes => None,
    }
}

struct Options {
    level: Level,
    key_length: usize,
    rounds: usize,
    only: String,
    json: bool,
}

fn options() -> Options {
    let mut options = Options {
        level: Level::Vaes,
        key_length: 16,
        rounds: 200,
        only: String::new(),
        json: false,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--level" => {
                let name = value();
                let named = Level::ALL.into_iter().find(|level| level.name() == name);
                options.level = named.expect("--level is portable, aesni or vaes");
            }
            "--key-length" => options.key_length = value().parse().expect("--key-length is 16, 24 or 32"),
            "--rounds" => options.rounds = value().parse().expect("--rounds is a number"),
            "--only" => options.only = value(),
            "--json" => options.json = true,
            "--bench" => {} // cargo's own
            _ => panic!("unknown option {word}"),
        }
    }
    options
}

/// A case with its data and its measurements.
struct Measured {
    case: Case,
    /// Offset included.
    src: Vec<u8>,
    repeat: [u64; 2],
    ours: Vec<f64>,
    openssls: Vec<f64>,
}

/// Two buffers that begin at a multiple of 4096, apart from each other.
struct Buffers {
    memory: Vec<u8>,
    start: usize,
}

const ROOM: usize = 5 * 4096;

impl Buffers {
    fn new() -> Self {
        let memory = vec![0x5A; 2 * ROOM + 4096];
        let start = memory.as_ptr().align_offset(4096);
        Buffers { memory, start }
    }

    fn both(&mut self) -> (&mut [u8], &mut [u8]) {
        self.memory[self.start..self.start + 2 * ROOM].split_at_mut(ROOM)
    }
}

fn fresh_iv(iv: &mut [u8; 16]) {
    let number = u128::from_le_bytes(*iv).wrapping_add(0x9E37_79B9_7F4A_7C15);
    *iv = number.to_le_bytes();
}

/// Nanoseconds of one message.
fn time(repeat: u64, mut message: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    for _ in 0..repeat {
        black_box(message());
    }
    start.elapsed().as_nanos() as f64 / repeat as f64
}

fn median(samples: &[f64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn main() {
    let options = options();
    if let Some(instructions) = openssl_instructions(options.level)
        && env::var_os(OPENSSL_INSTRUCTIONS).is_none()
    {
        let status = Command::new(env::current_exe().expect("this program has a path"))
            .args(env::args_os().skip(1))
            .env(OPENSSL_INSTRUCTIONS, instructions)
            .status()
            .expect("this program starts again");
        std::process::exit(status.code().unwrap_or(1));
    }
    let level = Level::limit(options.level);
    let key = vec![0x6B; options.key_length];
    let plugin = Plugin::new();
    let mut buffers = Buffers::new();
    let mut iv = [0xA7; 16];

    let mut measured: Vec<Measured> = cases::all()
        .into_iter()
        .filter(|case| case.name().contains(&options.only))
        .map(|case| {
            let (src, dst) = buffers.both();
            prepare(case, &plugin, &key, src, dst)
        })
        .collect();
    let mut ceiling = Vec::new();

    for _ in 0..options.rounds {
        for mode in Mode::ALL {
            plugin.start(mode);
            for entry in measured.iter_mut().filter(|entry| entry.case.mode == mode) {
                let (src, dst) = buffers.both();
                let (case, at) = (&entry.case, entry.case.offset);
                src[at..at + entry.src.len()].copy_from_slice(&entry.src);
                let (src, dst) = (&src[at..at + entry.src.len()], &mut dst[at..]);
                // A tag is right under one IV alone.
                let fixed = case.mode == Mode::Gcm && !case.encrypt;
                let mut next = || {
                    if fixed {
                        iv = GCM_IV;
                    } else {
                        fresh_iv(&mut iv);
                    }
                    iv
                };
                entry.ours.push(time(entry.repeat[0], || {
                    plugin.run(case, &key, &next(), src, dst)
                }));
                entry.openssls.push(time(entry.repeat[1], || {
                    openssl::run(case, &key, &next(), src, dst)
                }));
            }
            plugin.stop();
        }
        let (src, dst) = buffers.both();
        let src = src.first_chunk().expect("the room is larger");
        let dst = dst.first_chunk_mut().expect("the room is larger");
        if ceiling::run(options.key_length, src, dst) {
            ceiling.push(time(30, || {
                ceiling::run(options.key_length, black_box(src), black_box(dst));
                0
            }));
        }
    }
    report(&options, level, plugin.context_size(), &measured, &ceiling);
}

const GCM_IV: [u8; 16] = [0x11; 16];

/// Checks that both sides make the same bytes where they should, and finds how often a message fits
/// into a round.
fn prepare(case: Case, plugin: &Plugin, key: &[u8], src: &mut [u8], dst: &mut [u8]) -> Measured {
    let at = case.offset;
    let mut text: Vec<u8> = (0..case.length).map(|byte| (byte * 31) as u8).collect();
    if case.mode == Mode::Gcm && !case.encrypt {
        let encrypt = Case {
            encrypt: true,
            ..case.clone()
        };
        let length = openssl::run(&encrypt, key, &GCM_IV, &text, dst);
        text = dst[..length].to_vec();
    }
    src[at..at + text.len()].copy_from_slice(&text);
    let src = &src[at..at + text.len()];

    plugin.start(case.mode);
    let length = plugin.run(&case, key, &GCM_IV, src, &mut dst[at..]);
    let ours = dst[at..at + length].to_vec();
    let length = openssl::run(&case, key, &GCM_IV, src, &mut dst[at..]);
    assert!(
        !case.mode.is_openssls() || ours == dst[at..at + length],
        "{}: the bytes are not OpenSSL's",
        case.name()
    );

    let ours = time(200, || plugin.run(&case, key, &GCM_IV, src, &mut dst[at..]));
    let openssls = time(200, || openssl::run(&case, key, &GCM_IV, src, &mut dst[at..]));
    plugin.stop();
    let repeat = [ours, openssls].map(|time| (ROUND / time as u64).max(2));
    Measured {
        case,
        src: text,
        repeat,
        ours: Vec::new(),
        openssls: Vec::new(),
    }
}

fn report(options: &Options, level: Level, context_size: usize, measured: &[Measured], ceiling: &[f64]) {
    // Bytes in a nanosecond.
    let ceiling = (!ceiling.is_empty()).then(|| ceiling::LENGTH as f64 / median(ceiling));
    let mut rows = Vec::new();
    for entry in measured {
        let (ours, openssls) = (median(&entry.ours), median(&entry.openssls));
        // Of the same moments, so that a busy machine does not count.
        let ratios: Vec<f64> = entry
            .ours
            .iter()
            .zip(&entry.openssls)
            .map(|(ours, openssls)| openssls / ours)
            .collect();
        let ratio = median(&ratios);
        let target = entry.case.target_at(level);
        let share = ceiling
            .filter(|_| entry.case.is_page() && entry.case.mode == Mode::Ctr)
            .map(|ceiling| entry.case.length as f64 / ours / ceiling);
        let missed = target.is_some_and(|target| ratio < target)
            || (level == Level::Vaes && share.is_some_and(|share| share < SHARE_OF_CEILING));
        rows.push(json!({
            "case": entry.case.name(),
            "keyroll_ns": ours,
            "openssl_ns": openssls,
            "ratio": ratio,
            "target": target,
            "share_of_ceiling": share,
            "missed": missed,
        }));
    }
    if options.json {
        let all = json!({
            "level": level.name(),
            "key_length": options.key_length,
            "rounds": options.rounds,
            "context_size": context_size,
            "ceiling_bytes_per_ns": ceiling,
            "cases": rows,
        });
        println!("{all:#}");
        return;
    }
    println!(
        "level {}, keys of {} bytes, {} rounds, a context of {context_size} bytes",
        level.name(),
        options.key_length,
        options.rounds
    );
    println!(
        "{:<24}{:>12}{:>12}{:>8}{:>8}",
        "case", "keyroll ns", "OpenSSL ns", "ratio", "target"
    );
    for row in &rows {
        let number = |name: &str| row[name].as_f64();
        let text = |value: Option<f64>, digits: usize| {
            value.map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        let share = number("share_of_ceiling").map(|share| format!("  {share:.2} of the ceiling"));
        println!(
            "{:<24}{:>12}{:>12}{:>8}{:>8}{}{}",
            row["case"].as_str().unwrap_or_default(),
            text(number("keyroll_ns"), 1),
            text(number("openssl_ns"), 1),
            text(number("ratio"), 2),
            text(number("target"), 1),
            share.unwrap_or_default(),
            if row["missed"] == true { "  MISSED" } else { "" },
        );
    }
    if let Some(ceiling) = ceiling {
        println!(
            "ceiling: {ceiling:.1} GB/s (VAES with AVX-512 on aligned data in the cache; a share of {SHARE_OF_CEILING} is asked for)"
        );
    }
}
