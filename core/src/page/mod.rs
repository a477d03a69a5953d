//! What the dev server answers while no worker can: as a page for a browser, as text, and as JSON.
//!
//! Whatever comes from workers, files or the configuration is escaped and bounded here, whoever gave it.

pub mod html;
pub mod text;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::text::escape;
use crate::time::Time;
use crate::wire::FailedWorker;

/// So many lines of a worker's are shown.
pub const LINES: usize = 20;
/// So many characters of each.
pub const LINE: usize = 500;
/// So many characters of a name, a path or a reason.
const WORDS: usize = 1000;

/// Why no worker can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The app's configured name.
    pub app: String,
    /// What is the matter.
    pub state: State,
    /// The worker that failed last, with what it wrote last.
    pub worker: Option<FailedWorker>,
}

/// What is the matter with an app of which no worker can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody has stopped the app.
    Stopped,
    /// Its workers fail, and are started again.
    Failing {
        /// How many in a row have failed; 0: those of a command that has failed with them.
        failures: u32,
        /// When the next one is started, if that has to wait.
        retry: Option<Time>,
    },
}

impl Page {
    /// Names what the page says: another name, another page.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.worker {
            Some(worker) => format!("{}-{}", self.word(), worker.id),
            None => self.word().to_owned(),
        }
    }

    /// In how many seconds it is worth asking again.
    #[must_use]
    pub fn retry_after(&self, now: Time) -> u64 {
        self.wait(now).map_or(1, |wait| seconds(wait).max(1))
    }

    /// As JSON. `wall` tells what a time is on the wall clock as it is set now: milliseconds since
    /// 1970-01-01T00:00Z.
    pub fn json(&self, wall: impl Fn(Time) -> u64) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'static str,
            app: Cow<'a, str>,
            state: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            failures: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            worker: Option<FailedWorker>,
        }
        let (failures, retry) = match self.state {
            State::Stopped => (None, None),
            State::Failing { failures, retry } => (Some(failures), retry.map(wall)),
        };
        let worker = self.worker.as_ref().map(|worker| FailedWorker {
            reason: short(&worker.reason),
            stderr: worker.stderr.as_deref().map(short),
            lines: lines(worker).collect(),
            ..worker.clone()
        });
        let app = short(&self.app).into();
        let body = Body { error: "no worker can answer", app, state: self.word(), failures, retry, worker };
        let mut json = serde_json::to_string(&body).unwrap_or_default();
        json.push('\n');
        json
    }

    fn word(&self) -> &'static str {
        match self.state {
            State::Stopped => "stopped",
            State::Failing { .. } => "failing",
        }
    }

    /// How long it is until the next worker is started.
    fn wait(&self, now: Time) -> Option<Duration> {
        match self.state {
            State::Stopped => None,
            State::Failing { retry, .. } => retry.map(|at| at.since(now)),
        }
    }

    fn title(&self) -> String {
        format!("{}: no worker can answer", short(&self.app))
    }

    /// Who failed, and how.
    fn failure(&self) -> Option<String> {
        let worker = self.worker.as_ref()?;
        let slot = worker.idx.map(|slot| format!(" (slot {slot})")).unwrap_or_default();
        Some(format!("Worker {}{slot} failed: {}.", worker.id.short(), short(&worker.reason)))
    }

    /// What happens next, and what to do.
    fn next(&self, now: Time) -> String {
        match self.state {
            State::Stopped => "The app is stopped. `nodesockd start` starts it.".to_owned(),
            State::Failing { failures, .. } => self.next_start(now, failures),
        }
    }

    /// When the next worker is started.
    fn next_start(&self, now: Time, failures: u32) -> String {
        let row = match failures {
            0 | 1 => String::new(),
            more => format!("{more} workers in a row have failed. "),
        };
        let next = match self.wait(now).map(seconds) {
            None | Some(0) => "The next one is being started.".to_owned(),
            Some(wait) => {
                format!("The next one is started in {wait} s; `nodesockd restart` starts it at once.")
            }
        };
        format!("{row}{next}")
    }

    /// What stands above the last lines, or instead of them.
    fn heading(&self) -> Option<String> {
        let worker = self.worker.as_ref()?;
        Some(match (&worker.stderr, worker.lines.is_empty()) {
            (Some(file), false) => format!("The end of {}:", short(file)),
            (Some(file), true) => format!("What it wrote is in {}.", short(file)),
            (None, false) => "It wrote last, to stderr:".to_owned(),
            (None, true) => "Nothing is known that it wrote to stderr.".to_owned(),
        })
    }
}

/// The last lines that are shown of a worker.
fn lines(worker: &FailedWorker) -> impl Iterator<Item = String> + '_ {
    let first = worker.lines.len().saturating_sub(LINES);
    worker.lines.iter().skip(first).map(|line| escape(line, LINE))
}

fn short(words: &str) -> String {
    escape(words, WORDS)
}

/// Whole seconds; what has begun counts.
fn seconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}
