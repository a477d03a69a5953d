//! What the supervisor orders and answers, where the simulator does not look closely: words, limits, and what is handed
//! to workers and to the dev server.
#![expect(clippy::panic, reason = "a test that cannot go on stops")]
#![expect(clippy::wildcard_enum_match_arm, reason = "looks for one kind of order among all")]
#![expect(clippy::disallowed_methods, reason = "golden hand-offs are files")]

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::{Config, MAX_WORKERS, Sources, Start, Surroundings, load};
use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure, Queue};
use nodesockd_core::id::{BootId, ConnId, Peer, Process, RequestRef, WorkerId};
use nodesockd_core::supervisor::{Daemon, Handoff};
use nodesockd_core::wire::{Body, Code, FromWorker, Reply, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event, Supervisor, Time};
use serde_json::Value;

struct File<'a>(&'a str);

impl Sources for File<'_> {
    fn read(&mut self, _path: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
}

fn config(keys: &str) -> Config {
    let text = format!("tmpDir = '/run/app'\nscript = 'server.js'\n{keys}");
    let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus: NonZeroU32::MIN };
    let loaded = load(Start::File(Path::new("nodesockd.toml")), &around, &mut File(&text));
    loaded.unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A supervisor whose orders are carried out at once, and kept.
struct Desk {
    supervisor: Supervisor,
    now: Time,
    config: Config,
    orders: Vec<Action>,
    spawned: Vec<WorkerId>,
    /// Processes are not created.
    stuck: bool,
}

impl Desk {
    fn new(keys: &str) -> Self {
        let config = config(keys);
        let daemon = Daemon { version: "3.0.0".into(), pid: 1, boot: BootId(1), manager: None };
        let supervisor = Supervisor::new(config.clone(), daemon, Time::ZERO);
        let (orders, spawned) = (Vec::new(), Vec::new());
        let mut desk = Self { supervisor, now: Time::ZERO, config, orders, spawned, stuck: false };
        desk.obey();
        desk
    }

    /// All workers that were started are online.
    fn up(keys: &str) -> Self {
        let mut desk = Self::new(keys);
        desk.all_online();
        desk
    }

    fn all_online(&mut self) {
        for worker in self.spawned.clone() {
            let suspended = self.supervisor.status().suspended;
            self.hear(Event::Received { worker, message: FromWorker::Online { suspended } });
            self.hear(Event::Notified { worker });
        }
    }

