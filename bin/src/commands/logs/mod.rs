//! `logs`: what workers wrote, wherever it is. The files of `log` are read without a daemon.

mod elsewhere;
mod files;
mod reader;

use std::path::PathBuf;

use nodesockd_core::config::Config;
use nodesockd_core::log_line::{LogLine, parse};
use nodesockd_core::selector::Selector;
use nodesockd_core::text::escape;
use nodesockd_core::timestamp;
use nodesockd_core::wire::Request;
use serde::Deserialize;

use crate::cli::LogsArgs;
use crate::client::connect;
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::{Console, Out};
use crate::{render, view};

/// So many lines are shown if nobody says how many.
const LINES: u32 = 100;
/// More characters of a line than anybody reads at a terminal.
const LONGEST: usize = 64 << 10;
/// The last characters of a worker's id, which `status` shows.
const SHORT: usize = 5;

/// Prints what workers wrote.
pub(super) async fn logs(args: &LogsArgs, console: &mut Console) -> Result<Exit, Failure> {
    let config = configuration(args).await?;
    let Some(log) = &config.log else { return elsewhere::logs(args, &config, console).await };
    let wanted = Wanted::of(args)?;
    let mut reader = reader::Reader::open(log).map_err(|error| unreadable(&log.dir, &error))?;
    reader.go_to(wanted.count, |line| wanted.judge(line)).map_err(|error| unreadable(&log.dir, &error))?;
    let found = reader.is_there();
    let mut printer = Printer { json: args.json, out: &mut console.out };
    if args.follow {
        reader.follow(|line| printer.print(&wanted, line)).await?;
    } else {
        reader.read(|line| printer.print(&wanted, line))?;
        if !found {
            console.err.line(&format!("Nothing is logged yet in {}.", render::path(&log.dir)))?;
        }
    }
    Ok(Exit::Done)
}

/// The configuration that the daemon goes by, as far as it can be told without one.
async fn configuration(args: &LogsArgs) -> Result<Config, Failure> {
    let named: Option<PathBuf> = match &args.target.ipc {
        None => args.target.config.clone(),
        Some(ipc) => {
            let data = connect(ipc).await?.answer(&Request::Config).await?;
            let told: Told = view::read(&data)?;
            told.files.into_iter().next()
        }
    };
    let around = match &named {
        Some(file) if file.is_absolute() => configuration::surroundings_or_root(),
        Some(_) | None => configuration::surroundings()?,
    };
    configuration::read(named.as_deref(), &around).map_err(|problems| configuration::invalid(&problems))
}

/// What the daemon says of its configuration, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Told {
    files: Vec<PathBuf>,
}

/// What is asked for.
struct Wanted {
    selector: Option<Selector>,
    /// In milliseconds since the epoch.
    since: Option<u64>,
    /// How many of the last lines; `None`: all.
    count: Option<usize>,
}

/// What a line is to who goes through them from the last one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Chosen,
    Other,
    /// It is too old, and so are those before it.
    TooOld,
}

impl Wanted {
    fn of(args: &LogsArgs) -> Result<Self, Failure> {
        let selector = args.workers.as_deref().map(Selector::parse).transpose();
        let selector = selector.map_err(|words| Failure::new(Exit::Usage, words))?;
        if selector.as_ref().is_some_and(Selector::needs_process) {
            let words = "lines of the log have no pids, and nobody sent them";
            return Err(Failure::new(Exit::Usage, words).help("choose by slots or ids: `-w 2`, `-w 1-3`"));
        }
        let since = args.since.map(|since| since.millis(view::now()));
        let count = args.count.map(|count| count.get()).or(since.is_none().then_some(LINES));
        Ok(Self { selector, since, count: count.and_then(|count| usize::try_from(count).ok()) })
    }

    fn judge(&self, text: &[u8]) -> Verdict {
        let Some(line) = parse(text) else {
            return if self.selector.is_none() { Verdict::Chosen } else { Verdict::Other };
        };
        let late = self.since.is_none_or(|since| timestamp::parse(&line.time).is_none_or(|at| at >= since));
        match (late, self.chooses(&line)) {
            (false, _) => Verdict::TooOld,
            (true, true) => Verdict::Chosen,
            (true, false) => Verdict::Other,
        }
    }

    /// That lines are missing is said in any case: they may have been of anybody.
    fn chooses(&self, line: &LogLine) -> bool {
        let Some(selector) = &self.selector else { return true };
        line.worker.as_ref().is_none_or(|worker| selector.chooses_line(line.slot, worker))
    }
}

struct Printer<'a> {
    json: bool,
    out: &'a mut Out,
}

impl Printer<'_> {
    /// Prints a line, if it is wanted. Returns whether there is still somebody who reads.
    fn print(&mut self, wanted: &Wanted, text: &[u8]) -> Result<bool, Failure> {
        if wanted.judge(text) == Verdict::Chosen {
            self.show(text)?;
        }
        Ok(!self.out.is_closed())
    }

    fn show(&mut self, text: &[u8]) -> Result<(), Failure> {
        let foreign = |text| LogLine {
            time: String::new(),
            slot: None,
            worker: None,
            stream: String::new(),
            continued: false,
            missing: None,
            line: String::from_utf8_lossy(text).into_owned(),
        };
        let line = parse(text).unwrap_or_else(|| foreign(text));
        if self.json {
            let json = serde_json::to_string(&line).unwrap_or_default();
            return self.out.line(&render::json_line(&json));
        }
        let text = if line.time.is_empty() { line.line } else { shown(&line) };
        self.out.line(&if self.out.is_terminal() { escape(&text, LONGEST) } else { text })
    }
}

/// A line as the format `text` has it.
fn shown(line: &LogLine) -> String {
    let slot = line.slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
    let worker = line.worker.as_deref().unwrap_or("-");
    let worker = worker.get(worker.len().saturating_sub(SHORT)..).unwrap_or(worker);
    let mark = if line.continued { "+" } else { "" };
    format!("{} {slot} {worker} {}{mark} {}", line.time, line.stream, line.line)
}

fn unreadable(dir: &std::path::Path, error: &std::io::Error) -> Failure {
    let words = format!("cannot read the log in {}: {error}", render::path(dir));
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        let help = "the files belong to the daemon's user; its group may read them, too";
        Failure::new(Exit::NotPermitted, words).help(help)
    } else {
        Failure::new(Exit::Unexpected, words)
    }
}
