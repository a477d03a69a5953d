//! What the daemon does to links, held against what was promised: each names somebody who serves, and none goes that is
//! needed.

use std::time::Duration;

use nodesockd_core::id::SlotIndex;

use super::Slot;
use crate::ledger::Cause;
use crate::world::process::Proc;
use crate::world::{Worker, World};

/// So long a swap may take.
const TAKEOVER: Duration = Duration::from_millis(20);

/// A worker that has been ready for so long, and serves no slot, is a standby and no part of a restart.
const SETTLED: Duration = Duration::from_secs(2);

/// So long a link may lead nowhere while somebody could serve behind it: the daemon has other things to do, too.
const ASTRAY: Duration = Duration::from_millis(100);

impl World {
    /// A link is swapped.
    pub fn published(&mut self, link: &str, socket: &str) {
        if self.is_ours(socket) || self.closed.contains_key(socket) {
            return self.published_ours(link, socket);
        }
        let named = self.bound(socket).map(|(worker, _)| worker);
        let (Some(worker), Some(slot)) = (named, self.oracle.slot_of(link)) else {
            self.violated(format_args!("{link} is to name {socket}, which is no worker's"));
            return;
        };
        self.mark_published(slot, worker, link);
        if let Some(process) = self.processes.get_mut(worker) {
            (process.known.unlinked, process.known.draining) = (None, None);
            process.known.published = true;
            let wrong = if !process.known.online {
                Some("has not reported online")
            } else if process.known.exited {
                Some("is known to be gone")
            } else if process.known.is_known_to_go() {
                Some("was told to go")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                self.violated(format_args!("{link} is to name {worker}, which {wrong}"));
            }
        }
        self.names(slot, Slot { link: link.to_owned(), socket: socket.to_owned(), worker: Some(worker) });
        self.succeeds_before_deploy(slot, worker);
    }

    /// A link is swapped to a socket of the daemon's own: there has to be somebody who accepts from it, or will.
    fn published_ours(&mut self, link: &str, socket: &str) {
        let Some(slot) = self.oracle.slot_of(link) else {
            self.violated(format_args!("{link} is to name {socket}, but is no slot's link"));
            return;
        };
        if !self.is_tended(socket, None) {
            self.violated(format_args!("{link} is to name {socket}, which nobody is there to accept from"));
        }
        if let Some(listener) = self.listeners.get_mut(socket) {
            (listener.unlinked, listener.given_up) = (None, None);
        }
        self.names(slot, Slot { link: link.to_owned(), socket: socket.to_owned(), worker: None });
    }

    /// A link names a socket from now on.
    fn names(&mut self, slot: SlotIndex, new: Slot) {
        self.oracle.stuck.remove(&new.link);
        self.oracle.spoiled.remove(&new.link);
        self.oracle.given_up.remove(&slot);
        let socket = new.socket.clone();
        let before = self.oracle.slots.insert(slot, new);
        if let Some(before) = before.filter(|before| before.socket != socket) {
            self.unlinked(&before);
        }
        let shared = self.oracle.slots.iter().any(|(other, its)| *other != slot && its.socket == socket);
        if shared {
            self.marks.count("a link names a neighbour");
            self.check_neighbour(slot);
        }
    }

    /// A link names a worker that serves another slot as well: one that the state of the app allows.
    fn check_neighbour(&mut self, slot: SlotIndex) {
        let named = self.oracle.slots.get(&slot).and_then(|slot| slot.worker);
        let process = named.and_then(|worker| self.processes.get(worker).map(|process| (worker, process)));
        let Some((worker, process)) = process else { return };
        if self.oracle.stays_suspended(self.agenda.now()) && !process.suspended {
            self.violated(format_args!(
                "the link of slot {slot} is led to {worker}, which is not suspended in a suspended app"
            ));
        }
    }

    /// Somebody but `except` inherited the socket, was ready, and has not been told to go, as far as the daemon knows.
    pub(crate) fn is_tended(&self, socket: &str, except: Option<Worker>) -> bool {
        self.processes.iter().any(|(worker, process)| Some(worker) != except && process.tends(socket))
    }

    /// Somebody could accept from a socket of the daemon's that a link names, if he was told to, and is not the only one for
    /// another slot.
    fn is_of_use(&self, socket: &str) -> bool {
        let others = self.oracle.slots.values().map(|slot| slot.socket.as_str());
        let others: Vec<&str> = others.filter(|other| *other != socket).collect();
        let needed = |worker: Worker, process: &Proc| {
            let its: Vec<&str> = others.iter().copied().filter(|other| process.may_accept(other)).collect();
            !self.are_served(&its, &mut vec![worker])
        };
        self.processes.iter().any(|(worker, process)| {
            let hears = process.reachable() || !process.sockets.accepts.is_empty();
            process.alive()
                && process.known.online
                && !process.known.is_known_to_end()
                && process.may_accept(socket)
                && process.is_free_for(socket)
                && hears
                && !process.asks_to_go()
                && !process.ignores_suspension()
                && !self.goes_by_record(process)
                && !self.is_recorded_for_another(process, socket)
                && !process.known.told_to_go()
                && !needed(worker, process)
        })
    }

