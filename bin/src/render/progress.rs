//! A restart as it goes on.

use anstyle::Style as Paint;
use nodesockd_core::text::escape;
use nodesockd_core::wire::{Progress, Stage};

use super::table::{Cell, table};
use super::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use crate::out::Style;

/// What every worker has gone through so far.
#[derive(Debug, Default)]
pub struct Transcript {
    /// In the order in which they were first heard of.
    workers: Vec<Seen>,
}

#[derive(Debug)]
struct Seen {
    last: Progress,
    stages: Vec<Stage>,
}

impl Transcript {
    /// Takes in one step. Returns it as a plain line, or `None` if it is no news.
    pub fn record(&mut self, step: Progress) -> Option<String> {
        let line = line(&step);
        match self.workers.iter_mut().find(|seen| seen.last.id == step.id) {
            Some(seen) if seen.stages.last() == Some(&step.stage) => return None,
            Some(seen) => {
                seen.stages.push(step.stage);
                seen.last = step;
            }
            None => self.workers.push(Seen { stages: vec![step.stage], last: step }),
        }
        Some(line)
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
            return rows(&shown, style);
        }
        let arrived = shown.iter().filter(|seen| seen.arrived()).count();
        shown.retain(|seen| !seen.arrived());
        shown.truncate(height.saturating_sub(1));
        let rest = self.workers.len() - shown.len();
        let done = if arrived == rest { "all".to_owned() } else { format!("{arrived} of them") };
        let rest = style.paint(DIM, &format!("and {rest} more, {done} done"));
        format!("{}{rest}\n", rows(&shown, style))
    }
}

impl Seen {
    fn arrived(&self) -> bool {
        match self.last.stage {
            Stage::Serving | Stage::Standby | Stage::Gone => true,
            Stage::Starting | Stage::Online | Stage::Failed | Stage::Draining => false,
        }
    }
}

fn rows(workers: &[&Seen], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .map(|seen| {
            vec![
                Cell::painted(place(&seen.last), DIM),
                Cell::painted(seen.last.id.short(), BOLD),
                Cell::plain(way(seen, style)),
            ]
        })
        .collect();
    table(&rows, style)
}

/// `starting → online → serving`
fn way(seen: &Seen, style: Style) -> String {
    let last = seen.stages.len().saturating_sub(1);
    let stages = seen.stages.iter().enumerate().map(|(index, stage)| {
        let paint = if index == last { paint(*stage) } else { DIM };
        style.paint(paint, name(*stage))
    });
    let mut way = stages.collect::<Vec<_>>().join(&style.paint(DIM, " → "));
    if let Some(reason) = &seen.last.reason {
        way.push_str(": ");
        way.push_str(&escape(reason, 200));
    }
    way
}

fn line(step: &Progress) -> String {
    let pid = step.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let reason =
        step.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", escape(reason, 500)));
    format!("{}: worker {}{pid} {}{reason}", place(step), step.id.short(), name(step.stage))
}

fn place(step: &Progress) -> String {
    step.idx.map_or_else(|| "standby".into(), |slot| format!("slot {slot}"))
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Starting => "starting",
        Stage::Online => "online",
        Stage::Serving => "serving",
        Stage::Standby => "standby",
        Stage::Failed => "failed",
        Stage::Draining => "draining",
        Stage::Gone => "gone",
    }
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