    fn hear(&mut self, event: Event) {
        self.supervisor.handle_event(self.now, event);
        self.obey();
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.supervisor.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.supervisor.handle_timeout(self.now);
            self.obey();
        }
        self.now = until;
    }

    fn obey(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            self.orders.push(action.clone());
            if let Some(event) = self.completion(action) {
                self.supervisor.handle_event(self.now, event);
            }
        }
    }

    fn completion(&mut self, action: Action) -> Option<Event> {
        if let Action::Spawn(order) = action {
            self.spawned.push(order.worker);
            let process = Process { pid: 100 + u32::try_from(self.spawned.len()).unwrap_or(0), started: 1 };
            return (!self.stuck).then_some(Event::Spawned { worker: order.worker, result: Ok(process) });
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
    fn ask(&mut self, id: &str, request: Request) -> Vec<Reply> {
        let from = RequestRef { peer: Peer::Client(ConnId(1)), id: id.into() };
        self.hear(Event::Requested { from, request });
        self.replies(id)
    }

    fn replies(&self, id: &str) -> Vec<Reply> {
        let to_it = |action: &Action| match action {
            Action::Reply { to, reply } if to.id == id => Some(reply.clone()),
            _ => None,
        };
        self.orders.iter().filter_map(to_it).collect()
    }

    /// How the request ended.
    fn end(&self, id: &str) -> Option<(Option<Code>, String)> {
        self.replies(id)
            .into_iter()
            .find(|reply| reply.done)
            .map(|reply| (reply.code, reply.errors.join("; ")))
    }

    fn count(&self, fits: impl Fn(&Action) -> bool) -> usize {
        self.orders.iter().filter(|action| fits(action)).count()
    }
}

fn restart(options: StartOptions) -> Request {
    Request::Restart { options, version: None }
}

fn waiting() -> Request {
    restart(StartOptions { wait: true, ..StartOptions::default() })
}

fn is_spawn(action: &Action) -> bool {
    matches!(action, Action::Spawn(_))
}

fn is_kill(action: &Action) -> bool {
    matches!(action, Action::Signal { signal: WorkerSignal::KillGroup, .. })
}

#[test]
fn a_worker_gets_what_it_needs() {
    let desk = Desk::new("nodeArgs = ['--enable-source-maps']\nenv = { A = 'b' }\nname = 'shop'");
    let Some(Action::Spawn(order)) = desk.orders.iter().find(|action| is_spawn(action)) else {
        panic!("none")
    };
    assert_eq!(order.argv, ["node", "--enable-source-maps", "/srv/app/server.js"]);
    let value =
        |name: &str| order.set.iter().rev().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
    let socket = format!("/run/app/app.{}.sock", order.worker);
    assert_eq!(value("NODESOCKD_SOCKET_PATH"), Some(socket.as_str()));
    assert_eq!(value("NODESOCKD_APP_NAME"), Some("shop"));
    assert_eq!((value("A"), value("NODESOCKD_SUSPENDED"), value("LISTEN_FDS")), (Some("b"), Some(""), None));
    assert!(["PATH", "HOME"].iter().all(|name| order.pass.iter().any(|passed| passed == name)));
}

#[test]
fn workers_of_slots_inherit_one_socket_and_standbys_all() {
    let desk = Desk::new("workers = 2\nstandby = 1\n[options]\nlisten = 'daemon'");
    let names = |action: &Action| match action {
        Action::Spawn(order) => {
            let value =
                |name: &str| order.set.iter().find(|(its, _)| its == name).map(|(_, value)| value.clone());
            Some((order.listeners.len(), value("LISTEN_FDS")?, value("LISTEN_FDNAMES")?))
        }
        _ => None,
    };
    let got: Vec<_> = desk.orders.iter().filter_map(names).collect();
    let one = |name: &str| (1, "1".to_owned(), name.to_owned());
    assert_eq!(got, [one("0"), one("1"), (2, "2".to_owned(), "0:1".to_owned())]);
}

#[test]
fn there_is_a_largest_number_of_workers() {
    let most = NonZeroU32::new(MAX_WORKERS).unwrap_or(NonZeroU32::MIN);
    let mut desk = Desk::up("");
    desk.stuck = true;
    assert_eq!(desk.ask("all", Request::SetWorkers { count: most }), []);
    assert_eq!(desk.count(is_spawn), MAX_WORKERS as usize);

    let mut desk = Desk::up("");
    desk.stuck = true;
    assert_eq!(desk.ask("all", Request::SetStandby { count: MAX_WORKERS }), []);
    assert_eq!(desk.count(is_spawn), MAX_WORKERS as usize + 1);

    let mut desk = Desk::up("");
    desk.ask("workers", Request::SetWorkers { count: most.saturating_add(1) });
    desk.ask("standby", Request::SetStandby { count: MAX_WORKERS + 1 });
    let refused = Some((Some(Code::Usage), "4097 is too many: the most is 4096".to_owned()));
    assert_eq!((desk.end("workers"), desk.end("standby")), (refused.clone(), refused));
    assert_eq!(desk.count(is_spawn), 1);
}

#[test]
fn sixteen_restarts_may_wait() {
    let mut desk = Desk::up("");
    for number in 0..=16 {
        assert_eq!(desk.ask(&number.to_string(), waiting()), [], "{number}");
    }
    desk.ask("one too many", waiting());
    let busy = "a restart is in progress; try again when it is complete".to_owned();
    assert_eq!(desk.end("one too many"), Some((Some(Code::Busy), busy)));
}

#[test]
fn an_id_that_is_open_is_not_accepted_again() {
    let mut desk = Desk::up("");
    desk.ask("a", waiting());
    let replies = desk.ask("a", Request::Status);
    assert_eq!(replies.len(), 1);
    assert_eq!(desk.end("a").map(|(code, _)| code), Some(Some(Code::Usage)));
}

#[test]
fn the_second_sigint_kills_and_nothing_else_does() {
    let quit = |signals: &[DaemonSignal]| {
        let mut desk = Desk::up("workers = 2");
        // Their queues are never seen empty.
        desk.orders.clear();
        for signal in signals {
            desk.supervisor.handle_event(desk.now, Event::Signalled { signal: *signal });
        }
        desk.obey();
        desk.count(is_kill)
    };
    let (int, term) = (DaemonSignal::Interrupt, DaemonSignal::Terminate);
    assert_eq!(quit(&[int]), 0);
    assert_eq!(quit(&[term, term]), 0);
    assert_eq!(quit(&[term, int]), 0);
    assert_eq!(quit(&[int, term]), 0);
    assert_eq!(quit(&[int, int]), 2);
    assert_eq!(quit(&[term, int, int]), 2);
    assert_eq!(quit(&[int, term, int]), 2);
}

#[test]
fn the_dev_server_stands_before_all_slots_until_the_end() {
    let mut desk = Desk::up("devServer = 8000");
    desk.ask("two", Request::SetWorkers { count: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN) });
    desk.all_online();
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    let served = |action: &Action| match action {
        Action::ServeDev { port, links } => Some((*port, links.join(" "))),
        _ => None,
    };
    let served: Vec<_> = desk.orders.iter().filter_map(served).collect();
    let at = |links: &str| (Some(8000), links.to_owned());
    assert_eq!(served, [at("app.0.sock"), at("app.0.sock app.1.sock"), (None, String::new())]);

    let without = Desk::up("");
    assert_eq!(without.count(|action| matches!(action, Action::ServeDev { .. })), 0);
}