    /// Each of these sockets is tended by somebody of its own who was told no other, and is not `taken`.
    fn are_served(&self, sockets: &[&str], taken: &mut Vec<Worker>) -> bool {
        let Some((first, rest)) = sockets.split_first() else { return true };
        self.processes.iter().any(|(worker, process)| {
            if taken.contains(&worker) || !process.is_free_for(first) || !process.tends(first) {
                return false;
            }
            taken.push(worker);
            let served = self.are_served(rest, taken);
            taken.pop();
            served
        })
    }

    /// The daemon has written down that it is to go.
    pub(crate) fn goes_by_record(&self, process: &Proc) -> bool {
        self.recorded(process).is_some_and(|record| record.stage.is_going())
    }

    /// The daemon has written down that it is to accept from another socket than this.
    fn is_recorded_for_another(&self, process: &Proc, socket: &str) -> bool {
        let recorded = self.recorded(process).and_then(|record| record.socket.as_deref());
        recorded.is_some_and(|recorded| recorded != socket)
    }

    fn mark_published(&mut self, slot: SlotIndex, worker: Worker, link: &str) {
        let Some(process) = self.processes.get(worker) else { return };
        if process.known.unlinked.is_some() {
            self.marks.count("a link is swapped back");
        }
        let Some(before) = self.oracle.slots.get(&slot) else { return };
        if before.link != link {
            self.marks.count("a link gets another name");
        }
        let before = before.worker.and_then(|worker| self.processes.get(worker));
        let ended = before.filter(|before| before.known.exited).and_then(Proc::ended_at);
        // One that has been in a slot before goes back there: its deploy is rolled back.
        if ended.is_some_and(|at| process.plan.spawned < at) && !process.known.published {
            self.marks.count("a standby takes over");
            // A swap that is tried again is of a worker that was fit when it was tried first.
            if !self.oracle.unswapped.contains(link) {
                self.check_promoted(worker);
            }
        }
    }

    /// A worker that was known to be dying is gone: where a standby was there all that time, its link names that by now.
    pub fn check_succeeded(&mut self, worker: Worker) {
        let now = self.agenda.now();
        let Some(process) = self.processes.get(worker) else { return };
        let Some(since) = process.known.dying.filter(|since| now.since(*since) >= TAKEOVER) else { return };
        let calm = self.oracle.wanted
            && !self.oracle.in_doubt()
            && self.oracle.suspended == process.suspended
            && self.faults.calls.is_empty()
            && self.deaths.count == 0;
        let named = self.oracle.slots.iter().find(|(_, slot)| slot.worker == Some(worker));
        let Some((slot, _)) = named.filter(|(slot, _)| calm && slot.0 < self.oracle.floor()) else { return };
        let standby = self.processes.iter().find(|(_, other)| {
            other.known.online
                && other.suspended
                && other.plan.boots_at + SETTLED <= since
                && other.alive()
                && !other.dying
                && !other.stopped
                && !other.known.published
                && !other.retiring()
                && !other.asks_to_go()
                && other.reachable()
                && other.sockets.inherits.is_empty()
        });
        if let Some((standby, _)) = standby {
            let slot = *slot;
            self.violated(format_args!(
                "slot {slot} names {worker}, which has been dying for {} ms, and {standby} could serve it",
                now.since(since).as_millis()
            ));
        }
    }

    /// A link is removed.
    pub fn withdrawn(&mut self, link: &str) {
        let could_not_be_removed = self.oracle.stuck.remove(link);
        let Some(slot) = self.oracle.slot_of(link) else {
            self.violated(format_args!("{link} is withdrawn, but it is no slot's link"));
            return;
        };
        let current = self.oracle.slots.get(&slot).filter(|slot| slot.link == link);
        let Some(worker) = current.map(|slot| slot.worker) else { return };
        let named = worker.and_then(|worker| self.processes.get(worker));
        let of_use = current.is_some_and(|slot| self.is_of_use(&slot.socket));
        let died = named.map_or(!of_use, |process| process.dying || process.died_by_itself());
        // Without the file of its socket, the link leads nowhere anyway.
        let astray = current.is_some_and(|slot| self.files.get(&slot.socket).is_none());
        let excused = died || astray || could_not_be_removed;
        let known = !excused && !self.deaths.forgot && !self.oracle.given_up.contains(&slot);
        if self.oracle.wanted && slot.0 < self.oracle.floor() && known {
            self.violated(format_args!("{link} is withdrawn although slot {slot} is to be served"));
        }
        let Some(named) = self.oracle.slots.remove(&slot) else { return };
        self.unlinked(&named);
        if died && self.oracle.wanted && slot.0 < self.oracle.floor() {
            if named.worker.is_none() {
                self.closed.entry(named.socket.clone()).or_insert(Some(Cause::WorkerDied));
            }
            self.oracle.slots.insert(slot, named);
        }
    }

