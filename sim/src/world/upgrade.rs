//! The daemon becomes a newer version of itself, or leaves its workers to one.
//!
//! Nothing is lost in a hand-off: facts on their way stay on their way. What a worker was asked by HTTP is the exception.

use std::time::Duration;

use nodesockd_core::event::{Event, Failure};
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::Request;

use super::agenda::Happening;
use super::{World, ms};
use crate::faults::Call;

/// The longest time that the installed program takes to say that it fits, in µs.
const ANSWERS_WITHIN_US: u64 = 60_000;

/// Versions of the daemon.
#[derive(Debug, Default)]
pub(crate) struct Upgrades {
    /// Of the program that runs: the last number of its version.
    pub version: u32,
    /// What has been handed off and not been taken over.
    handed: Option<Handoff>,
    frozen: bool,
    /// Restarts that are to be asked for again, because the daemon went without its workers.
    again: Vec<Request>,
}

impl Upgrades {
    /// The daemon has gone in the middle of one, or not.
    pub fn interrupted(&mut self) {
        (self.frozen, self.handed) = (false, None);
    }
}

impl World {
    /// The version of the installed program, which is newer than the one that runs.
    pub fn installed_version(&self) -> String {
        version(self.upgrades.version + 1)
    }

    pub fn preflight(&mut self, handoff: &Handoff) {
        let called = self.call(Call::Preflight);
        let readable = self.file.is_some();
        let result = match called {
            Err(failure) => Err(failure),
            Ok(()) if !readable => Err(Failure("it does not like the configuration".into())),
            Ok(()) => read(handoff).map(|_| self.installed_version()).map_err(Failure),
        };
        let words = if result.is_ok() { "it fits" } else { "it does not fit" };
        self.trace.line(self.agenda.now(), "daemon", format_args!("try the installed program → {words}"));
        let latency = self.draw_us(ANSWERS_WITHIN_US);
        self.deliver(None, latency, Event::Preflighted { result });
    }

    pub fn freeze(&mut self) {
        self.upgrades.frozen = true;
        self.agenda.arrives(Event::Frozen);
    }

    pub fn thaw(&mut self) {
        self.upgrades.frozen = false;
        self.marks.count("an upgrade is called off");
    }

    /// The daemon waits for facts.
    pub(super) fn check_thawed(&mut self) {
        if self.upgrades.frozen && !self.agenda.has_facts() {
            self.violated("the daemon waits for facts while it is frozen");
        }
    }

    pub fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        if !self.upgrades.frozen {
            self.violated("the daemon hands off while facts still come");
        }
        self.call(Call::HandOff).inspect_err(|failure| {
            self.trace.line(self.agenda.now(), "daemon", format_args!("hand off fails: {failure}"));
        })?;
        let handoff = self.crosses(handoff).map_err(Failure)?;
        self.trace.line(
            self.agenda.now(),
            "daemon",
            format_args!("hand off to {}", self.installed_version()),
        );
        self.upgrades.handed = Some(handoff);
        Ok(())
    }

    /// What the next program reads: all of it, or there is something wrong with the format.
    fn crosses(&mut self, handoff: &Handoff) -> Result<Handoff, String> {
        let read = read(handoff)?;
        if read != *handoff {
            self.violated("a hand-off is read otherwise than it was written");
        }
        Ok(read)
    }

    /// The next program of the daemon's process starts, if there is one: this was handed to it.
    pub fn handed_over(&mut self) -> Option<Handoff> {
        let handoff = self.upgrades.handed.take()?;
        self.upgrades.version += 1;
        self.upgrades.frozen = false;
        self.look_anew();
        self.marks.count("the daemon is upgraded");
        let probed = |event: &Event| matches!(event, Event::Probed { .. } | Event::Preflighted { .. });
        self.agenda.lose_facts(probed);
        self.sink_is_left();
        self.page = None;
        Some(handoff)
    }

    /// The daemon has quit without its workers.
    pub fn daemon_leaves(&mut self) {
        self.marks.count("the daemon leaves its workers");
        self.trace.line(self.agenda.now(), "daemon", "has quit without its workers");
        for request in self.unanswered() {
            self.violated(format_args!("no reply to {request}"));
        }
        self.upgrades.version += 1;
        self.lose_daemon(false);
    }

    /// A restart was answered by a daemon that goes: its successor is to be asked.
    pub fn ask_successor(&mut self, request: Request) {
        self.upgrades.again.push(request);
    }

    /// The successor is there.
    pub fn ask_again(&mut self) {
        for request in std::mem::take(&mut self.upgrades.again) {
            let after = self.draw_us(50_000);
            self.after(after, Happening::AskAgain(Box::new(request)));
        }
    }

    /// How long a service manager takes to start a daemon again.
    pub fn restarted_within(&mut self) -> Duration {
        ms(10) + self.draw_us(200_000)
    }
}

/// What the installed program makes of it.
fn read(handoff: &Handoff) -> Result<Handoff, String> {
    let text = serde_json::to_string(handoff).map_err(|error| error.to_string())?;
    let read: Handoff = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    read.validate()?;
    Ok(read)
}

/// A version of the daemon's program.
pub(crate) fn version(last: u32) -> String {
    format!("3.0.{last}")
}
