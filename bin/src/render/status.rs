//! `status`, for people.

use std::fmt::Write;

use anstyle::Style as Paint;
use nodesockd_core::text::escape;

use super::batch::batch_words;
use super::table::{Cell, table};
use super::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, ago, because, span, suspension};
use crate::out::Style;
use crate::view::{FailingStandbyView, FailuresView, StatusView, VacantView, WorkerView, short};

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
    if let Some(spare) = spare(view) {
        let _ = write!(text, "\n{spare}.\n");
    }
    if !view.failures.is_empty() {
        text.push('\n');
        view.failures.iter().for_each(|slot| text.push_str(&failures(slot, now)));
    }
    if let Some(words) = suspension(view, now) {
        let words = style.paint(YELLOW, &words);
        let _ = write!(text, "\nThe app {words}. `nodesockd resume` lets requests through.\n");
    }
    if let Some(operation) = &view.operation {
        let batch = view.batch.as_ref().map_or_else(String::new, |batch| format!(", {}", batch_words(batch)));
        let words = format!("{}{batch}", escape(operation, SENTENCE));
        let _ = write!(text, "\nIn progress: {}\n", style.paint(CYAN, &words));
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
    rows.extend(view.vacant.iter().map(|slot| vacant_row(slot, now)));
    rows.extend(view.failing_standby.iter().map(|standby| standby_row(standby, now)));
    rows
}

fn worker_row(worker: &WorkerView, now: u64) -> Vec<Cell> {
    let serves = worker.idx.is_some() && !worker.kept;
    let place = if serves { Cell::plain(worker.place()) } else { Cell::painted(worker.place(), DIM) };
    let pid = worker.pid.map_or_else(|| Cell::painted("-", DIM), |pid| Cell::plain(pid.to_string()));
    let generation =
        worker.generation.map_or_else(|| Cell::painted("-", DIM), |number| Cell::plain(number.to_string()));
    let since = ago(worker.state_ts, now);
    let leads = if worker.leader { ", leads" } else { "" };
    vec![
        place,
        Cell::painted(escape(short(&worker.id), 5), BOLD),
        pid,
        generation,
        Cell::painted(escape(&worker.state, WORD), paint(worker)),
        Cell::plain(format!("{since}{leads}{}", because(worker.reason.as_deref(), SENTENCE))),
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

/// Which slots have no worker of their own because there are more links than workers, and who serves there.
fn spare(view: &StatusView) -> Option<String> {
    let (first, last) = view.spare.first().zip(view.spare.last())?;
    let slots = match view.spare.len() {
        1 => format!("Slot {} is spare", first.idx),
        _ => format!("Slots {} to {} are spare", first.idx, last.idx),
    };
    let everywhere = view.spare.iter().all(|slot| slot.served_by.is_some());
    let by = if everywhere { "the workers above serve there as well" } else { "nobody serves there now" };
    Some(format!("{slots}: {by}"))
}

fn vacant_row(slot: &VacantView, now: u64) -> Vec<Cell> {
    let (state, nothing) = match &slot.served_by {
        None => (Cell::painted("vacant", RED), "nobody serves it"),
        Some(neighbour) => {
            let state = format!("served by {}", escape(short(neighbour), 5));
            (Cell::painted(state, YELLOW), "its own worker is missing")
        }
    };
    let what = row_of_failures(nothing, slot.failures, slot.retry_ts, slot.reason.as_deref(), now);
    missing_row(Cell::plain(slot.idx.to_string()), state, what)
}

fn standby_row(standby: &FailingStandbyView, now: u64) -> Vec<Cell> {
    let FailingStandbyView { failures, retry_ts, reason, .. } = standby;
    let what = row_of_failures("it is missing", *failures, *retry_ts, reason.as_deref(), now);
    missing_row(Cell::painted("standby", DIM), Cell::painted("failing", RED), what)
}

/// What is not there, and why.
fn missing_row(place: Cell, state: Cell, what: String) -> Vec<Cell> {
    let dash = || Cell::painted("-", DIM);
    vec![place, dash(), dash(), dash(), state, Cell::plain(what)]
}

/// `nothing` is what there is to say when nothing has failed.
fn row_of_failures(
    nothing: &str,
    failures: u32,
    retry: Option<u64>,
    reason: Option<&str>,
    now: u64,
) -> String {
    let mut what = match failures {
        0 => nothing.to_owned(),
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
