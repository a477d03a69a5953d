//! A supervisor whose orders are carried out at once.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::action::WorkerSignal;
use nodesockd_core::asker::Asker;
use nodesockd_core::config::{Config, Ready, Sources, Start, Surroundings, load};
use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure, Queue};
use nodesockd_core::id::{BootId, ConnId, Peer, Process, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::notice::Manager;
use nodesockd_core::release::{Release, ReleaseLink};
use nodesockd_core::state::{State, WorkerRecord};
use nodesockd_core::supervisor::{Daemon, Handoff, Terminal};
use nodesockd_core::survey::{Sight, Survey};
use nodesockd_core::wire::{Body, Code, DeployNews, FromWorker, Reply, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event, Supervisor, Time};

struct File<'a>(&'a str);

impl Sources for File<'_> {
    fn read(&mut self, _path: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
}

/// Orders, or lines, of which there are none.
pub const NOTHING: [&str; 0] = [];

/// The process of a command.
pub const COMMAND: Process = Process { pid: 77, started: 7 };

/// The process of the command for events.
pub const HOOK: Process = Process { pid: 78, started: 7 };

/// As many workers as there are in these tests may boot at a time.
const CPUS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

pub fn config(keys: &str) -> Config {
    let text = format!("tmpDir = '/run/app'\nscript = 'server.js'\n{keys}");
    let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus: CPUS, node: None };
    let loaded = load(Start::File(Path::new("nodesockd.toml")), &around, &mut File(&text));
    loaded.unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A supervisor whose orders are carried out at once, and kept.
pub struct Desk {
    pub supervisor: Supervisor,
    pub now: Time,
    pub config: Config,
    pub orders: Vec<Action>,
    /// What the state file said after each order to write it.
    pub files: Vec<Option<State>>,
    pub spawned: Vec<WorkerId>,
    /// How each of them shows that it is ready, and whether it was started suspended.
    pub ready: BTreeMap<WorkerId, (Ready, bool)>,
    /// Orders that are left to the test to complete.
    pub leaves: fn(&Action) -> bool,
    /// The release that the working directory names.
    pub current: &'static str,
    /// The release in force was removed.
    pub pruned: bool,
}

impl Desk {
    pub fn new(keys: &str) -> Self {
        Self::under(None, keys)
    }

    /// Started by a service manager.
    pub fn under(manager: Option<Manager>, keys: &str) -> Self {
        let config = config(keys);
        let daemon = Daemon {
            version: "3.0.0".into(),
            pid: 1,
            boot: BootId(1),
            manager,
            release: Some(release("1")),
            stderr: Terminal::Yes,
        };
        let supervisor = Supervisor::new(config.clone(), daemon, Time::ZERO);
        Self::of(supervisor, config, Time::ZERO)
    }

    /// The supervisor was made elsewhere.
    pub fn of(supervisor: Supervisor, config: Config, now: Time) -> Self {
        let (orders, files, spawned, ready) = Default::default();
        let mut desk = Self {
            supervisor,
            now,
            config,
            orders,
            files,
            spawned,
            ready,
            leaves: |_| false,
            current: "1",
            pruned: false,
        };
        desk.obey();
        desk
    }

    /// The supervisor follows another one, whose workers have the names that they had.
    pub fn after(before: &Self, supervisor: Supervisor, config: Config) -> Self {
        Self {
            supervisor,
            now: before.now,
            config,
            orders: Vec::new(),
            files: Vec::new(),
            spawned: before.spawned.clone(),
            ready: before.ready.clone(),
            leaves: |_| false,
            current: before.current,
            pruned: before.pruned,
        }
    }

    /// All workers that were started are online.
    pub fn up(keys: &str) -> Self {
        let mut desk = Self::new(keys);
        desk.all_online();
        desk
    }

    pub fn all_online(&mut self) {
        self.spawned.clone().into_iter().for_each(|worker| self.online(worker));
    }

