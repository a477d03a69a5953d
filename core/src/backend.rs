//! The world as the core sees it: a trait with a real implementation in `nodesockd-os` and a simulated one in
//! `nodesockd-sim`.
//!
//! A backend never decides. Each method does one thing, says exactly what holds after a failure, and is named by the
//! [`Action`](crate::Action) that it carries out. [`Driver`](crate::driver::Driver) alone calls the methods, one at a
//! time. A method is asynchronous only where a real backend has to wait; all others return at once.

use std::path::Path;
use std::time::Duration;

use crate::action::{CommandOrder, CommandSignal, HookOrder, SpawnOrder, WorkerSignal};
use crate::config::{Config, DevAddress, Log, MetricsAddress, Problem, SocketPattern, StopSignal, Symlinks};
use crate::env_file::EnvFile;
use crate::event::{CpuTime, Event, Failure, Memory, Queue, Vitals};
use crate::handoff::Handoff;
use crate::history;
use crate::id::{ConnId, Process, RequestRef, SlotIndex, WorkerId};
use crate::notice::Notice;
use crate::page::Page;
use crate::release::{Release, ReleaseLink};
use crate::state::{Entry, Leftovers};
use crate::survey::{Own, Survey};
use crate::time::Time;
use crate::wire::{Reply, ToWorker};

/// What a [`Driver`](crate::driver::Driver) needs: the clock, processes, files, conversations, and the next fact.
pub trait Backend {
    // Time and facts.

    /// Now, on the monotonic clock. Never goes back.
    fn now(&self) -> Time;

    /// The next fact, or `None` once `deadline` has passed, even if there is one: a flood of facts holds up no deadline.
    /// Waits without polling; facts about one worker or one connection come in the order in which they happened.
    fn next(&mut self, deadline: Option<Time>) -> impl Future<Output = Option<Event>>;

    // Worker processes.

    /// Finds what an earlier daemon of the same control socket left: its state, its links, and workers that are alive.
    /// Called once, before anything else but [`now`](Self::now).
    ///
    /// Exits of the workers in [`Leftovers::survivors`] are reported from now on, as those of children are
    /// ([`Event::Exited`], with [`ExitStatus::Unknown`](crate::event::ExitStatus::Unknown)).
    ///
    /// A process is a worker if it is the one that the state file records (pid and start time). A worker that the state
    /// file does not record is known by what it carries: its id and the path of the control socket in its environment,
    /// or its lock; and it leads a process group. So does a worker of a 2.x daemon, which carries its id and the path of a
    /// socket of this daemon; it is found if its parent cannot be its daemon, which is this process, one that it descends
    /// from, or init. Of two that carry the same, the older one is the worker. Every other
    /// process that carries what a worker carries, whose worker is not alive, is killed: it is a leftover of a dead worker,
    /// and nobody else would end it. Never killed: this process, and those that it descends from.
    ///
    /// What cannot be read counts as absent: no state, no link, no survivor.
    fn find_leftovers(&mut self, config: &Config) -> Leftovers;

    /// Starts a process in a group of its own: stdin empty, umask 007, default signal dispositions, nothing inherited
    /// but the standard streams, its channel, the lock by which it is known to be alive
    /// ([`Survivor`](crate::state::Survivor)), and the listening sockets of the order. Its exit is reported by
    /// [`next`](Self::next) as [`Event::Exited`], what it says as [`Event::Received`] and [`Event::Notified`].
    ///
    /// # Errors
    ///
    /// No process exists then, and nothing was left behind.
    fn spawn(&mut self, order: &SpawnOrder) -> Result<Process, Failure>;

    /// Reports the exit of a process that is no child by [`Event::Exited`]; of one that is gone, at once.
    fn watch(&mut self, worker: WorkerId, process: Process);

    /// Sends `signal` to those of the worker's processes that accept from `socket`, or to `process` if nobody else does
    /// ([`Action::Terminate`](crate::Action::Terminate)); `again`: to nobody, if nobody accepts from it. Returns who
    /// got it instead of `process`; when all of them have ended, [`Event::ServersEnded`] follows, once.
    ///
    /// A worker's processes are `process`, its descendants, its process group, and whoever carries the worker's id in
    /// its environment. Of those who have the socket open, the ones count that handle `signal`, if any does; and of
    /// these the ones without another one above them: who has started a server on the same socket ends that as well.
    fn terminate(
        &mut self,
        worker: WorkerId,
        process: Process,
        socket: Option<&str>,
        signal: StopSignal,
        again: bool,
    ) -> Vec<Process>;

