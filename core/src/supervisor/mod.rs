//! The state machine.

use std::collections::VecDeque;

use crate::action::Action;
use crate::config::Config;
use crate::event::Event;
use crate::id::BootId;
use crate::time::Time;
use crate::wire::Status;

/// Who the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version, semantic.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its life.
    pub boot: BootId,
}

/// Decides. Feed it with [`handle_event`](Self::handle_event) and [`handle_timeout`](Self::handle_timeout), then carry
/// out [`poll_action`](Self::poll_action) until it returns `None`, then wait for an event or
/// [`poll_timeout`](Self::poll_timeout), whichever comes first.
#[derive(Debug)]
pub struct Supervisor {
    daemon: Daemon,
    config: Config,
    started: Time,
    actions: VecDeque<Action>,
}

/// Why there is a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// A process must exist by then.
    Spawn,
}

impl Supervisor {
    /// A supervisor with nothing to adopt; it starts the configured workers at once.
    #[must_use]
    pub fn new(config: Config, daemon: Daemon, now: Time) -> Self {
        Self { daemon, config, started: now, actions: VecDeque::new() }
    }

    /// Takes in a fact.
    pub fn handle_event(&mut self, _now: Time, _event: Event) {}

    /// Takes in that time has passed; early calls do no harm.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// The next order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next deadline, and its reason.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Time, Timer)> {
        None
    }

    /// What `status` answers.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            version: self.daemon.version.clone(),
            pid: self.daemon.pid,
            name: self.config.name.clone(),
            started: self.started,
            workers: Vec::new(),
            vacant: Vec::new(),
            suspended: false,
            operation: None,
        }
    }
}
