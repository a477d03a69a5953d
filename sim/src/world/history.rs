//! The history file, and what has to be in it: each operation that the state file calls begun, once.

use std::collections::{BTreeMap, BTreeSet};

use nodesockd_core::event::Failure;
use nodesockd_core::history::{Entry, Ledger, Line, Outcome, What};

use super::World;
use crate::faults::Call;

/// So many entries wait while none can be written; the oldest ones give way to new ones.
const WAITING: usize = 32;

/// What the file holds, and what was begun.
#[derive(Debug, Default)]
pub(crate) struct HistoryFile {
    lines: Vec<Line>,
    /// What the state file has called begun, by its number.
    begun: BTreeMap<u64, What>,
    /// Entries that could not be written when that was last tried.
    failed: BTreeSet<u64>,
}

impl HistoryFile {
    /// The state file says this.
    pub fn promises(&mut self, ledger: &Ledger) {
        if let Some(oldest) = ledger.unwritten.first().filter(|_| ledger.unwritten.len() >= WAITING) {
            self.begun.retain(|number, _| *number >= oldest.facts.number);
        }
        let underway = ledger.underway.iter().map(|underway| &underway.facts);
        for facts in underway.chain(ledger.unwritten.iter().map(|entry| &entry.facts)) {
            self.begun.insert(facts.number, facts.what);
        }
    }

    /// The next daemon cannot know what this one had begun.
    pub fn forgets(&mut self) {
        self.begun.clear();
    }

    /// What was begun and is not in the file.
    fn missing(&self) -> impl Iterator<Item = (u64, What)> {
        let recorded: BTreeSet<u64> = self.lines.iter().map(|line| line.facts.number).collect();
        self.begun
            .iter()
            .map(|(number, what)| (*number, *what))
            .filter(move |(number, _)| !recorded.contains(number))
    }
}

impl World {
    /// Adds an entry to the history.
    pub fn record(&mut self, entry: &Entry) -> Result<(), Failure> {
        let number = entry.facts.number;
        let called = self.call(Call::Record);
        let outcome = entry.facts.outcome.map_or("", |outcome| outcome.words());
        let what = format!("history: {} {outcome}", entry.facts.what.name());
        self.log_file(format_args!("{}", what.trim_end()), &called);
        if entry.facts.what == What::Deploy {
            self.deploy_noted(entry);
        }
        self.note_unwanted(&entry.facts);
        if entry.facts.outcome.is_some() {
            // The next operation may begin, although the answer to this one may wait for a worker's last lines.
            self.oracle.starts.push_back(self.agenda.now());
            self.oracle.operation_ended = Some(self.agenda.now());
        }
        if entry.facts.outcome == Some(Outcome::NotRolledBack) {
            // All that are left of the release that was given up are replaced as soon as that is possible.
            self.oracle.at_once = true;
        }
        if called.is_err() {
            self.history.failed.insert(number);
            return called;
        }
        self.history.failed.remove(&number);
        if self.history.lines.iter().any(|line| line.facts.number == number) {
            self.violated(format_args!("entry {number} of the history is there twice"));
        }
        let line = entry.line(|time| time.as_nanos() / 1_000_000);
        self.history.lines.push(line);
        Ok(())
    }

    /// How many operations have ended, by the file.
    pub fn operations_ended(&self) -> usize {
        self.history.lines.iter().filter(|line| line.facts.outcome.is_some()).count()
    }

    /// The end of the file.
    pub fn history(&self) -> Vec<Line> {
        self.history.lines.clone()
    }

    /// Operations that have begun, have ended, and have no entry.
    pub fn unrecorded(&self) -> Vec<String> {
        let missing = self.history.missing();
        missing
            .map(|(number, what)| format!("the history has no entry {number}, a {}", what.name()))
            .collect()
    }

    /// The same, when the daemon has quit: what could not be written by then is not there.
    pub fn unrecorded_at_end(&self) -> Vec<String> {
        let missing = self.history.missing().filter(|(number, _)| !self.history.failed.contains(number));
        missing
            .map(|(number, what)| format!("the history has no entry {number}, a {}", what.name()))
            .collect()
    }
}
