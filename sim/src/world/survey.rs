//! Somebody else removes things from `tmpDir`: what the daemon learns of it, what it makes again, and by when it has to.

use std::collections::BTreeMap;
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::config::{MetricsAddress, Symlinks};
use nodesockd_core::event::{Event, Failure};
use nodesockd_core::survey::{Own, Sight, Survey};

use super::process::Proc;
use super::{Entry, World};
use crate::faults::Call;
use crate::scenario::{METRICS_SOCKET, TMP_DIR};

/// What was removed is back within so long, unless making it again fails.
const BOUND: Duration = Duration::from_millis(100);

/// The kernel's news of a change take up to so many microseconds.
const NEWS_US: u64 = 2000;

/// What somebody has removed, and when; for a daemon that started later, when it did.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    links: BTreeMap<String, Time>,
    own: BTreeMap<Own, Time>,
    /// Metrics are served at a socket, which can be removed.
    metrics: bool,
    /// What of the daemon's own could not be made again the last time that was tried.
    failing: bool,
}

impl Removals {
    /// The daemon was busy with something else until now.
    pub fn postpone(&mut self, now: Time) {
        self.links.values_mut().chain(self.own.values_mut()).for_each(|at| *at = now);
    }
}

impl World {
    /// Looks at everything.
    pub fn survey(&mut self) -> Survey {
        let names: Vec<String> = self.files.iter().map(|(name, _)| name.to_owned()).collect();
        let entries = names.into_iter().map(|name| (name.clone(), self.sight(&name))).collect();
        Survey { entries, complete: true, lost: self.lost() }
    }

    /// Makes something of the daemon's own again.
    pub fn restore(&mut self, what: Own) -> Result<(), Failure> {
        let called = self.call(Call::Restore);
        self.log_file(format_args!("make the {} again", what.words()), &called);
        self.removals.failing = called.is_err();
        called?;
        self.removals.own.remove(&what);
        if what == Own::MetricsSocket {
            self.metrics_served(self.removals.metrics);
        }
        Ok(())
    }

    /// Serves metrics elsewhere, or nowhere: also if that fails, not any more where they were.
    pub fn serve_metrics(&mut self, address: Option<&MetricsAddress>) -> Result<(), Failure> {
        let called = self.call(Call::ServeMetrics);
        self.metrics_served(called.is_ok() && matches!(address, Some(MetricsAddress::Unix(_))));
        called
    }

    fn metrics_served(&mut self, at_socket: bool) {
        self.removals.own.remove(&Own::MetricsSocket);
        self.removals.metrics = at_socket;
        if at_socket {
            self.files.put(METRICS_SOCKET, Entry::Plain);
        } else {
            self.files.remove(METRICS_SOCKET);
        }
    }

    /// The state file is written as a whole.
    pub(super) fn state_is_back(&mut self) {
        self.removals.own.remove(&Own::State);
    }

    fn lost(&self) -> BTreeMap<Own, std::path::PathBuf> {
        self.removals.own.keys().map(|own| (*own, TMP_DIR.into())).collect()
    }

    /// What a name names now.
    fn sight(&self, name: &str) -> Sight {
        match self.files.get(name) {
            None => Sight::Nothing,
            Some(Entry::Socket(_) | Entry::Ours) => Sight::Socket,
            Some(Entry::Plain) => Sight::Other,
            Some(Entry::Link(target)) => Sight::Link(self.files.target(name).unwrap_or(target).to_owned()),
        }
    }

    /// The daemon learns of what it is told as it is by then.
    pub(super) fn look_again(&mut self, event: &mut Event) {
        let Event::Surveyed(survey) = event else { return };
        if survey.complete {
            *survey = self.survey();
            return;
        }
        for (name, sight) in &mut survey.entries {
            *sight = self.sight(name);
        }
        survey.lost = self.lost();
    }

    /// The kernel tells that names may be others than before, or that something has changed.
    pub(super) fn stirred(&mut self, names: &[String], complete: bool) {
        let entries = names.iter().map(|name| (name.clone(), Sight::Nothing)).collect();
        let delay = self.draw_us(NEWS_US);
        let survey = Survey { entries, complete, lost: BTreeMap::new() };
        self.deliver(None, delay, Event::Surveyed(survey));
    }

    /// Somebody else removes a link or a socket.
    pub(super) fn unlink(&mut self, nth: u32) {
        if let Some(name) = self.nth_name(nth, |_| true) {
            self.tally.count("tmpDir entry removed");
            self.take_away(&name);
            self.stirred(&[name], false);
        }
    }

    /// Somebody else makes another link in the place of one.
    pub(super) fn redirect(&mut self, nth: u32) {
        if let Some(name) = self.nth_name(nth, |entry| matches!(entry, Entry::Link(_))) {
            self.tally.count("link replaced");
            self.take_away(&name);
            self.files.link(&name, "elsewhere", Symlinks::Relative);
            self.stirred(&[name], false);
        }
    }

    /// Somebody else removes everything, more than the kernel keeps count of.
    pub(super) fn clean_up(&mut self) {
        self.tally.count("tmpDir cleaned");
        while let Some(name) = self.nth_name(0, |_| true) {
            self.take_away(&name);
        }
        for own in [Own::Lock, Own::ControlSocket, Own::State] {
            self.remove_own(own);
        }
        if self.removals.metrics {
            self.remove_own(Own::MetricsSocket);
        }
        self.stirred(&[], true);
    }

