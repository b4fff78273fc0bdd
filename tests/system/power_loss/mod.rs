//! Every kind of write, and every state that a power cut at any point of it may leave on a disk.
//!
//! Nothing is killed for it: strace writes down what the real programs do to their files, call by call; from that every state is
//! built that POSIX allows after a power cut between any two calls ([`model`] says which those are); and each of them is opened
//! by the library ([`stores`]). It must hold every version that the user, or a server, had been told of by then, and the next
//! change must succeed. Debian: `apt-get install strace`.
//!
//! Another kind of write is another row in [`kinds`].

mod commands;
mod file;
mod judge;
mod kinds;
mod model;
mod model_tests;
mod record;
mod scratch;
mod stores;
mod strace;
mod syncs;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use judge::Judge;
use kinds::{KINDS, Kind};

/// Does this for every kind, on all processors; answers in the order of the kinds.
fn for_every_kind<T: Send>(act: impl Fn(&Kind, &mut Judge<'_>) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let answers: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, kind)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            KINDS.get(number).map(|kind| (number, kind))
        } {
            let folder = tempfile::tempdir().unwrap();
            let recording = kind.record(&folder.path().canonicalize().unwrap());
            let answer = act(kind, &mut Judge::new(kind, &recording));
            answers.lock().unwrap().push((number, answer));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut answers = answers.into_inner().unwrap();
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[test]
fn no_power_cut_takes_a_version_that_the_user_was_told_of() {
    let counts = for_every_kind(|_, judge| judge.all_states(&[], true));
    let (mut losses, mut all) = (Vec::new(), 0);
    println!(
        "| kind of write | calls | fsyncs | states | of those, once the user knows |\n|---|---|---|---|---|"
    );
    for (kind, counted) in KINDS.iter().zip(counts) {
        match counted {
            Ok(count) => {
                let judge::Count {
                    calls,
                    syncs,
                    states,
                    told,
                } = count;
                assert!(
                    syncs >= 2 && (states > 30 || kind.is_foreign),
                    "{}: {count:?}",
                    kind.name
                );
                all += states;
                println!("| {} | {calls} | {syncs} | {states} | {told} |", kind.name);
            }
            Err(loss) => losses.push(loss.to_string()),
        }
    }
    println!("{} kinds, {all} states", KINDS.len());
    assert!(losses.is_empty(), "{}", losses.join("\n"));
}

/// The proof that the test above can fail. Where a later fsync of the same file or folder makes up for one, it is left out with
/// that: who reads a file that others hang on syncs it, too.
#[test]
fn without_any_one_fsync_of_a_needed_file_a_power_cut_takes_something() {
    let faults = for_every_kind(|kind, judge| {
        let (needed, others) = judge.syncs();
        assert!(needed.len() >= 2, "{}: {needed:?}", kind.name);
        let loses = |judge: &mut Judge<'_>, skip: &[usize]| judge.all_states(skip, false).is_err();
        let (alone, together): (Vec<_>, Vec<_>) =
            needed.into_iter().partition(|number| loses(judge, &[*number]));
        let (made_up, faults): (Vec<_>, Vec<_>) = together.into_iter().partition(|number| {
            let same = judge.this_and_later(*number);
            loses(judge, &same)
        });
        let (_, idle): (Vec<_>, Vec<_>) = others.into_iter().partition(|number| loses(judge, &[*number]));
        println!("{}:", kind.name);
        for (what, syncs) in [
            ("something is lost without", &alone),
            ("or, as another makes up for it, without this and that", &made_up),
            ("nothing is lost without", &idle),
        ] {
            syncs
                .iter()
                .for_each(|number| println!("  {what} {}", judge.event(*number)));
        }
        let fault = |number: &usize| {
            format!(
                "{}: nothing is lost without {}\n",
                kind.name,
                judge.event(*number)
            )
        };
        faults.iter().map(fault).collect::<String>()
    });
    assert!(faults.concat().is_empty(), "{}", faults.concat());
}
