//! Whether a kind of write keeps, through every power cut, what it said that there is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::file::Belongings;
use super::kinds::Kind;
use super::model::{Call, Disk, Known, State};
use super::record::{Event, Recording};
use super::scratch::{Scratch, TEMPORARY, in_words, nothing_is_left};
use super::stores::{Found, Store};

/// A state that loses something.
#[derive(Debug)]
pub(crate) struct Loss(String);

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many states were looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// All calls, one after the other.
    pub(crate) calls: usize,
    pub(crate) syncs: usize,
    /// States that differ.
    pub(crate) states: usize,
    /// Of those, the ones that may come once the user knows.
    pub(crate) told: usize,
}

/// What is found in a state, in the file and in the kept copy; else why it does not open.
type Read = Result<(Found, Found), String>;

/// The judge of one recording.
pub(crate) struct Judge<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) recording: &'a Recording,
    scratch: Scratch,
    known: Known,
    read: HashMap<State, Read>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(kind: &'a Kind, recording: &'a Recording) -> Judge<'a> {
        Judge {
            kind,
            recording,
            scratch: Scratch::new(),
            known: Known::default(),
            read: HashMap::new(),
        }
    }

    /// Looks at every state that a power cut between any two calls may leave; `skip` are events that did not take place. With
    /// `go_on` the next change is made in each.
    pub(crate) fn all_states(&mut self, skip: &[usize], go_on: bool) -> Result<Count, Loss> {
        let kind = self.kind;
        let mut disk = self.recording.before.clone();
        let (belongings, end) = (self.belongings_at_the_end(), self.found_at_the_end());
        let mut live: BTreeSet<Found> = BTreeSet::new();
        let mut wanted = self.take_up(&disk, &mut live);
        let mut seen: [HashSet<State>; 2] = Default::default();
        let mut told = false;
        let mut count = Count::default();
        let events = self.recording.events.iter().enumerate();
        for (number, event) in events {
            match event {
                _ if skip.contains(&number) => continue,
                Event::Told => {
                    told = true;
                    wanted = self.take_up(&disk, &mut live);
                }
                Event::Call(call, _) => {
                    disk.apply(call);
                    count.calls += 1;
                    count.syncs += usize::from(call.is_sync());
                    // What is durable now could have been there before.
                    if call.is_sync() {
                        continue;
                    }
                    self.take_up(&disk, &mut live);
                }
            }
            if kind.is_foreign && !told {
                continue;
            }
            let mut known = std::mem::take(&mut self.known);
            let mut loss = None;
            let _ = disk.states(&mut known, &mut |known, state| {
                if seen[usize::from(told)].contains(&state) {
                    return ControlFlow::Continue(());
                }
                let already = seen[usize::from(!told)].contains(&state);
                let judged = self
                    .judge(known, &state, &wanted, told, &live, &belongings)
                    .and_then(
                        |found| match go_on && !already && number >= self.recording.last_command {
                            true => self.go_on(known, &state, &found, &end),
                            false => Ok(()),
                        },
                    );
                if let Err(why) = judged {
                    let when = if told { ", and the user knows" } else { "" };
                    let at = format!("{}: after call {number} ({event}){when}", kind.name);
                    loss = Some(Loss(format!(
                        "{at}: {why}; on the disk: {}",
                        in_words(known, &state)
                    )));
                    return ControlFlow::Break(());
                }
                seen[usize::from(told)].insert(state);
                ControlFlow::Continue(())
            });
            self.known = known;
            if let Some(loss) = loss {
                return Err(loss);
            }
        }
        count.states = seen[0].union(&seen[1]).count();
        count.told = seen[1].len();
        Ok(count)
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, &Call)> {
        self.recording
            .events
            .iter()
            .enumerate()
            .filter_map(|(number, event)| match event {
                Event::Call(call, _) => Some((number, call)),
                Event::Told => None,
            })
    }

    /// Notes what stands there without a power cut, which must always be something.
    fn take_up(&mut self, disk: &Disk, live: &mut BTreeSet<Found>) -> Found {
        let mut known = std::mem::take(&mut self.known);
        let state = disk.live_state(&mut known);
        let (found, previous) = self.read(&known, &state).unwrap_or_else(|why| {
            panic!(
                "{}: {why}, with no power cut: {}",
                self.kind.name,
                in_words(&known, &state)
            )
        });
        self.known = known;
        live.extend([found.clone(), previous]);
        found
    }

    /// What belongs to the needed files in the end, which is what belongs to them always.
    fn belongings_at_the_end(&self) -> BTreeMap<PathBuf, Belongings> {
        let mut disk = self.recording.before.clone();
        self.calls().for_each(|(_, call)| disk.apply(call));
        let mut live = disk.live();
        let needed = self.kind.needed.iter().map(PathBuf::from);
        needed
            .filter_map(|path| live.remove(&path).map(|(_, content)| (path, content.belongings)))
            .collect()
    }

    /// What the command was to come to.
    fn found_at_the_end(&mut self) -> Found {
        let mut disk = self.recording.before.clone();
        self.calls().for_each(|(_, call)| disk.apply(call));
        self.take_up(&disk, &mut BTreeSet::new())
    }

    fn judge(
        &mut self,
        known: &Known,
        state: &State,
        wanted: &Found,
        told: bool,
        live: &BTreeSet<Found>,
        belongings: &BTreeMap<PathBuf, Belongings>,
    ) -> Result<Found, String> {
        let (found, previous) = self.read(known, state)?;
        if !self.kind.store.keeps(wanted, &found, told) {
            return Err(format!(
                "of {:?} there are {:?}",
                wanted.versions.keys(),
                found.versions.keys()
            ));
        }
        if !live.contains(&found) {
            return Err(format!(
                "it holds what was never there: {:?}",
                found.versions.keys()
            ));
        }
        if !live.contains(&previous) {
            return Err("the kept copy holds what was never there".into());
        }
        for (name, _, content) in state {
            let wanted = belongings.get(&known.names[*name]);
            let has = &known.contents[*content].belongings;
            if wanted.is_some_and(|wanted| wanted != has) {
                return Err(format!(
                    "{} has other belongings: {has:?}",
                    known.names[*name].display()
                ));
            }
        }
        Ok(found)
    }

    /// Reads the files of a state, once for all states that differ in temporary files alone.
    fn read(&mut self, known: &Known, state: &State) -> Read {
        let is_temporary = |name: usize| known.names[name].to_string_lossy().ends_with(TEMPORARY);
        let key: State = state
            .iter()
            .filter(|(name, ..)| !is_temporary(*name))
            .copied()
            .collect();
        if let Some(read) = self.read.get(&key) {
            return read.clone();
        }
        let root = self.scratch.put(known, &key);
        let (store, file) = (self.kind.store, self.kind.file);
        let read = store
            .find(&root, file)
            .and_then(|found| Ok((found, store.find_previous(&root, file)?)));
        self.read.insert(key, read.clone());
        read
    }

    /// Life goes on: the next change succeeds, keeps everything, and leaves nothing behind.
    fn go_on(&mut self, known: &Known, state: &State, found: &Found, end: &Found) -> Result<(), String> {
        let root = self.scratch.put(known, state);
        let (store, file) = (self.kind.store, self.kind.file);
        if found.is_absent() || found.opened_by != end.opened_by {
            self.kind
                .again(&root)
                .map_err(|why| format!("it cannot be made again: {why}"))?;
        }
        let before = store.find(&root, file)?;
        let after = store
            .go_on(&root, file)
            .map_err(|why| format!("the next change fails: {why}"))?;
        let kept = before
            .versions
            .iter()
            .all(|(name, key)| after.versions.get(name) == Some(key));
        let kept = match store {
            Store::Whole => store.find_previous(&root, file)? == before,
            _ => kept && after.versions.len() > before.versions.len(),
        };
        if before.is_absent() || !kept {
            return Err("the next change does not keep what was there".into());
        }
        self.kind
            .needed
            .iter()
            .try_for_each(|needed| nothing_is_left(&root, needed))
    }
}
