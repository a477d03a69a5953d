//! The command that is run for what somebody has to know (`options.onEvent`): one at a time, for a limited time, and never in the
//! way of anything else.

use std::collections::VecDeque;
use std::time::Duration;

use crate::action::Action;
use crate::config::Config;
use crate::event::{ExitStatus, Failure};
use crate::handoff::{HooksRecord, ToldRecord};
use crate::id::Process;
use crate::occurrence::Occurrence;
use crate::text::escape;
use crate::time::Time;

use super::effects::Effects;
use super::timer::Timer;
use super::worker::order::hook_order;

/// Occurrences beyond this many do not wait for a command that takes long: the oldest are given up.
const WAITING: usize = 32;

/// How long a command may take before it gets SIGKILL.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A line of a command is cut to this many characters.
const LINE: usize = 1000;

/// What waits for the command, and the one that runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks {
    waiting: VecDeque<ToldRecord>,
    running: Running,
    /// How many occurrences were given up since the command was run last.
    missed: u64,
}

/// The command that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Running {
    #[default]
    No,
    /// It has been ordered.
    Ordered,
    /// It has until then.
    Until(Process, Time),
    /// It got SIGKILL.
    Killed(Process),
}

impl Running {
    /// How long it has.
    fn until(self) -> Option<Time> {
        match self {
            Self::Until(_, until) => Some(until),
            Self::No | Self::Ordered | Self::Killed(_) => None,
        }
    }

    fn process(self) -> Option<Process> {
        match self {
            Self::No | Self::Ordered => None,
            Self::Until(process, _) | Self::Killed(process) => Some(process),
        }
    }
}

impl Hooks {
    /// The command is to be run for this, if there is one.
    pub fn add(&mut self, config: &Config, seq: u64, occurrence: &Occurrence) {
        if config.options.on_event.is_empty() || !occurrence.is_alarm() {
            return;
        }
        self.waiting.push_back(ToldRecord { seq, occurrence: occurrence.clone() });
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
            self.missed += 1;
            if self.missed == 1 {
                tracing::warn!(
                    "options.onEvent: more than {WAITING} events wait for the command, the oldest are given up"
                );
            }
        }
    }

    /// Runs the command for what waits, and ends one that takes too long.
    pub fn order(&mut self, effects: &mut Effects, config: &Config) {
        match self.running {
            Running::Until(process, until) if until <= effects.now() && !defect!(HookNeverEnded) => {
                let limit = LIMIT.as_secs();
                tracing::warn!(
                    pid = process.pid,
                    "options.onEvent: the command takes longer than {limit} s, sending SIGKILL"
                );
                self.running = Running::Killed(process);
                effects.order(Action::KillHook { process });
            }
            Running::Ordered | Running::Until(..) | Running::Killed(_) if !defect!(HooksAtOnce) => {}
            Running::No | Running::Ordered | Running::Until(..) | Running::Killed(_) => {
                if config.options.on_event.is_empty() {
                    self.waiting.clear();
                }
                if let Some(told) = self.waiting.pop_front() {
                    self.running = Running::Ordered;
                    let missed = std::mem::take(&mut self.missed);
                    effects.order(Action::RunHook(Box::new(hook_order(
                        config,
                        told.seq,
                        told.occurrence,
                        missed,
                    ))));
                }
            }
        }
    }

    /// The command runs, or could not be started.
    pub fn started(&mut self, now: Time, result: Result<Process, Failure>) {
        if self.running != Running::Ordered {
            return;
        }
        self.running = match result {
            Ok(process) => Running::Until(process, now + LIMIT),
            Err(failure) => {
                tracing::warn!("options.onEvent: the command cannot be started: {failure}");
                Running::No
            }
        };
    }

    /// The command wrote something.
    pub fn wrote(&self, process: Process, lines: &[String]) {
        if self.running.process() == Some(process) {
            for line in lines {
                tracing::info!(pid = process.pid, "onEvent: {}", escape(line, LINE));
            }
        }
    }

    /// The command has ended.
    pub fn ended(&mut self, process: Process, status: ExitStatus) {
        if self.running.process() != Some(process) {
            return;
        }
        match status {
            ExitStatus::Code(0) | ExitStatus::Unknown => {}
            ExitStatus::Code(_) | ExitStatus::Signal(_) | ExitStatus::OutOfMemory { .. } => {
                tracing::warn!(pid = process.pid, "options.onEvent: the command has failed: it {status}");
            }
        }
        self.running = Running::No;
    }

    /// When the command has taken too long.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        self.running.until().map(|until| (until, Timer::Hook))
    }

    /// For the state file: the process of the command.
    pub fn process(&self) -> Option<Process> {
        self.running.process()
    }

    /// For a hand-off.
    pub fn record(&self) -> HooksRecord {
        HooksRecord {
            waiting: self.waiting.iter().cloned().collect(),
            process: self.running.process(),
            until: self.running.until(),
            missed: self.missed,
        }
    }

    /// An earlier daemon has started this command. From now on it has as long as any other.
    pub fn goes_on(&mut self, process: Process, now: Time) {
        self.running = Running::Until(process, now + LIMIT);
    }

    /// Goes on with a command that an earlier program has started. What is to be done about its end has to be ordered.
    pub fn taken_over(record: HooksRecord, now: Time) -> Self {
        let HooksRecord { waiting, process, until, missed } = record;
        let running = process.map_or(Running::No, |process| Running::Until(process, until.unwrap_or(now)));
        Self { waiting: waiting.into(), running, missed }
    }
}
