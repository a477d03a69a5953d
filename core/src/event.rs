//! What happened: the facts a backend brings to the [`Supervisor`](crate::Supervisor).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::asker::Asker;
use crate::config::{Config, DevAddress, MetricsAddress, Problem};
use crate::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use crate::release::{Release, ReleaseLink};
use crate::state::FoundLink;
use crate::survey::{Own, Survey};
use crate::wire::{Claim, FromWorker, Request};

/// A fact, in the past tense. Every [`Action`](crate::Action) that can fail is answered by exactly one of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Completes [`Action::Spawn`](crate::Action::Spawn).
    Spawned {
        /// The worker that was to be started.
        worker: WorkerId,
        /// Its process, or why there is none.
        result: Result<Process, Failure>,
    },
    /// A worker's process ended. It is still unreaped, so its pid cannot be another's yet.
    Exited {
        /// The worker.
        worker: WorkerId,
        /// How it ended.
        status: ExitStatus,
    },
    /// A worker's process has begun to end, which may take it long: it writes a core dump, or gives back much memory. It
    /// accepts nothing any more. [`Exited`](Self::Exited) follows. A process that ends at once is not reported so.
    Dying {
        /// The worker.
        worker: WorkerId,
        /// What keeps it.
        cause: Dying,
    },
    /// Completes [`Action::Reap`](crate::Action::Reap): the process and what it left behind are gone.
    Reaped {
        /// The worker.
        worker: WorkerId,
    },
    /// Completes [`Action::Terminate`](crate::Action::Terminate).
    Terminated {
        /// The worker.
        worker: WorkerId,
        /// Who got the signal instead of the worker's own process; nobody if that got it itself.
        servers: Vec<Process>,
    },
    /// All processes that [`Terminated`](Self::Terminated) named have ended. Not told by a daemon that has become
    /// another program since.
    ServersEnded {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker, or a process that it started, sent `READY=1` to its `NOTIFY_SOCKET`.
    Notified {
        /// The worker.
        worker: WorkerId,
    },
    /// Completes [`Action::Probe`](crate::Action::Probe).
    Probed {
        /// The worker that was asked.
        worker: WorkerId,
        /// The status code of its answer, or why there is none.
        result: Result<u16, Failure>,
    },
    /// Completes [`Action::Examine`](crate::Action::Examine).
    Examined {
        /// The worker whose process was looked at.
        worker: WorkerId,
        /// What the kernel says of it, or why nothing is known.
        result: Result<Vitals, Failure>,
    },
    /// A worker sent a message.
    Received {
        /// The sender, as known from the channel it came by; never from what it says.
        worker: WorkerId,
        /// The message.
        message: FromWorker,
    },
    /// A connection to the control socket spoke as a worker does on its channel: one that outlived its daemon.
    Claimed {
        /// The connection.
        conn: ConnId,
        /// The process at its other end; none if that is gone, or not visible from here.
        caller: Option<Caller>,
        /// Who it says it is; none in what it says after that.
        claims: Option<Claim>,
        /// What it says.
        message: FromWorker,
    },
    /// A worker's channel is closed: nothing can be told to it any more.
    ChannelClosed {
        /// The worker.
        worker: WorkerId,
    },
    /// Completes [`Action::Publish`](crate::Action::Publish).
    Published {
        /// The slot whose link was to be swapped.
        slot: SlotIndex,
        /// The worker it was to name.
        worker: WorkerId,
        /// On failure the link is what it was before.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::Withdraw`](crate::Action::Withdraw).
    Withdrawn {
        /// The slot whose link was to go.
        slot: SlotIndex,
        /// The link's file name in `tmpDir`.
        link: String,
        /// On failure the link may still be there.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::Listen`](crate::Action::Listen).
    Listening {
        /// The slot.
        slot: SlotIndex,
        /// The socket's file name in `tmpDir`.
        socket: String,
        /// On failure there is no socket, and no file.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::Unlisten`](crate::Action::Unlisten).
    Unlistened {
        /// The slot.
        slot: SlotIndex,
        /// The socket's file name in `tmpDir`.
        socket: String,
        /// On failure the socket is closed, and its file may still be there.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::ListQueue`](crate::Action::ListQueue).
    QueueListed {
        /// The worker.
        worker: WorkerId,
        /// The first connections that wait to be accepted, in their order, each by a number of its client's socket; 0: that
        /// client has gone. Nothing, if nobody listens.
        result: Result<Vec<u64>, Failure>,
    },
    /// Completes [`Action::MeasureQueue`](crate::Action::MeasureQueue).
    QueueMeasured {
        /// The worker whose listening socket was asked about.
        worker: WorkerId,
        /// What the kernel says.
        queue: Queue,
    },
    /// Completes [`Action::CountWaiting`](crate::Action::CountWaiting).
    WaitingCounted {
        /// The suspended worker.
        worker: WorkerId,
        /// What the kernel says.
        queue: Queue,
    },
    /// Completes [`Action::MeasureCpu`](crate::Action::MeasureCpu).
    CpuMeasured {
        /// The worker that was asked about.
        worker: WorkerId,
        /// What it has got of the machine, or why that is not known.
        result: Result<CpuTime, Failure>,
    },
    /// Completes [`Action::MeasureMemory`](crate::Action::MeasureMemory).
    MemoryMeasured {
        /// The worker.
        worker: WorkerId,
        /// On failure it is not known how much memory it has.
        result: Result<Memory, Failure>,
    },
    /// Completes [`Action::Remove`](crate::Action::Remove).
    Removed {
        /// The worker whose socket file was to go.
        worker: WorkerId,
        /// On failure the file may still be there.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::StartSink`](crate::Action::StartSink).
    SinkStarted {
        /// On failure there is no sink.
        result: Result<(), Failure>,
    },
    /// The sink reads the pipes of all workers that have one.
    SinkReady {
        /// The version of its program.
        version: String,
    },
    /// The sink cannot write to the log, or can again.
    LogWritten {
        /// Why it cannot. Lines are dropped and counted meanwhile.
        result: Result<(), Failure>,
    },
    /// There is no sink any more. Pipes that it has read stay open: who writes waits, once they are full.
    SinkEnded {
        /// Why.
        failure: Failure,
    },
    /// Follows [`Action::AskLastLines`](crate::Action::AskLastLines).
    LastLines {
        /// The worker, which may be gone.
        worker: WorkerId,
        /// Few lines of limited length, escaped; none if it wrote nothing, or that is not known.
        lines: Vec<String>,
    },
    /// Completes [`Action::LocateRelease`](crate::Action::LocateRelease).
    ReleaseLocated {
        /// What the configuration names now, or why that cannot be told.
        named: Result<Release, Failure>,
    },
    /// Completes [`Action::CheckRelease`](crate::Action::CheckRelease).
    ReleaseChecked {
        /// If the release is not there any more: what the configuration names now, or why that cannot be told.
        stand_in: Option<Result<Release, Failure>>,
    },
    /// Completes [`Action::FindReleaseLink`](crate::Action::FindReleaseLink).
    ReleaseLinkFound {
        /// The symlink, or why there is none to switch.
        result: Result<ReleaseLink, Failure>,
    },
    /// Completes [`Action::SwitchReleaseLink`](crate::Action::SwitchReleaseLink).
    ReleaseLinkSwitched {
        /// What it was to name.
        to: PathBuf,
        /// On failure it names what it named before.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::RunCommand`](crate::Action::RunCommand).
    CommandStarted {
        /// On failure there is no process.
        result: Result<Process, Failure>,
    },
    /// A command wrote these lines.
    CommandWrote {
        /// Its process.
        process: Process,
        /// Without their ends. A line that is long comes in pieces.
        lines: Vec<String>,
    },
    /// A command has ended: all that it wrote is told, and nothing is left of its process group.
    CommandEnded {
        /// Its process.
        process: Process,
        /// How it ended.
        status: ExitStatus,
    },
    /// Completes [`Action::Sweep`](crate::Action::Sweep).
    Swept {
        /// How many files went, or why they could not.
        result: Result<u32, Failure>,
    },
    /// Somebody else may have changed something in the folders that the daemon uses; this is what was found there. Also
    /// completes [`Action::Survey`](crate::Action::Survey).
    Surveyed(Survey),
    /// The kernel does not tell when somebody changes something in the folders that the daemon uses.
    Unwatched {
        /// Why.
        failure: Failure,
    },
    /// Completes [`Action::Restore`](crate::Action::Restore).
    Restored {
        /// What was to be made again.
        what: Own,
        /// On failure it is not there, or is still somebody else's.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::ServeDev`](crate::Action::ServeDev).
    DevServing {
        /// Where it was to listen, or `None` if the server was to stop.
        address: Option<DevAddress>,
        /// On failure nothing is served.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::ServeMetrics`](crate::Action::ServeMetrics).
    MetricsServing {
        /// Where they were to be served, or `None` if that was to stop.
        address: Option<MetricsAddress>,
        /// On failure nothing is served.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::Persist`](crate::Action::Persist).
    Persisted {
        /// On failure the file is what it was before.
        result: Result<(), Failure>,
    },
    /// The command of `options.onEvent` was started.
    HookStarted {
        /// Its process; or why there is none.
        result: Result<Process, Failure>,
    },
    /// It wrote something.
    HookWrote {
        /// Its process.
        process: Process,
        /// Complete lines, or pieces of long ones; not to be trusted on a terminal.
        lines: Vec<String>,
    },
    /// It has ended, and so has all that it has started.
    HookEnded {
        /// Its process.
        process: Process,
        /// How.
        status: ExitStatus,
    },
    /// An entry of the history was written.
    Recorded {
        /// The entry's number.
        number: u64,
        /// On failure the file does not have it.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::LoadConfig`](crate::Action::LoadConfig).
    ConfigLoaded {
        /// The configuration, or everything that is wrong with it.
        result: Result<Box<Config>, Vec<Problem>>,
    },
    /// Completes [`Action::ReopenLogs`](crate::Action::ReopenLogs).
    LogsReopened {
        /// On failure the old files are still written to.
        result: Result<(), Failure>,
    },
    /// Completes [`Action::Preflight`](crate::Action::Preflight).
    Preflighted {
        /// The version that the installed program says it is, or why it could not take over.
        result: Result<String, Failure>,
    },
    /// Follows [`Action::Freeze`](crate::Action::Freeze): every fact that had come by then has come before this one.
    Frozen,
    /// Completes [`Action::HandOff`](crate::Action::HandOff), which has no completion if it succeeds: the process goes on
    /// with another program.
    NotHandedOff {
        /// Why this program still runs. Everything is as it was, and frozen.
        failure: Failure,
    },
    /// A client or a worker made a request.
    Requested {
        /// Who asked, and by which id.
        from: RequestRef,
        /// The process that did, if that is known.
        asker: Option<Asker>,
        /// What for.
        request: Request,
    },
    /// A client's connection is closed; replies to it lead nowhere.
    Disconnected {
        /// The connection.
        conn: ConnId,
    },
    /// The daemon got a signal.
    Signalled {
        /// Which.
        signal: DaemonSignal,
    },
}

/// What the kernel says of the process at the other end of a connection (`SO_PEERCRED`, `unix(7)`; `proc(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The process.
    pub process: Process,
    /// It runs as the daemon's own user.
    pub own_user: bool,
    /// It leads a process group, as workers do.
    pub leads: bool,
    /// The processes that it descends from, up to the daemon, and the leader of its process group.
    pub family: Vec<Process>,
    /// `NODESOCKD_WORKER_ID` in its environment.
    pub worker: Option<WorkerId>,
    /// The file name in `tmpDir` of `NODESOCKD_SOCKET_PATH` in its environment.
    pub socket: Option<String>,
    /// The link that names this socket now.
    pub link: Option<FoundLink>,
}

impl Event {
    /// The worker that the event is about; `None` where it is about something else, or only names one.
    #[must_use]
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Spawned { worker, .. }
            | Self::Exited { worker, .. }
            | Self::Dying { worker, .. }
            | Self::Reaped { worker }
            | Self::Terminated { worker, .. }
            | Self::ServersEnded { worker }
            | Self::Notified { worker }
            | Self::Probed { worker, .. }
            | Self::Examined { worker, .. }
            | Self::Received { worker, .. }
            | Self::ChannelClosed { worker }
            | Self::QueueMeasured { worker, .. }
            | Self::WaitingCounted { worker, .. }
            | Self::QueueListed { worker, .. }
            | Self::CpuMeasured { worker, .. }
            | Self::MemoryMeasured { worker, .. }
            | Self::Removed { worker, .. } => Some(*worker),
            Self::Claimed { .. }
            | Self::Published { .. }
            | Self::Withdrawn { .. }
            | Self::Listening { .. }
            | Self::Unlistened { .. }
            | Self::Swept { .. }
            | Self::SinkStarted { .. }
            | Self::SinkReady { .. }
            | Self::LogWritten { .. }
            | Self::SinkEnded { .. }
            | Self::LastLines { .. }
            | Self::ReleaseLocated { .. }
            | Self::ReleaseChecked { .. }
            | Self::ReleaseLinkFound { .. }
            | Self::ReleaseLinkSwitched { .. }
            | Self::CommandStarted { .. }
            | Self::CommandWrote { .. }
            | Self::CommandEnded { .. }
            | Self::Surveyed(_)
            | Self::Unwatched { .. }
            | Self::Restored { .. }
            | Self::DevServing { .. }
            | Self::MetricsServing { .. }
            | Self::Persisted { .. }
            | Self::Recorded { .. }
            | Self::HookStarted { .. }
            | Self::HookWrote { .. }
            | Self::HookEnded { .. }
            | Self::ConfigLoaded { .. }
            | Self::LogsReopened { .. }
            | Self::Preflighted { .. }
            | Self::Frozen
            | Self::NotHandedOff { .. }
            | Self::Requested { .. }
            | Self::Disconnected { .. }
            | Self::Signalled { .. } => None,
        }
    }
}

/// Signals to the daemon itself; equal signals may be coalesced (`signal(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonSignal {
    /// SIGTERM: quit gracefully.
    Terminate,
    /// SIGINT: quit gracefully; a second one kills the workers.
    Interrupt,
    /// SIGHUP: reload the configuration.
    Hangup,
    /// SIGUSR1: reopen log files.
    User1,
    /// SIGUSR2: upgrade in place.
    User2,
}

/// Why a backend could not do something: the operating system's words, with the path or program they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much memory a worker has, with its descendants, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// That are in memory.
    pub resident: u64,
    /// That there may be at most: the limit of the control group, or what the machine has.
    pub room: u64,
}

/// How a process ended (`waitid(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel killed it, because there was no memory left.
    OutOfMemory {
        /// Bytes that its control group may have, if that is what was used up.
        limit: Option<u64>,
    },
    /// Nobody can tell: it was not our child.
    Unknown,
}

/// Why a process takes long to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dying {
    /// It has crashed, and the kernel writes its memory to a core dump.
    DumpsCore,
    /// The kernel takes its memory back.
    GivesBackMemory,
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DumpsCore => "has crashed and dumps core",
            Self::GivesBackMemory => "is ending, and its memory is being taken back",
        })
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            Self::OutOfMemory { limit: None } => {
                f.write_str("was killed by the kernel, because the machine was out of memory")
            }
            Self::OutOfMemory { limit: Some(limit) } => write!(
                f,
                "was killed by the kernel, because its control group was out of memory: its limit is {} MiB",
                limit >> 20
            ),
            Self::Unknown => f.write_str("is gone"),
        }
    }
}

