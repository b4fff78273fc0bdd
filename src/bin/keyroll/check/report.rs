//! What a check found, step by step.

use std::fmt::Write;

use serde::Serialize;

use crate::failure::Failure;
use crate::terminal;

/// How a step came out; the highest of all steps is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// The plugin accepts it, but it should be mended.
    Warning,
    /// The plugin refuses it.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        }
    }

    fn as_verdict(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warnings",
            Outcome::Failed => "refused",
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
}

impl Report {
    pub(super) fn new(store: String) -> Report {
        let steps = Vec::new();
        Report { store, steps }
    }

    pub(super) fn ok(&mut self, what: String) {
        self.add(Outcome::Ok, what, String::new());
    }

    pub(super) fn warning(&mut self, what: String, hint: String) {
        self.add(Outcome::Warning, what, hint);
    }

    pub(super) fn failed(&mut self, what: String, hint: String) {
        self.add(Outcome::Failed, what, hint);
    }

    fn add(&mut self, outcome: Outcome, what: String, hint: String) {
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
            let _ = writeln!(text, "{:7}  {}", step.outcome.word(), step.what);
            if !step.hint.is_empty() {
                let _ = writeln!(text, "{:7}  hint: {}", "", step.hint);
            }
        }
        if !quiet {
            let warnings = self.steps.iter().filter(|step| step.outcome == Outcome::Warning);
            let verdict = match (self.verdict(), warnings.count()) {
                (Outcome::Ok, _) => "the plugin accepts it".into(),
                (Outcome::Warning, 1) => "the plugin accepts it, with 1 warning".into(),
                (Outcome::Warning, count) => format!("the plugin accepts it, with {count} warnings"),
                (Outcome::Failed, _) => "the plugin refuses it".to_owned(),
            };
            let _ = writeln!(text, "{}: {verdict}", self.store);
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
        };
        let mut text = serde_json::to_string_pretty(&json).map_err(|error| Failure::Output(error.into()))?;
        text.push('\n');
        Ok(text)
    }
}
