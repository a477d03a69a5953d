//! Facts that no backend would report: wrong, unexpected, twice.

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Unstructured;
use nodesockd_core::config::{Config, Problem};
use nodesockd_core::event::{Caller, DaemonSignal, Dying, ExitStatus, Failure, Queue};
use nodesockd_core::id::{BootId, ConnId, Ids, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::metrics::{Level, Traffic};
use nodesockd_core::release::ReleaseLink;
use nodesockd_core::survey::{Own, Sight, Survey};
use nodesockd_core::wire::{Claim, DeployOptions, FromWorker, MigrationOptions, Request, ToWorker};
use nodesockd_core::{Action, Event, Supervisor, Time};

use crate::events::daemon;
use crate::input::Input;
use crate::lines::options;

/// More orders than this because of one fact: the supervisor has lost its head.
const MOST_ORDERS: usize = 2000;

/// Every fact is welcome in every state: none makes the supervisor panic or give orders without end. One about a worker
/// that it does not know changes nothing.
pub fn core_noise(bytes: &[u8]) {
    let config = crate::config::of_toml(CONFIG);
    let mut noise = Noise {
        input: Input(Unstructured::new(bytes)),
        supervisor: Supervisor::new(config.clone(), daemon(), Time::ZERO),
        config,
        now: Time::ZERO,
        known: Vec::new(),
        strangers: Ids::new(BootId(2)),
    };
    noise.listen();
    while !noise.input.is_empty() {
        match noise.input.below(8) {
            0 => noise.stranger(),
            1 => noise.time_passes(),
            _ => noise.fact(),
        }
    }
}

const CONFIG: &str = "tmpDir = '/run/app'\nscript = 'server.js'\nworkers = 2\nstandby = 1";

struct Noise<'a> {
    input: Input<'a>,
    supervisor: Supervisor,
    config: Config,
    now: Time,
    /// Workers that were ordered, and the processes they were said to have.
    known: Vec<WorkerId>,
    strangers: Ids,
}

