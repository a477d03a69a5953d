//! One worker: what it is for, and how far it has got in its life.
//!
//! ```text
//! Waiting ─→ Spawning ─→ Booting ─→ Ready ─→ Draining ─→ ShuttingDown ─→ Terminating ─→ Killed ─→ Exited ─→ Reaped ─→ (forgotten)
//! ```
//!
//! A worker may skip states but never goes back. One exception: a worker that an earlier daemon wanted to go, and that has not heard
//! of it, may have to be drained although it counts as shutting down. A process exits when it likes: every state with a process leads
//! to `Exited`. Transitions are methods that change this one worker and return what follows from that; whoever calls them
//! gives the orders.

pub(super) mod check;
pub(super) mod counts;
pub(super) mod drain;
mod farewell;
pub(super) mod health;
pub(super) mod limits;
pub(super) mod order;
mod queue;
mod record;
mod role;
pub(super) mod silence;
mod start;
mod state;
pub(super) mod table;
mod talk;
pub(super) mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Output, Ready, StopSignal};
use crate::id::{ConnId, Process, SlotIndex};
use crate::time::Time;
use crate::wire::WorkerState;

use super::backoff::Backoff;
use super::timer::Timer;
use check::Check;
use counts::Counts;
use drain::Drain;
use health::Health;
use limits::Looks;
use queue::AcceptQueue;
use silence::{BUSY, LAST_WORD, Todo};
use talk::Talk;
use watch::Watch;

pub(super) use farewell::{Farewell, Surroundings};
pub(super) use queue::Exposure;
pub(super) use role::{Place, Role};
pub(super) use start::Start;
pub(super) use state::{Adopted, State};
pub(super) use talk::{Channel, Protocol};

/// A worker in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worker {
    role: Role,
    state: State,
    /// When its [`WorkerState`] last changed.
    since: Time,
    start: Start,
    /// When it was ready for the first time.
    ready: Option<Time>,
    talk: Talk,
    queue: AcceptQueue,
    /// Its death was counted as a failure of this place before its exit was known.
    died_in: Option<Place>,
    /// When it is looked at as long as it is well.
    looks: Looks,
    health: Health,
    /// While it is active, if `health.path` is set.
    check: Option<Check>,
    /// What it counts.
    counts: Counts,
}

impl Worker {
    /// A worker that is wanted and waits for its turn to boot.
    pub fn ordered(role: Role, start: Start) -> Self {
        let protocol = Protocol::of(start.ready_by);
        Self {
            role,
            state: State::Waiting,
            since: start.ordered,
            start,
            ready: None,
            talk: Talk::new(protocol, Channel::Open),
            queue: AcceptQueue::unseen(None, Vec::new()),
            died_in: None,
            looks: Looks::default(),
            health: Health::default(),
            check: None,
            counts: Counts::default(),
        }
    }

    /// A worker of which nothing is left: whatever is asked of it, there is nothing to do.
    pub fn nobody() -> Self {
        let start = Start {
            ordered: Time::ZERO,
            suspended: false,
            ready_by: Ready::Report,
            ready_path: String::new(),
            online_timeout: Duration::ZERO,
            stop_signal: StopSignal::default(),
            stderr: Output::Discard,
            generation: 0,
        };
        let state = State::Reaped { removal: Backoff::default() };
        Self { state, ..Self::ordered(Role::Retired { from: None }, start) }
    }