    /// Sends a signal to `process`, and to no other that has got its pid. A process that is gone is not an error.
    fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal);

    /// What the kernel says of a process.
    ///
    /// # Errors
    ///
    /// The process is gone, or the kernel does not tell.
    fn examine(&mut self, worker: WorkerId, process: Process) -> Result<Vitals, Failure>;

    /// Kills what an exited worker left behind — its process group, and descendants that carry its id in their
    /// environment — and collects its exit, after which the pid is free.
    fn reap(&mut self, worker: WorkerId, process: Process) -> impl Future<Output = ()>;

    /// Puts a worker, which was started as one of the first to be killed when memory runs out, behind those that do not
    /// serve. That this is not permitted is not an error.
    fn mark_serving(&mut self, worker: WorkerId, process: Process);

    /// The memory of `process` and its descendants.
    ///
    /// # Errors
    ///
    /// The process is gone, or the kernel does not tell.
    fn measure_memory(&mut self, worker: WorkerId, process: Process) -> Result<Memory, Failure>;

    // Links and sockets in `tmpDir`. Names are plain file names; nothing here follows a symlink.

    /// Makes `link` point at `socket`: `symlink(tmp)`, then `rename(tmp, link)`. There is no moment at which `link` is
    /// missing.
    ///
    /// # Errors
    ///
    /// `link` is what it was before; no temporary link is left, as far as the file system allows. That something else
    /// than a symlink has the name `link` is an error.
    fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure>;

    /// Removes `link`. That it is not there is not an error.
    ///
    /// # Errors
    ///
    /// `link` is still there, or something else than a symlink has the name.
    fn withdraw(&mut self, link: &str) -> Result<(), Failure>;

    /// The accept queue of the process listening on `socket`, from the kernel, even if the file is gone.
    fn measure_queue(&mut self, worker: WorkerId, socket: &str) -> Queue;

    /// The accept queue of a suspended worker at `socket`, from the kernel, whoever else accepts from it.
    fn count_waiting(&mut self, worker: WorkerId, socket: &str) -> Queue;

    /// The first connections that wait in the accept queue of the process listening on `socket`, as
    /// [`Event::QueueListed`] says. At least 16 of them, if there are so many.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    fn list_queue(&mut self, worker: WorkerId, socket: &str) -> Result<Vec<u64>, Failure>;

    /// The CPU time of a worker, with all of its process group, and how long its process has waited for a CPU.
    ///
    /// # Errors
    ///
    /// The process is gone, or the kernel does not tell.
    fn measure_cpu(&mut self, worker: WorkerId, process: Process) -> Result<CpuTime, Failure>;

    /// Opens a listening socket named `socket`, of the longest queue the kernel allows, reachable by the group like
    /// workers' own. Workers inherit it ([`SpawnOrder::listeners`]) until it is closed.
    ///
    /// # Errors
    ///
    /// There is no socket then, and no file.
    fn listen(&mut self, socket: &str) -> Result<(), Failure>;

    /// Closes a socket opened by [`listen`](Self::listen), then removes its file. That either is gone already is not an
    /// error. Workers that inherited it keep it.
    ///
    /// # Errors
    ///
    /// The socket is closed, the file may still be there.
    fn unlisten(&mut self, socket: &str) -> Result<(), Failure>;

    /// Removes the socket file `socket`. That it is not there is not an error.
    ///
    /// # Errors
    ///
    /// The file is still there, or it is no socket.
    fn remove(&mut self, socket: &str) -> Result<(), Failure>;

    /// Removes what has a name of `pattern`, is what the name says, and is of no use: links and sockets behind which
    /// nobody listens, and every temporary link. Returns how many.
    ///
    /// # Errors
    ///
    /// Some of it may still be there; the first that could not be removed is told.
    fn sweep(&mut self, pattern: &SocketPattern) -> Result<u32, Failure>;

    /// Looks at every name of links and sockets, and at the daemon's own files. When somebody else changes one of them, that is
    /// told by [`next`](Self::next) as [`Event::Surveyed`], soon and without being asked: the names that may have changed, as
    /// they are by then. So may be sockets that workers bind. Where the kernel has lost count, or a folder has been replaced, that is a
    /// complete survey. A backend that cannot know when something changes says so once, by [`Event::Unwatched`].
    fn survey(&mut self) -> Survey;

    /// Makes something of the daemon's own again: its folders, as they were when they were opened first; its lock; its control
    /// socket, under which connections go on that were made before. What is there already is no error. The state file is written
    /// by [`persist`](Self::persist) instead.
    ///
    /// # Errors
    ///
    /// It is not there, or still somebody else's.
    fn restore(&mut self, what: Own) -> Result<(), Failure>;

    /// Replaces the state file (`<ipcFile>.state`) as a whole, adds a line to it, or removes it. A line is added only to a
    /// file that this backend has replaced before.
    ///
    /// # Errors
    ///
    /// The file says what it said before. It is replaced as a whole next.
    fn persist(&mut self, entry: Option<&Entry>) -> Result<(), Failure>;

    /// Adds an entry to the history (`<ipcFile>.history`), as a line that is written at once. A last line that has no end is
    /// ended first. What would make the file longer than [`history::LARGEST`] replaces the older half of its lines.
    ///
    /// # Errors
    ///
    /// The file does not have the entry, and is not longer than it may be.
    fn record(&mut self, entry: &history::Entry) -> Result<(), Failure>;

    // Workers' output.

    /// Finds the sink that an earlier daemon has started, or starts one, and returns at once. The sink takes what workers write by
    /// pipes, one for each stream that goes to it, and passes that on, whole lines at a time; where nobody takes it, lines are
    /// dropped and counted. No worker waits for that. It outlives this daemon. [`Event::SinkReady`] follows, or
    /// [`Event::SinkEnded`]; after that, the sink may be started again, and reads the same pipes. `log`: where it writes what is for
    /// the log. A sink that was there already goes on as before without it.
    ///
    /// # Errors
    ///
    /// There is no sink.
    fn start_sink(&mut self, log: Option<&Log>) -> Result<(), Failure>;

    /// Has the sink write what is for the log there from now on; what it has read before that is written where it was to go.
    fn direct_log(&mut self, log: &Log);

    /// Tells the sink which slot the worker serves from now on. A sink that is started again has to be told again.
    fn label_output(&mut self, worker: WorkerId, slot: SlotIndex);

    /// Has the sink become the program that this daemon is. It keeps its pipes and all that it has read. [`Event::SinkReady`]
    /// follows, or [`Event::SinkEnded`], or nothing if it hangs.
    fn upgrade_sink(&mut self);

    /// Asks the sink what the worker wrote last; all counts that it wrote before it ended. [`Event::LastLines`] follows, once,
    /// unless [`Event::SinkEnded`] comes first, or the sink hangs.
    fn ask_last_lines(&mut self, worker: WorkerId);

    /// Kills the sink; [`Event::SinkEnded`] follows.
    fn kill_sink(&mut self);

    // Conversations with workers and clients.

    /// Sends a GET for `path` to whoever listens on `socket`, and returns at once; [`Event::Probed`] follows, once.
    fn probe(&mut self, worker: WorkerId, socket: &str, path: &str);

    /// Sends `message` to a worker: on its channel, or `over` the connection by which it reported. Buffers at most a
    /// fixed number of bytes. When that is exceeded, or the channel is closed, the channel is given up and
    /// [`Event::ChannelClosed`] follows, once.
    fn tell(&mut self, worker: WorkerId, over: Option<ConnId>, message: &ToWorker);

    /// Sends a reply. To a peer that is gone it is dropped; a client that does not read is disconnected when a fixed
    /// number of bytes waits for it ([`Event::Disconnected`] follows).
    fn reply(&mut self, to: &RequestRef, reply: &Reply);

    // The daemon's own surroundings.

    /// Resolves the symlinks on the way to the folders of `named` (`realpath(3)`), and reads the files of variables.
    ///
    /// # Errors
    ///
    /// One of them does not exist, or cannot be reached or read, or does not say what such a file can say.
    fn locate_release(&mut self, named: &Release, env_files: &[EnvFile]) -> Result<Release, Failure>;

    /// Whether the folders of a release exist. One that cannot be seen is taken to exist.
    fn has_release(&mut self, release: &Release) -> bool;

    /// Finds the symlink on the way to the working directory of `named` that has to be switched so that this leads to
    /// `folder`: the last one on that way. What comes after it has to be there in `folder` as well. Changes nothing.
    ///
    /// # Errors
    ///
    /// There is no symlink on the way, or `folder` does not hold what it has to.
    fn find_release_link(&mut self, named: &Release, folder: &Path) -> Result<ReleaseLink, Failure>;

    /// Makes the symlink `path` name `to`, by a rename, if it names `from` now. There is no moment at which it is missing. If it
    /// names `to` already, it is done.
    ///
    /// # Errors
    ///
    /// It is what it was before.
    fn switch_release_link(&mut self, path: &Path, from: &Path, to: &Path) -> Result<(), Failure>;

    /// Runs a command in a process group of its own, with empty input, and returns at once. What it writes on either stream goes to a
    /// file, `<ipcFile>.migration`, from which [`Event::CommandWrote`] is told line by line; so the command never waits for this
    /// daemon, and does not notice its end. When the command has ended, what is left of its process group is killed, and
    /// [`Event::CommandEnded`] follows, once, after all that it wrote.
    ///
    /// # Errors
    ///
    /// There is no process.
    fn run_command(&mut self, order: &CommandOrder) -> Result<Process, Failure>;

    /// Tells from now on what a command writes that an earlier daemon has started, and its end.
    fn watch_command(&mut self, process: Process);

    /// Sends a signal to the process group of a command, if that is still the same process.
    fn signal_command(&mut self, process: Process, signal: CommandSignal);

    /// Runs the command of `options.onEvent` in a process group of its own, as the daemon's own user, and returns at once. Its input is a
    /// line of JSON. What it writes on either stream goes to a file, `<ipcFile>.hook`, from which [`Event::HookWrote`] is told line by line.
    /// When it has ended, what is left of its process group is killed, and [`Event::HookEnded`] follows, once, after all that it wrote.
    ///
    /// # Errors
    ///
    /// There is no process.
    fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure>;

    /// Tells from now on what a command writes that an earlier daemon has started, and its end.
    fn watch_hook(&mut self, process: Process);

    /// Sends SIGKILL to the process group of that command, if that is still the same process.
    fn kill_hook(&mut self, process: Process);

    /// Reads the configuration again from where it was read first.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its place.
    fn load_config(&mut self) -> Result<Config, Vec<Problem>>;

    /// Reopens the log files that workers write to, for those started from now on.
    ///
    /// # Errors
    ///
    /// The old files stay in use.
    fn reopen_logs(&mut self) -> Result<(), Failure>;

    /// Serves the dev server at `address` in front of `links`, or stops it.
    ///
    /// # Errors
    ///
    /// No dev server runs then.
    fn serve_dev(
        &mut self,
        address: Option<DevAddress>,
        links: &[String],
    ) -> impl Future<Output = Result<(), Failure>>;

    /// Has the dev server answer with `page` from now on, in the form that each client asks for. Without a page, it passes
    /// connections on; those that find nobody wait.
    fn show_page(&mut self, page: Option<&Page>);

    /// Serves metrics at `address`, or stops that. Whoever asks gets what the control socket answers to `metrics`, as text.
    ///
    /// # Errors
    ///
    /// Nothing is served then.
    fn serve_metrics(&mut self, address: Option<&MetricsAddress>) -> Result<(), Failure>;

    /// Sends a notice to the service manager, after those before it, and does not wait for it to be read.
    fn notify(&mut self, notice: &Notice);

    // Becoming another program, in the same process (`execve(2)`).

    /// Tries whether the installed program could take over, and returns at once; [`Event::Preflighted`] follows, once,
    /// not later than after `limit`.
    fn preflight(&mut self, handoff: &Handoff, limit: Duration);

    /// From now on facts stay where they are: what peers write in the kernel's buffers, signals pending, new connections
    /// in the queue. [`Event::Frozen`] follows after all that have been taken in before. Exits are facts that do not get
    /// lost: until they are collected, the next program learns of them as well.
    fn freeze(&mut self) -> impl Future<Output = ()>;

    /// Undoes [`freeze`](Self::freeze).
    fn thaw(&mut self) -> impl Future<Output = ()>;

    /// Becomes the installed program, and hands it everything: children, channels, connections with what was said on them
    /// and is not complete, listening sockets, the lock, log files. There is no return from that, but in a simulation,
    /// which puts the successor in charge itself.
    ///
    /// # Errors
    ///
    /// This program still runs, nothing is lost, and all is frozen.
    fn hand_off(&mut self, handoff: &Handoff) -> impl Future<Output = Result<(), Failure>>;
}
