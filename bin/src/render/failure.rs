//! Failures, for people.

use std::fmt::Write;

use nodesockd_core::text::escape;
use nodesockd_core::wire::FailedWorker;

use super::{CYAN, DIM, RED};
use crate::exit::Failure;
use crate::out::Style;

/// Why a command failed, and what to do about it.
#[must_use]
pub fn failure(failure: &Failure, style: Style) -> String {
    let mut text = String::new();
    for message in &failure.messages {
        // A configuration's problem says so itself.
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let _ = writeln!(text, "{} {message}", style.paint(RED.bold(), "error:"));
    }
    if let Some(help) = &failure.help {
        let _ = writeln!(text, "{} {help}", style.paint(CYAN, "help:"));
    }
    text
}

/// The end of the log file of a worker that could not be started, where it can be read.
#[must_use]
pub fn log_end(file: &str, last_lines: Option<&[String]>, style: Style) -> String {
    let file = escape(file, 4096);
    match last_lines {
        Some([]) => format!("{file} is empty.\n"),
        Some(lines) => format!("The end of {file}:\n{}", quoted(lines, style)),
        None => format!("What it said is in {file}.\n"),
    }
}

/// What a worker that could not be started wrote last.
#[must_use]
pub fn last_lines_of(worker: &FailedWorker, style: Style) -> String {
    let place = worker.idx.map_or_else(|| "a standby".to_owned(), |slot| format!("for slot {slot}"));
    format!("Worker {} ({place}) wrote last, to stderr:\n{}", worker.id.short(), quoted(&worker.lines, style))
}

fn quoted(lines: &[String], style: Style) -> String {
    let mut text = String::new();
    for line in lines {
        let _ = writeln!(text, "  {} {}", style.paint(DIM, "|"), escape(line, 500));
    }
    text
}