#[test]
fn a_restart_tells_how_it_goes() {
    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions { progress: true, ..StartOptions::default() }));
    desk.ask("silent", Request::Status);
    desk.all_online();
    let stage = |reply: Reply| match reply.body {
        Some(Body::Progress(progress)) => Some(format!("{:?}", progress.stage)),
        _ => None,
    };
    let stages: Vec<_> = desk.replies("r").into_iter().filter_map(stage).collect();
    assert_eq!(stages, ["Starting", "Online", "Serving", "Draining", "Gone"]);
    assert_eq!(desk.end("r"), Some((None, String::new())));
}

#[test]
fn a_restart_says_why_it_failed() {
    let failing = |keys: &str, stuck: bool| {
        let mut desk = Desk::up(keys);
        desk.stuck = stuck;
        desk.ask("r", restart(StartOptions::default()));
        desk.pass(Duration::from_secs(60));
        let (code, words) = desk.end("r").unwrap_or_default();
        assert_eq!(code, Some(Code::StartFailed));
        words.split_once(": ").map(|(_, reason)| reason.to_owned()).unwrap_or_default()
    };
    let created = "its process was not created within 2000 ms (options.spawnTimeout)";
    assert_eq!(failing("", true), created);
    let silent = "it was not online within 10000 ms (options.onlineTimeout): it reported nothing; \
                  `nodesockd.listen()` does, or see `options.ready`";
    assert_eq!(failing("", false), silent);
}

#[test]
fn status_tells_since_when_it_is_so() {
    let mut desk = Desk::new("");
    desk.pass(Duration::from_secs(1));
    desk.all_online();
    desk.pass(Duration::from_secs(1));
    // Online again: nothing changes.
    desk.all_online();
    let status = desk.supervisor.status();
    assert_eq!(status.workers.iter().map(|row| row.since.as_nanos()).collect::<Vec<_>>(), [1_000_000_000]);
    assert_eq!(status.started, Time::ZERO);
}

