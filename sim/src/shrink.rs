//! Makes a history that goes wrong smaller, as long as it goes wrong in the same way.
//!
//! It works on the history's data and knows nothing of what that means: parts of lists are left out, numbers get smaller,
//! what is optional goes. What is no history any more does not go wrong.

use std::collections::VecDeque;

use serde_json::Value;

use crate::history::History;
use crate::runner::run;

/// No more runs than this: a history that is small enough is better than the smallest one.
const RUNS: u32 = 5000;

/// These stay: with smaller ones no supervisor could do what is asked for.
const KEPT: [&str; 2] = ["releases", "timeout_ms"];

/// The smallest history found that goes wrong as `history` does; itself, if it does not.
#[must_use]
pub fn shrink(history: &History) -> History {
    let Some(kind) = violation(history).map(|violation| kind(&violation)) else { return history.clone() };
    let mut runs = 0;
    let smallest = shrink_while(history, |history| {
        runs += 1;
        runs <= RUNS && violation(history).is_some_and(|violation| self::kind(&violation) == kind)
    });
    History { found: violation(&smallest).unwrap_or_default(), ..smallest }
}

fn violation(history: &History) -> Option<String> {
    run(&history.scenario, &history.faults).violation
}

/// A violation without what differs from history to history: the first words in which there is no number or id.
fn kind(violation: &str) -> String {
    let names = |word: &&str| word.chars().all(|letter| !letter.is_ascii_digit());
    violation.split_whitespace().filter(names).take(8).collect::<Vec<_>>().join(" ")
}

fn shrink_while(history: &History, mut fails: impl FnMut(&History) -> bool) -> History {
    let mut shrinking = Shrinking::of(history);
    let mut smallest = history.clone();
    while let Some(candidate) = shrinking.next() {
        if fails(&candidate) {
            shrinking.keep();
            smallest = candidate;
        }
    }
    smallest
}

/// The way to a smallest history: it proposes smaller ones, and goes on from those that are kept.
#[derive(Debug, Clone)]
pub struct Shrinking {
    /// The smallest history that was kept, as data.
    data: Value,
    /// What is tried in its place now.
    proposed: Value,
    /// Places to try, and what remains to be tried at the first of them.
    places: VecDeque<String>,
    smaller: VecDeque<Value>,
    /// One was kept since all places were listed.
    progress: bool,
}

impl Shrinking {
    /// Begins with `history`.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let data = serde_json::to_value(history).unwrap_or_default();
        let (places, smaller) = (places(&data), VecDeque::new());
        let mut begun = Self { proposed: data.clone(), data, places, smaller, progress: false };
        begun.look();
        begun
    }

    /// The one proposed last was good: it is the smallest now.
    pub fn keep(&mut self) {
        self.data.clone_from(&self.proposed);
        self.progress = true;
        self.look();
    }

    /// Lists what can be tried at the first place.
    fn look(&mut self) {
        let here = self.places.front().and_then(|place| self.data.pointer(place));
        self.smaller = here.map(smaller).unwrap_or_default().into();
    }

    fn propose(&mut self, less: Value) -> Option<History> {
        self.proposed.clone_from(&self.data);
        *self.proposed.pointer_mut(self.places.front()?)? = less;
        serde_json::from_value(self.proposed.clone()).ok()
    }
}

impl Iterator for Shrinking {
    type Item = History;

    /// The next history that is smaller than the smallest one that was kept.
    fn next(&mut self) -> Option<History> {
        loop {
            while let Some(less) = self.smaller.pop_front() {
                if let Some(history) = self.propose(less) {
                    return Some(history);
                }
            }
            self.places.pop_front();
            if self.places.is_empty() && std::mem::take(&mut self.progress) {
                self.places = places(&self.data);
            }
            if self.places.is_empty() {
                return None;
            }
            self.look();
        }
    }
}

/// All places in `data`, outer ones before inner ones (RFC 6901).
fn places(data: &Value) -> VecDeque<String> {
    fn collect(data: &Value, here: String, places: &mut VecDeque<String>) {
        let inner: Vec<(String, &Value)> = match data {
            Value::Array(items) => (0..).map(|n: usize| n.to_string()).zip(items).collect(),
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        if KEPT.iter().any(|kept| here.ends_with(kept)) {
            return;
        }
        places.push_back(here.clone());
        for (name, value) in inner {
            collect(value, format!("{here}/{name}"), places);
        }
    }
    let mut all = VecDeque::new();
    collect(data, String::new(), &mut all);
    all
}

/// Smaller values, the smallest first.
fn smaller(value: &Value) -> Vec<Value> {
    match value {
        Value::Null | Value::Bool(false) | Value::String(_) => Vec::new(),
        Value::Bool(true) => vec![Value::Bool(false)],
        Value::Object(_) => vec![Value::Null],
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            let mut less: Vec<u64> = vec![0, number / 2, number - number.div_ceil(8)];
            less.retain(|less| *less < number);
            less.dedup();
            std::iter::once(Value::Null).chain(less.into_iter().map(Value::from)).collect()
        }
        Value::Array(items) => {
            let sizes =
                std::iter::successors(Some(items.len()), |size| (*size > 1).then_some(size.div_ceil(2)));
            let cuts = sizes.filter(|size| *size > 0).flat_map(|size| {
                (0..items.len()).step_by(size).map(move |start| start..(start + size).min(items.len()))
            });
            cuts.map(|cut| {
                let kept = items.iter().enumerate().filter(|(index, _)| !cut.contains(index));
                Value::Array(kept.map(|(_, item)| item.clone()).collect())
            })
            .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use crate::scenario::{Act, Ask, Step};

    fn restarts(history: &History) -> usize {
        let restarts = |step: &&Step| matches!(&step.act, Act::Ask { ask: Ask::Restart { .. }, .. });
        history.scenario.script.iter().filter(restarts).count()
    }

    #[test]
    fn what_has_no_part_in_the_failure_goes() {
        let history = (0..)
            .map(|seed| {
                let (scenario, faults) = generate(seed);
                History { found: String::new(), scenario, faults }
            })
            .find(|history| restarts(history) > 3 && !history.faults.workers.is_empty())
            .unwrap();
        let small =
            shrink_while(&history, |history| restarts(history) >= 2 && history.scenario.load.users > 0);
        assert_eq!((small.scenario.script.len(), restarts(&small)), (2, 2));
        assert_eq!((small.scenario.load.users, small.scenario.length_ms), (1, 0));
        assert!(small.faults.workers.is_empty() && small.faults.calls.is_empty());
    }

    #[test]
    fn violations_are_of_a_kind_whoever_they_are_about() {
        assert_eq!(kind("w3 is told to resume while"), kind("w14 is told to resume while"));
        assert_ne!(kind("w3 is told to resume while"), kind("w3 is told to shut down"));
    }

    #[test]
    fn a_history_that_keeps_its_promises_stays_as_it_is() {
        let (scenario, faults) = generate(0);
        let history = History { found: String::new(), scenario, faults };
        assert_eq!(shrink(&history), history);
    }
}