    /// The daemon waits. No link names a worker of which the daemon knows that it is dead while another one could serve
    /// behind the link, unless the daemon could not help that.
    pub(crate) fn check_links_lead(&mut self) {
        let now = self.agenda.now();
        let astray = self.links_astray();
        self.oracle.astray.retain(|slot, _| astray.contains(slot));
        for slot in astray {
            let since = *self.oracle.astray.entry(slot).or_insert(now);
            if now.since(since) >= ASTRAY {
                let millis = ASTRAY.as_millis();
                self.violated(format_args!(
                    "the link of slot {slot} has led nowhere for {millis} ms while another worker could serve"
                ));
            }
        }
    }

    fn links_astray(&self) -> Vec<SlotIndex> {
        let oracle = &self.oracle;
        let unclear = oracle.stops_open > 0 || oracle.lifting > 0 || self.deaths.count > 0 || oracle.quitting;
        if !oracle.wanted || unclear || !oracle.slots.values().any(|slot| self.could_serve(slot)) {
            return Vec::new();
        }
        let dead = |slot: &Slot| {
            let process = slot.worker.and_then(|worker| self.processes.get(worker));
            let helpless = oracle.unswapped.contains(&slot.link) || oracle.stuck.contains(&slot.link);
            let gone = process.is_some_and(|process| process.known.is_known_to_end());
            gone && !helpless && !oracle.is_removed(slot)
        };
        let promised = |slot: &SlotIndex| slot.0 < oracle.fewest_links.max(oracle.floor());
        let slots = oracle.slots.iter().filter(|(index, slot)| promised(index) && dead(slot));
        slots.map(|(index, _)| *index).collect()
    }

    /// Its worker serves, as far as the daemon knows, is as the app is, and can be reached by another link.
    fn could_serve(&self, slot: &Slot) -> bool {
        let process = slot.worker.and_then(|worker| self.processes.get(worker));
        process.is_some_and(|process| {
            let goes = process.known.exited || process.known.told_to_go() || process.asks_to_go();
            !self.oracle.has_spoiled(&slot.socket)
                && process.alive()
                && !process.dying
                && !goes
                && process.known.online
                && process.suspended == self.oracle.suspended
        })
    }

    /// It accepts from the socket because it was told to.
    fn is_told(&self, worker: Worker, socket: &str) -> bool {
        self.processes.get(worker).is_some_and(|process| process.known.told_socket.as_deref() == Some(socket))
    }

    /// No link that nginx follows names the socket any more, unless another slot's does.
    pub(crate) fn unlinked(&mut self, slot: &Slot) {
        // Others name it still.
        if self.oracle.slots.values().any(|other| other.socket == slot.socket) {
            return;
        }
        let now = self.agenda.now();
        if let Some(listener) = self.listeners.get_mut(&slot.socket) {
            listener.unlinked = Some(now);
        }
        let accepting = self.processes.iter().filter(|(_, process)| process.serves_from(&slot.socket));
        let left: Vec<Worker> = accepting.map(|(worker, _)| worker).chain(slot.worker).collect();
        for worker in left {
            if slot.worker.is_some() || self.is_told(worker, &slot.socket) {
                self.check_kept(worker, "taken from its link");
            }
            if let Some(process) = self.processes.get_mut(worker) {
                process.known.unlinked = Some(now);
            }
        }
    }

    /// A removal failed by an injected error.
    pub fn stuck(&mut self, name: &str) {
        self.oracle.stuck.insert(name.to_owned());
    }

    pub fn unstuck(&mut self, name: &str) {
        self.oracle.stuck.remove(name);
    }

    /// Somebody else removes a file.
    pub fn spoil(&mut self, name: &str) {
        self.oracle.spoiled.insert(name.to_owned());
    }

    pub fn sweep_failed(&mut self) {
        let litter = self.litter();
        self.oracle.sweep_failed = true;
        self.oracle.stuck.extend(litter);
    }
}