#[test]
fn a_worker_does_not_get_more_requests_than_it_can_answer() {
    let mut desk = Desk::up("");
    let request = || Request::SendRequest { request: "ping".into(), data: None, workers: None };
    for number in 0..1024 {
        assert_eq!(desk.ask(&number.to_string(), request()), [], "{number}");
    }
    let replies = desk.ask("one too many", request());
    let Some(Body::Answer { errors, .. }) = replies.first().and_then(|reply| reply.body.clone()) else {
        panic!("{replies:?}")
    };
    assert_eq!(errors, ["it has not answered 1024 earlier requests"]);
    assert_eq!(desk.end("one too many"), Some((None, String::new())));
}

#[test]
fn a_spawn_that_fails_says_so_for_its_slot() {
    let mut desk = Desk::new("");
    desk.stuck = true;
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(9) });
    let vacant = desk.supervisor.status().vacant;
    let reasons: Vec<_> = vacant.iter().map(|vacant| vacant.reason.clone().unwrap_or_default()).collect();
    assert_eq!(reasons, ["it was killed by SIGKILL"]);
    let ordered = desk.spawned.last().copied().unwrap_or(worker);
    desk.hear(Event::Spawned { worker: ordered, result: Err(Failure("EAGAIN".into())) });
    let vacant = desk.supervisor.status().vacant;
    assert_eq!(
        vacant.first().map(|vacant| (vacant.failures, vacant.reason.clone())),
        Some((2, Some("EAGAIN".into())))
    );
}

/// A reload that finds these keys, where there were none: how many workers it starts, and how it ends.
fn reloaded(keys: &str) -> (usize, Option<(Option<Code>, String)>) {
    let mut desk = Desk::up("");
    desk.config = config(keys);
    desk.orders.clear();
    desk.ask("r", Request::Reload);
    desk.all_online();
    (desk.count(is_spawn), desk.end("r"))
}

#[test]
fn a_reload_does_the_least_that_is_needed() {
    let done = |count| (count, Some((None, String::new())));
    let same = ["", "name = 'shop'", "devServer = 8000", "debug = true", "[options]\nonlineTimeout = 1"];
    for keys in same {
        assert_eq!(reloaded(keys), done(0), "{keys}");
    }
    let replaced = [
        "nodeArgs = ['-v']",
        "socketFile = 'web.{worker}'",
        "env = ['A']",
        "[options]\nstdout = 'out'",
        "[options]\nstderr = 'err'",
        "[options]\nlisten = 'daemon'",
        "[options]\nready = 'notify'",
        "workers = 1\nnode = '/opt/node'",
    ];
    for keys in replaced {
        assert_eq!(reloaded(keys), done(1), "{keys}");
    }
    assert_eq!(reloaded("workers = 3\nstandby = 1"), done(3));
    let (started, end) = reloaded("ipcFile = 'other.ipc'");
    assert_eq!((started, end.and_then(|(code, _)| code)), (0, Some(Code::InvalidConfig)));
}

#[test]
fn a_new_name_is_told_once_and_to_all() {
    let mut desk = Desk::up("workers = 2");
    desk.config = config("workers = 2\nname = 'shop'");
    desk.ask("r", Request::Reload);
    let told = |action: &Action| matches!(action, Action::Tell { message: ToWorker::SetName { name }, .. } if name == "shop");
    assert_eq!(desk.count(told), 2);
    desk.orders.clear();
    desk.ask("again", Request::Reload);
    assert_eq!(desk.count(told), 0);
}