    /// It shows that it is ready, and says that it is suspended if it was started so.
    pub fn online(&mut self, worker: WorkerId) {
        let Some((ready, suspended)) = self.ready.get(&worker).copied() else { panic!("it was not started") };
        self.hear(match ready {
            Ready::Report => Event::Received { worker, message: FromWorker::online(suspended) },
            Ready::Notify => Event::Notified { worker },
            Ready::Listen => Event::QueueMeasured { worker, queue: Queue::Length(0) },
            Ready::Http => Event::Probed { worker, result: Ok(200) },
        });
    }

    pub fn hear(&mut self, event: Event) {
        self.supervisor.handle_event(self.now, event);
        self.obey();
        self.check();
    }

    /// The nth worker that was started asks to be replaced.
    pub fn breaks(&mut self, nth: usize) {
        self.hear(Event::Received { worker: self.worker(nth), message: FromWorker::Broken { reason: None } });
    }

    /// The link of this slot was led to the nth worker that was started, or could not be.
    pub fn published(&mut self, slot: u32, nth: usize, result: Result<(), &str>) {
        let (slot, worker) = (SlotIndex(slot), self.worker(nth));
        self.hear(Event::Published { slot, worker, result: result.map_err(|why| Failure(why.into())) });
    }

    /// Somebody has changed an entry of `tmpDir`, and this is there now.
    pub fn sees(&mut self, name: &str, sight: Sight) {
        let entries = [(name.to_owned(), sight)].into();
        self.hear(Event::Surveyed(Survey { entries, ..Survey::default() }));
    }

