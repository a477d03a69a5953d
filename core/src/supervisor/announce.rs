//! What the service manager is told: how far the daemon has got, and that it still decides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::id::SlotIndex;
use crate::notice::{Manager, Notice};
use crate::time::Time;
use crate::wire::VacantSlot;

use super::operation::Kind;
use super::worker::Worker;
use super::{Life, Supervisor, Timer};

/// What the manager waits for may take so much longer than it has been told so far.
const MORE: Duration = Duration::from_secs(30);
/// It is told again so often: well before that has passed.
const AGAIN: Duration = Duration::from_secs(10);

/// What the manager knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Announcements {
    phase: Phase,
    status: String,
    /// When it has to be asked for more time.
    extend: Option<Time>,
    /// When it has to hear that the daemon is not stuck, and from then on how often.
    alive: Option<(Time, Duration)>,
}

/// How far the daemon has got, in the manager's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Some slot has not been served yet.
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Announcements {
    /// To a manager that has just started the daemon.
    pub fn to(manager: Manager, now: Time) -> Self {
        let often = if defect!(AliveHalfAsOften) { 1 } else { 2 };
        let alive = manager.watchdog.map(|limit| limit / often).map(|pause| (now + pause, pause));
        Self { phase: Phase::Starting, status: String::new(), extend: Some(now), alive }
    }
}

impl Supervisor {
    /// Tells the manager, if there is one, what it does not know yet.
    pub(super) fn announce(&mut self) {
        let Some(mut told) = self.announcements.take() else { return };
        let mut notices = Vec::new();
        while let Some((phase, notice)) = self.phase_after(told.phase) {
            told.phase = phase;
            told.extend = (phase != Phase::Ready).then_some(self.now);
            notices.push(notice);
        }
        let status = self.in_words();
        if status != told.status {
            told.status.clone_from(&status);
            notices.push(Notice::Status(status));
        }
        if told.extend.is_some_and(|at| at <= self.now) && self.is_worth_waiting(told.phase) {
            told.extend = Some(self.now + AGAIN);
            notices.push(Notice::Extend(MORE));
        }
        if let Some((at, pause)) = told.alive.filter(|(at, _)| *at <= self.now) {
            told.alive = Some((self.now.max(at) + pause, pause));
            notices.push(Notice::Alive);
        }
        self.announcements = Some(told);
        self.actions.extend(notices.into_iter().map(Action::Notify));
    }

    /// When the manager has to hear something next, whatever happens.
    pub(super) fn announcement_deadlines(&self) -> impl Iterator<Item = (Time, Timer)> {
        let told = self.announcements.as_ref();
        let alive = told.and_then(|told| told.alive).map(|(at, _)| (at, Timer::Watchdog));
        let extend = told.filter(|told| self.is_worth_waiting(told.phase)).and_then(|told| told.extend);
        alive.into_iter().chain(extend.map(|at| (at, Timer::Extend)))
    }

    /// The phase that follows, if it has begun, and how the manager learns of it.
    fn phase_after(&self, phase: Phase) -> Option<(Phase, Notice)> {
        let reloads = self.operation.as_ref().is_some_and(|operation| operation.kind == Kind::Reload);
        match phase {
            Phase::Stopping => None,
            _ if self.life != Life::Serving => Some((Phase::Stopping, Notice::Stopping)),
            Phase::Starting if self.is_complete() => Some((Phase::Ready, Notice::Ready)),
            Phase::Ready if reloads => Some((Phase::Reloading, Notice::Reloading { since: self.now })),
            Phase::Reloading if !reloads => Some((Phase::Ready, Notice::Ready)),
            Phase::Starting | Phase::Ready | Phase::Reloading => None,
        }
    }

    /// The manager had better wait than end the daemon: something comes of it, or would be lost.
    fn is_worth_waiting(&self, phase: Phase) -> bool {
        match phase {
            Phase::Starting => self.served() > 0 || self.workers.values().any(Worker::is_coming),
            Phase::Ready => false,
            Phase::Reloading | Phase::Stopping => true,
        }
    }

    /// All that ought to be served is; spares are not waited for.
    fn is_complete(&self) -> bool {
        !self.desired.running
            || self.served() == self.desired.slots
            || self.served() > 0 && defect!(ReadyTooEarly)
    }

    /// How many of the slots there ought to be are served.
    fn served(&self) -> u32 {
        let ready = |slot: &u32| self.owner(SlotIndex(*slot)).is_some_and(|(_, worker)| worker.is_ready());
        u32::try_from((0..self.desired.slots).filter(ready).count()).unwrap_or(u32::MAX)
    }

    /// How the daemon is, for `systemctl status`.
    fn in_words(&self) -> String {
        if self.life == (Life::Quit { detached: true }) {
            return "left the workers to the next daemon".to_owned();
        }
        if self.life != Life::Serving {
            let left = self.workers.values().filter(|worker| !worker.is_gone()).count();
            return match left {
                0 => "quitting".to_owned(),
                1 => "quitting: 1 worker has to finish".to_owned(),
                left => format!("quitting: {left} workers have to finish"),
            };
        }
        let slots = self.desired.slots;
        let mut words = match self.served() {
            _ if !self.desired.running => "stopped".to_owned(),
            served if served < slots => format!("{served} of {slots} slots are served"),
            1 => "1 slot is served".to_owned(),
            served => format!("{served} slots are served"),
        };
        if self.desired.suspended {
            words.push_str(", suspended");
        }
        if let Some(operation) = &self.operation {
            words.push_str("; ");
            words.push_str(operation.kind.words());
            words.push_str(" is in progress");
        }
        let failing = |vacant: VacantSlot| Some((vacant.slot, vacant.reason?));
        if let Some((slot, reason)) = self.vacant().into_iter().find_map(failing) {
            words.push_str(&format!("; slot {slot}: {reason}"));
        }
        words
    }
}
