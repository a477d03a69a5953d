//! A supervisor whose orders are carried out at once.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::{Config, Sources, Start, Surroundings, load};
use nodesockd_core::event::{ExitStatus, Queue};
use nodesockd_core::id::{BootId, ConnId, Peer, Process, RequestRef, WorkerId};
use nodesockd_core::supervisor::Daemon;
use nodesockd_core::wire::{Code, FromWorker, Reply, Request, ToWorker};
use nodesockd_core::{Action, Event, Supervisor, Time};

struct File<'a>(&'a str);

impl Sources for File<'_> {
    fn read(&mut self, _path: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
}

pub fn config(keys: &str) -> Config {
    let text = format!("tmpDir = '/run/app'\nscript = 'server.js'\n{keys}");
    let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus: NonZeroU32::MIN };
    let loaded = load(Start::File(Path::new("nodesockd.toml")), &around, &mut File(&text));
    loaded.unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A supervisor whose orders are carried out at once, and kept.
pub struct Desk {
    pub supervisor: Supervisor,
    pub now: Time,
    pub config: Config,
    pub orders: Vec<Action>,
    pub spawned: Vec<WorkerId>,
    /// Orders that are left to the test to complete.
    pub leaves: fn(&Action) -> bool,
}

impl Desk {
    pub fn new(keys: &str) -> Self {
        let config = config(keys);
        let daemon = Daemon { version: "3.0.0".into(), pid: 1, boot: BootId(1), manager: None };
        let supervisor = Supervisor::new(config.clone(), daemon, Time::ZERO);
        Self::of(supervisor, config, Time::ZERO)
    }

    /// The supervisor was made elsewhere.
    pub fn of(supervisor: Supervisor, config: Config, now: Time) -> Self {
        let (orders, spawned) = (Vec::new(), Vec::new());
        let mut desk = Self { supervisor, now, config, orders, spawned, leaves: |_| false };
        desk.obey();
        desk
    }

    /// All workers that were started are online.
    pub fn up(keys: &str) -> Self {
        let mut desk = Self::new(keys);
        desk.all_online();
        desk
    }

    pub fn all_online(&mut self) {
        for worker in self.spawned.clone() {
            let suspended = self.supervisor.status().suspended;
            self.hear(Event::Received { worker, message: FromWorker::Online { suspended } });
            self.hear(Event::Notified { worker });
        }
    }

    pub fn hear(&mut self, event: Event) {
        self.supervisor.handle_event(self.now, event);
        self.obey();
    }

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.supervisor.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.supervisor.handle_timeout(self.now);
            self.obey();
        }
        self.now = until;
    }

    pub fn obey(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            self.orders.push(action.clone());
            if let Some(event) = self.completion(action) {
                self.supervisor.handle_event(self.now, event);
            }
        }
    }

    fn completion(&mut self, action: Action) -> Option<Event> {
        if let Action::Spawn(order) = &action {
            self.spawned.push(order.worker);
        }
        if (self.leaves)(&action) {
            return None;
        }
        if let Action::Spawn(order) = action {
            let process = Process { pid: 100 + u32::try_from(self.spawned.len()).unwrap_or(0), started: 1 };
            return Some(Event::Spawned { worker: order.worker, result: Ok(process) });
        }
        if let Action::Publish { slot, worker, .. } = action {
            return Some(Event::Published { slot, worker, result: Ok(()) });
        }
        if let Action::Withdraw { slot, link } = action {
            return Some(Event::Withdrawn { slot, link, result: Ok(()) });
        }
        if let Action::Listen { slot, socket } = action {
            return Some(Event::Listening { slot, socket, result: Ok(()) });
        }
        if let Action::MeasureQueue { worker, .. } = action {
            return Some(Event::QueueMeasured { worker, queue: Queue::Closed });
        }
        if let Action::Tell { worker, message: ToWorker::Shutdown, .. } = action {
            return Some(Event::Exited { worker, status: ExitStatus::Code(0) });
        }
        if let Action::Reap { worker, .. } = action {
            return Some(Event::Reaped { worker });
        }
        if let Action::Remove { worker, .. } = action {
            return Some(Event::Removed { worker, result: Ok(()) });
        }
        (action == Action::LoadConfig)
            .then(|| Event::ConfigLoaded { result: Ok(Box::new(self.config.clone())) })
    }

    /// A client asks; the replies it has got at once.
    pub fn ask(&mut self, id: &str, request: Request) -> Vec<Reply> {
        let from = RequestRef { peer: Peer::Client(ConnId(1)), id: id.into() };
        self.hear(Event::Requested { from, request });
        self.replies(id)
    }

    pub fn replies(&self, id: &str) -> Vec<Reply> {
        let to_it = |action: &Action| match action {
            Action::Reply { to, reply } if to.id == id => Some(reply.clone()),
            _ => None,
        };
        self.orders.iter().filter_map(to_it).collect()
    }

    /// How the request ended.
    pub fn end(&self, id: &str) -> Option<(Option<Code>, String)> {
        self.replies(id)
            .into_iter()
            .find(|reply| reply.done)
            .map(|reply| (reply.code, reply.errors.join("; ")))
    }

    pub fn count(&self, fits: impl Fn(&Action) -> bool) -> usize {
        self.orders.iter().filter(|action| fits(action)).count()
    }
}

pub fn is_spawn(action: &Action) -> bool {
    matches!(action, Action::Spawn(_))
}

pub fn is_kill(action: &Action) -> bool {
    matches!(action, Action::Signal { signal: WorkerSignal::KillGroup, .. })
}
