//! Taking over the workers of an earlier daemon, which died or gave them up.
//!
//! What it meant to do is in its state file, what it did is in the links: where the two differ, the links are right. A
//! rollout in which no link names a new worker that is alive is undone; one that had begun to swap links is finished. Workers
//! have lost their channel with their daemon. Those with our library report on the control socket within a second;
//! others serve as before, but cannot be told anything.

use std::time::Duration;

use crate::config::{Config, Ready};
use crate::id::{ConnId, SlotIndex, WorkerId};
use crate::state::{Inheritance, RecordedStage, Survivor, WorkerRecord};
use crate::time::Time;
use crate::wire::ToWorker;

use super::heritage::OwnedLink;
use super::readiness::Watch;
use super::worker::{Channel, Seat, State, Worker};
use super::{Daemon, Desired, Supervisor};
use crate::action::Action;

/// How long a worker may take to report to the new daemon before it counts as out of reach. Our library tries again
/// every second at most.
const REUNION: Duration = Duration::from_secs(10);

/// What an interrupted rollout means for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing: it stays what it was.
    Stays,
    /// It belonged to a rollout that is undone.
    Undone,
    /// It is replaced by a rollout that is finished.
    Replaced,
}

impl Supervisor {
    /// A supervisor that takes over what an earlier daemon left: every worker that is alive keeps its process, its slot
    /// and its suspension, and what was stopped stays stopped. Starts what is missing. Where nothing is left this is
    /// [`new`](Self::new).
    #[must_use]
    pub fn adopt(config: Config, daemon: Daemon, left: Inheritance, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        if !defect!(AdoptionForgetsListeners) {
            supervisor.inherit_listeners(&left);
        }
        let links = supervisor.inherit_links(&left);
        let finishes = supervisor.inherit_desired(&left, &links);
        let rollout = left.state.as_ref().and_then(|state| state.rollout.as_ref());
        let replaced = finishes && rollout.is_some_and(|rollout| rollout.replaces);
        for survivor in &left.survivors {
            let link = links.iter().find(|link| link.owner == Some(survivor.id));
            let fate = match left.record(survivor.id).map(|record| record.new) {
                Some(true) if !finishes => Fate::Undone,
                Some(true) => Fate::Stays,
                Some(false) | None if replaced => Fate::Replaced,
                Some(false) | None => Fate::Stays,
            };
            supervisor.inherit_worker(*survivor, left.record(survivor.id), link.map(|link| link.slot), fate);
        }
        supervisor.begin();
        supervisor
    }

    /// What ought to be, according to the state file. Returns whether a rollout is to be finished.
    fn inherit_desired(&mut self, left: &Inheritance, links: &[OwnedLink]) -> bool {
        let Some(state) = &left.state else {
            if left.survivors.is_empty() {
                return false;
            }
            self.guessing = true;
            tracing::warn!(
                "adopting {} workers without a state file, by the links alone",
                left.survivors.len()
            );
            return false;
        };
        self.desired = Desired {
            running: state.running,
            slots: state.slots,
            standby: state.standby,
            suspended: state.suspended,
        };
        let Some(rollout) = &state.rollout else { return false };
        // Of those who share a socket, the link does not tell whom it is to name.
        let shared = |socket: &String| {
            state.workers.iter().any(|other| !other.new && other.listeners.contains(socket))
        };
        let tells = |record: &WorkerRecord| record.new && !record.socket.iter().any(shared);
        let mut owners = links.iter().filter_map(|link| state.worker(link.owner?));
        let finishes = owners.any(tells);
        let ending = if finishes {
            self.desired = Desired {
                running: true,
                slots: rollout.slots,
                standby: rollout.standby,
                suspended: rollout.suspended,
            };
            "it is being finished"
        } else {
            "it was undone"
        };
        let note = format!("{} was interrupted by the end of an earlier daemon; {ending}", rollout.what);
        tracing::warn!("{note}");
        self.note = Some(note);
        finishes
    }

