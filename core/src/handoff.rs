//! What a daemon hands to the program that replaces it by `execve(2)`.
//!
//! The process stays the same: its pid, its children, its descriptors. So does all that the supervisor knows, but the
//! configuration, which the new program reads for itself. Unlike the [state file](crate::state), a hand-off loses nothing:
//! deadlines, back-offs and the requests that wait for an answer cross it as well.
//!
//! These records are a format of their own: what the supervisor keeps in its tables is converted, never serialised. A field
//! may be added with a default under the same [`VERSION`]; none is renamed or removed. Hand-offs of every released version
//! are kept as test data (`core/tests/handoffs`). Times are those of the monotonic clock, in nanoseconds since its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asker::Asker;
use crate::config::{Config, DevAddress, MAX_WORKERS, MetricsAddress, Output, Ready, StopSignal};
use crate::history::{Facts, Ledger};
use crate::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use crate::metrics::{Level, Traffic};
use crate::occurrence::Occurrence;
use crate::release::Release;
use crate::state::{CountersRecord, SuspensionRecord, is_default};
use crate::time::Time;
use crate::wire::StartOptions;

/// The version of the format. Fields may be added under the same version; a reader skips those it does not know.
pub const VERSION: u32 = 1;

/// All that a daemon's successor in the same process has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// [`VERSION`]
    pub(crate) version: u32,
    /// The version of the program that hands off.
    pub(crate) from: String,
    pub(crate) fixed: Fixed,
    /// When the daemon started.
    pub(crate) started: Time,
    pub(crate) desired: DesiredRecord,
    /// Every `socketFile` by which a link or a socket may be named.
    pub(crate) socket_files: Vec<String>,
    pub(crate) workers: BTreeMap<WorkerId, WorkerRecord>,
    pub(crate) slots: BTreeMap<SlotIndex, SlotRecord>,
    /// Sockets that the daemon keeps open, by their file names.
    pub(crate) listeners: BTreeMap<String, ListenerRecord>,
    pub(crate) standby_backoff: BackoffRecord,
    /// How often the pace of boots was slowed down.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) strain: u32,
    /// Requests that were passed on to workers, by the id under which they were.
    pub(crate) relays: BTreeMap<String, RelayRecord>,
    /// Requests that have not had their final reply.
    pub(crate) open: BTreeSet<RequestRef>,
    /// Who made them, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) askers: Vec<(RequestRef, Asker)>,
    /// Restarts that wait for their turn.
    pub(crate) queue: Vec<QueuedRecord>,
    /// What the dev server was told last: its port, and the links it goes to.
    pub(crate) dev_server: Option<(DevAddress, Vec<String>)>,
    /// Where metrics are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_server: Option<MetricsAddress>,
    /// A SIGHUP came while an operation was in progress.
    pub(crate) reload_wanted: bool,
    /// Workers were adopted without a state file.
    pub(crate) guessing: bool,
    /// What became of an operation that an earlier daemon had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Why the app is suspended until a person decides about a deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<String>,
    /// What the service manager knows, if there is one.
    pub(crate) announcements: Option<AnnouncementsRecord>,
    /// What the upgrade was for.
    pub(crate) restart: Option<RestartRecord>,
    /// What is left of operations whose new workers serve, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retirements: Vec<RetirementRecord>,
    /// The generation in force.
    #[serde(default)]
    pub(crate) generation: GenerationRecord,
    /// Who leads, or may.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) leadership: LeadershipRecord,
    /// What is in progress, and what may not be in the history yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) history: Ledger,
    /// How the last deploy ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_deploy: Option<Facts>,
    /// Who is told what happens, and how much there was to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) watchers: Vec<RequestRef>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) seq: u64,
    /// The command of `options.onEvent`, and what waits for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) hooks: HooksRecord,
    /// What is counted for good.
    #[serde(default, skip_serializing_if = "CountersRecord::is_empty")]
    pub(crate) counters: CountersRecord,
}

/// The command of `options.onEvent`, and what waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HooksRecord {
    pub waiting: Vec<ToldRecord>,
    /// Its process, if it runs, and how long it may.
    pub process: Option<Process>,
    pub until: Option<Time>,
    /// How many occurrences were given up.
    pub missed: u64,
}

/// An occurrence with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToldRecord {
    pub seq: u64,
    pub occurrence: Occurrence,
}

/// What a configuration must not change, because the successor goes on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fixed {
    tmp_dir: PathBuf,
    /// The folder of links and sockets, if it is another one than `tmpDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    socket_dir: Option<PathBuf>,
    ipc_file: PathBuf,
    ipc_group: Option<String>,
}

/// What ought to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredRecord {
    pub running: bool,
    pub slots: u32,
    pub standby: u32,
    pub suspended: bool,
    /// Since when, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionRecord>,
}