#[test]
fn every_worker_answers_for_itself() {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    let request = Request::SendRequest { request: "ping".into(), data: None, workers: None };
    assert_eq!(desk.ask("r", request), []);
    let asked = |action: &Action| match action {
        Action::Tell { worker, message: ToWorker::AppRequest { id, .. }, .. } => Some((*worker, id.clone())),
        _ => None,
    };
    let asked: Vec<_> = desk.orders.iter().filter_map(asked).collect();
    let slots: Vec<_> =
        desk.supervisor.status().workers.iter().filter(|row| row.slot.is_some()).map(|row| row.id).collect();
    assert_eq!(asked.iter().map(|(worker, _)| *worker).collect::<Vec<_>>().len(), slots.len());
    assert!(slots.iter().all(|slot| asked.iter().any(|(worker, _)| worker == slot)));
    assert_eq!(
        desk.supervisor.pending().map(|pending| pending.to_string()),
        Some("2 requests wait for workers".into())
    );

    let [(first, id), (second, _)] = asked.as_slice() else { panic!("{asked:?}") };
    let answer = |request: &str, done| FromWorker::Reply {
        request: request.to_owned(),
        answers: true,
        data: None,
        errors: Vec::new(),
        done,
    };
    // What another one says in its place does not count.
    desk.hear(Event::Received { worker: *second, message: answer(id, true) });
    assert_eq!(desk.replies("r"), []);
    desk.hear(Event::Received { worker: *first, message: answer(id, false) });
    desk.hear(Event::Received { worker: *first, message: answer(id, true) });
    assert_eq!((desk.replies("r").len(), desk.end("r")), (2, None));
    desk.hear(Event::Exited { worker: *second, status: ExitStatus::Code(3) });
    let Some(Body::Answer { errors, .. }) = desk.replies("r").get(2).and_then(|reply| reply.body.clone())
    else {
        panic!("{:?}", desk.replies("r"))
    };
    assert_eq!(errors, ["the worker did not answer: it exited with status 3"]);
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!(
        desk.supervisor.pending().map(|pending| pending.to_string().contains("requests")),
        Some(false)
    );
}

#[test]
fn one_that_has_gone_gets_no_answer() {
    let mut desk = Desk::up("");
    let request = Request::SendRequest { request: "ping".into(), data: None, workers: Some("0".into()) };
    desk.ask("r", request.clone());
    desk.hear(Event::Disconnected { conn: ConnId(1) });
    assert_eq!(desk.supervisor.pending(), None);
    let nobody = Request::SendRequest { request: "ping".into(), data: None, workers: Some("7".into()) };
    desk.ask("nobody", nobody);
    assert_eq!(desk.end("nobody"), Some((None, "no worker is `7`".into())));
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    desk.hear(Event::ChannelClosed { worker });
    let message = Request::SendMessage { message: "m".into(), data: None, workers: None };
    desk.ask("message", message);
    let words = desk.end("message").map(|(_, words)| words).unwrap_or_default();
    assert!(words.ends_with("it has no channel to the daemon"), "{words}");
    desk.ask("unreachable", request);
    assert_eq!(desk.replies("unreachable").len(), 2);
}

#[test]
fn a_state_file_that_cannot_be_written_is_tried_again() {
    let mut desk = Desk::up("");
    let written = |desk: &Desk| desk.count(|action| matches!(action, Action::Persist { .. }));
    desk.pass(Duration::from_secs(60));
    let before = written(&desk);
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.pass(Duration::from_millis(99));
    assert_eq!(written(&desk), before + 1, "the first failure is free");
    desk.pass(Duration::from_millis(1));
    assert_eq!(written(&desk), before + 2);
    desk.hear(Event::Persisted { result: Ok(()) });
    desk.pass(Duration::from_secs(60));
    assert_eq!(written(&desk), before + 2);
}

#[test]
fn a_worker_that_is_not_ready_is_told_apart_by_what_it_lacks() {
    let words = |ready: &str, event: Option<fn(WorkerId) -> Event>| {
        let mut desk = Desk::new(&format!("[options]\nready = '{ready}'\nonlineTimeout = 1000"));
        let worker = desk.spawned.first().copied();
        let Some(worker) = worker else { panic!("no worker") };
        // It does not answer what is asked of the kernel unless the event says so.
        if let Some(event) = event {
            desk.hear(event(worker));
        }
        desk.pass(Duration::from_secs(1));
        let vacant = desk.supervisor.status().vacant;
        vacant.first().and_then(|vacant| vacant.reason.clone()).unwrap_or_default()
    };
    let late = |why: &str| format!("it was not online within 1000 ms (options.onlineTimeout){why}");
    let silent = ": it reported nothing; `nodesockd.listen()` does, or see `options.ready`";
    assert_eq!(words("report", None), late(silent));
    assert_eq!(words("notify", None), late(": it sent no READY=1 to NOTIFY_SOCKET"));
    assert_eq!(words("listen", None), late(": nobody listens on its socket"));
    let listens = |worker| Event::QueueMeasured { worker, queue: Queue::Length(0) };
    assert_eq!(words("listen", Some(listens)), "");
    assert_eq!(words("http", Some(listens)), late(": GET / was not answered"));
}

