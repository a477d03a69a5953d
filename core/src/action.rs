//! What to do: the orders a backend gets from the [`Supervisor`](crate::Supervisor).

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{DevAddress, Log, MetricsAddress, Output, Ready, SocketPattern, StopSignal, Symlinks};
use crate::env_file::EnvFile;
use crate::handoff::Handoff;
use crate::history::Entry;
use crate::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use crate::notice::Notice;
use crate::occurrence::Occurrence;
use crate::page::Page;
use crate::release::Release;
use crate::state::Entry as StateEntry;
use crate::survey::Own;
use crate::wire::{Reply, ToWorker};

/// An order, in the imperative. Orders are carried out one after the other, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start a worker's process → [`Event::Spawned`](crate::Event::Spawned).
    Spawn(Box<SpawnOrder>),
    /// Swap a slot's link, atomically → [`Event::Published`](crate::Event::Published).
    Publish {
        /// The slot.
        slot: SlotIndex,
        /// The worker that serves it from now on.
        worker: WorkerId,
        /// The link's file name in `tmpDir`.
        link: String,
        /// The file name of the worker's socket in `tmpDir`.
        socket: String,
        /// How the link names it.
        symlinks: Symlinks,
    },
    /// Remove a slot's link, if it is there → [`Event::Withdrawn`](crate::Event::Withdrawn).
    Withdraw {
        /// The slot.
        slot: SlotIndex,
        /// The link's file name in `tmpDir`.
        link: String,
    },
    /// Ask the kernel for the length of a worker's accept queue → [`Event::QueueMeasured`](crate::Event::QueueMeasured).
    MeasureQueue {
        /// The worker.
        worker: WorkerId,
        /// The file name of its socket in `tmpDir`.
        socket: String,
    },
    /// Ask the kernel how much waits for a suspended worker → [`Event::WaitingCounted`](crate::Event::WaitingCounted).
    CountWaiting {
        /// The worker.
        worker: WorkerId,
        /// The file name of its socket in `tmpDir`.
        socket: String,
    },
    /// Ask the kernel what waits in a worker's accept queue → [`Event::QueueListed`](crate::Event::QueueListed).
    ListQueue {
        /// The worker.
        worker: WorkerId,
        /// The file name of its socket in `tmpDir`.
        socket: String,
    },
    /// Open a listening socket for a slot; workers that are started from now on can inherit it
    /// → [`Event::Listening`](crate::Event::Listening).
    Listen {
        /// The slot.
        slot: SlotIndex,
        /// The socket's file name in `tmpDir`.
        socket: String,
    },
    /// Close a listening socket and remove its file, if it is there → [`Event::Unlistened`](crate::Event::Unlistened).
    Unlisten {
        /// The slot it was for.
        slot: SlotIndex,
        /// The socket's file name in `tmpDir`.
        socket: String,
    },
    /// Ask the kernel what a worker that is not ready in time has done so far →
    /// [`Event::CpuMeasured`](crate::Event::CpuMeasured).
    MeasureCpu {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: Process,
    },
    /// Send a GET to the socket of a booting worker → [`Event::Probed`](crate::Event::Probed), when it is answered, or
    /// the connection has ended.
    Probe {
        /// The worker.
        worker: WorkerId,
        /// The file name of its socket in `tmpDir`.
        socket: String,
        /// What to ask for: the request target, which starts with `/`.
        path: String,
    },
    /// Ask the kernel what a worker's process does → [`Event::Examined`](crate::Event::Examined).
    Examine {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: Process,
    },
    /// See to it that there is a sink, which takes workers' output: the one that an earlier daemon has started, or a new one →
    /// [`Event::SinkStarted`](crate::Event::SinkStarted); then [`Event::SinkReady`](crate::Event::SinkReady), or
    /// [`Event::SinkEnded`](crate::Event::SinkEnded).
    StartSink {
        /// Where it writes what is for [`Destination::Log`], if that is known.
        log: Option<Log>,
    },
    /// Have the sink write what is for [`Destination::Log`] there from now on.
    DirectLog {
        /// Where.
        log: Log,
    },
    /// Tell the sink which slot a worker serves from now on: its lines in the log say so.
    LabelOutput {
        /// The worker.
        worker: WorkerId,
        /// The slot.
        slot: SlotIndex,
    },
    /// Have the sink become the program that the daemon is, without letting go of a pipe →
    /// [`Event::SinkReady`](crate::Event::SinkReady), or [`Event::SinkEnded`](crate::Event::SinkEnded).
    UpgradeSink,
    /// Ask the sink what a worker wrote last to its standard error → [`Event::LastLines`](crate::Event::LastLines), unless
    /// [`Event::SinkEnded`](crate::Event::SinkEnded) comes.
    AskLastLines {
        /// The worker.
        worker: WorkerId,
    },
    /// Kill the sink → [`Event::SinkEnded`](crate::Event::SinkEnded).
    KillSink,
    /// Send a message to a worker. When it cannot be delivered, [`Event::ChannelClosed`](crate::Event::ChannelClosed) follows.
    Tell {
        /// The worker.
        worker: WorkerId,
        /// The connection by which it reported, where that is not its own channel.
        over: Option<ConnId>,
        /// The message.
        message: ToWorker,
    },
    /// Send its stop signal to those of a worker's processes that serve → [`Event::Terminated`](crate::Event::Terminated).
    ///
    /// A worker's own process may be a wrapper, such as `npm start` or `sh -c`: it need not pass the signal on, and when
    /// it ends, what it has started is killed. So those get the signal that accept from the worker's socket, as far as
    /// they have not inherited it from another one of them; if nobody else does, the worker's own process gets it.
    Terminate {
        /// The worker.
        worker: WorkerId,
        /// Its own process, which must still be the same one.
        process: Process,
        /// The file name in `tmpDir` of the socket it accepts from, if that is known.
        socket: Option<String>,
        /// What its program finishes on.
        signal: StopSignal,
        /// It may have got the signal before, and stopped accepting because of that: if nobody accepts from the socket,
        /// nobody gets it.
        again: bool,
    },
    /// Send a signal. That the process is gone already is no error: [`Event::Exited`](crate::Event::Exited) is on its way.
    Signal {
        /// The worker whose process it is.
        worker: WorkerId,
        /// The process, which must still be the same one.
        process: Process,
        /// What to send, and to whom.
        signal: WorkerSignal,
    },
    /// Report the end of a process that is no child of ours → [`Event::Exited`](crate::Event::Exited) when it ends; at once,
    /// if it has ended already.
    Watch {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: Process,
    },
    /// Kill what is left of an exited worker's process group, then collect its exit → [`Event::Reaped`](crate::Event::Reaped).
    Reap {
        /// The worker.
        worker: WorkerId,
        /// Its process, exited and unreaped.
        process: Process,
    },
    /// Tell the kernel that a worker serves: those that do not are killed before it when memory runs out. A failure
    /// changes nothing else.
    MarkServing {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: Process,
    },
    /// Measure the memory of a worker and its descendants → [`Event::MemoryMeasured`](crate::Event::MemoryMeasured).
    MeasureMemory {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        process: Process,
    },
    /// Remove a dead worker's socket file, if it is there → [`Event::Removed`](crate::Event::Removed).
    Remove {
        /// The worker.
        worker: WorkerId,
        /// The file name of its socket in `tmpDir`.
        socket: String,
    },
    /// Find the real folders behind the names of the configuration, for a new generation →
    /// [`Event::ReleaseLocated`](crate::Event::ReleaseLocated).
    LocateRelease {
        /// The working directory and the folder of the script, by the names of the configuration.
        named: Release,
        /// `envFile`: what to read for it.
        env_files: Vec<EnvFile>,
    },
    /// Find out whether a release is still there, and if not, what the configuration names now →
    /// [`Event::ReleaseChecked`](crate::Event::ReleaseChecked).
    CheckRelease {
        /// The release that is in force.
        pinned: Release,
        /// The working directory and the folder of the script, by the names of the configuration.
        named: Release,
        /// `envFile`: what to read if another release has to do.
        env_files: Vec<EnvFile>,
    },
    /// Find the symlink that a deploy has to switch so that `named` leads to `folder` →
    /// [`Event::ReleaseLinkFound`](crate::Event::ReleaseLinkFound).
    FindReleaseLink {
        /// The working directory and the folder of the script, by the names of the configuration.
        named: Release,
        /// The folder of the new release.
        folder: PathBuf,
    },
    /// Switch that symlink, atomically, if it still names `from` →
    /// [`Event::ReleaseLinkSwitched`](crate::Event::ReleaseLinkSwitched).
    SwitchReleaseLink {
        /// The symlink.
        path: PathBuf,
        /// What it has to name now.
        from: PathBuf,
        /// What it is to name.
        to: PathBuf,
    },
    /// Run a command of a deploy → [`Event::CommandStarted`](crate::Event::CommandStarted); then
    /// [`Event::CommandWrote`](crate::Event::CommandWrote) for what it writes, and
    /// [`Event::CommandEnded`](crate::Event::CommandEnded), once. There is one at a time.
    RunCommand(Box<CommandOrder>),
    /// Go on with a command that an earlier daemon has started: tell what it writes from now on, and its end →
    /// [`Event::CommandEnded`](crate::Event::CommandEnded); at once, if it has ended already.
    WatchCommand {
        /// Its process.
        process: Process,
    },
    /// Send a signal to the process group of a command. That it has ended already is no error.
    SignalCommand {
        /// Its process, which must still be the same one.
        process: Process,
        /// What to send.
        signal: CommandSignal,
    },
    /// Run the command of `options.onEvent` → [`Event::HookStarted`](crate::Event::HookStarted); then
    /// [`Event::HookWrote`](crate::Event::HookWrote) for what it writes, and
    /// [`Event::HookEnded`](crate::Event::HookEnded), once. There is one at a time.
    RunHook(Box<HookOrder>),
    /// Go on with one that an earlier daemon has started: tell what it writes from now on, and its end →
    /// [`Event::HookEnded`](crate::Event::HookEnded); at once, if it has ended already.
    WatchHook {
        /// Its process.
        process: Process,
    },
    /// Send SIGKILL to its process group. That it has ended already is no error.
    KillHook {
        /// Its process, which must still be the same one.
        process: Process,
    },
    /// Remove what earlier daemons left in `tmpDir` → [`Event::Swept`](crate::Event::Swept).
    Sweep {
        /// `socketFile`, with its placeholder: names that do not match are not ours to touch.
        pattern: SocketPattern,
    },
    /// Look at everything in the folders that the daemon uses → [`Event::Surveyed`](crate::Event::Surveyed).
    Survey,
    /// Make something of the daemon's own again that somebody has removed → [`Event::Restored`](crate::Event::Restored).
    Restore {
        /// What.
        what: Own,
    },
    /// Serve the dev server at this address, or stop it → [`Event::DevServing`](crate::Event::DevServing).
    ServeDev {
        /// Where it is to listen.
        address: Option<DevAddress>,
        /// The file names of the slots' links.
        links: Vec<String>,
    },
    /// Have the dev server answer with this page from now on, whoever asks; `None`: workers can answer, or are about to.
    ShowPage {
        /// What to answer.
        page: Option<Box<Page>>,
    },
    /// Serve metrics at this address, or stop that → [`Event::MetricsServing`](crate::Event::MetricsServing).
    ServeMetrics {
        /// Where.
        address: Option<MetricsAddress>,
    },
    /// Write to the state file, or remove it → [`Event::Persisted`](crate::Event::Persisted).
    Persist {
        /// What to write.
        entry: Option<StateEntry>,
    },
    /// Add an entry to the history → [`Event::Recorded`](crate::Event::Recorded).
    Record(Box<Entry>),
    /// Read the configuration again → [`Event::ConfigLoaded`](crate::Event::ConfigLoaded).
    LoadConfig,
    /// Open the log files again, under the same names → [`Event::LogsReopened`](crate::Event::LogsReopened).
    ReopenLogs,
    /// Try whether the installed program could take over → [`Event::Preflighted`](crate::Event::Preflighted), when it has
    /// said so, or has not within `limit`.
    Preflight {
        /// What it would be handed by now.
        handoff: Box<Handoff>,
        /// How long it may take.
        limit: Duration,
    },
    /// Bring no more facts that would be lost with this program: what is on its way stays there. When all that have come
    /// are told, [`Event::Frozen`](crate::Event::Frozen) follows.
    Freeze,
    /// Bring facts again.
    Thaw,
    /// Become the installed program. Follows [`Freeze`](Self::Freeze) when nothing else is left to do. Only failure has a
    /// completion: [`Event::NotHandedOff`](crate::Event::NotHandedOff).
    HandOff {
        /// All that it has to know of workers, slots and requests.
        handoff: Box<Handoff>,
    },
    /// Answer a request. A peer that is gone gets nothing.
    Reply {
        /// Whom, and about which request.
        to: RequestRef,
        /// The answer, or a part of it.
        reply: Reply,
    },
    /// Tell the service manager. One that is gone or does not listen hears nothing.
    Notify(Notice),
    /// End the daemon: nothing is left to do. The last action of all.
    Quit,
}