    /// Somebody else removes one of the daemon's own files.
    pub(super) fn remove_nth_own(&mut self, nth: u32) {
        let all = [Own::Lock, Own::ControlSocket, Own::State];
        if let Some(own) = all.get(nth as usize % all.len()) {
            self.tally.count("file of the daemon's own removed");
            self.remove_own(*own);
            self.stirred(&[], false);
        }
    }

    /// Somebody else removes the socket of metrics, if there is one.
    pub(super) fn remove_metrics_socket(&mut self) {
        if self.removals.metrics {
            self.tally.count("metrics socket removed");
            self.remove_own(Own::MetricsSocket);
            self.stirred(&[], false);
        }
    }

    fn remove_own(&mut self, own: Own) {
        self.trace.line(self.agenda.now(), "fault", format_args!("somebody removes the {}", own.words()));
        self.removals.own.insert(own, self.agenda.now());
        if own == Own::State {
            self.state = None;
            self.deaths.stale = true;
        }
        if own == Own::MetricsSocket {
            self.files.remove(METRICS_SOCKET);
        }
    }

    fn nth_name(&self, nth: u32, of: impl Fn(&Entry) -> bool) -> Option<String> {
        let ours = self.files.iter().filter(|(_, entry)| **entry != Entry::Plain && of(entry));
        let names: Vec<&str> = ours.map(|(name, _)| name).collect();
        names.get(nth as usize % names.len().max(1)).map(|name| (*name).to_owned())
    }

    fn take_away(&mut self, name: &str) {
        let what = match self.files.get(name) {
            Some(Entry::Socket(_)) => format!("the socket of {}", self.owner(name)),
            Some(Entry::Link(_) | Entry::Ours | Entry::Plain) | None => self.owner(name),
        };
        self.trace.line(self.agenda.now(), "fault", format_args!("somebody removes {what}"));
        if matches!(self.files.get(name), Some(Entry::Link(_))) {
            self.removals.links.insert(name.to_owned(), self.agenda.now());
        }
        self.spoil(name);
        self.files.remove(name);
    }

    /// A daemon has started: it looks at what was removed while there was none.
    pub(super) fn look_around(&mut self) {
        let now = self.agenda.now();
        // It has locked, bound and written files of its own.
        self.removals.own.clear();
        self.removals.metrics = false;
        self.removals.links.values_mut().for_each(|at| *at = now);
        if !self.oracle.spoiled.is_empty() {
            self.stirred(&[], true);
        }
    }

    /// Another program goes on in the daemon's process: it looks at what nobody has told it.
    pub(super) fn look_anew(&mut self) {
        self.removals.postpone(self.agenda.now());
        if !self.oracle.spoiled.is_empty() || !self.removals.own.is_empty() {
            self.stirred(&[], true);
        }
    }

    /// The daemon waits: what was removed is back by now, or has not been away for long.
    pub(super) fn check_healed(&mut self) {
        let now = self.agenda.now();
        let overdue = |at: &Time| now.since(*at) > BOUND;
        let own = self.removals.own.iter().find(|(_, at)| overdue(at)).map(|(own, _)| own.words());
        if let Some(what) = own.filter(|_| !self.removals.failing && !self.deaths.stale) {
            self.violated(format_args!(
                "the {what} is still missing {} ms after it was removed",
                BOUND.as_millis()
            ));
        }
        let mut away = std::mem::take(&mut self.removals.links);
        away.retain(|link, _| self.oracle.spoiled.contains(link));
        // The time counts from when somebody can be named.
        away.iter_mut().filter(|(link, _)| !self.is_due(link)).for_each(|(_, at)| *at = now);
        if let Some((link, _)) = away.iter().find(|(_, at)| overdue(at)) {
            let what = format!("{link} is still missing {} ms after it was removed", BOUND.as_millis());
            self.violated(what);
        }
        self.removals.links = away;
    }

    /// The link is one of a slot that ought to be served, and is, by somebody who can be reached.
    fn is_due(&self, link: &str) -> bool {
        let oracle = &self.oracle;
        let named = oracle.slots.iter().find(|(_, slot)| slot.link == link);
        // One that has not reported to a daemon that follows a dead one may be about to be told to go.
        let stays = |process: &Proc| {
            let goes = process.known.told_to_go() || process.known.dying.is_some();
            process.alive() && process.known.online && !process.awaits_reunion() && !goes
        };
        // A standby that accepts although nobody told it to may still give way to a worker that boots for the slot.
        let serves_by_order = |process: &Proc, socket: &str| {
            process.sockets.accepts.contains(socket) && !process.ignores_suspension() && !process.is_idle()
        };
        // Whoever accepts from the socket has not taken over while the link of the worker's own slot cannot be swapped.
        let in_vain = |socket: &str| {
            oracle.slots.values().any(|its| its.socket == socket && oracle.unswapped.contains(&its.link))
        };
        named.is_some_and(|(index, slot)| {
            let serves = match slot.worker.and_then(|worker| self.processes.get(worker)) {
                Some(process) => stays(process),
                None => {
                    let serves = |its: &Proc| serves_by_order(its, &slot.socket) && stays(its);
                    !in_vain(&slot.socket) && self.processes.iter().any(|(_, its)| serves(its))
                }
            };
            let wanted = oracle.wanted && !oracle.in_doubt() && index.0 < oracle.floor();
            let swapped = !oracle.unswapped.contains(link) && !oracle.given_up.contains(index);
            wanted && serves && swapped && !oracle.has_spoiled(&slot.socket)
        })
    }
}