/// Names of the signals that end workers in practice; their numbers are the same on Linux and macOS.
fn signal_name(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("SIGHUP"),
        2 => Some("SIGINT"),
        3 => Some("SIGQUIT"),
        4 => Some("SIGILL"),
        5 => Some("SIGTRAP"),
        6 => Some("SIGABRT"),
        8 => Some("SIGFPE"),
        9 => Some("SIGKILL"),
        11 => Some("SIGSEGV"),
        13 => Some("SIGPIPE"),
        14 => Some("SIGALRM"),
        15 => Some("SIGTERM"),
        _ => None,
    }
}

/// What a process has got of the machine since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    /// For how long it has run on a CPU.
    pub used: Duration,
    /// For how long it has been ready to run while others did; zero where the kernel does not tell.
    pub waited: Duration,
}

/// What the kernel says of a process (`/proc/PID/stat`, `status`, `wchan`; `proc(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// Its state, as one letter: `R` runs, `S` sleeps, `D` waits for a device, `T` is stopped, `t` is stopped by a debugger.
    pub state: char,
    /// CPU time it has used so far, all threads together.
    pub cpu: Duration,
    /// The function of the kernel in which its main thread sleeps, where that can be told.
    pub waits_in: Option<String>,
    /// Another process traces it (`ptrace(2)`): a debugger.
    pub traced: bool,
}