/// Signals to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerSignal {
    /// SIGTERM to the worker's own process.
    Terminate,
    /// SIGKILL to the worker's whole process group.
    KillGroup,
}

/// Signals to the whole process group of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandSignal {
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Everything a backend needs to run a command of a deploy, by `sh -c`.
///
/// The environment is exactly `set` plus those of `pass` that the daemon has, as for a worker. What the command writes goes to a
/// file beside `ipcFile`: a daemon that dies must not break a pipe under a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOrder {
    /// The command, for the shell.
    pub command: String,
    /// The working directory: the folder of the release.
    pub cwd: PathBuf,
    /// Names of variables passed on from the daemon's environment.
    pub pass: Vec<String>,
    /// Variables set, name and value; they win over `pass`. In them, [`RELEASE_PLACEHOLDER`](crate::config::RELEASE_PLACEHOLDER)
    /// stands for the real path of `cwd`.
    pub set: Vec<(String, String)>,
    /// Files to read now; what they say wins over `set`.
    pub env_files: Vec<EnvFile>,
    /// Variables that win over all others, name and value, as they are.
    pub overrides: Vec<(String, String)>,
}

/// A stream of a worker's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which way a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Straight there.
    Straight(Output),
    /// To the sink, which passes on what comes. As long as there is no sink, straight there.
    Sink(Destination),
}

