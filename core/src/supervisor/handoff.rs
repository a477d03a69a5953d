//! What a daemon hands to the program that replaces it by `execve(2)`.
//!
//! The process stays the same: its pid, its children, its descriptors. So does all that the supervisor knows, but the
//! configuration, which the new program reads for itself. Unlike the state file, a hand-off loses nothing: deadlines,
//! back-offs and the requests that wait for an answer cross it as well.
//!
//! The tables are serialised as they are. That makes their fields a format: one may be added with a default, but neither
//! renamed nor removed. Hand-offs of every released version are kept as test data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Config, DevAddress, MAX_WORKERS, SocketPattern};
use crate::id::{RequestRef, SlotIndex, WorkerId};
use crate::time::Time;
use crate::wire::StartOptions;

use super::announce::Announcements;
use super::backoff::Backoff;
use super::listeners::Listener;
use super::operation::{Asker, Kind, Queued};
use super::relay::Relays;
use super::slots::Slot;
use super::worker::{State, Worker};
use super::{Daemon, Desired, Supervisor};

/// The version of the format. Fields may be added under the same version; a reader skips those it does not know.
const VERSION: u32 = 1;

/// All that a daemon's successor in the same process has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    version: u32,
    /// The version of the program that hands off.
    from: String,
    fixed: Fixed,
    started: Time,
    pub(super) desired: Desired,
    socket_files: Vec<String>,
    workers: BTreeMap<WorkerId, Worker>,
    slots: BTreeMap<SlotIndex, Slot>,
    listeners: BTreeMap<String, Listener>,
    standby_backoff: Backoff,
    relays: Relays,
    open: BTreeSet<RequestRef>,
    queue: Vec<Queued>,
    dev_server: Option<(DevAddress, Vec<String>)>,
    reload_wanted: bool,
    guessing: bool,
    announcements: Option<Announcements>,
    /// What the upgrade was for.
    restart: Option<Restart>,
}

/// What a configuration must not change, because the successor goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fixed {
    tmp_dir: PathBuf,
    /// The folder of links and sockets, if it is another one than `tmpDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket_dir: Option<PathBuf>,
    ipc_file: PathBuf,
    ipc_group: Option<String>,
}

/// A restart that begins with an upgrade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Restart {
    pub askers: Vec<Asker>,
    pub options: StartOptions,
}

impl Handoff {
    /// Whether what was read is of use. To be called once, after reading it.
    ///
    /// # Errors
    ///
    /// Says what is wrong. Nothing can be taken over then but what the state file knows.
    pub fn validate(&self) -> Result<(), String> {
        let most = self.desired.slots.max(self.desired.standby);
        if self.version != VERSION {
            Err(format!("its version is {}, this program reads {VERSION}", self.version))
        } else if most > MAX_WORKERS {
            Err(format!("it wants {most} workers"))
        } else {
            Ok(())
        }
    }

    /// The version of the daemon that hands off.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Why a daemon with this configuration cannot take over; `None` if it can.
    #[must_use]
    pub fn refuses(&self, config: &Config) -> Option<String> {
        self.fixed.differs_from(&Fixed::of(config))
    }
}

impl Fixed {
    pub fn of(config: &Config) -> Self {
        Self {
            tmp_dir: config.tmp_dir.clone(),
            socket_dir: config.separate_socket_dir(),
            ipc_file: config.ipc_file.clone(),
            ipc_group: config.options.ipc_group.clone(),
        }
    }

    pub fn differs_from(&self, other: &Self) -> Option<String> {
        let key = if self.tmp_dir != other.tmp_dir {
            "`tmpDir`"
        } else if self.socket_dir != other.socket_dir {
            "the folder in `socketFile`"
        } else if self.ipc_file != other.ipc_file {
            "`ipcFile`"
        } else if self.ipc_group != other.ipc_group {
            "`options.ipcGroup`"
        } else {
            return None;
        };
        Some(format!("{key} cannot change while the daemon runs; stop it and start it again"))
    }
}

impl Supervisor {
    /// What a program needs that replaces this one, between any two orders.
    pub(super) fn handoff(&self) -> Handoff {
        Handoff {
            version: VERSION,
            from: self.daemon.version.clone(),
            fixed: Fixed::of(&self.config),
            started: self.started,
            desired: self.desired,
            socket_files: self.socket_files(),
            workers: self.workers.clone(),
            slots: self.slots.clone(),
            listeners: self.listeners.clone(),
            standby_backoff: self.standby_backoff.clone(),
            relays: self.relays.clone(),
            open: self.open.clone(),
            queue: self.queue.iter().cloned().collect(),
            dev_server: self.dev_server.clone(),
            reload_wanted: self.reload_wanted,
            guessing: self.guessing,
            announcements: self.announcements.clone(),
            restart: self.restart_behind_upgrade(),
        }
    }

    /// A supervisor that goes on where another one has handed off, in the same process, with another program. The
    /// restart that the upgrade was for begins.
    #[must_use]
    pub fn take_over(config: Config, daemon: Daemon, left: Handoff, now: Time) -> Self {
        let mut supervisor = Self::idle(config, daemon, now);
        tracing::info!("upgraded from {} to {}", left.from, supervisor.daemon.version);
        let patterns = left.socket_files.iter().filter_map(|name| SocketPattern::parse(name).ok());
        supervisor.former_patterns =
            patterns.filter(|pattern| *pattern != supervisor.config.socket_file).collect();
        supervisor.started = left.started;
        supervisor.desired = left.desired;
        supervisor.desired.suspended &= !defect!(HandoffForgetsSuspension);
        if !defect!(HandoffForgetsWorkers) {
            supervisor.workers = left.workers;
        }
        supervisor.slots = left.slots;
        if !defect!(HandoffForgetsListeners) {
            supervisor.listeners = left.listeners;
        }
        supervisor.standby_backoff = left.standby_backoff;
        if !defect!(HandoffLosesRelays) {
            supervisor.relays = left.relays;
        }
        supervisor.open = left.open;
        if !defect!(HandoffLosesQueue) {
            supervisor.queue = left.queue.into();
        }
        supervisor.dev_server = left.dev_server;
        supervisor.reload_wanted = left.reload_wanted;
        supervisor.guessing = left.guessing;
        if supervisor.announcements.is_some() && left.announcements.is_some() {
            supervisor.announcements = left.announcements;
        }
        supervisor.ask_again();
        match left.restart {
            Some(Restart { mut askers, options }) => {
                askers.retain(|_| !defect!(HandoffForgetsAskers));
                askers.iter_mut().for_each(|asker| asker.upgraded_from = Some(left.from.clone()));
                let config = supervisor.config.clone();
                supervisor.apply(Kind::Restart, askers, Some(options), config);
            }
            None => supervisor.next_operation(),
        }
        supervisor.settle();
        supervisor.persist(0);
        supervisor
    }

    /// What booting workers were asked by HTTP got no answer that this process could hear.
    fn ask_again(&mut self) {
        let now = self.now;
        for worker in self.workers.values_mut() {
            if let State::Booting { watch: Some(watch), .. } = &mut worker.state {
                watch.look.get_or_insert(now);
            }
        }
    }
}
