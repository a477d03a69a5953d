//! What the service manager is told: how far the daemon has got, and that it still decides.

use std::time::Duration;

use crate::action::Action;
use crate::handoff::{AnnouncementsRecord, PhaseRecord};
use crate::notice::{Manager, Notice};
use crate::time::Time;

use super::goal::Life;
use super::operation::{Kind, Operations};
use super::pool::Pool;
use super::timer::Timer;

/// What the manager waits for may take so much longer than the manager has been told so far.
const MORE: Duration = Duration::from_secs(30);
/// The manager is told again so often: well before that has passed.
const AGAIN: Duration = Duration::from_secs(10);

/// What the manager knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcements {
    phase: Phase,
    status: String,
    /// When the manager has to be asked for more time.
    extend: Option<Time>,
    /// When the manager has to hear that the daemon is not stuck, and from then on how often.
    alive: Option<(Time, Duration)>,
}

/// How far the daemon has got, in the manager's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// Tells the manager what it does not know yet.
    pub fn announce(&mut self, pool: &mut Pool, operations: &Operations) {
        let now = pool.now();
        while let Some((phase, notice)) = phase_after(self.phase, pool, operations) {
            self.phase = phase;
            self.extend = (phase != Phase::Ready).then_some(now);
            pool.effects.order(Action::Notify(notice));
        }
        let status = in_words(pool, operations);
        if status != self.status {
            self.status.clone_from(&status);
            pool.effects.order(Action::Notify(Notice::Status(status)));
        }
        if self.extend.is_some_and(|at| at <= now) && self.is_worth_waiting(pool) {
            self.extend = Some(now + AGAIN);
            pool.effects.order(Action::Notify(Notice::Extend(MORE)));
        }
        if let Some((at, pause)) = self.alive.filter(|(at, _)| *at <= now) {
            self.alive = Some((now.max(at) + pause, pause));
            pool.effects.order(Action::Notify(Notice::Alive));
        }
    }

    /// When the manager has to hear something next, whatever happens.
    pub fn next_deadline(&self, pool: &Pool) -> Option<(Time, Timer)> {
        let alive = self.alive.map(|(at, _)| (at, Timer::Watchdog));
        let extend = self.extend.filter(|_| self.is_worth_waiting(pool)).map(|at| (at, Timer::Extend));
        [alive, extend].into_iter().flatten().min()
    }

    /// The manager had better wait than end the daemon: something comes of it, or would be lost.
    fn is_worth_waiting(&self, pool: &Pool) -> bool {
        match self.phase {
            Phase::Starting => served(pool) > 0 || pool.workers.any_coming(),
            Phase::Ready => false,
            Phase::Reloading | Phase::Stopping => true,
        }
    }
}

/// The phase that follows, if it has begun, and how the manager learns of it.
fn phase_after(phase: Phase, pool: &Pool, operations: &Operations) -> Option<(Phase, Notice)> {
    let reloads = operations.is(Kind::Reload);
    match phase {
        Phase::Stopping => None,
        _ if pool.life != Life::Serving && !defect!(StoppingNotTold) => {
            Some((Phase::Stopping, Notice::Stopping))
        }
        Phase::Starting if is_complete(pool) => Some((Phase::Ready, Notice::Ready)),
        Phase::Ready if reloads => Some((Phase::Reloading, Notice::Reloading { since: pool.now() })),
        Phase::Reloading if !reloads => Some((Phase::Ready, Notice::Ready)),
        Phase::Starting | Phase::Ready | Phase::Reloading => None,
    }
}

/// All that ought to be served is; standbys are not waited for.
fn is_complete(pool: &Pool) -> bool {
    let served = served(pool);
    !pool.desired.running || served == pool.desired.slots || served > 0 && defect!(ReadyTooEarly)
}

/// How many of the slots there ought to be are served.
fn served(pool: &Pool) -> u32 {
    pool.desired.slots.saturating_sub(u32::try_from(pool.slots.unready()).unwrap_or(u32::MAX))
}

/// How the daemon is, for `systemctl status`.
fn in_words(pool: &Pool, operations: &Operations) -> String {
    if pool.life == (Life::Quit { detached: true }) {
        return "left the workers to the next daemon".to_owned();
    }
    if pool.life != Life::Serving {
        return match pool.workers.alive() {
            0 => "quitting".to_owned(),
            1 => "quitting: 1 worker has to finish".to_owned(),
            left => format!("quitting: {left} workers have to finish"),
        };
    }
    let slots = pool.desired.slots;
    let mut words = match served(pool) {
        _ if !pool.desired.running => "stopped".to_owned(),
        served if served < slots => format!("{served} of {slots} slots are served"),
        1 => "1 slot is served".to_owned(),
        served => format!("{served} slots are served"),
    };
    if pool.desired.is_suspended() {
        words.push_str(", suspended");
    }
    if let Some(operation) = operations.words() {
        words.push_str("; ");
        words.push_str(operation);
        words.push_str(" is in progress");
    }
    let failing = pool.slots.first_failing();
    let reason = failing.and_then(|slot| Some((slot, pool.slots.get(slot)?.worker_failures().reason()?)));
    if let Some((slot, reason)) = reason {
        words.push_str(&format!("; slot {slot}: {reason}"));
    }
    words
}

impl From<&Announcements> for AnnouncementsRecord {
    fn from(announcements: &Announcements) -> Self {
        let Announcements { phase, status, extend, alive } = announcements;
        let phase = match phase {
            Phase::Starting => PhaseRecord::Starting,
            Phase::Ready => PhaseRecord::Ready,
            Phase::Reloading => PhaseRecord::Reloading,
            Phase::Stopping => PhaseRecord::Stopping,
        };
        Self { phase, status: status.clone(), extend: *extend, alive: *alive }
    }
}

impl From<AnnouncementsRecord> for Announcements {
    fn from(record: AnnouncementsRecord) -> Self {
        let AnnouncementsRecord { phase, status, extend, alive } = record;
        let phase = match phase {
            PhaseRecord::Starting => Phase::Starting,
            PhaseRecord::Ready => Phase::Ready,
            PhaseRecord::Reloading => Phase::Reloading,
            PhaseRecord::Stopping => Phase::Stopping,
        };
        Self { phase, status, extend, alive }
    }
}
