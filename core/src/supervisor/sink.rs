//! The sink, which takes workers' output, and what it is asked.
//!
//! Nothing waits for it but answers, and these not for long: a worker that failed is told of without its last lines then.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::{Action, Destination, Route};
use crate::config::{Config, Log, Output};
use crate::event::Failure;
use crate::id::{RequestRef, SlotIndex, WorkerId};
use crate::time::Time;
use crate::wire::Reply;

use super::backoff::Backoff;
use super::daemon::{Daemon, Terminal};
use super::effects::Effects;
use super::timer::Timer;

/// How long an answer waits for the last lines of a worker.
const PATIENCE: Duration = Duration::from_secs(2);
/// A sink that has not said anything for so long after it was asked is killed: it reads nothing either.
const HUNG: Duration = Duration::from_secs(10);
/// The last lines of so many workers that failed are kept.
const KEPT: usize = 64;

/// Whether there is a sink, and what it has said about workers that failed.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink {
    state: State,
    /// Somebody's output goes there.
    wanted: bool,
    /// Where it writes what is for the log, once there is one.
    log: Option<Log>,
    /// It was told to become the program that this daemon is.
    upgraded: bool,
    failures: Backoff,
    lines: BTreeMap<WorkerId, Lines>,
    /// Answers that tell of workers whose last lines are not known yet.
    held: Vec<(RequestRef, Reply)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Missing,
    /// It was ordered.
    Ordered,
    /// `owes`: since when it owes an answer.
    There { since: Time, owes: Option<Time> },
    /// It was killed; its end is not known yet.
    Killed { since: Time },
}

/// What a worker wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lines {
    /// The sink was asked at this time.
    Asked(Time),
    Known {
        asked: Time,
        lines: Vec<String>,
    },
}

/// The way of a worker's standard error. A terminal is left to the workers themselves: they may ask it for its size, and
/// colour what they write. With the dev server, its page has to show what they wrote.
pub(super) fn stderr_route(config: &Config, daemon: &Daemon) -> Route {
    match (&config.log, &config.options.stderr, daemon.stderr) {
        (Some(_), ..) => Route::Sink(Destination::Log),
        (None, Output::Inherit, _) if daemon.stderr == Terminal::No || config.dev_server.is_some() => {
            Route::Sink(Destination::Stderr)
        }
        (None, Output::Discard, _) => Route::Sink(Destination::Nowhere),
        (None, stderr @ (Output::Inherit | Output::File(_)), _) => Route::Straight(stderr.clone()),
    }
}

/// The way of a worker's standard output.
pub(super) fn stdout_route(config: &Config) -> Route {
    match &config.log {
        Some(_) => Route::Sink(Destination::Log),
        None => Route::Straight(config.options.stdout.clone()),
    }
}

/// The sink cannot write to the log, or can again.
pub(super) fn log_written(result: &Result<(), Failure>) {
    match result {
        Ok(()) => tracing::info!("what workers write is logged again"),
        Err(failure) => tracing::warn!("what workers write is not logged, and lines are dropped: {failure}"),
    }
}

impl Sink {
    /// Output goes to the sink, and what is for the log goes there. Orders the sink, if there is none.
    pub fn want(&mut self, effects: &mut Effects, log: Option<&Log>) {
        self.wanted = true;
        if let Some(log) = log.filter(|log| self.log.as_ref() != Some(log)) {
            self.log = Some(log.clone());
            if matches!(self.state, State::Ordered | State::There { .. }) && !defect!(LogNotDirected) {
                effects.order(Action::DirectLog { log: log.clone() });
            }
        }
        self.order(effects);
    }

    /// A worker serves a slot. A sink that is not there yet is told when it has been started.
    pub fn label(&self, effects: &mut Effects, worker: WorkerId, slot: SlotIndex) {
        if let (Some(_), State::There { .. }) = (&self.log, self.state) {
            effects.order(Action::LabelOutput { worker, slot });
        }
    }

    /// Nobody's output goes there any more: a sink that ends is not started again.
    pub fn want_no_more(&mut self) {
        self.wanted = false;
    }

    /// Does what is due.
    pub fn order(&mut self, effects: &mut Effects) {
        let now = effects.now();
        self.give_up_asking(now);
        match self.state {
            State::Missing if self.wanted && self.failures.permits(now) => {
                self.state = State::Ordered;
                effects.order(Action::StartSink { log: self.log.clone() });
            }
            State::There { since, owes: Some(asked) } if now >= asked + HUNG => {
                tracing::warn!("the process that takes workers' output hangs, and is killed");
                self.state = State::Killed { since };
                effects.order(Action::KillSink);
            }
            State::Missing | State::Ordered | State::There { .. } | State::Killed { .. } => {}
        }
    }

