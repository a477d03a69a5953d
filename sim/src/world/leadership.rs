//! Who leads, as the workers themselves see it, and what was promised about that: at no time two, and before long one.

use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::id::WorkerId;
use nodesockd_core::wire::FromWorker;

use super::agenda::Happening;
use super::process::Proc;
use super::{Worker, WorkerStep, World, ms};
use crate::leaderless::{Hindrance, Leaderless};
use crate::scenario::Behaviour;

/// What a worker makes of what it was told about who leads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leading {
    understands: bool,
    /// The highest term that it has heard.
    term: u64,
    /// It was told that it leads, and has not confirmed that it does not any more.
    leads: bool,
    /// It was told that it does not lead any more.
    told_off: bool,
}

impl Leading {
    pub fn new(understands: bool) -> Self {
        Self { understands, term: 0, leads: false, told_off: false }
    }

    /// What it says of that when it reports.
    pub fn reported(&self) -> Option<bool> {
        self.understands.then_some(self.leads && !self.told_off)
    }

    /// Whoever led is dead.
    pub fn ended(&mut self) {
        self.leads = false;
    }
}

/// What was seen of it so far.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    times: Leaderless,
    /// When it was looked at last, and whether workers served then that could lead, and one did.
    last: Option<(Time, bool, bool)>,
    /// Since when nobody leads, and what was in the way.
    since: Option<(Time, Hindrance)>,
    /// Who led last.
    led: Option<Worker>,
    /// When a call of the backend took long last, or failed.
    trouble: Option<Time>,
}

impl World {
    /// Whether a worker understands what it is told about who leads.
    pub(super) fn understands_leadership(&mut self, worker: Worker) -> bool {
        let unaware = worker.0.wrapping_mul(53) % 100 < self.faults.unaware;
        if unaware {
            self.tally.count("cannot lead");
        }
        !unaware
    }

    /// By the state file it leads, or may.
    pub(super) fn leads_by_record(&self, id: WorkerId) -> bool {
        let record = self.state.as_ref().map(|state| &state.leadership);
        record.is_some_and(|record| record.leader == Some(id) || record.former.contains(&id))
    }

