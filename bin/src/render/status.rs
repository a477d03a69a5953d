//! `status`, for people.

use std::fmt::Write;

use anstyle::Style as Paint;
use nodesockd_core::text::escape;

use super::table::{Cell, table};
use super::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, ago, span};
use crate::out::Style;
use crate::view::{FailuresView, StatusView, WorkerView, short};

/// Characters of a word from the daemon that are shown.
const WORD: usize = 40;
/// Characters of a sentence from the daemon that are shown.
const SENTENCE: usize = 200;

/// The daemon and its workers as they were at `now` (milliseconds since the epoch).
#[must_use]
pub fn status(view: &StatusView, now: u64, style: Style) -> String {
    let mut text = header(view, now, style);
    if view.workers.is_empty() && view.vacant.is_empty() && view.failing_standby.is_none() {
        text.push_str("\nNo workers are running; `nodesockd start` starts them.\n");
    } else {
        text.push('\n');
        text.push_str(&table(&rows(view, now), style));
    }
    if !view.failures.is_empty() {
        text.push('\n');
        view.failures.iter().for_each(|slot| text.push_str(&failures(slot, now)));
    }
    if view.suspended {
        let word = style.paint(YELLOW, "suspended");
        let _ = write!(text, "\nThe app is {word}: requests wait until `nodesockd resume`.\n");
    }
    if let Some(operation) = &view.operation {
        let _ = write!(text, "\nIn progress: {}\n", style.paint(CYAN, &escape(operation, SENTENCE)));
    }
    if let Some(note) = &view.note {
        let _ = write!(text, "\nNote: {}\n", style.paint(YELLOW, &escape(note, SENTENCE)));
    }
    text
}

fn header(view: &StatusView, now: u64, style: Style) -> String {
    let name = view
        .name
        .as_deref()
        .map_or_else(String::new, |name| format!("{}  ", style.paint(BOLD, &escape(name, WORD))));
    let up = span(std::time::Duration::from_millis(now.saturating_sub(view.start_ts)));
    let daemon = format!("nodesockd {}, pid {}, up {up}", escape(&view.version, WORD), view.pid);
    format!("{name}{}\n{}", style.paint(DIM, &daemon), generation(view, style))
}

/// Which generation is in force, and what it runs.
fn generation(view: &StatusView, style: Style) -> String {
    let Some((number, release)) = view.generation.zip(view.release.as_deref()) else { return String::new() };
    format!("{}\n", style.paint(DIM, &format!("generation {number} runs {}", escape(release, SENTENCE))))
}

fn rows(view: &StatusView, now: u64) -> Vec<Vec<Cell>> {
    let head = ["SLOT", "WORKER", "PID", "GEN", "STATE", "SINCE"];
    let mut rows = vec![head.map(|title| Cell::painted(title, DIM)).into()];
    let mut workers: Vec<&WorkerView> = view.workers.iter().collect();
    // Stable: within a kind, the daemon's order is kept.
    workers.sort_by_key(|worker| worker.rank());
    rows.extend(workers.into_iter().map(|worker| worker_row(worker, now)));
    rows.extend(view.vacant.iter().map(|slot| {
        let what = row_of_failures(slot.failures, slot.retry_ts, slot.reason.as_deref(), now);
        missing_row(Cell::plain(slot.idx.to_string()), "vacant", what)
    }));
    rows.extend(view.failing_standby.iter().map(|standby| {
        let what = row_of_failures(standby.failures, standby.retry_ts, standby.reason.as_deref(), now);
        missing_row(Cell::painted("standby", DIM), "failing", what)
    }));
    rows
}

fn worker_row(worker: &WorkerView, now: u64) -> Vec<Cell> {
    let serves = worker.idx.is_some() && !worker.kept;
    let place = if serves { Cell::plain(worker.place()) } else { Cell::painted(worker.place(), DIM) };
    let pid = worker.pid.map_or_else(|| Cell::painted("-", DIM), |pid| Cell::plain(pid.to_string()));
    let generation =
        worker.generation.map_or_else(|| Cell::painted("-", DIM), |number| Cell::plain(number.to_string()));
    let since = ago(worker.state_ts, now);
    vec![
        place,
        Cell::painted(escape(short(&worker.id), 5), BOLD),
        pid,
        generation,
        Cell::painted(escape(&worker.state, WORD), paint(worker)),
        Cell::plain(worker.reason.as_ref().map_or(since.clone(), |reason| {
            let reason = escape(reason, SENTENCE);
            format!("{since}: {reason}")
        })),
    ]
}

fn paint(worker: &WorkerView) -> Paint {
    match worker.state.as_str() {
        "online" => GREEN,
        // A standby waits by its nature.
        "suspended" if worker.standby => DIM,
        "suspended" => YELLOW,
        "running" | "waiting" => CYAN,
        "broken" | "dead" => RED,
        "terminating" => DIM,
        _ => Paint::new(),
    }
}

/// What is not there, and why.
fn missing_row(place: Cell, state: &str, what: String) -> Vec<Cell> {
    let dash = || Cell::painted("-", DIM);
    vec![place, dash(), dash(), dash(), Cell::painted(state, RED), Cell::plain(what)]
}

fn row_of_failures(failures: u32, retry: Option<u64>, reason: Option<&str>, now: u64) -> String {
    let mut what = match failures {
        0 => String::from("nobody serves it"),
        1 => String::from("failed once"),
        times => format!("failed {times} times in a row"),
    };
    if let Some(retry) = retry {
        let wait = std::time::Duration::from_millis(retry.saturating_sub(now));
        let _ = write!(what, ", next try in {}", span(wait));
    }
    if let Some(reason) = reason {
        let _ = write!(what, ": {}", escape(reason, SENTENCE));
    }
    what
}

fn failures(slot: &FailuresView, now: u64) -> String {
    let times = match slot.count {
        1 => "a worker had to be replaced".to_owned(),
        count => format!("{count} workers had to be replaced, the last one"),
    };
    let when = match ago(slot.last_ts, now).as_str() {
        "now" => "just now".to_owned(),
        time => format!("{time} ago"),
    };
    format!("Slot {}: {times} {when}: {}\n", slot.idx, escape(&slot.reason, SENTENCE))
}