impl Noise<'_> {
    /// Takes orders, and carries none of them out.
    fn listen(&mut self) {
        let mut orders = 0;
        while let Some(action) = self.supervisor.poll_action() {
            orders += 1;
            assert!(orders < MOST_ORDERS, "orders without end: {action:?}");
            if let Action::Spawn(order) = action {
                self.known.push(order.worker);
            }
        }
    }

    fn stranger(&mut self) {
        let worker = self.strangers.worker();
        let event = self.about(worker);
        let before = (self.supervisor.status(), self.supervisor.poll_timeout(), self.supervisor.pending());
        self.supervisor.handle_event(self.now, event.clone());
        let after = (self.supervisor.status(), self.supervisor.poll_timeout(), self.supervisor.pending());
        assert_eq!(before, after, "changed by {event:?}");
        // What the kernel does not confirm to be a worker is told to go, and nothing else is done.
        let conn = if let Event::Claimed { conn, .. } = &event { Some(*conn) } else { None };
        let farewell =
            conn.map(|conn| Action::Tell { worker, over: Some(conn), message: ToWorker::Shutdown });
        assert_eq!(self.supervisor.poll_action(), farewell, "ordered because of {event:?}");
        assert_eq!(self.supervisor.poll_action(), None, "ordered because of {event:?}");
    }

    fn time_passes(&mut self) {
        if let Some((deadline, _)) = self.supervisor.poll_timeout().filter(|_| self.input.flag()) {
            self.now = self.now.max(deadline);
        } else {
            self.now = self.now + Duration::from_millis(self.input.byte().into());
        }
        self.supervisor.handle_timeout(self.now);
        self.listen();
    }

    fn fact(&mut self) {
        let event = match (self.input.below(6), self.recent()) {
            (0..=2, Some(worker)) => self.about(worker),
            (3, _) => self.asked(),
            _ => self.general(),
        };
        self.supervisor.handle_event(self.now, event);
        self.listen();
    }

    /// One of the workers ordered last.
    fn recent(&mut self) -> Option<WorkerId> {
        let recent = self.known.len().saturating_sub(8);
        let recent = self.known.get(recent..).unwrap_or_default().to_vec();
        self.input.one(&recent)
    }

    /// A fact about a worker.
    fn about(&mut self, worker: WorkerId) -> Event {
        let process = Process { pid: self.input.byte().into(), started: 1 };
        match self.input.below(21) {
            0 => Event::Spawned { worker, result: self.failure().map(|()| process) },
            1 => Event::Exited { worker, status: ExitStatus::Code(self.input.byte().into()) },
            2 => Event::Reaped { worker },
            3 | 4 => Event::Received {
                worker,
                message: FromWorker::Online {
                    pid: None,
                    suspended: self.input.flag(),
                    heartbeat: self.input.flag(),
                    leads: self.input.flag().then(|| self.input.flag()),
                    counts: None,
                },
            },
            5 => Event::Received { worker, message: FromWorker::Broken { reason: self.input.maybe_text() } },
            6 => {
                let (request, errors) = (self.input.text(), self.input.texts());
                let message =
                    FromWorker::Reply { request, answers: true, data: None, errors, done: self.input.flag() };
                Event::Received { worker, message }
            }
            7 if self.input.flag() => Event::ServersEnded { worker },
            7 => Event::ChannelClosed { worker },
            8 if self.input.flag() => {
                Event::WaitingCounted { worker, queue: Queue::Full(self.input.byte().into()) }
            }
            8 => Event::QueueMeasured { worker, queue: Queue::Length(u32::from(self.input.byte() % 2)) },
            9 => Event::QueueMeasured { worker, queue: Queue::Closed },
            14 => Event::CpuMeasured { worker, result: Err(Failure("nobody asked".into())) },
            10 => Event::Removed { worker, result: self.failure() },
            11 => {
                // What comes by the connection of a worker that is known is about that one, whatever it says.
                let own = self.known.contains(&worker);
                let conn = ConnId(if own { u64::from(self.input.byte() % 4) } else { 99 });
                let message = FromWorker::Online {
                    pid: None,
                    suspended: self.input.flag(),
                    heartbeat: false,
                    leads: None,
                    counts: None,
                };
                let claims = Some(Claim { worker, pid: Some(process.pid) });
                Event::Claimed { conn, caller: Some(unconfirmed(process)), claims, message }
            }
            12 => Event::Received {
                worker,
                message: FromWorker::Pong {
                    seq: self.input.byte().into(),
                    inspected: self.input.flag(),
                    held: self.input.byte().into(),
                },
            },
            13 if self.input.rarely(4) => {
                let traffic = Traffic { requests: vec![self.input.byte().into()], ..Traffic::default() };
                let message = FromWorker::Counted { traffic: Box::new(traffic), level: Level::default() };
                Event::Received { worker, message }
            }
            13 if self.input.rarely(3) => Event::Received {
                worker,
                message: FromWorker::Leader { leads: true, term: self.input.byte().into() },
            },
            13 if self.input.flag() => {
                Event::QueueListed { worker, result: Ok(vec![self.input.byte().into()]) }
            }
            13 => Event::Examined { worker, result: Err(Failure("as chosen".into())) },
            15 => Event::Dying { worker, cause: Dying::DumpsCore },
            _ => Event::Published { slot: self.slot(), worker, result: self.failure() },
        }
    }

    fn asked(&mut self) -> Event {
        let client = Peer::Client(ConnId(u64::from(self.input.byte() % 4)));
        let peer = self.recent().filter(|_| self.input.flag()).map_or(client, Peer::Worker);
        let request = match self.input.below(13) {
            0 => Request::Status,
            1 => Request::Start(options(&mut self.input)),
            2..=4 => Request::Restart { options: options(&mut self.input), version: self.input.maybe_text() },
            5 => Request::Resume,
            6 => Request::Stop,
            7 => Request::SetStandby { count: u32::from(self.input.byte() % 4) },
            8 => Request::Reload,
            9 => Request::Deploy(DeployOptions {
                release: self.input.flag().then(|| "/srv/releases/2".into()),
                watch: Duration::from_millis(u64::from(self.input.byte())),
                migration: self.input.flag().then(|| MigrationOptions {
                    command: "migrate".into(),
                    revert: self.input.flag().then(|| "revert".into()),
                    limit: self.input.flag().then(|| Duration::from_millis(u64::from(self.input.byte()))),
                }),
                batch: self.input.flag().then(|| u32::from(self.input.byte() % 4)),
                ..DeployOptions::default()
            }),
            10 => Request::AttachDeploy { progress: self.input.flag() },
            11 => Request::WatchEvents,
            _ => Request::SendRequest { request: "r".into(), data: None, workers: self.input.maybe_text() },
        };
        Event::Requested { from: RequestRef { peer, id: self.input.text() }, asker: None, request }
    }

    fn general(&mut self) -> Event {
        match self.input.below(23) {
            12 => {
                let (path, before, after) = ("/srv/app".into(), "before".into(), "after".into());
                Event::ReleaseLinkFound {
                    result: self.failure().map(|()| ReleaseLink { path, before, after }),
                }
            }
            14 => {
                let process = Process { pid: 9, started: 9 };
                Event::CommandStarted { result: self.failure().map(|()| process) }
            }
            15 => {
                let process = Process { pid: 9, started: 9 };
                Event::CommandWrote { process, lines: vec![self.input.text()] }
            }
            16 => {
                let process = Process { pid: 9, started: 9 };
                Event::CommandEnded { process, status: ExitStatus::Code(i32::from(self.input.byte())) }
            }
            17 => Event::SinkStarted { result: self.failure() },
            18 => Event::SinkReady { version: self.input.text() },
            19 => Event::SinkEnded { failure: Failure(self.input.text()) },
            20 => Event::LastLines { worker: self.strangers.worker(), lines: vec![self.input.text()] },
            13 => Event::ReleaseLinkSwitched { to: "after".into(), result: self.failure() },
            0 => Event::Withdrawn { slot: self.slot(), link: "app.0.sock".into(), result: self.failure() },
            1 => Event::Swept { result: self.failure().map(|()| 1) },
            2 => Event::DevServing { address: Some(8000.into()), result: self.failure() },
            3 => Event::ConfigLoaded { result: Err(vec![Problem::general(self.input.text())]) },
            4 => Event::ConfigLoaded { result: Ok(Box::new(self.config.clone())) },
            5 => Event::LogsReopened { result: self.failure() },
            6 => Event::Persisted { result: self.failure() },
            21 => Event::Recorded { number: u64::from(self.input.byte()), result: self.failure() },
            8 | 9 => Event::Surveyed(self.survey()),
            10 => Event::Restored { what: self.own(), result: self.failure() },
            11 => Event::Unwatched { failure: Failure("as chosen".into()) },
            7 => Event::Disconnected { conn: ConnId(u64::from(self.input.byte() % 4)) },
            _ => {
                let hangups =
                    [DaemonSignal::Hangup, DaemonSignal::User1, DaemonSignal::Hangup, DaemonSignal::User2];
                let ends = [DaemonSignal::Terminate, DaemonSignal::Interrupt];
                let signals: &[DaemonSignal] = if self.input.rarely(16) { &ends } else { &hangups };
                Event::Signalled { signal: self.input.one(signals).unwrap_or(DaemonSignal::Hangup) }
            }
        }
    }

    /// Somebody has changed a link, the socket of a worker, or something of the daemon's own.
    fn survey(&mut self) -> Survey {
        let link = format!("app.{}.sock", self.slot());
        let socket = self.recent().map(|worker| self.config.socket_file.socket(worker));
        let name = socket.filter(|_| self.input.flag()).unwrap_or(link);
        let sights = [Sight::Nothing, Sight::Socket, Sight::Other, Sight::Link("elsewhere".into())];
        let sight = self.input.one(&sights).unwrap_or(Sight::Nothing);
        let own = self.own();
        let lost =
            if self.input.flag() { BTreeMap::from([(own, "/run/app".into())]) } else { BTreeMap::new() };
        Survey { entries: BTreeMap::from([(name, sight)]), complete: self.input.rarely(4), lost }
    }

    fn own(&mut self) -> Own {
        self.input.one(&Own::ALL).unwrap_or(Own::State)
    }

    fn failure(&mut self) -> Result<(), Failure> {
        if self.input.rarely(3) { Err(Failure("as chosen".into())) } else { Ok(()) }
    }

    fn slot(&mut self) -> SlotIndex {
        SlotIndex(u32::from(self.input.byte() % 4))
    }
}

/// A process of which the kernel says nothing but its identity.
fn unconfirmed(process: Process) -> Caller {
    Caller {
        process,
        own_user: true,
        leads: true,
        family: Vec::new(),
        worker: None,
        socket: None,
        link: None,
    }
}
