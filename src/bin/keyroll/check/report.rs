//! What a check found, step by step.

use std::fmt::Write;

use keyroll::crypto::Algorithm;
use keyroll::durable::User;
use keyroll::keys::{Comparison, Content, KeyName, KeySet};
use keyroll::one_line::one_line;
use serde::Serialize;

use crate::failure::Failure;
use crate::names::named;
use crate::terminal;

/// How a step came out; the highest of all steps is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "&str")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// As it may be, and worth to know.
    Note,
    /// The plugin accepts it, but it should be mended.
    Warning,
    /// The plugin accepts it, but another store could not be compared with it.
    NotCompared,
    /// The plugin accepts it, but another store holds something else under one name.
    Differs,
    /// Who runs the check may not look at it.
    NotJudged,
    /// The plugin refuses it.
    Failed,
}

impl From<Outcome> for &str {
    fn from(outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Ok => "ok",
            Outcome::Note => "note",
            Outcome::Warning => "warning",
            Outcome::Differs => "differs",
            Outcome::NotCompared | Outcome::NotJudged | Outcome::Failed => "failed",
        }
    }
}

impl Outcome {
    fn as_verdict(self) -> &'static str {
        match self {
            Outcome::Ok | Outcome::Note => "ok",
            Outcome::Warning => "warnings",
            Outcome::NotCompared => "not compared",
            Outcome::Differs => "differs",
            Outcome::NotJudged => "not judged",
            Outcome::Failed => "refused",
        }
    }
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

fn json_versions(names: &[KeyName], keys: &KeySet) -> Vec<JsonVersion> {
    let version = |&name: &KeyName| {
        let content = Content::of(keys, name)?.into();
        let KeyName { id, version } = name;
        Some(JsonVersion { id, version, content })
    };
    names.iter().filter_map(version).collect()
}

#[derive(Serialize)]
struct CheckStep {
    #[serde(rename = "result")]
    outcome: Outcome,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
}

/// All steps of a check.
pub(super) struct Report {
    store: String,
    /// Whom it was judged for.
    user: String,
    steps: Vec<CheckStep>,
    against: Option<JsonAgainst>,
}

impl Report {
    pub(super) fn new(store: String) -> Report {
        Report {
            store,
            user: String::new(),
            steps: Vec::new(),
            against: None,
        }
    }

    /// Keeps for scripts whom it was judged for.
    pub(super) fn judged_for(&mut self, user: &User) {
        self.user = user.shown();
    }

    pub(super) fn ok(&mut self, what: String) {
        self.add(Outcome::Ok, what, String::new());
    }

    pub(super) fn note(&mut self, what: String, hint: String) {
        self.add(Outcome::Note, what, hint);
    }

    pub(super) fn warning(&mut self, what: String, hint: String) {
        self.add(Outcome::Warning, what, hint);
    }

    /// Keeps for scripts how a second store, which is called so, differs from the one that is
    /// checked.
    pub(super) fn compared(
        &mut self,
        second: String,
        found: &Comparison,
        first_keys: &KeySet,
        second_keys: &KeySet,
    ) {
        let differing = found.differing.iter().map(|differing| JsonDiffering {
            id: differing.name.id,
            version: differing.name.version,
            here: differing.first.into(),
            there: differing.second.into(),
        });
        self.against = Some(JsonAgainst {
            store: second,
            same: found.same,
            lacks: json_versions(&found.first_lacks, second_keys),
            lacked: json_versions(&found.second_lacks, first_keys),
            differs: differing.collect(),
        });
    }

    pub(super) fn add(&mut self, outcome: Outcome, what: String, hint: String) {
        let (what, hint) = (named(&what).into_owned(), named(&hint).into_owned());
        self.steps.push(CheckStep { outcome, what, hint });
    }

    /// The worst of the steps.
    pub(super) fn verdict(&self) -> Outcome {
        let outcomes = self.steps.iter().map(|step| step.outcome);
        outcomes.max().unwrap_or(Outcome::Ok)
    }

    /// Prints the steps; `quiet`: only what is not as it should be.
    pub(super) fn print(&self, quiet: bool, json: bool) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Json<'a> {
            store: &'a str,
            user: &'a str,
            verdict: &'static str,
            steps: &'a [CheckStep],
            #[serde(skip_serializing_if = "Option::is_none")]
            against: Option<&'a JsonAgainst>,
        }
        match json {
            false => terminal::print(self.lines(quiet).as_bytes()),
            true => terminal::print_json(&Json {
                store: &self.store,
                user: &self.user,
                verdict: self.verdict().as_verdict(),
                steps: &self.steps,
                against: self.against.as_ref(),
            }),
        }
    }

    fn lines(&self, quiet: bool) -> String {
        let mut text = String::new();
        for step in &self.steps {
            if quiet && step.outcome < Outcome::Warning {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:7}  {}", <&str>::from(step.outcome), one_line(&step.what));
            if !step.hint.is_empty() {
                let _ = writeln!(text, "{:7}  hint: {}", "", one_line(&step.hint));
            }
        }
        if !quiet {
            let warnings = self.steps.iter().filter(|step| step.outcome == Outcome::Warning);
            let verdict = match (self.verdict(), warnings.count()) {
                (Outcome::Ok | Outcome::Note, _) => "the plugin accepts it".into(),
                (Outcome::Warning, 1) => "the plugin accepts it, with 1 warning".into(),
                (Outcome::Warning, count) => format!("the plugin accepts it, with {count} warnings"),
                (Outcome::NotCompared, _) => "the plugin accepts it, but it could not be compared".into(),
                (Outcome::Differs, _) => {
                    "the plugin accepts it, but the other store holds something else".into()
                }
                (Outcome::NotJudged, _) => "it could not be judged whether the plugin accepts it".into(),
                (Outcome::Failed, _) => "the plugin refuses it".to_owned(),
            };
            let _ = writeln!(text, "{}: {verdict}", one_line(&self.store));
        }
        text
    }
}
