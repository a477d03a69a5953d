//! `history`

use std::io;
use std::path::Path;

use nodesockd_core::config::Companion;
use nodesockd_core::history::{Line, parse_line};
use nodesockd_core::timestamp;
use nodesockd_os::read_history;

use crate::cli::{HistoryArgs, Since};
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::{locate, render, view};

/// Prints the last entries. Asks no daemon: the file is there without one.
pub(super) fn history(args: &HistoryArgs, console: &mut Console) -> Result<Exit, Failure> {
    let file = Companion::History.path(&locate::control_socket(&args.read.target)?);
    let text = match read_history(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(&file, &error)),
    };
    let since = args.since.map(|since| since.millis(view::now()));
    let (entries, useless) = entries(&text);
    let late = |(_, line): &&(&str, Line)| since.is_none_or(|since| at(line).is_none_or(|at| at >= since));
    let found: Vec<&(&str, Line)> = entries.iter().filter(late).collect();
    let count = usize::try_from(args.count.get()).unwrap_or(usize::MAX);
    let shown = &found[found.len().saturating_sub(count)..];
    if useless > 0 {
        let words = format!(
            "warning: {useless} lines of {} are torn, damaged or of a newer version, and left out",
            render::path(&file)
        );
        console.err.line(&words)?;
    }
    if args.read.json {
        for (text, _) in shown {
            console.out.line(&render::json_line(text))?;
        }
    } else if shown.is_empty() {
        console.err.line(&nothing(&file, entries.len()))?;
    } else {
        let lines: Vec<Line> = shown.iter().map(|(_, line)| line.clone()).collect();
        console.out.text(&render::history(&lines, console.out.style()))?;
    }
    Ok(Exit::Done)
}

/// The entries with the text of each, and how many lines are of no use.
fn entries(text: &str) -> (Vec<(&str, Line)>, usize) {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let entries: Vec<(&str, Line)> = lines().filter_map(|text| Some((text, parse_line(text)?))).collect();
    let useless = lines().count() - entries.len();
    (entries, useless)
}

fn at(line: &Line) -> Option<u64> {
    timestamp::parse(&line.time)
}

fn nothing(file: &Path, others: usize) -> String {
    match others {
        0 => format!("Nothing is recorded yet in {}.", render::path(file)),
        1 => "Nothing is recorded since then; there is 1 earlier entry.".to_owned(),
        count => format!("Nothing is recorded since then; there are {count} earlier entries."),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let words = format!("cannot read the history {}: {error}", render::path(file));
    if error.kind() == io::ErrorKind::PermissionDenied {
        let help = "it belongs to the daemon's user, who alone may read it";
        Failure::new(Exit::NotPermitted, words).help(help)
    } else {
        Failure::new(Exit::Unexpected, words)
    }
}

impl Since {
    /// In milliseconds since the epoch.
    pub(super) fn millis(self, now: u64) -> u64 {
        match self {
            Self::Ago(time) => now.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Self::At(millis) => millis,
        }
    }
}