    /// What has to hold whenever the supervisor waits.
    fn check(&self) {
        assert_eq!(self.supervisor.check().map_err(|violation| violation.to_string()), Ok(()));
    }

    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.supervisor.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.supervisor.handle_timeout(self.now);
            self.obey();
            self.check();
        }
        self.now = until;
    }

    /// The daemon comes so late to what is due.
    pub fn stand_still(&mut self, time: Duration) {
        self.now = self.now + time;
        self.supervisor.handle_timeout(self.now);
        self.obey();
        self.check();
    }

    /// What the state file says.
    pub fn state_file(&self) -> Option<State> {
        self.files.last().cloned().flatten()
    }

    /// What the state file says of the nth worker that was started.
    pub fn record(&self, nth: usize) -> WorkerRecord {
        let record = self.state_file().and_then(|state| state.worker(self.worker(nth)).cloned());
        record.unwrap_or_else(|| panic!("the state file does not name it"))
    }

    /// The socket from which the nth worker that was started accepts, by the state file.
    pub fn socket(&self, nth: usize) -> String {
        self.record(nth).socket.unwrap_or_else(|| panic!("it accepts from none"))
    }

    pub fn obey(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            if let Action::Persist { entry } = &action {
                let entry = entry.clone();
                self.files.push(entry.and_then(|entry| State::after(self.state_file(), entry)));
            }
            self.orders.push(action.clone());
            if let Some(event) = self.completion(action) {
                self.supervisor.handle_event(self.now, event);
            }
        }
    }

    fn completion(&mut self, action: Action) -> Option<Event> {
        if let Action::Spawn(order) = &action {
            self.spawned.push(order.worker);
            let suspended = order.overrides.contains(&("NODESOCKD_SUSPENDED".into(), "true".into()));
            self.ready.insert(order.worker, (order.ready, suspended));
        }
        if (self.leaves)(&action) {
            return None;
        }
        if let Action::Persist { .. } = action {
            return Some(Event::Persisted { result: Ok(()) });
        }
        if let Action::RunHook(_) = action {
            return Some(Event::HookStarted { result: Ok(HOOK) });
        }
        if let Action::Record(entry) = action {
            return Some(Event::Recorded { number: entry.facts.number, result: Ok(()) });
        }
        if let Action::Spawn(order) = action {
            let process = Process { pid: 100 + u32::try_from(self.spawned.len()).unwrap_or(0), started: 1 };
            return Some(Event::Spawned { worker: order.worker, result: Ok(process) });
        }
        if let Action::StartSink { .. } = action {
            return Some(Event::SinkStarted { result: Ok(()) });
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
        if let Action::Unlisten { slot, socket } = action {
            return Some(Event::Unlistened { slot, socket, result: Ok(()) });
        }
        if let Action::MeasureQueue { worker, .. } = action {
            return Some(Event::QueueMeasured { worker, queue: Queue::Closed });
        }
        if let Action::MeasureCpu { worker, .. } = action {
            return Some(Event::CpuMeasured { worker, result: Err(Failure("not told here".into())) });
        }
        if let Action::ListQueue { worker, .. } = action {
            return Some(Event::QueueListed { worker, result: Ok(Vec::new()) });
        }
        if let Action::Examine { worker, .. } = action {
            let result = Err(Failure("nothing is known of it".into()));
            return Some(Event::Examined { worker, result });
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
        if let Action::LocateRelease { .. } = action {
            return Some(Event::ReleaseLocated { named: Ok(release(self.current)) });
        }
        if let Action::CheckRelease { pinned, .. } = action {
            let gone = self.pruned && pinned != release(self.current);
            return Some(Event::ReleaseChecked { stand_in: gone.then(|| Ok(release(self.current))) });
        }
        if let Action::FindReleaseLink { folder, .. } = &action {
            let of = |number: &str| Path::new("releases").join(number);
            let after = of(&folder.file_name().unwrap_or_default().to_string_lossy());
            let link = ReleaseLink { path: "/srv/app".into(), before: of(self.current), after };
            return Some(Event::ReleaseLinkFound { result: Ok(link) });
        }
        if let Action::SwitchReleaseLink { to, .. } = action {
            let known = ["1", "2", "3"].into_iter().find(|number| to.ends_with(number));
            self.current = known.unwrap_or_else(|| panic!("no release {}", to.display()));
            return Some(Event::ReleaseLinkSwitched { to, result: Ok(()) });
        }
        if let Action::RunCommand(_) = action {
            return Some(Event::CommandStarted { result: Ok(COMMAND) });
        }
        (action == Action::LoadConfig)
            .then(|| Event::ConfigLoaded { result: Ok(Box::new(self.config.clone())) })
    }

    /// A newer program is installed, and the daemon told to upgrade: what it hands to that.
    pub fn hand_off(&mut self) -> Handoff {
        self.hear(Event::Signalled { signal: DaemonSignal::User2 });
        self.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
        self.hear(Event::Frozen);
        match self.orders.pop() {
            Some(Action::HandOff { handoff }) => *handoff,
            other => panic!("{other:?}"),
        }
    }

    /// A client asks; the replies it has got at once.
    pub fn ask(&mut self, id: &str, request: Request) -> Vec<Reply> {
        let from = RequestRef { peer: Peer::Client(ConnId(1)), id: id.into() };
        self.hear(Event::Requested { from, asker: Some(asker()), request });
        self.replies(id)
    }

    pub fn replies(&self, id: &str) -> Vec<Reply> {
        let to_it = |action: &Action| match action {
            Action::Reply { to, reply } if to.id == id => Some(reply.clone()),
            _ => None,
        };
        self.orders.iter().filter_map(to_it).collect()
    }

    /// How the deploy that was asked for has gone so far.
    pub fn news(&self, id: &str) -> Vec<DeployNews> {
        let news = |reply: Reply| if let Some(Body::Deploy(news)) = reply.body { Some(news) } else { None };
        self.replies(id).into_iter().filter_map(news).collect()
    }

    /// How the request ended.
    pub fn end(&self, id: &str) -> Option<(Option<Code>, String)> {
        self.replies(id)
            .into_iter()
            .find(|reply| reply.done)
            .map(|reply| (reply.code, reply.errors.join("; ")))
    }

    /// The nth worker that was started, from 0.
    pub fn worker(&self, nth: usize) -> WorkerId {
        self.spawned
            .get(nth)
            .copied()
            .unwrap_or_else(|| panic!("{} workers were started", self.spawned.len()))
    }

    pub fn exit(&mut self, worker: WorkerId) {
        self.hear(Event::Exited { worker, status: ExitStatus::Code(1) });
    }

    /// What was ordered since the last story, for worker, links and sockets; workers are `a`, `b`, `c` as they were started.
    pub fn story(&mut self) -> Vec<String> {
        let orders = std::mem::take(&mut self.orders);
        orders.iter().filter_map(|action| self.told(action)).collect()
    }

    fn told(&self, action: &Action) -> Option<String> {
        let name = |worker: &WorkerId| {
            let nth = self.spawned.iter().position(|spawned| spawned == worker);
            nth.and_then(|nth| ('a'..='z').nth(nth)).unwrap_or('?')
        };
        Some(match action {
            Action::Spawn(order) => format!("start {}", name(&order.worker)),
            Action::Publish { slot, worker, .. } => format!("link {slot} to {}", name(worker)),
            Action::Withdraw { slot, .. } => format!("remove link {slot}"),
            Action::Listen { slot, .. } => format!("listen for {slot}"),
            Action::Unlisten { slot, .. } => format!("close {slot}"),
            Action::MeasureQueue { worker, .. } => format!("look at {}", name(worker)),
            Action::Tell { worker, message, .. } => {
                let line: serde_json::Value = serde_json::from_str(&message.encode()).unwrap_or_default();
                format!("tell {} {}", name(worker), line["type"].as_str().unwrap_or_default())
            }
            Action::Terminate { worker, signal, .. } => format!("{} to {}", signal.name(), name(worker)),
            Action::Signal { worker, signal: WorkerSignal::Terminate, .. } => {
                format!("SIGTERM to {}", name(worker))
            }
            Action::Signal { worker, signal: WorkerSignal::KillGroup, .. } => {
                format!("SIGKILL to {}", name(worker))
            }
            Action::Watch { worker, .. } => format!("watch {}", name(worker)),
            Action::Reap { worker, .. } => format!("reap {}", name(worker)),
            Action::Remove { worker, .. } => format!("remove socket of {}", name(worker)),
            Action::RunCommand(order) => format!("run `{}` in {}", order.command, order.cwd.display()),
            Action::SignalCommand { signal, .. } => format!("{signal:?} the command"),
            Action::WatchCommand { .. } => "watch the command".to_owned(),
            Action::SwitchReleaseLink { to, .. } => format!("switch to {}", to.display()),
            _ => return None,
        })
    }

    pub fn count(&self, fits: impl Fn(&Action) -> bool) -> usize {
        self.orders.iter().filter(|action| fits(action)).count()
    }
}

/// A daemon that follows the one that a desk began with, of a newer version.
pub fn newer() -> Daemon {
    Daemon {
        version: "99.0.0".into(),
        pid: 1,
        boot: BootId(2),
        manager: None,
        release: None,
        stderr: Terminal::Yes,
    }
}

/// Who asks.
pub fn asker() -> Asker {
    Asker { pid: Some(4711), uid: Some(0), command: Some("nodesockd restart -s".into()), ..Asker::default() }
}

/// A release of the app.
pub fn release(number: &str) -> Release {
    Release { dir: Path::new("/srv/releases").join(number), script_dir: None, env: Vec::new() }
}

/// All workers are online, and what led there is forgotten.
pub fn up(keys: &str) -> Desk {
    let mut desk = Desk::up(keys);
    desk.orders.clear();
    desk
}

/// What a worker reports that answers whether its event loop turns.
pub fn with_heartbeat(suspended: bool) -> FromWorker {
    FromWorker::Online { pid: None, suspended, heartbeat: true, leads: None, counts: None }
}

pub fn set_workers(count: u32) -> Request {
    Request::SetWorkers { count: NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN) }
}

pub fn suspended() -> StartOptions {
    StartOptions { suspended: true, ..StartOptions::default() }
}

pub fn restart(options: StartOptions) -> Request {
    Request::Restart { options, version: None }
}

pub fn is_spawn(action: &Action) -> bool {
    matches!(action, Action::Spawn(_))
}

pub fn is_kill(action: &Action) -> bool {
    matches!(action, Action::Signal { signal: WorkerSignal::KillGroup, .. })
}