/// A daemon in the midst of things, about to hand off: a worker is a spare, one is booting, a request waits for a worker and
/// a restart for the next program.
fn handed_off() -> Handoff {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    desk.pass(Duration::from_secs(1));
    desk.hear(Event::Exited { worker, status: ExitStatus::Code(1) });
    desk.ask("q", Request::SendRequest { request: "ping".into(), data: None, workers: Some("1".into()) });
    let options = StartOptions { suspended: true, progress: true, ..StartOptions::default() };
    desk.ask("r", Request::Restart { options, version: Some("99.0.0".into()) });
    desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
    desk.hear(Event::Frozen);
    match desk.orders.pop() {
        Some(Action::HandOff { handoff }) => *handoff,
        other => panic!("{other:?}"),
    }
}

fn handoffs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handoffs")
}

/// What this version hands off is kept in a file. Once the version is released, that must not change any more: a later
/// program has to read it. `UPDATE_HANDOFF=1` writes it anew until then.
#[test]
fn what_this_version_hands_off_is_kept_as_test_data() {
    let file = handoffs().join("3.0.0.json");
    let now = serde_json::to_value(handed_off()).unwrap_or_default();
    if std::env::var_os("UPDATE_HANDOFF").is_some() {
        let text = serde_json::to_string_pretty(&now).unwrap_or_default();
        std::fs::write(&file, text + "\n").unwrap_or_else(|error| panic!("{error}"));
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}"));
    let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    assert_eq!(now, kept);
}

/// Fields that some other version adds, in every object.
fn from_another_version(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(from_another_version);
            // A map from names to things has no room for a field, an enum's variant neither.
            if fields.contains_key("version") || fields.contains_key("seat") {
                fields.insert("added".into(), Value::Bool(true));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(from_another_version),
        _ => {}
    }
}

#[test]
fn what_any_version_has_handed_off_is_taken_over() {
    let files = std::fs::read_dir(handoffs()).unwrap_or_else(|error| panic!("{error}"));
    let files: Vec<_> = files.flatten().collect();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
        from_another_version(&mut value);
        let handoff: Handoff = serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(handoff.validate(), Ok(()));
        let config = config("workers = 2\nstandby = 1");
        assert_eq!(handoff.refuses(&config), None);
        let daemon = Daemon { version: "99.0.0".into(), pid: 1, boot: BootId(2), manager: None };
        let now = Time::ZERO + Duration::from_secs(2);
        let supervisor = Supervisor::take_over(config.clone(), daemon, handoff, now);
        let mut desk =
            Desk { supervisor, now, config, orders: Vec::new(), spawned: Vec::new(), stuck: false };
        desk.obey();
        assert_eq!(desk.supervisor.check().map_err(|violation| violation.to_string()), Ok(()));
        // The restart that was waited for is done, by new workers that are suspended.
        let suspended = desk.spawned.clone();
        for worker in suspended {
            desk.hear(Event::Received { worker, message: FromWorker::Online { suspended: true } });
        }
        // The one that was booting cannot be told to go.
        let signalled = |action: &Action| match action {
            Action::Signal { worker, .. } => Some(*worker),
            _ => None,
        };
        let signalled: Vec<WorkerId> = desk.orders.iter().filter_map(signalled).collect();
        for worker in signalled {
            desk.hear(Event::Exited { worker, status: ExitStatus::Signal(15) });
        }
        let last = desk.replies("r").pop();
        assert!(last.as_ref().is_some_and(|reply| reply.done && reply.errors.is_empty()), "{last:?}");
        assert!(desk.supervisor.status().suspended);
        // The request to a worker that went with the restart was answered, one way or the other.
        assert_eq!(desk.replies("q").iter().filter(|reply| reply.done).count(), 1);
    }
}
