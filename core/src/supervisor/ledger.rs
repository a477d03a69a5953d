//! The entries of the history: begun with an operation, made at its end, and kept until they are in the file.
//!
//! A file that cannot be written to stops nothing. What is to be written is kept for a while and tried again, and some of it is
//! given up when too much waits.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::action::Action;
use crate::event::Failure;
use crate::history::{Cause, Entry, Facts, Ledger as Record, Line, Outcome, Underway, What};
use crate::id::SlotIndex;
use crate::metrics::{Tally, count};
use crate::time::Time;
use crate::wire::Reply;

use super::backoff::Backoff;
use super::effects::Effects;
use super::generation::Generation;
use super::timer::Timer;

/// More entries than this do not wait for a file that cannot be written to: the oldest are given up.
const WAITING: usize = 32;

/// Entries, from their beginning until they are in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// The number of the last entry that was begun.
    last: u64,
    underway: Option<Underway>,
    /// It was told that this has begun.
    told: bool,
    /// Entries that are not in the file for all we know, oldest first.
    unwritten: VecDeque<Entry>,
    /// The first of these is being written.
    writing: bool,
    /// Failures to write.
    failures: Backoff,
    /// How many entries were given up in this row of failures.
    given_up: u64,
    /// How the last deploy ended that is known to have ended.
    last_deploy: Option<Facts>,
    /// How many operations there were, by what they were and by their outcome.
    operations: BTreeMap<String, Tally>,
    /// How often something has happened that is no operation.
    incidents: Tally,
}

impl Ledger {
    /// An operation begins, unless one is in progress already: then it goes on.
    pub fn begin(&mut self, now: Time, what: What, cause: Cause) {
        if self.underway.is_none() {
            self.last += 1;
            self.underway = Some(Underway { began: now, facts: Facts::of(self.last, what, cause) });
            self.told = false;
        }
    }

    /// What has begun, once.
    pub fn tell_beginning(&mut self) -> Option<Underway> {
        let untold = !std::mem::replace(&mut self.told, true);
        self.underway.clone().filter(|_| untold)
    }

    /// What is in progress was asked for by a signal.
    pub fn signalled(&mut self, signal: &str) {
        self.caused_by(Cause { by: None, signal: Some(signal.to_owned()) });
    }

    /// What is in progress was asked for like this.
    pub fn caused_by(&mut self, cause: Cause) {
        if let Some(underway) = &mut self.underway {
            underway.facts.cause = cause;
        }
    }

    /// What is in progress is about this release.
    pub fn concerns(&mut self, release: String) {
        if let Some(underway) = &mut self.underway {
            underway.facts.release = Some(release);
        }
    }

    /// What is in progress is about to bring up this generation, unless it goes back from another one.
    pub fn brings_up(&mut self, generation: &Generation) {
        if let Some(underway) = self.underway.as_mut().filter(|underway| underway.facts.generation.is_none())
        {
            underway.facts.generation = Some(generation.number);
            let release = generation.release.as_ref();
            underway.facts.release = release.map(|release| release.dir.to_string_lossy().into_owned());
        }
    }

    /// What is in progress.
    pub fn underway(&self) -> Option<What> {
        self.underway.as_ref().map(|underway| underway.facts.what)
    }

    /// What is in progress has ended. `held`: how many requests waited, if it has ended a suspension.
    pub fn end(
        &mut self,
        now: Time,
        outcome: Outcome,
        held: Option<u32>,
        reason: Option<&str>,
    ) -> Option<&Entry> {
        let taken = self.underway.take();
        debug_assert!(taken.is_some(), "nothing is in progress that could end: {outcome:?}");
        let Underway { began, facts } = taken?;
        if defect!(EndNotRecorded) && outcome == Outcome::CalledOff {
            return None;
        }
        let facts = Facts { outcome: Some(outcome), held, ..facts }.because(reason);
        self.enter(Entry { began, ended: now, facts })
    }

    /// Something happened.
    pub fn note(&mut self, now: Time, what: What, slot: Option<SlotIndex>, reason: &str) -> Option<&Entry> {
        self.last += 1;
        let facts = Facts { slot, ..Facts::of(self.last, what, Cause::default()) }.because(Some(reason));
        self.enter(Entry { began: now, ended: now, facts })
    }

    fn enter(&mut self, entry: Entry) -> Option<&Entry> {
        if entry.facts.what == What::Deploy {
            self.last_deploy = Some(entry.facts.clone());
        }
        self.count(&entry.facts);
        self.unwritten.push_back(entry);
        if self.unwritten.len() > WAITING {
            self.unwritten.remove(usize::from(self.writing));
            self.given_up += 1;
        }
        self.unwritten.back()
    }