    /// Puts a worker of an earlier daemon into the table; `owned` is the slot whose link names its socket.
    pub(super) fn inherit_worker(
        &mut self,
        survivor: Survivor,
        record: Option<&WorkerRecord>,
        owned: Option<SlotIndex>,
        fate: Fate,
    ) {
        let Survivor { id, process } = survivor;
        let stage = match (record, owned) {
            (Some(record), _) => record.stage,
            (None, Some(_)) => RecordedStage::Online,
            // It may have served, and connections may wait for it.
            (None, None) => RecordedStage::Draining,
        };
        let seat = match (owned, record) {
            (_, Some(record)) if stage == RecordedStage::Leaving => Seat::Retired { from: record.slot },
            (Some(slot), _) => Seat::Slot(slot),
            (None, Some(WorkerRecord { slot: Some(slot), .. })) => Seat::Slot(*slot),
            (None, Some(_)) => Seat::Standby,
            (None, None) => Seat::Retired { from: None },
        };
        let outdated = fate == Fate::Replaced;
        let suspended = matches!(stage, RecordedStage::Suspended | RecordedStage::BootingSuspended);
        let now = self.now;
        let ready = |broken| State::Ready { process, suspended, broken };
        let online_by = now + self.config.options.online_timeout;
        // The configuration may say something else by now.
        let speaks = record.map_or(self.config.options.ready == Ready::Report, |record| !record.mute);
        let ready_by = if speaks { Ready::Report } else { self.config.options.ready };
        let watch = Watch::over(ready_by, now, online_by);
        let booting = State::Booting { process, deadline: online_by, watch };
        let leaving = State::ShuttingDown {
            process,
            deadline: self.shutdown_deadline(Channel::Expected { until: now + REUNION }),
        };
        let state = match stage {
            // A link names it, so it was ready.
            RecordedStage::Booting | RecordedStage::BootingSuspended if owned.is_some() => ready(outdated),
            RecordedStage::Booting | RecordedStage::BootingSuspended => booting,
            RecordedStage::Online | RecordedStage::Suspended => ready(outdated && owned.is_some()),
            RecordedStage::Broken => ready(true),
            RecordedStage::Draining => ready(false),
            RecordedStage::Leaving => leaving,
        };
        tracing::info!(worker = %id.short(), pid = process.pid, "worker adopted");
        self.workers.insert(
            id,
            Worker {
                seat,
                in_rollout: false,
                since: now,
                ordered: now,
                online_timeout: self.config.options.online_timeout,
                ready: matches!(state, State::Ready { .. }).then_some(now),
                state,
                started_suspended: suspended,
                ready_by,
                ready_path: self.config.options.ready_path.clone(),
                speaks,
                socket: match record {
                    Some(record) => record.socket.clone(),
                    None => Some(self.config.socket_file.socket(id)),
                },
                listeners: record.map(|record| record.listeners.clone()).unwrap_or_default(),
                served: !stage.is_booting() || owned.is_some(),
                drained: stage == RecordedStage::Leaving,
                channel: Channel::Expected { until: now + REUNION },
                stderr: self.config.options.stderr.clone(),
            },
        );
        if let Some(slot) = owned.filter(|_| stage != RecordedStage::Leaving) {
            self.slot_mut(slot).owner = Some(id);
        }
        if stage == RecordedStage::Leaving && !speaks {
            self.terminate_gently(id, process);
        }
        let leaves = fate != Fate::Stays || matches!(stage, RecordedStage::Draining);
        if owned.is_none() && leaves {
            self.retire(id);
        }
    }

    /// A worker that had lost its channel can be told things again.
    pub(super) fn reunite(&mut self, id: WorkerId, conn: ConnId, suspended: bool) {
        let serves = self.slots.values().any(|slot| slot.owner == Some(id));
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.channel = Channel::Socket(conn);
        match worker.state {
            State::Ready { process, broken, .. } => {
                self.enter(id, State::Ready { process, suspended, broken });
                // The state file may be missing, or not the latest.
                if serves && suspended && self.guessing && !self.desired.suspended {
                    self.desired.suspended = true;
                }
                if serves && !suspended && self.desired.suspended && self.operation.is_none() {
                    tracing::warn!(worker = %id.short(), "the app was resumed, which could not be written down");
                    self.desired.suspended = false;
                }
                if serves && !self.desired.suspended {
                    self.resume(id);
                }
            }
            State::ShuttingDown { process, .. } => {
                // It may never have heard of it: its time begins now.
                let deadline = self.now + self.config.options.shutdown_timeout;
                self.tell(id, ToWorker::Shutdown);
                self.enter(id, State::ShuttingDown { process, deadline });
            }
            // It took no notice of SIGTERM.
            State::Terminating { .. } => self.tell(id, ToWorker::Shutdown),
            State::Spawning { .. }
            | State::Unwanted
            | State::Booting { .. }
            | State::Draining(_)
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. } => {}
        }
    }

    /// The connection by which a worker could be told things is closed.
    pub(super) fn parted(&mut self, conn: ConnId) {
        if let Some(id) = self.attached(conn) {
            self.channel_lost(id);
        }
    }

    /// The worker that reported over this connection.
    pub(super) fn attached(&self, conn: ConnId) -> Option<WorkerId> {
        let mut workers = self.workers.iter();
        workers.find(|(_, worker)| worker.channel == Channel::Socket(conn)).map(|(id, _)| *id)
    }

    pub(super) fn tell(&mut self, id: WorkerId, message: ToWorker) {
        let Some(worker) = self.workers.get(&id) else { return };
        let over = if let Channel::Socket(conn) = worker.channel { Some(conn) } else { None };
        self.act(Action::Tell { worker: id, over, message });
    }
}
