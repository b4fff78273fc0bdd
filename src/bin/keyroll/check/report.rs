//! What a check found, step by step.

use std::fmt::Write;

use keyroll::crypto::Algorithm;
use keyroll::keys::{Comparison, Content, KeyName, KeySet};
use keyroll::one_line::one_line;
use serde::Serialize;

use crate::failure::Failure;
use crate::names::named;
use crate::terminal;

/// How a step came out; the highest of all steps is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// The plugin accepts it, but it should be mended.
    Warning,
    /// The plugin accepts it, but another store could not be compared with it.
    NotCompared,
    /// The plugin accepts it, but another store holds something else under one name.
    Differs,
    /// The plugin refuses it.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Differs => "differs",
            Outcome::NotCompared | Outcome::Failed => "failed",
        }
    }

    fn as_verdict(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warnings",
            Outcome::NotCompared => "not compared",
            Outcome::Differs => "differs",
            Outcome::Failed => "refused",
        }
    }
}

/// How a second store differs from the one that is checked.
pub(super) struct Difference<'a> {
    /// Kind and place of the second store.
    pub(super) second: String,
    /// What the first one holds.
    pub(super) first_keys: &'a KeySet,
    /// What the second one holds.
    pub(super) second_keys: &'a KeySet,
    /// What was found.
    pub(super) found: Comparison,
}

#[derive(Serialize)]
struct JsonAgainst {
    store: String,
    same: usize,
    lacks: Vec<JsonVersion>,
    lacked: Vec<JsonVersion>,
    differs: Vec<JsonDiffering>,
}

#[derive(Serialize)]
struct JsonVersion {
    id: u32,
    version: u32,
    #[serde(flatten)]
    content: JsonContent,
}

#[derive(Serialize)]
struct JsonContent {
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
}

#[derive(Serialize)]
struct JsonDiffering {
    id: u32,
    version: u32,
    here: JsonContent,
    there: JsonContent,
}

impl From<Content> for JsonContent {
    fn from(content: Content) -> JsonContent {
        JsonContent {
            fingerprint: content.fingerprint.to_string(),
            algorithm: content.algorithm.map(Algorithm::name),
        }
    }
}

impl Difference<'_> {
    fn into_json(self) -> JsonAgainst {
        let versions = |names: &[KeyName], keys: &KeySet| {
            let version = |&name: &KeyName| {
                let content = Content::of(keys, name)?.into();
                let KeyName { id, version } = name;
                Some(JsonVersion { id, version, content })
            };
            names.iter().filter_map(version).collect()
        };
        let differing = self.found.differing.iter().map(|differing| JsonDiffering {
            id: differing.name.id,
            version: differing.name.version,
            here: differing.first.into(),
            there: differing.second.into(),
        });
        JsonAgainst {
            store: self.second,
            same: self.found.same,
            lacks: versions(&self.found.first_lacks, self.second_keys),
            lacked: versions(&self.found.second_lacks, self.first_keys),
            differs: differing.collect(),
        }
    }
}

struct Step {
    outcome: Outcome,
    what: String,
    hint: String,
}

/// All steps of a check.
pub(super) struct Report {
    store: String,
    steps: Vec<Step>,
    against: Option<JsonAgainst>,
}

impl Report {
    pub(super) fn new(store: String) -> Report {
        Report {
            store,
            steps: Vec::new(),
            against: None,
        }
    }

    pub(super) fn ok(&mut self, what: String) {
        self.add(Outcome::Ok, what, String::new());
    }

    pub(super) fn warning(&mut self, what: String, hint: String) {
        self.add(Outcome::Warning, what, hint);
    }

    /// Keeps for scripts how a second store differs.
    pub(super) fn compared(&mut self, difference: Difference<'_>) {
        self.against = Some(difference.into_json());
    }

    pub(super) fn add(&mut self, outcome: Outcome, what: String, hint: String) {
        let (what, hint) = (named(&what).into_owned(), named(&hint).into_owned());
        self.steps.push(Step { outcome, what, hint });
    }

    /// The worst of the steps.
    pub(super) fn verdict(&self) -> Outcome {
        let outcomes = self.steps.iter().map(|step| step.outcome);
        outcomes.max().unwrap_or(Outcome::Ok)
    }

    /// Prints the steps; `quiet`: only what is not as it should be.
    pub(super) fn print(&self, quiet: bool, json: bool) -> Result<(), Failure> {
        let text = if json { self.json()? } else { self.lines(quiet) };
        terminal::print(text.as_bytes())
    }

    fn lines(&self, quiet: bool) -> String {
        let mut text = String::new();
        for step in &self.steps {
            if quiet && step.outcome == Outcome::Ok {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:7}  {}", step.outcome.word(), one_line(&step.what));
            if !step.hint.is_empty() {
                let _ = writeln!(text, "{:7}  hint: {}", "", one_line(&step.hint));
            }
        }
        if !quiet {
            let warnings = self.steps.iter().filter(|step| step.outcome == Outcome::Warning);
            let verdict = match (self.verdict(), warnings.count()) {
                (Outcome::Ok, _) => "the plugin accepts it".into(),
                (Outcome::Warning, 1) => "the plugin accepts it, with 1 warning".into(),
                (Outcome::Warning, count) => format!("the plugin accepts it, with {count} warnings"),
                (Outcome::NotCompared, _) => "the plugin accepts it, but it could not be compared".into(),
                (Outcome::Differs, _) => {
                    "the plugin accepts it, but the other store holds something else".into()
                }
                (Outcome::Failed, _) => "the plugin refuses it".to_owned(),
            };
            let _ = writeln!(text, "{}: {verdict}", one_line(&self.store));
        }
        text
    }

    fn json(&self) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct JsonStep<'a> {
            result: &'static str,
            what: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            hint: &'a str,
        }
        #[derive(Serialize)]
        struct Json<'a> {
            store: &'a str,
            verdict: &'static str,
            steps: Vec<JsonStep<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            against: Option<&'a JsonAgainst>,
        }
        let json = Json {
            store: &self.store,
            verdict: self.verdict().as_verdict(),
            steps: self
                .steps
                .iter()
                .map(|step| JsonStep {
                    result: step.outcome.word(),
                    what: &step.what,
                    hint: &step.hint,
                })
                .collect(),
            against: self.against.as_ref(),
        };
        let mut text = serde_json::to_string_pretty(&json).map_err(|error| Failure::Output(error.into()))?;
        text.push('\n');
        Ok(text)
    }
}
