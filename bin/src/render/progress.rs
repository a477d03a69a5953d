//! A restart as it goes on.

use anstyle::Style as Paint;
use nodesockd_core::text::escape;
use nodesockd_core::wire::{Progress, Stage};

use super::table::{Cell, table};
use super::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, because};
use crate::out::Style;

/// What every worker has gone through so far.
#[derive(Debug, Default)]
pub struct Transcript {
    /// In the order in which they were first heard of.
    workers: Vec<Seen>,
    /// The new workers do not serve: they are suspended.
    suspended: bool,
}

#[derive(Debug)]
struct Seen {
    last: Progress,
    stages: Vec<Stage>,
    /// What was asked for has failed, and this worker, which had not failed itself, goes with it.
    given_up: bool,
}

impl Transcript {
    /// Nothing has happened yet to workers that are to be suspended, or not.
    #[must_use]
    pub fn new(suspended: bool) -> Self {
        Self { workers: Vec::new(), suspended }
    }

    /// Takes in one step. Returns it as a plain line, or `None` if it is no news.
    pub fn record(&mut self, step: Progress) -> Option<String> {
        let line = line(&step, self.name(step.stage));
        match self.workers.iter_mut().find(|seen| seen.last.id == step.id) {
            Some(seen) if seen.stages.last() == Some(&step.stage) => {
                if step.reason.is_none() || step.reason == seen.last.reason {
                    return None;
                }
                // The same stage, and something to say about it.
                seen.last = step;
            }
            Some(seen) => {
                seen.stages.push(step.stage);
                seen.last = step;
            }
            None => self.workers.push(Seen { stages: vec![step.stage], last: step, given_up: false }),
        }
        Some(line)
    }

    /// What was asked for has failed: new workers that were still on their way do not arrive. Returns a plain line for
    /// each of them.
    pub fn give_up(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for seen in &mut self.workers {
            if matches!(seen.last.stage, Stage::Starting | Stage::Online) && !seen.given_up {
                seen.given_up = true;
                lines.push(line(&Progress { reason: None, ..seen.last.clone() }, GIVEN_UP));
            }
        }
        lines
    }

    /// Nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// How many workers have got as far as `stage`.
    #[must_use]
    pub fn count(&self, stage: Stage) -> usize {
        self.workers.iter().filter(|seen| seen.stages.contains(&stage)).count()
    }

    /// One row a worker, by slot, each with its way so far: at most `height` lines. Where that is too few, workers that
    /// have arrived are only counted.
    #[must_use]
    pub fn picture(&self, height: usize, style: Style) -> String {
        let mut shown: Vec<&Seen> = self.workers.iter().collect();
        shown.sort_by_key(|seen| seen.last.idx.map_or(u32::MAX, |slot| slot.0));
        if shown.len() <= height {
            return self.rows(&shown, style);
        }
        let arrived = shown.iter().filter(|seen| seen.arrived()).count();
        shown.retain(|seen| !seen.arrived());
        shown.truncate(height.saturating_sub(1));
        let rest = self.workers.len() - shown.len();
        let done = if arrived == rest { "all".to_owned() } else { format!("{arrived} of them") };
        let rest = style.paint(DIM, &format!("and {rest} more, {done} done"));
        format!("{}{rest}\n", self.rows(&shown, style))
    }

    fn rows(&self, workers: &[&Seen], style: Style) -> String {
        let rows: Vec<Vec<Cell>> = workers
            .iter()
            .map(|seen| {
                vec![
                    Cell::painted(place(&seen.last), DIM),
                    Cell::painted(seen.last.id.short(), BOLD),
                    Cell::plain(self.way(seen, style)),
                ]
            })
            .collect();
        table(&rows, style)
    }

    /// `starting → online → serving`
    fn way(&self, seen: &Seen, style: Style) -> String {
        let last = seen.stages.len() - usize::from(!seen.given_up);
        let stages = seen.stages.iter().map(|stage| (self.name(*stage), paint(*stage)));
        let words = stages.chain(seen.given_up.then_some((GIVEN_UP, RED))).enumerate();
        let words =
            words.map(|(index, (word, colour))| style.paint(if index == last { colour } else { DIM }, word));
        let mut way = words.collect::<Vec<_>>().join(&style.paint(DIM, " → "));
        if let Some(reason) = &seen.last.reason {
            way.push_str(": ");
            way.push_str(&escape(reason, 200));
        }
        way
    }

    fn name(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::Starting => "starting",
            Stage::Online => "online",
            Stage::Serving if self.suspended => "suspended",
            Stage::Serving => "serving",
            Stage::Standby => "standby",
            Stage::Failed => "failed",
            Stage::Draining => "draining",
            Stage::Gone => "gone",
        }
    }
}

/// What becomes of a worker that had not failed when what was asked for did.
const GIVEN_UP: &str = "given up";

impl Seen {
    fn arrived(&self) -> bool {
        match self.last.stage {
            Stage::Serving | Stage::Standby | Stage::Gone => true,
            Stage::Starting | Stage::Online | Stage::Failed | Stage::Draining => false,
        }
    }
}

fn line(step: &Progress, name: &str) -> String {
    let pid = step.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let reason = because(step.reason.as_deref(), 500);
    format!("{}: worker {}{pid} {name}{reason}", place(step), step.id.short())
}

fn place(step: &Progress) -> String {
    step.idx.map_or_else(|| "standby".into(), |slot| format!("slot {slot}"))
}

fn paint(stage: Stage) -> Paint {
    match stage {
        Stage::Starting => CYAN,
        Stage::Online | Stage::Serving | Stage::Standby => GREEN,
        Stage::Failed => RED,
        Stage::Draining => YELLOW,
        Stage::Gone => DIM,
    }
}
