//! The command of a deploy that runs: one at a time, and at most as long as it may.

use std::time::Duration;

use crate::action::CommandSignal;
use crate::event::ExitStatus;
use crate::id::Process;
use crate::time::Time;
use crate::wire::DeployStep;

/// How long a command that got SIGTERM has before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Errand {
    /// The migration (`--migrate`).
    Migrate,
    /// What undoes it (`--revert`).
    Revert,
}

impl Errand {
    /// Before what it writes.
    pub fn label(self) -> &'static str {
        match self {
            Self::Migrate => "migration",
            Self::Revert => "revert",
        }
    }

    /// In the middle of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Migrate => "its migration",
            Self::Revert => "the revert of its migration",
        }
    }

    /// What people are told when it begins.
    pub fn step(self) -> DeployStep {
        match self {
            Self::Migrate => DeployStep::Migrating,
            Self::Revert => DeployStep::Reverting,
        }
    }
}

/// A command that runs, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Command {
    errand: Errand,
    /// None until it has been started.
    process: Option<Process>,
    limit: Option<Duration>,
    ending: Ending,
    /// When it gets the next signal.
    until: Option<Time>,
}

/// Why a command was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It was not.
    Open,
    TimedOut,
    CalledOff,
}

impl Command {
    /// It has been ordered.
    pub fn ordered(errand: Errand, limit: Option<Duration>) -> Self {
        Self { errand, process: None, limit, ending: Ending::Open, until: None }
    }

    /// An earlier daemon has started it.
    pub fn adopted(errand: Errand, process: Process) -> Self {
        Self { process: Some(process), ..Self::ordered(errand, None) }
    }

    pub fn errand(&self) -> Errand {
        self.errand
    }

    pub fn process(&self) -> Option<Process> {
        self.process
    }

    /// It runs now. Returns what it has to be sent.
    pub fn started(&mut self, process: Process, now: Time) -> Option<CommandSignal> {
        self.process = Some(process);
        match self.ending {
            Ending::Open => {
                self.until = self.limit.map(|limit| now + limit);
                None
            }
            Ending::TimedOut | Ending::CalledOff => {
                self.until = Some(now + GRACE);
                Some(CommandSignal::Terminate)
            }
        }
    }

    /// Nobody wants it any more. Returns what it has to be sent.
    pub fn call_off(&mut self, now: Time) -> Option<(Process, CommandSignal)> {
        if self.ending != Ending::Open {
            return None;
        }
        self.ending = Ending::CalledOff;
        let process = self.process?;
        self.until = Some(now + GRACE);
        Some((process, CommandSignal::Terminate))
    }

    /// It has to end at once. Returns what it has to be sent.
    pub fn kill(&mut self) -> Option<(Process, CommandSignal)> {
        self.until = None;
        Some((self.process?, CommandSignal::Kill))
    }

    /// What it has to be sent by now.
    pub fn due(&mut self, now: Time) -> Option<(Process, CommandSignal)> {
        self.until.filter(|until| *until <= now)?;
        match self.ending {
            Ending::Open => {
                self.ending = Ending::TimedOut;
                self.until = Some(now + GRACE);
                Some((self.process?, CommandSignal::Terminate))
            }
            Ending::TimedOut | Ending::CalledOff => self.kill(),
        }
    }

    /// When it gets the next signal.
    pub fn next_deadline(&self) -> Option<Time> {
        self.until
    }

    /// Why it did not do what it was for, if it did not.
    pub fn failure(&self, status: ExitStatus) -> Option<String> {
        match (self.ending, status) {
            (Ending::Open, ExitStatus::Code(0)) => None,
            (Ending::Open | Ending::CalledOff, _) => Some(format!("it {status}")),
            (Ending::TimedOut, _) => {
                let limit = self.limit.unwrap_or_default().as_millis();
                Some(format!("it took longer than {limit} ms (--migrate-timeout) and {status}"))
            }
        }
    }
}
