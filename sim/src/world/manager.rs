//! The service manager: what it is told, held against what is so.

use nodesockd_core::Time;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::notice::Notice;

use super::{Worker, World};
use crate::daemon_death::WATCHDOG;

/// What it was told in the life of the daemon that is there now.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    /// The daemon is up.
    ready: bool,
    reloading: bool,
    stopping: bool,
    /// When the daemon was alive for sure. None if nobody minds.
    alive: Option<Time>,
}

impl World {
    /// A daemon starts.
    pub fn managed(&mut self, listens: bool) {
        self.manager = Manager { alive: listens.then_some(self.agenda.now()), ..Manager::default() };
    }

    /// The daemon tells how it is.
    pub fn notify(&mut self, notice: &Notice) {
        let wrong = match notice {
            _ if self.manager.alive.is_none() => Some("nobody listens"),
            Notice::Ready | Notice::Reloading { .. } | Notice::Stopping if self.manager.stopping => {
                Some("it is stopping")
            }
            Notice::Ready if self.manager.ready && !self.manager.reloading => Some("it has said so before"),
            Notice::Ready if !self.manager.ready && !self.is_up() => Some("not all slots have been served"),
            Notice::Reloading { .. } if !self.manager.ready => Some("it is not even ready"),
            Notice::Reloading { since } if *since > self.agenda.now() => Some("that is to come"),
            Notice::Ready
            | Notice::Reloading { .. }
            | Notice::Stopping
            | Notice::Status(_)
            | Notice::Extend(_)
            | Notice::Alive => None,
        };
        if let Some(wrong) = wrong {
            self.violated(format_args!("the service manager is told {notice:?}, but {wrong}"));
        }
        let manager = &mut self.manager;
        let words = match notice {
            Notice::Ready => {
                (manager.ready, manager.reloading) = (true, false);
                "ready"
            }
            Notice::Reloading { .. } => {
                manager.reloading = true;
                "reloading"
            }
            Notice::Stopping => {
                manager.stopping = true;
                "stopping"
            }
            Notice::Alive => return manager.alive = Some(self.agenda.now()),
            Notice::Status(_) | Notice::Extend(_) => return,
        };
        self.trace.line(self.agenda.now(), "daemon", format_args!("tell the service manager: {words}"));
    }

    /// For all that the daemon can know, all slots there ought to be are served, or none ought to be.
    fn is_up(&self) -> bool {
        let online = |worker: Worker| {
            self.processes.get(worker).is_some_and(|process| process.known.online && !process.known.exited)
        };
        // The link of the new name may name a worker that died with its daemon, while that of the old name is as good as ever.
        let by_another_name = |slot: SlotIndex| {
            let mut links = self.files.iter().filter(|(name, _)| self.oracle.slot_of(name) == Some(slot));
            self.deaths.count > 0 && links.any(|(name, _)| self.files.follow(name).is_some_and(online))
        };
        let served = |index: u32| {
            let index = SlotIndex(index);
            let Some(slot) = self.oracle.slots.get(&index) else { return false };
            match slot.worker {
                Some(worker) => online(worker) || by_another_name(index),
                None => self.is_tended(&slot.socket, None),
            }
        };
        !self.oracle.wanted || self.oracle.in_doubt() || (0..self.oracle.floor()).all(served)
    }

    /// The daemon has nothing to do but wait: the manager has heard of it in time.
    pub(super) fn check_alive(&mut self) {
        let silent = self.manager.alive.is_some_and(|at| self.agenda.busy_since().since(at) > WATCHDOG / 2);
        if silent {
            self.violated("the service manager has not heard in time that the daemon is alive");
        }
    }

    /// The daemon has quit.
    pub(super) fn farewell(&self) -> Option<String> {
        let rude = self.manager.alive.is_some() && !self.manager.stopping;
        rude.then(|| "the service manager was not told".to_owned())
    }
}
