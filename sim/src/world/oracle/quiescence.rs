//! When the faults have stopped, and when the daemon has quit: what is still not as it ought to be.

use std::collections::{BTreeMap, BTreeSet};

use nodesockd_core::id::SlotIndex;

use crate::scenario::Behaviour;
use crate::world::{Entry, World};

impl World {
    /// Faults are over and the supervisor says that it has settled: what is still not as it should be.
    pub fn unsettled(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.unanswered().into_iter().map(|request| format!("no final reply to {request}")).collect();
        if self.oracle.wanted {
            let served = self.served();
            if !self.oracle.counts.contains_key(&served) {
                let counts: Vec<String> = self.oracle.counts.keys().map(u32::to_string).collect();
                wrong.push(format!("{served} workers serve, not {}", counts.join(" or ")));
            }
            wrong.extend(self.astray());
            wrong.extend(self.leaderless());
        }
        wrong.extend(self.litter().into_iter().map(|name| format!("nobody owns {name}")));
        wrong.extend(self.misnamed());
        wrong.extend(self.imbalance());
        wrong.extend(self.half_deployed());
        wrong.extend(self.oversized());
        wrong.extend(self.unrecorded());
        wrong.extend(self.mispaged());
        wrong
    }

    /// Slots with two links, or with one of a name that a daemon's successor has found out of use.
    fn misnamed(&self) -> Vec<String> {
        let links = self.files.iter().filter(|(name, entry)| {
            matches!(entry, Entry::Link(_))
                && !self.oracle.is_stuck(name)
                && self.files.follow(name).is_some()
        });
        let mut links: Vec<_> =
            links.filter_map(|(name, _)| Some((self.oracle.slot_of(name)?, name))).collect();
        links.sort();
        let double = links.iter().zip(links.iter().skip(1)).filter(|(one, other)| one.0 == other.0);
        let double = double.map(|(one, other)| format!("{} and {} are links of one slot", one.1, other.1));
        let pattern = self.deaths.pattern.as_ref();
        let former = links.iter().filter(|(slot, name)| pattern.is_some_and(|now| now.link(*slot) != *name));
        double.chain(former.map(|(_, name)| format!("{name} is a link of a former name"))).collect()
    }

    /// So many workers serve behind the links of the slots, from the first one on.
    pub(crate) fn served(&self) -> u32 {
        let links = self.oracle.most.max(self.oracle.most_links);
        let mut sockets = BTreeSet::new();
        for slot in 0..links {
            match self.serves(SlotIndex(slot)) {
                Some(socket) => sockets.insert(socket),
                None => break,
            };
        }
        u32::try_from(sockets.len()).unwrap_or(u32::MAX)
    }

    /// Links that lead nowhere although workers serve.
    fn astray(&self) -> Vec<String> {
        let links = (0..self.oracle.fewest_links).map(SlotIndex);
        let astray = links.filter(|slot| self.serves(*slot).is_none());
        astray.map(|slot| format!("the link of slot {slot} leads nowhere")).collect()
    }

    /// The socket behind a slot's link, if somebody serves there.
    fn serves(&self, slot: SlotIndex) -> Option<String> {
        let link = self.oracle.link(slot);
        let target = link.and_then(|link| self.files.target(link));
        if let Some(socket) = target.filter(|socket| self.processes.has_stand_in(socket)) {
            return Some(socket.to_owned());
        }
        if let Some(socket) = target.filter(|socket| self.files.get(socket) == Some(&Entry::Ours)) {
            return (self.is_ours(socket) && self.is_tended(socket, None)).then(|| socket.to_owned());
        }
        let named = link.and_then(|link| self.files.follow(link));
        let process = named.and_then(|worker| self.processes.get(worker));
        let process = process.filter(|process| process.known.online && process.traffic.queue.is_some());
        process.map(|process| process.id.to_string())
    }

    /// All is quiet: no operation is in progress, nor one whose asker has hung up before it was answered.
    pub fn settled(&mut self) {
        // Somebody asked for a stop, hung up, and asked for something else since.
        self.oracle.wanted |= self.oracle.stops_open > 0 && self.served() > 0;
        self.oracle.lifting = u32::from(self.oracle.expires.is_some());
        self.oracle.stops_open = 0;
        if self.oracle.wanted {
            self.oracle.counts = BTreeMap::from([(self.served(), self.clients.heard())]);
        }
    }

    /// Requests to these may wait for ever.
    pub fn has_mute_workers(&self) -> bool {
        self.processes
            .iter()
            .any(|(_, process)| process.alive() && process.plan.behaviours.contains(&Behaviour::Mute))
    }

    /// Whether workers that serve hold requests until they are resumed.
    pub fn waits_for_resume(&self) -> bool {
        let holds = self.processes.iter().any(|(_, process)| {
            process.alive() && process.holds && process.known.published && process.known.unlinked.is_none()
        });
        // One that was not resumed holds sockets of an earlier daemon, at which nobody accepts; so does one that says that it
        // was never suspended, because it is not told which socket is its own.
        let shut = |socket: &str| {
            let mut holders = self.processes.iter().filter(|(_, its)| its.alive() && its.inherits(socket));
            holders.clone().any(|(_, process)| process.holds || process.has(Behaviour::ReportsUnsuspended))
                && !holders.any(|(_, process)| process.sockets.accepts.contains(socket))
        };
        let foreign =
            self.listeners.iter().filter(|(_, listener)| !listener.held && !listener.queue.is_empty());
        holds
            || foreign.map(|(socket, _)| socket).any(|socket| shut(socket))
            || self.oracle.slots.values().any(|slot| {
                let waits = self.listeners.get(&slot.socket).is_some_and(|ours| !ours.queue.is_empty());
                let accepts =
                    |process: &crate::world::process::Proc| process.sockets.accepts.contains(&slot.socket);
                waits && !self.processes.iter().any(|(_, process)| process.alive() && accepts(process))
            })
    }

    /// The daemon has quit: what it left behind.
    pub fn remains(&mut self) -> Vec<String> {
        self.oracle.wanted = false;
        let mut wrong = Vec::new();
        for (worker, process) in self.processes.iter() {
            if process.alive() {
                wrong.push(format!("{worker} is still alive"));
            } else if !process.known.reaped {
                wrong.push(format!("{worker} was never reaped"));
            } else if !process.children.is_empty() {
                wrong.push(format!("a child of {worker} is still alive"));
            }
        }
        wrong.extend(self.litter().into_iter().map(|name| format!("{name} is left in tmpDir")));
        wrong.extend(self.farewell());
        wrong.extend(self.imbalance());
        wrong
    }
}