    /// A worker that outlived its daemon. `process`: it is alive. `talk`: how it can be talked to. `accepts`: the socket
    /// it accepts from, and those that it inherited.
    pub fn adopted(
        role: Role,
        stage: Adopted,
        process: Process,
        start: Start,
        talk: (Protocol, Channel),
        accepts: (Option<Arc<str>>, Vec<String>),
        exposure: Exposure,
    ) -> Self {
        let now = start.ordered;
        let suspended = start.suspended;
        let deadline = now + start.online_timeout;
        let state = match stage {
            Adopted::Booting => {
                let watch = Watch::over(start.ready_by, now, deadline);
                State::Booting { process, deadline, watch, late: false }
            }
            Adopted::Ready { broken } => State::Ready { process, suspended, broken },
            Adopted::ShuttingDown { deadline } => State::ShuttingDown { process, deadline },
        };
        let ready = matches!(state, State::Ready { .. }).then_some(now);
        let ((protocol, channel), (socket, listeners)) = (talk, accepts);
        Self {
            role,
            state,
            since: now,
            start,
            ready,
            talk: Talk::new(protocol, channel),
            queue: AcceptQueue { exposure, ..AcceptQueue::unseen(socket, listeners) },
            died_in: None,
            looks: Looks::default(),
            health: Health::default(),
            check: None,
            counts: Counts::default(),
        }
    }

    // What it is for.

    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it holds `place`, outside any rollout.
    pub fn holds(&self, place: Place) -> bool {
        self.role == Role::Holding(place)
    }

    /// It is a new worker of the rollout in progress.
    pub fn is_joining(&self) -> bool {
        matches!(self.role, Role::Joining(_))
    }

    /// It is kept without a link, in case that the workers that follow it fail.
    pub fn is_kept(&self) -> bool {
        matches!(self.role, Role::Kept(_))
    }

    pub fn is_standby(&self) -> bool {
        self.role.place() == Some(Place::Standby)
    }

    pub fn is_retired(&self) -> bool {
        matches!(self.role, Role::Retired { .. })
    }

    /// The slot it is for, or was.
    pub fn slot(&self) -> Option<SlotIndex> {
        self.role.slot()
    }

    // How far it has got.

    pub fn state(&self) -> &State {
        &self.state
    }

    /// When its state on the wire last changed.
    pub fn since(&self) -> Time {
        self.since
    }

    pub fn start(&self) -> &Start {
        &self.start
    }

    /// When it was ready for the first time.
    pub fn ready_at(&self) -> Option<Time> {
        self.ready
    }

    /// The process, as long as it has not been reaped.
    pub fn process(&self) -> Option<Process> {
        self.state.process()
    }

    /// It can serve a slot: it is ready, does not ask to be replaced, and can be resumed if that is needed.
    pub fn is_healthy(&self) -> bool {
        matches!(self.state, State::Ready { broken: false, suspended, .. } if !suspended || !self.talk.is_cut_off())
    }