    /// A worker hears that it leads, or does not any more.
    pub(super) fn hears_who_leads(&mut self, worker: Worker, leads: bool, term: u64) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if term < process.leading.term {
            return;
        }
        process.leading.term = term;
        process.leading.told_off = !leads;
        let leads_on = process.plan.behaviours.iter().find_map(|behaviour| {
            if let Behaviour::LeadsOn { for_ms } = behaviour { Some(*for_ms) } else { None }
        });
        match leads_on.filter(|_| !leads && process.leading.leads) {
            Some(Some(for_ms)) => {
                self.after(ms(for_ms), Happening::Worker(worker, WorkerStep::LeadNoMore(term)));
            }
            Some(None) => {}
            None if leads => {
                process.leading.leads = true;
                self.check_leader(worker);
                self.say(worker, FromWorker::Leader { leads, term }, "leads");
            }
            None => self.leads_no_more(worker, term),
        }
        self.watch_leadership();
    }

    /// A worker has done what it did as the leader. It may have been told since that it leads again.
    pub(super) fn leads_no_more(&mut self, worker: Worker, term: u64) {
        let Some(process) = self.processes.get_mut(worker) else { return };
        if process.leading.term == term {
            process.leading.leads = false;
        }
        self.say(worker, FromWorker::Leader { leads: false, term }, "does not lead");
    }

    /// A worker leads from now on: nobody else does, and it may.
    fn check_leader(&mut self, worker: Worker) {
        let leads = |(other, its): &(Worker, &Proc)| *other != worker && its.alive() && its.leading.leads;
        let other = self.processes.iter().find(leads).map(|(other, _)| other);
        if let Some(other) = other {
            self.violated(format_args!("{worker} leads while {other} does"));
        }
        if self.processes.get(worker).is_some_and(|process| process.holds) {
            self.violated(format_args!("{worker} leads, and is suspended"));
        }
        match self.leadership.led.replace(worker) {
            Some(before) if before != worker => self.marks.count("another worker leads"),
            Some(_) if self.deaths.count > 0 => self.marks.count("a leader goes on under the next daemon"),
            Some(_) | None => {}
        }
    }

    /// The daemon tells a worker that it leads, or does not any more.
    pub(crate) fn check_told_who_leads(&mut self, worker: Worker, leads: bool) {
        let Some(process) = self.processes.get(worker) else { return };
        if !process.leading.understands {
            self.violated(format_args!("{worker} is told who leads, and does not understand it"));
        } else if leads && !process.known.published && process.sockets.inherits.is_empty() {
            self.violated(format_args!("{worker} is told to lead before a link names it"));
        } else if leads && self.oracle.stays_suspended(self.agenda.now()) {
            self.violated(format_args!("{worker} is told to lead while the app is suspended"));
        }
    }

    /// A call of the backend took long, or failed.
    pub(super) fn note_trouble(&mut self) {
        self.leadership.trouble = Some(self.agenda.now());
    }

    /// It could lead: it serves, and the daemon knows.
    fn could_lead(&self, process: &Proc) -> bool {
        let known = &process.known;
        let serves = process.alive() && known.published && known.unlinked.is_none();
        let fit = || !process.dying && !process.stopped && !process.suspended && !process.asked_to_go();
        let sound = || !self.has_hung(process) && !self.has_lost_socket(process);
        // One that was told off has lost its slot, although links may go on to name a socket that it shares.
        let able = known.online && process.leading.understands && !process.leading.told_off;
        serves && able && !known.succeeded && process.server.is_none() && fit() && sound()
    }

    /// Notes whether somebody leads, and for how long nobody did.
    pub(super) fn watch_leadership(&mut self) {
        let now = self.agenda.now();
        let wanted = self.oracle.wanted && !self.oracle.suspended && !self.oracle.in_doubt();
        let serves = wanted && self.processes.iter().any(|(_, process)| self.could_lead(process));
        let works = |its: &Proc| its.leading.leads && !its.leading.told_off && !its.stopped && !its.dying;
        let led = self.processes.iter().any(|(_, its)| its.alive() && works(its));
        if let Some((at, true, led)) = self.leadership.last.replace((now, serves, led)) {
            self.leadership.times.passes(now.since(at), led);
        }
        let leaderless = serves && !led;
        if !leaderless && self.leadership.since.is_none() {
            return;
        }
        let hindrance = self.hindrance(now);
        let watched = &mut self.leadership;
        if leaderless {
            let (_, worst) = watched.since.get_or_insert((now, hindrance));
            *worst = hindrance.max(*worst);
        } else if let Some((since, worst)) = watched.since.take() {
            watched.times.ends(now.since(since), worst.max(hindrance));
        }
    }

    /// What is in the way of another worker's leading.
    fn hindrance(&self, now: Time) -> Hindrance {
        let unheard = |its: &Proc| {
            let concerned = self.could_lead(its) || its.alive() && self.leads_by_record(its.id);
            concerned && its.awaits_reunion()
        };
        let leads_on =
            |its: &Proc| its.plan.behaviours.iter().any(|its| matches!(its, Behaviour::LeadsOn { .. }));
        let stands_still = |its: &Proc| its.stopped || its.dying || its.leading.told_off && leads_on(its);
        let may_lead = |its: &Proc| its.leading.leads || self.leads_by_record(its.id);
        let any = |found: &dyn Fn(&Proc) -> bool| self.processes.iter().any(|(_, its)| found(its));
        let recently = |at: Time| now.since(at) <= TROUBLE;
        if self.deaths.down || any(&unheard) {
            Hindrance::Daemon
        } else if any(&|its| its.alive() && may_lead(its) && stands_still(its)) {
            Hindrance::Leader
        } else if self.deaths.stale || self.leadership.trouble.is_some_and(recently) {
            Hindrance::Calls
        } else if any(&|its| !its.alive() && !its.known.exited && self.leads_by_record(its.id)) {
            Hindrance::Exit
        } else {
            Hindrance::Nothing
        }
    }

    /// Nobody leads although a worker serves that could.
    pub(crate) fn leaderless(&self) -> Option<String> {
        // Of those that have lost their daemon and do not find the next one, none can be told.
        let hears =
            |process: &Proc| process.has_own_channel() || process.known.reunited && process.conn().is_some();
        let could = |(_, its): &(Worker, &Proc)| self.could_lead(its) && hears(its);
        let led = self.processes.iter().any(|(_, its)| its.alive() && its.leading.leads);
        if led || self.oracle.suspended {
            return None;
        }
        let (worker, _) = self.processes.iter().find(could)?;
        Some(format!("nobody leads, although {worker} could"))
    }

    /// How long nobody led.
    pub fn leaderless_times(&self) -> Leaderless {
        self.leadership.times.clone()
    }
}

/// A call that took long, or failed, is in the way for so long: what was due meanwhile is done then.
const TROUBLE: Duration = Duration::from_millis(5);