    fn count(&mut self, facts: &Facts) {
        let what = facts.what.name();
        match facts.outcome {
            Some(outcome) => count(self.operations.entry(what.to_owned()).or_default(), outcome.name()),
            None => count(&mut self.incidents, what),
        }
    }

    /// How many entries there were: of operations, by what they were and by their outcome, and of what only happened.
    pub fn counted(&self) -> (&BTreeMap<String, Tally>, &Tally) {
        (&self.operations, &self.incidents)
    }

    /// How the last deploy ended, as far as that is in the history: what a request for it is answered.
    pub fn last_deploy(&self) -> Option<Reply> {
        let facts = self.last_deploy.as_ref()?;
        let outcome = facts.outcome?;
        if outcome == Outcome::Done {
            return Some(Reply::done(None));
        }
        let reason = facts.reason.clone().unwrap_or_else(|| format!("the deploy was {}", outcome.words()));
        Some(Reply::failed(outcome.code(), vec![reason]))
    }

    /// Has the next entry written, if it is time to.
    pub fn order(&mut self, effects: &mut Effects) {
        let due = self.failures.retry_at().is_none_or(|at| at <= effects.now());
        if let Some(entry) = self.unwritten.front().filter(|_| !self.writing && due) {
            self.failures.tried();
            self.writing = true;
            effects.order(Action::Record(Box::new(entry.clone())));
        }
    }

    /// The daemon is about to quit: has everything written that is not, as far as that can be done.
    pub fn order_all(&mut self, effects: &mut Effects) {
        for entry in self.unwritten.iter().skip(usize::from(self.writing)) {
            effects.order(Action::Record(Box::new(entry.clone())));
        }
    }

    /// An entry was written, or not; then that is tried again.
    pub fn written(&mut self, now: Time, number: u64, result: Result<(), Failure>) {
        let failing = self.failures.failures() > 0;
        if self.unwritten.front().is_none_or(|entry| entry.facts.number != number) {
            return;
        }
        self.writing = false;
        match result {
            Ok(()) => {
                self.unwritten.pop_front();
                self.failures.succeeded();
                if failing {
                    let lost = std::mem::take(&mut self.given_up);
                    tracing::info!("the history is written again; {lost} entries are lost");
                }
            }
            Err(failure) => {
                self.failures.failed(now, Duration::ZERO, &failure.0);
                if !failing {
                    tracing::warn!("cannot write the history, will try on: {failure}");
                }
            }
        }
    }

    /// When a write that failed is tried again.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        self.failures.retry_at().map(|at| (at, Timer::Record))
    }

    /// What the next daemon has to know.
    pub fn record(&self) -> Record {
        Record {
            last: self.last,
            underway: self.underway.clone(),
            unwritten: self.unwritten.iter().cloned().collect(),
            operations: self.operations.clone(),
            incidents: self.incidents.clone(),
        }
    }

    /// Whether the record says all that the next daemon has to know.
    pub fn is_said_by(&self, record: &Record) -> bool {
        let Record { last, underway, unwritten, operations, incidents } = record;
        (*last, underway) == (self.last, &self.underway)
            && self.unwritten == *unwritten
            && (operations, incidents) == self.counted()
    }

    /// What was handed off.
    pub fn taken_over(record: Record, last_deploy: Option<Facts>) -> Self {
        let Record { last, underway, unwritten, operations, incidents } = record;
        Self {
            last,
            underway,
            told: true,
            unwritten: unwritten.into(),
            last_deploy,
            operations,
            incidents,
            ..Self::default()
        }
    }

    /// What a daemon that is gone has left: in its state file, and at the end of the history.
    pub fn adopted(record: Record, tail: &[Line]) -> Self {
        let Record { last, underway, unwritten, operations, incidents } = record;
        let is_written = |facts: &Facts| {
            let same = |line: &Line| (line.facts.number, line.facts.what) == (facts.number, facts.what);
            tail.iter().any(same) && !defect!(EntryWrittenTwice)
        };
        let numbers = tail.iter().map(|line| line.facts.number).chain([last]);
        let deploy = |facts: &&Facts| facts.what == What::Deploy;
        let deploys = tail.iter().map(|line| &line.facts).chain(unwritten.iter().map(|entry| &entry.facts));
        let last_deploy = deploys.filter(deploy).max_by_key(|facts| facts.number).cloned();
        Self {
            last: numbers.max().unwrap_or_default(),
            told: true,
            underway: underway
                .filter(|underway| !is_written(&underway.facts) && !defect!(InterruptionForgotten)),
            unwritten: unwritten.into_iter().filter(|entry| !is_written(&entry.facts)).collect(),
            last_deploy,
            operations,
            incidents,
            ..Self::default()
        }
    }

    /// How the last deploy ended, for a hand-off.
    pub fn deploy_facts(&self) -> Option<&Facts> {
        self.last_deploy.as_ref()
    }
}