    /// It is ready, broken or not: requests sent to it are answered.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub fn is_broken(&self) -> bool {
        matches!(self.state, State::Ready { broken: true, .. })
    }

    /// It is ready and suspended.
    pub fn is_suspended(&self) -> bool {
        matches!(self.state, State::Ready { suspended: true, .. })
    }

    /// It is ready, and who connects reaches it.
    pub fn can_serve(&self) -> bool {
        self.is_ready() && !self.has_lost_socket()
    }

    /// It is suspended, or was told to resume and has not confirmed that.
    pub fn is_unresumed(&self) -> bool {
        self.is_suspended() || self.is_ready() && self.health.owes_confirmation()
    }

    /// It will be ready, or fail.
    pub fn is_coming(&self) -> bool {
        self.is_waiting() || self.is_booting()
    }

    /// It waits for its turn to boot.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// It is being started, or is not ready yet.
    pub fn is_booting(&self) -> bool {
        matches!(self.state, State::Spawning { .. } | State::Booting { .. })
    }

    /// It is not ready, and its time is over.
    pub fn is_late(&self) -> bool {
        matches!(self.state, State::Booting { late: true, .. })
    }

    /// Its process has ended, or never was.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Exited | State::Reaped { .. })
    }

    /// Its process is gone, or never was.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, State::Reaped { .. })
    }

    /// Its state on the wire.
    pub fn wire_state(&self) -> WorkerState {
        self.state.on_the_wire()
    }

    /// The next thing that happens to it by itself, and when.
    pub fn deadline(&self) -> Option<(Time, Timer)> {
        match &self.state {
            State::Spawning { deadline } => Some((*deadline, Timer::Spawn)),
            State::Booting { late: true, .. } => None,
            State::Booting { deadline, watch, .. } => match watch.as_ref().and_then(Watch::next_look) {
                Some(look) if look < *deadline => Some((look, Timer::Ready)),
                Some(_) | None => Some((*deadline, Timer::Online)),
            },
            State::Draining(drain) => Some(drain.deadline()),
            State::ShuttingDown { deadline, .. } => Some((*deadline, Timer::Shutdown)),
            State::Terminating { deadline, .. } => Some((*deadline, Timer::Kill)),
            State::Reaped { removal } => removal.retry_at().map(|at| (at, Timer::Removal)),
            State::Ready { broken, .. } => {
                let look = self.looks.next().filter(|_| !broken);
                let check = self.check.as_ref().and_then(Check::deadline).map(|at| (at, Timer::Check));
                [self.talk.deadline(), look, self.health.deadline(), check].into_iter().flatten().min()
            }
            State::Waiting | State::Unwanted | State::Killed { .. } | State::Exited => None,
        }
    }

    /// When it is looked at as long as it is well.
    pub fn looks(&self) -> Looks {
        self.looks
    }

    pub fn set_looks(&mut self, looks: Looks) {
        self.looks = looks;
    }

    // Whether it still works.

    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn health_mut(&mut self) -> &mut Health {
        &mut self.health
    }

    pub fn check(&self) -> Option<&Check> {
        self.check.as_ref()
    }

    pub fn check_mut(&mut self) -> Option<&mut Check> {
        self.check.as_mut()
    }

    pub fn set_check(&mut self, check: Option<Check>) {
        self.check = check;
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Why it is being replaced, if that is for its health.
    pub fn ailment(&self) -> Option<&str> {
        self.health.hang().or(self.check.as_ref().and_then(Check::reason))
    }

    /// A standby has to give a sign of life, because it is needed. `limit`: how long it may be silent. One that outlived its
    /// daemon, and has to be told before it serves, has to report to this one first.
    pub fn is_needed(&mut self, now: Time, limit: Option<Duration>) -> Todo {
        let has_to_hear = self.speaks() && self.is_suspended();
        if has_to_hear && matches!(self.talk.channel, Channel::Expected { .. }) {
            self.health.has_to_report(now);
            return Todo::Nothing;
        }
        self.health.is_needed(now, limit)
    }

    /// It is ready, and its event loop does not turn.
    pub fn hangs(&self) -> bool {
        self.is_ready() && self.health.hang().is_some()
    }

    // How to talk to it.

    pub fn speaks(&self) -> bool {
        self.talk.speaks()
    }

    /// It understands what it is told about its slot, and about who leads.
    pub fn can_lead(&self) -> bool {
        self.talk.can_lead
    }

    pub fn channel(&self) -> Channel {
        self.talk.channel
    }

    /// The connection to the control socket by which it reported, if that is how it is told things.
    pub fn connection(&self) -> Option<ConnId> {
        self.talk.connection()
    }

    /// Whether `process` is the one that speaks for it.
    pub fn is_spoken_for_by(&self, process: Process) -> bool {
        [self.talk.speaker, self.process()].contains(&Some(process))
    }

    /// The process that speaks for it, if that is not its own.
    pub fn speaker(&self) -> Option<Process> {
        self.talk.speaker
    }

    /// Nobody has spoken for it yet, and somebody should.
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Booting { .. }) && self.talk.is_unheard(self.start.ready_by)
    }

    /// Why a process was not believed to be this worker.
    pub fn disbelieved(&self) -> Option<&str> {
        self.talk.disbelieved.as_deref()
    }

    /// It has a process that can be told things.
    pub fn is_reachable(&self) -> bool {
        self.talk.channel.is_open() && self.process().is_some()
    }

    // What it accepts from.

    pub fn socket(&self) -> Option<&Arc<str>> {
        self.queue.socket.as_ref()
    }

    pub fn listeners(&self) -> &[String] {
        &self.queue.listeners
    }

    /// It has inherited sockets of the daemon instead of binding its own.
    pub fn inherits(&self) -> bool {
        self.queue.is_inherited()
    }

    /// It holds this socket of the daemon, whether it accepts from it or not.
    pub fn inherited(&self, socket: &str) -> bool {
        self.queue.listeners.iter().any(|inherited| inherited == socket)
    }

    /// The descriptor of the socket it accepts from, if it inherited that (`sd_listen_fds(3)`: the first one is 3).
    pub fn serving_fd(&self) -> Option<u32> {
        self.queue.serving_fd()
    }

    pub fn exposure(&self) -> Exposure {
        self.queue.exposure
    }

    /// A link names it, or named it once.
    pub fn has_served(&self) -> bool {
        self.queue.exposure != Exposure::Unseen
    }

    /// It starts to accept without being told to, and may have taken requests while it was booting.
    pub fn accepts_unasked(&self) -> bool {
        !self.speaks() && self.inherits()
    }

    // Transitions: its process.

    /// Its turn has come: its process has been ordered and has to exist by `deadline`.
    pub fn starts(
        &mut self,
        start: Start,
        socket: Option<Arc<str>>,
        listeners: Vec<String>,
        now: Time,
        deadline: Time,
    ) {
        self.talk.protocol = Protocol::of(start.ready_by);
        self.queue = AcceptQueue { lost: self.queue.lost, exposure: self.queue.exposure, socket, listeners };
        self.start = start;
        self.enter(now, State::Spawning { deadline });
    }

    /// Its process exists, and it has until `deadline` to be ready.
    pub fn spawned(&mut self, now: Time, process: Process) {
        let deadline = now + self.start.online_timeout;
        let watch = Watch::over(self.start.ready_by, now, deadline);
        self.enter(now, State::Booting { process, deadline, watch, late: false });
    }

    /// Its time is over. Returns its process, if it is booting.
    pub fn runs_late(&mut self) -> Option<Process> {
        if let State::Booting { process, late, .. } = &mut self.state {
            *late = true;
            Some(*process)
        } else {
            None
        }
    }

    /// Its process exited, or never came into being.
    pub fn exited(&mut self, now: Time) {
        self.talk.channel = Channel::Lost { at: now };
        self.enter(now, State::Exited);
    }

    /// Its process never came into being.
    pub fn not_spawned(&mut self, now: Time) {
        self.enter(now, State::Exited);
    }

    /// Its process is gone; its socket file is to be removed.
    pub fn reaped(&mut self, now: Time) {
        self.enter(now, State::Reaped { removal: Backoff::default() });
    }

    /// The removal of its socket file, once its process is gone.
    pub fn removal_mut(&mut self) -> Option<&mut Backoff> {
        if let State::Reaped { removal } = &mut self.state { Some(removal) } else { None }
    }

    /// The watch over it while it boots and does not report.
    pub fn watch_mut(&mut self) -> Option<&mut Watch> {
        if let State::Booting { watch, .. } = &mut self.state { watch.as_mut() } else { None }
    }

    // Transitions: service.

    /// It is ready, at `now`; a worker that is not booting is left as it is.
    pub fn becomes_ready(&mut self, now: Time, suspended: bool) {
        if let State::Booting { process, .. } = self.state {
            self.enter(now, State::Ready { process, suspended, broken: false });
        }
    }

    /// Nobody can connect to it: the file of its socket is gone.
    pub fn has_lost_socket(&self) -> bool {
        self.queue.lost
    }

    /// The file of its socket is gone.
    pub fn loses_socket(&mut self) {
        self.queue.lost = true;
    }

    /// Whether its socket was missing while it was booting; it has to be looked at again then.
    pub fn takes_lost_socket(&mut self) -> bool {
        std::mem::take(&mut self.queue.lost)
    }

    /// Remembers when it was ready for the first time.
    pub fn note_ready(&mut self, now: Time) {
        self.ready = Some(now);
    }

    /// It has to be replaced, and serves until then.
    pub fn becomes_broken(&mut self, now: Time) {
        if let State::Ready { process, suspended, .. } = self.state {
            self.enter(now, State::Ready { process, suspended, broken: true });
        }
    }

    /// It says whether it is suspended.
    pub fn reports_suspended(&mut self, now: Time, suspended: bool) {
        if let State::Ready { process, broken, .. } = self.state {
            self.enter(now, State::Ready { process, suspended, broken });
        }
    }

    /// It reported: it speaks, whatever it was started as.
    pub fn reports(&mut self, now: Time, heartbeat: bool, can_lead: bool) {
        self.talk.reports(can_lead);
        self.health.reports(now, heartbeat);
    }

    /// The process id that it says, or has said to an earlier daemon. Who uses its channel was given that by its own process.
    pub fn says_pid(&mut self, pid: Option<u32>) {
        self.talk.says_pid(pid, self.process());
    }

    /// What it has said, if that is not the id of its own process.
    pub fn said_pid(&self) -> Option<u32> {
        self.talk.said_pid
    }

    /// From now on `process` speaks for it.
    pub fn speaks_by(&mut self, process: Process) {
        self.talk.by(process, self.process());
    }

    /// A process was not believed to be this worker, which has not reported itself.
    pub fn disbelieve(&mut self, why: String) {
        if self.is_unheard() {
            self.talk.disbelieved = Some(why);
        }
    }

    pub fn set_channel(&mut self, channel: Channel) {
        self.talk.channel = channel;
        // What was asked over another channel is not answered over this one.
        self.health.out_of_reach();
    }

    /// Its deadline has passed, and it has not reported that it is ready, or not to this daemon, which is not its first. A daemon that
    /// comes late may not have read yet that it has, and reads first: the worker has a moment more. One of an earlier daemon may be
    /// answering requests: it has that moment also if its deadline had passed by the event `before`, since when the daemon has not
    /// waited for facts. Returns whether that is so.
    pub fn is_read_first(&mut self, before: Time, now: Time) -> bool {
        let boots = matches!(self.state, State::Booting { .. });
        let expected = self.speaks() && matches!(self.talk.channel, Channel::Expected { .. });
        let late = |(due, _)| now.since(due) > BUSY || expected && due <= before;
        if !(boots || expected) || !self.deadline().is_some_and(late) {
            return false;
        }
        let until = now + LAST_WORD;
        if expected {
            self.talk.channel = Channel::Expected { until };
        }
        if let State::Booting { deadline, .. } | State::ShuttingDown { deadline, .. } = &mut self.state {
            *deadline = until;
        }
        true
    }

    /// It takes the slot: it accepts from `socket`, if that was not decided before.
    pub fn takes_slot(&mut self, slot: SlotIndex, socket: Option<Arc<str>>) {
        if self.is_standby() {
            self.accepts(socket);
        }
        self.role = self.role.at(Place::Slot(slot));
    }

    /// A standby that inherited sockets is to accept from this one.
    pub fn accepts(&mut self, socket: Option<Arc<str>>) {
        self.queue.accepts(socket);
    }

    /// It could not be promoted and is a standby again.
    pub fn demoted(&mut self) {
        self.role = self.role.at(Place::Standby);
        self.queue.accepts(None);
    }

    /// A link names it.
    pub fn named(&mut self) {
        self.queue.named();
    }

    /// The rollout that brought it is over, well or badly.
    pub fn joined(&mut self) {
        self.role = self.role.joined();
    }

    /// Others have its place, and it is kept in case that they fail.
    pub fn is_set_aside(&mut self) {
        self.role = self.role.set_aside();
    }

    /// It has its place again.
    pub fn comes_back(&mut self) {
        self.role = self.role.back();
    }

    // Transitions: the way out.

    /// It has no place any more.
    pub fn unseat(&mut self) {
        if !self.is_retired() {
            self.role = Role::Retired { from: self.slot() };
        }
    }

    /// It has no place any more. Says how it has to be taken out of service.
    pub fn retire(&mut self, now: Time, around: Surroundings) -> Farewell {
        self.unseat();
        // A standby accepts from no socket that could be watched.
        let nothing_waits = around.shared || self.queue.socket.is_none();
        let may_have_served = self.has_served() || self.accepts_unasked() || around.named;
        let reachable = self.talk.channel == Channel::Open;
        match self.state {
            State::Ready { process, .. } if self.hangs() => {
                // It takes nothing any more.
                self.drained();
                Farewell::Terminate(process)
            }
            State::Waiting => Farewell::Forgotten,
            State::Spawning { .. } => {
                self.enter(now, State::Unwanted);
                Farewell::Cancelled
            }
            State::Booting { process, .. } if self.accepts_unasked() && nothing_waits => {
                Farewell::TerminateGently(process)
            }
            State::Booting { process, .. } if self.accepts_unasked() => Farewell::Drain(process),
            // By the record of an earlier daemon it is booting; that may not be the latest.
            State::Booting { process, .. } if !reachable && nothing_waits => Farewell::Drained(process),
            State::Booting { process, .. } if !reachable => Farewell::Drain(process),
            State::Booting { process, .. } => Farewell::Terminate(process),
            State::Ready { process, .. } if !may_have_served || defect!(NoDrain) => {
                Farewell::ShutDown(process)
            }
            State::Ready { process, .. } if nothing_waits => Farewell::Drained(process),
            State::Ready { process, .. } => Farewell::Drain(process),
            State::Unwanted
            | State::Draining(_)
            | State::ShuttingDown { .. }
            | State::Terminating { .. }
            | State::Killed { .. }
            | State::Exited
            | State::Reaped { .. } => Farewell::UnderWay,
        }
    }

    /// Its accept queue is being emptied.
    pub fn drains(&mut self, now: Time, drain: Drain) {
        self.enter(now, State::Draining(drain));
    }

    pub fn drain_mut(&mut self) -> Option<&mut Drain> {
        if let State::Draining(drain) = &mut self.state { Some(drain) } else { None }
    }

    /// It has been waited for long enough.
    pub fn drained(&mut self) {
        self.queue.exposure = Exposure::Drained;
    }

    /// It was told to shut down, or is told as soon as it can be.
    pub fn shuts_down(&mut self, now: Time, process: Process, deadline: Time) {
        self.enter(now, State::ShuttingDown { process, deadline });
    }

    /// It got its stop signal.
    pub fn terminates(&mut self, now: Time, process: Process, deadline: Time) {
        self.enter(now, State::Terminating { process, deadline });
    }

    /// From now on this is taken for what its program finishes on.
    pub fn stops_by(&mut self, signal: StopSignal) {
        self.start.stop_signal = signal;
    }

    /// Its process group got SIGKILL.
    pub fn killed(&mut self, now: Time, process: Process) {
        self.unseat();
        self.enter(now, State::Killed { process });
    }

    /// Its process has begun to end, which counts as a failure of the place it holds.
    pub fn dies(&mut self, now: Time, process: Process) {
        self.died_in = self.role.place().filter(|_| !self.is_kept());
        self.talk.channel = Channel::Lost { at: now };
        self.killed(now, process);
    }

    /// The place in which it was known to die before it was gone.
    pub fn died_in(&self) -> Option<Place> {
        self.died_in
    }

    fn enter(&mut self, now: Time, state: State) {
        let before = self.wire_state();
        self.state = state;
        if self.wire_state() != before {
            self.since = now;
        }
    }
}