/// The accept queue of a worker's listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// This many connections wait to be accepted.
    Length(u32),
    /// So do these, and the kernel refuses more (`listen(2)`: the backlog, `net.core.somaxconn`).
    Full(u32),
    /// Nobody listens on that socket any more.
    Closed,
    /// The kernel cannot be asked; the reason.
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn the_end_of_a_process_is_told_by_the_name_of_its_signal() {
        let names =
            "HUP 1, INT 2, QUIT 3, ILL 4, TRAP 5, ABRT 6, FPE 8, KILL 9, SEGV 11, PIPE 13, ALRM 14, TERM 15";
        for entry in names.split(", ") {
            let (name, number) = entry.split_once(' ').unwrap();
            let words = ExitStatus::Signal(number.parse().unwrap()).to_string();
            assert_eq!(words, format!("was killed by SIG{name}"));
        }
        assert_eq!(ExitStatus::Signal(34).to_string(), "was killed by signal 34");
        assert_eq!(ExitStatus::Code(3).to_string(), "exited with status 3");
        assert_eq!(ExitStatus::Unknown.to_string(), "is gone");
        let limit = Some(512 << 20);
        let words = ExitStatus::OutOfMemory { limit }.to_string();
        assert!(words.contains("out of memory") && words.contains("512 MiB"), "{words}");
    }
}