/// A row of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackoffRecord {
    pub failures: u32,
    pub retry_at: Option<Time>,
    pub reason: Option<String>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerRecord {
    /// What the worker is for.
    pub seat: SeatRecord,
    /// It belongs to a rollout that had not taken over. No hand-off happens during one, so this is always false.
    pub in_rollout: bool,
    pub state: StateRecord,
    pub since: Time,
    pub ordered: Time,
    pub online_timeout: Duration,
    pub ready: Option<Time>,
    pub started_suspended: bool,
    pub ready_by: Ready,
    pub ready_path: String,
    pub speaks: bool,
    pub socket: Option<String>,
    pub listeners: Vec<String>,
    /// A link named it.
    pub served: bool,
    /// It may be told to shut down.
    pub drained: bool,
    pub channel: ChannelRecord,
    /// The process that speaks for it, if that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<Process>,
    /// The process id that it has said over its channel, if that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_pid: Option<u32>,
    /// Why another process was not believed to be this worker, while it has not reported itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disbelieved: Option<String>,
    /// What its program finishes on; earlier programs knew SIGTERM alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_signal: StopSignal,
    pub stderr: Output,
    /// The number of its generation; 0 if that is not known.
    #[serde(default)]
    pub generation: u32,
    /// It answers `ping`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heartbeat: bool,
    /// The number of the last `ping`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub asked: u64,
    /// It was told to resume and has not confirmed that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
    /// It understands what it is told about its slot, and about who leads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_lead: bool,
    /// What it counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub counts: CountsRecord,
}

/// What a worker counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CountsRecord {
    /// Whether it counts; `None`: it cannot.
    pub counting: Option<bool>,
    pub said: Traffic,
    pub told: Traffic,
    pub level: Option<Level>,
    /// It is gone, and what it has said is in the counters.
    pub kept: bool,
}

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SeatRecord {
    Slot(SlotIndex),
    Standby,
    Retired { from: Option<SlotIndex> },
}

/// How far a worker has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StateRecord {
    Spawning { deadline: Time },
    Unwanted,
    Booting { process: Process, deadline: Time, watch: Option<WatchRecord> },
    Ready { process: Process, suspended: bool, broken: bool },
    Draining(DrainRecord),
    ShuttingDown { process: Process, deadline: Time },
    Terminating { process: Process, deadline: Time },
    Killed { process: Process },
    Exited,
    Reaped { removal: BackoffRecord },
}

/// What a booting worker is looked at for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchRecord {
    pub look: Option<Time>,
    pub pause: Duration,
    pub deadline: Time,
    pub listens: bool,
    pub found: String,
}

/// An accept queue that is being emptied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrainRecord {
    pub process: Process,
    pub deadline: Time,
    pub look: Option<Time>,
    pub empty_since: Option<Time>,
    pub blind_since: Option<Time>,
    pub waiting: u32,
}

/// The way to tell a worker something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChannelRecord {
    Open,
    Socket(ConnId),
    Expected { until: Time },
    Lost { at: Time },
    Closed,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRecord {
    pub owner: Option<WorkerId>,
    /// The worker of another slot that the link names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbour: Option<WorkerId>,
    pub link: Option<String>,
    pub target: Option<String>,
    pub backoff: BackoffRecord,
    pub link_backoff: BackoffRecord,
    pub removal_backoff: BackoffRecord,
    /// How many of its workers have failed, and when and why the last one did.
    #[serde(default)]
    pub failures: u64,
    #[serde(default)]
    pub last_failure: Option<(Time, String)>,
    /// Whether it is served, and since when it is not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: ServiceRecord,
}

/// Whether a slot is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServiceRecord {
    /// It ought not to be, or has never been.
    #[default]
    None,
    Served,
    Missing {
        since: Time,
    },
}

/// A socket that the daemon keeps for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListenerRecord {
    pub slot: SlotIndex,
    pub closing: bool,
    /// An earlier daemon opened it, and only workers hold it still.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// Connections may wait in it that nobody will accept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deserted: bool,
    pub removal: BackoffRecord,
}

/// A request that was passed on to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelayRecord {
    pub origin: RequestRef,
    pub worker: WorkerId,
    pub pid: u32,
}

/// Somebody who waits for the end of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequesterRecord {
    pub to: RequestRef,
    pub progress: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_swap: bool,
    pub upgraded_from: Option<String>,
}

/// A generation of workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    /// Counted from 1; 0 if it is not known.
    pub number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

/// Who leads, or may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeadershipRecord {
    /// The term of the last word about it to any worker.
    pub term: u64,
    pub reign: Option<ReignRecord>,
    /// Workers that may lead, and are not to any more.
    pub former: BTreeMap<WorkerId, FormerRecord>,
}

/// The worker that leads, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReignRecord {
    Chosen(WorkerId),
    Told(WorkerId),
    Confirmed(WorkerId),
}

/// How far a worker has got that is not to lead any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FormerRecord {
    Suspected,
    Untold,
    Told { term: u64 },
}

/// What is left of an operation whose new workers serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetirementRecord {
    /// What it is, in the middle of a sentence.
    pub what: String,
    pub askers: Vec<RequesterRecord>,
    /// Workers that are not gone yet.
    pub leaving: BTreeSet<WorkerId>,
}

/// A restart that waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueuedRecord {
    pub to: RequestRef,
    pub options: StartOptions,
    pub version: Option<String>,
}

/// A restart that begins with an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestartRecord {
    pub askers: Vec<RequesterRecord>,
    pub options: StartOptions,
}

/// What the service manager knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnnouncementsRecord {
    pub phase: PhaseRecord,
    pub status: String,
    pub extend: Option<Time>,
    /// When it has to hear next that the daemon is not stuck, and from then on how often.
    pub alive: Option<(Time, Duration)>,
}

/// How far the daemon has got, in the service manager's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PhaseRecord {
    Starting,
    Ready,
    Reloading,
    Stopping,
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

    /// Names the key that differs, and says that it cannot.
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