/// Where the sink passes on what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// To the daemon's standard error.
    Stderr,
    /// Nowhere.
    Nowhere,
    /// To the files of `log`, each line with its time, slot and worker.
    Log,
}

/// Everything a backend needs to run the command of `options.onEvent`.
///
/// Its environment is that of a migration. Its standard input is one line: what has happened, as
/// [`Occurrence::told`](crate::occurrence::Occurrence::told) has it. What it writes goes to a file beside `ipcFile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookOrder {
    /// The program and its arguments; a program without a slash is looked up in `PATH`.
    pub argv: Vec<String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Names of variables passed on from the daemon's environment.
    pub pass: Vec<String>,
    /// Variables set, name and value; they win over `pass`.
    pub set: Vec<(String, String)>,
    /// What has happened, and its number.
    pub occurrence: Occurrence,
    /// See there.
    pub seq: u64,
}

/// Everything a backend needs to start a worker.
///
/// The environment is exactly `set` plus those of `pass` that the daemon has, plus the channel's variables
/// (`NODE_CHANNEL_FD`, `NODE_CHANNEL_SERIALIZATION_MODE`, `NODESOCKD_CHANNEL_FD`), `NODESOCKD_LOCK_FD`, `LISTEN_PID` if there
/// are `listeners`, and `NOTIFY_SOCKET` if it is to notify: those only the backend knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnOrder {
    /// The worker.
    pub worker: WorkerId,
    /// The program and its arguments; a program without a slash is looked up in the worker's `PATH`.
    pub argv: Vec<String>,
    /// The working directory, resolved now: deploys switch symlinks on the way to it.
    pub cwd: PathBuf,
    /// Names of variables passed on from the daemon's environment.
    pub pass: Vec<String>,
    /// Variables set, name and value; they win over `pass`. In them and in `argv`,
    /// [`RELEASE_PLACEHOLDER`](crate::config::RELEASE_PLACEHOLDER) stands for the real path of `cwd`.
    pub set: Vec<(String, String)>,
    /// Files to read now; what they say wins over `set`.
    pub env_files: Vec<EnvFile>,
    /// Variables that win over all others, name and value, as they are.
    pub overrides: Vec<(String, String)>,
    /// Standard output.
    pub stdout: Route,
    /// Standard error.
    pub stderr: Route,
    /// Sockets opened by [`Action::Listen`] that it inherits as descriptors 3, 4, … (`sd_listen_fds(3)`), by their file
    /// names.
    pub listeners: Vec<String>,
    /// How it shows that it is ready.
    pub ready: Ready,
}