    fn give_up_asking(&mut self, now: Time) {
        if defect!(LastLinesAwaited) {
            return;
        }
        for lines in self.lines.values_mut() {
            if let Lines::Asked(asked) = *lines
                && now >= asked + PATIENCE
            {
                *lines = Lines::Known { asked, lines: Vec::new() };
            }
        }
    }

    /// It was started, or could not be.
    pub fn started(&mut self, now: Time, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.state = State::There { since: now, owes: Some(now) },
            Err(failure) => {
                self.state = State::Missing;
                self.failures.failed(now, Duration::ZERO, &failure.0);
                if self.failures.failures() == 1 {
                    tracing::warn!(
                        "there is no process to take workers' output, which goes straight to its place meanwhile: {failure}"
                    );
                }
            }
        }
    }

    /// It reads all pipes. `ours`: by the program that this daemon is; one of an earlier daemon is upgraded, once.
    pub fn ready(&mut self, effects: &mut Effects, ours: bool) {
        self.spoke();
        let older = !ours && !self.upgraded && !defect!(SinkNotUpgraded);
        if let State::There { owes, .. } = &mut self.state
            && older
        {
            self.upgraded = true;
            *owes = Some(effects.now());
            effects.order(Action::UpgradeSink);
        }
    }

    /// It has something to say, so it does not hang.
    pub fn spoke(&mut self) {
        if let State::There { owes, .. } = &mut self.state {
            *owes = None;
        }
    }

    /// It has ended.
    pub fn ended(&mut self, now: Time, failure: &Failure) {
        let since = match self.state {
            State::There { since, .. } | State::Killed { since } => since,
            // Its end is known already.
            State::Missing | State::Ordered => return,
        };
        self.state = State::Missing;
        self.failures.failed(now, now.since(since), &failure.0);
        tracing::warn!("the process that takes workers' output is gone, and is started again: {failure}");
        for lines in self.lines.values_mut() {
            if let Lines::Asked(asked) = *lines
                && !defect!(LastLinesAwaited)
            {
                *lines = Lines::Known { asked, lines: Vec::new() };
            }
        }
    }

    /// Asks what a worker wrote last, if there is somebody to ask.
    pub fn ask(&mut self, effects: &mut Effects, worker: WorkerId) {
        let now = effects.now();
        let asked = matches!(self.lines.get(&worker), Some(Lines::Asked(_)));
        if let State::There { owes, .. } = &mut self.state
            && !asked
        {
            owes.get_or_insert(now);
            self.forget_oldest();
            self.lines.insert(worker, Lines::Asked(now));
            effects.order(Action::AskLastLines { worker });
        }
    }

    /// Makes room for the last lines of one more worker.
    fn forget_oldest(&mut self) {
        let oldest = |lines: &Lines| match lines {
            Lines::Asked(asked) | Lines::Known { asked, .. } => *asked,
        };
        while self.lines.len() >= KEPT
            && let Some(first) = self.lines.iter().min_by_key(|(_, lines)| oldest(lines)).map(|(id, _)| *id)
        {
            self.lines.remove(&first);
        }
    }

    /// It has answered. What comes too late is kept for whoever asks later.
    pub fn answered(&mut self, worker: WorkerId, answer: Vec<String>) {
        self.spoke();
        if let Some(lines) = self.lines.get_mut(&worker) {
            let (Lines::Asked(asked) | Lines::Known { asked, .. }) = *lines;
            *lines = Lines::Known { asked, lines: answer };
        }
    }

    /// What the worker wrote last; `None`: that is not known yet.
    pub fn last_lines(&self, worker: WorkerId) -> Option<Vec<String>> {
        match self.lines.get(&worker) {
            None => Some(Vec::new()),
            Some(Lines::Asked(_)) => None,
            Some(Lines::Known { lines, .. }) => Some(lines.clone()),
        }
    }

    /// Holds an answer back.
    pub fn hold(&mut self, to: RequestRef, reply: Reply) {
        self.held.push((to, reply));
    }

    /// Takes all answers that are held back.
    pub fn take_held(&mut self) -> Vec<(RequestRef, Reply)> {
        std::mem::take(&mut self.held)
    }

    /// An answer to this request is held back.
    pub fn holds(&self, to: &RequestRef) -> bool {
        self.held.iter().any(|(held, _)| held == to)
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        let own = match self.state {
            State::Missing => self.failures.retry_at().filter(|_| self.wanted),
            State::There { owes, .. } => owes.map(|asked| asked + HUNG),
            State::Ordered | State::Killed { .. } => None,
        };
        let answers = self.lines.values().filter_map(|lines| match lines {
            Lines::Asked(asked) if !defect!(LastLinesAwaited) => Some(*asked + PATIENCE),
            Lines::Asked(_) | Lines::Known { .. } => None,
        });
        answers.chain(own).min().map(|at| (at, Timer::Sink))
    }
}
