//! Processes that report on the control socket and that this daemon has not started: workers of a 2.x daemon, or liars.

use std::time::Duration;

use nodesockd_core::event::{Caller, Event};
use nodesockd_core::id::{BootId, ConnId, Ids, Process, SlotIndex, WorkerId};
use nodesockd_core::state::{FoundLink, Leftovers};
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::wire::{Claim, FromWorker, Request, ToWorker, WorkerState};
use nodesockd_core::{Action, Supervisor, Time};

use super::desk::{Desk, config};

const CONN: ConnId = ConnId(9);
const PID: u32 = 4711;

/// A worker that a 2.x daemon left.
struct Survivor {
    id: WorkerId,
    socket: String,
}

impl Survivor {
    fn new() -> Self {
        let id = Ids::new(BootId(7)).worker();
        Self { id, socket: config("").socket_file.socket(id) }
    }

    fn link(&self, slot: u32) -> FoundLink {
        FoundLink { slot: SlotIndex(slot), name: format!("app.{slot}.sock"), socket: self.socket.clone() }
    }

    /// What the kernel says of it.
    fn caller(&self, link: Option<FoundLink>) -> Caller {
        Caller {
            process: Process { pid: PID, started: 1 },
            own_user: true,
            leads: true,
            family: Vec::new(),
            worker: Some(self.id),
            socket: Some(self.socket.clone()),
            link,
        }
    }

    fn reports(&self, caller: Option<Caller>) -> Event {
        self.says(caller, FromWorker::online(false))
    }

    fn says(&self, caller: Option<Caller>, message: FromWorker) -> Event {
        let claims = Some(Claim { worker: self.id, pid: Some(PID) });
        Event::Claimed { conn: CONN, caller, claims, message }
    }
}

/// A daemon that has just started, and found links but no workers.
fn daemon(keys: &str, links: Vec<FoundLink>) -> Desk {
    let daemon = Daemon {
        version: "3.0.0".into(),
        pid: 2,
        boot: BootId(2),
        manager: None,
        release: None,
        stderr: Terminal::Yes,
    };
    let left = Leftovers { state: None, survivors: Vec::new(), links, command: None, history: Vec::new() };
    let supervisor = Supervisor::adopt(config(keys), daemon, left, Time::ZERO);
    Desk::of(supervisor, config(keys), Time::ZERO)
}

fn rows(desk: &Desk) -> Vec<(WorkerId, Option<u32>, WorkerState)> {
    let rows = desk.supervisor.status().workers;
    rows.into_iter().map(|row| (row.id, row.slot.map(|slot| slot.0), row.state)).collect()
}

#[test]
fn reported_worker_keeps_the_slot_whose_link_names_its_socket() {
    let left = Survivor::new();
    let mut desk = daemon("workers = 2", vec![left.link(1)]);
    assert_eq!(desk.story(), ["start a", "start b"]);
    desk.hear(left.reports(Some(left.caller(Some(left.link(1))))));
    // The worker that boots for its slot is not needed, and it serves behind the other link as well.
    assert_eq!(desk.story(), ["watch ?", "SIGTERM to b", "link 0 to ?"]);
    desk.online(desk.worker(0));
    assert_eq!(desk.story(), ["link 0 to a"]);
    assert!(rows(&desk).contains(&(left.id, Some(1), WorkerState::Online)), "{:?}", rows(&desk));
    let written =
        desk.supervisor.status().workers.iter().find(|row| row.id == left.id).and_then(|row| row.pid);
    assert_eq!(written, Some(PID));

    // It is a worker like others: it can be told things, and is replaced when it dies.
    desk.ask("m", Request::SendMessage { message: "hello".into(), data: None, workers: None });
    assert!(desk.story().contains(&"tell ? app-msg".to_owned()));
    desk.exit(left.id);
    let orders = desk.story();
    assert!(orders.contains(&"start c".to_owned()), "{orders:?}");
    assert!(orders.contains(&"reap ?".to_owned()), "{orders:?}");
}

#[test]
fn reported_worker_does_not_take_a_slot_whose_link_was_led_to_a_neighbour() {
    let left = Survivor::new();
    let mut desk = daemon("workers = 2", vec![left.link(1)]);
    desk.online(desk.worker(0));
    assert_eq!(desk.story()[2..], ["link 0 to a", "link 1 to a"]);
    // The kernel was asked for the link before.
    desk.hear(left.reports(Some(left.caller(Some(left.link(1))))));
    assert_eq!(desk.story(), ["watch ?", "look at ?", "tell ? shutdown", "reap ?", "remove socket of ?"]);
}

#[test]
fn reported_worker_without_a_link_is_drained_and_told_to_shut_down() {
    let left = Survivor::new();
    for link in [None, Some(Survivor { id: left.id, socket: "app.other.sock".into() }.link(0))] {
        let mut desk = daemon("", Vec::new());
        desk.all_online();
        desk.story();
        desk.hear(left.reports(Some(left.caller(link))));
        assert_eq!(desk.story(), ["watch ?", "look at ?", "tell ? shutdown", "reap ?", "remove socket of ?"]);
        assert_eq!(rows(&desk).len(), 1);
    }
}

#[test]
fn reported_worker_does_not_take_a_slot_that_another_worker_has() {
    let left = Survivor::new();
    let mut desk = daemon("", vec![left.link(0)]);
    desk.all_online();
    desk.story();
    // Somebody else has put the old link back.
    desk.hear(left.reports(Some(left.caller(Some(left.link(0))))));
    assert!(desk.story().contains(&"tell ? shutdown".to_owned()));
    assert_eq!(rows(&desk), [(desk.worker(0), Some(0), WorkerState::Online)]);
}

#[test]
fn reported_worker_goes_with_a_daemon_that_quits() {
    let left = Survivor::new();
    let mut desk = daemon("workers = 2", vec![left.link(0)]);
    desk.hear(left.reports(Some(left.caller(Some(left.link(0))))));
    desk.story();
    desk.ask("t", Request::Terminate);
    let orders = desk.story();
    let told = |order: &str| orders.iter().position(|given| given == order);
    assert!(told("remove link 0") < told("look at ?"), "{orders:?}");
    assert!(told("look at ?") < told("tell ? shutdown"), "{orders:?}");
}

#[test]
fn stopped_daemon_ends_the_worker_that_reports() {
    let left = Survivor::new();
    let mut desk = daemon("", vec![left.link(0)]);
    desk.ask("s", Request::Stop);
    desk.pass(Duration::from_secs(60));
    desk.story();
    desk.hear(left.reports(Some(left.caller(Some(left.link(0))))));
    assert_eq!(
        desk.story(),
        ["watch ?", "remove link 0", "look at ?", "tell ? shutdown", "reap ?", "remove socket of ?"]
    );
}

#[test]
fn claims_that_the_kernel_does_not_confirm_are_refused() {
    let left = Survivor::new();
    let other = Survivor { id: Ids::new(BootId(8)).worker(), socket: "app.8.sock".into() };
    let known = || left.caller(Some(left.link(0)));
    let liars: Vec<(&str, Option<Caller>)> = vec![
        ("no process", None),
        ("another pid", Some(Caller { process: Process { pid: 99, started: 1 }, ..known() })),
        ("another user", Some(Caller { own_user: false, ..known() })),
        ("a child of a worker", Some(Caller { leads: false, ..known() })),
        ("another worker", Some(Caller { worker: Some(other.id), ..known() })),
        ("no worker", Some(Caller { worker: None, ..known() })),
        (
            "another worker's socket",
            Some(Caller { socket: Some(config("").socket_file.socket(other.id)), ..known() }),
        ),
        ("a link", Some(Caller { socket: Some("app.0.sock".into()), ..known() })),
        ("another app's socket", Some(Caller { socket: Some(format!("web.{}.sock", left.id)), ..known() })),
        ("no socket", Some(Caller { socket: None, ..known() })),
    ];
    for (what, caller) in liars {
        let mut desk = daemon("", vec![left.link(0)]);
        desk.story();
        desk.hear(left.reports(caller));
        // As under 2.x, it is told to go; nothing is done for it, and nothing to its process.
        assert_eq!(desk.story(), ["tell ? shutdown"], "{what}");
        assert_eq!(rows(&desk), [(desk.worker(0), None, WorkerState::Running)], "{what}");
    }
}

#[test]
fn only_a_worker_that_reports_online_is_adopted() {
    let left = Survivor::new();
    let mut desk = daemon("", vec![left.link(0)]);
    desk.story();
    let caller = Some(left.caller(Some(left.link(0))));
    desk.hear(left.says(caller, FromWorker::Broken { reason: None }));
    assert_eq!(desk.story(), [] as [&str; 0]);
    assert_eq!(rows(&desk).len(), 1);
}

#[test]
fn adopted_worker_is_known_by_its_connection() {
    let left = Survivor::new();
    let mut desk = daemon("", vec![left.link(0)]);
    desk.hear(left.reports(Some(left.caller(Some(left.link(0))))));
    desk.story();
    let broken = FromWorker::Broken { reason: None };
    desk.hear(Event::Claimed { conn: CONN, caller: None, claims: None, message: broken });
    assert!(rows(&desk).contains(&(left.id, Some(0), WorkerState::Broken)), "{:?}", rows(&desk));
    // Another process cannot speak for it.
    let another = Caller { process: Process { pid: PID, started: 2 }, ..left.caller(None) };
    desk.story();
    let claims = Some(Claim { worker: left.id, pid: Some(PID) });
    let message = FromWorker::online(false);
    desk.hear(Event::Claimed { conn: ConnId(10), caller: Some(another), claims, message });
    assert_eq!(desk.story(), [] as [&str; 0]);
}

/// What the kernel says of a process that the desk's first worker, whose pid is `own`, has started.
fn started_by(desk: &Desk, own: Process) -> Caller {
    Caller {
        process: Process { pid: own.pid + 1, started: own.started + 1 },
        own_user: true,
        leads: false,
        family: vec![own],
        worker: Some(desk.worker(0)),
        socket: None,
        link: None,
    }
}

/// A worker that boots, and a process that it has started.
fn wrapped() -> (Desk, Caller) {
    let desk = Desk::new("");
    let own = Process { pid: 101, started: 1 };
    let caller = started_by(&desk, own);
    (desk, caller)
}

/// The process says that it is the worker.
fn claim(desk: &mut Desk, conn: ConnId, caller: Caller) {
    let claims = Some(Claim { worker: desk.worker(0), pid: Some(caller.process.pid) });
    let message = FromWorker::online(false);
    desk.hear(Event::Claimed { conn, caller: Some(caller), claims, message });
}

#[test]
fn process_behind_a_wrapper_speaks_for_the_worker() {
    let (mut desk, caller) = wrapped();
    claim(&mut desk, CONN, caller.clone());
    assert_eq!(rows(&desk), [(desk.worker(0), Some(0), WorkerState::Online)]);
    // By another connection, too; but no other process that the worker has started.
    desk.hear(Event::Disconnected { conn: CONN });
    let other = Caller { process: Process { pid: 77, started: 9 }, ..caller.clone() };
    claim(&mut desk, ConnId(10), other);
    claim(&mut desk, ConnId(11), caller);
    desk.story();
    desk.ask("t", Request::Terminate);
    let told = |action: &Action| match action {
        Action::Tell { over, message: ToWorker::Shutdown, .. } => Some(*over),
        _ => None,
    };
    assert_eq!(desk.orders.iter().find_map(told), Some(Some(ConnId(11))));
}

#[test]
fn child_of_a_worker_that_has_reported_is_not_believed() {
    let (mut desk, caller) = wrapped();
    let worker = desk.worker(0);
    desk.hear(Event::Received { worker, message: FromWorker::online(false) });
    claim(&mut desk, CONN, caller);
    desk.story();
    desk.ask("t", Request::Terminate);
    let over = |action: &Action| matches!(action, Action::Tell { over: Some(_), .. });
    assert_eq!(desk.count(over), 0);
}

#[test]
fn who_has_spoken_over_a_channel_that_was_handed_on_is_believed() {
    let (mut desk, caller) = wrapped();
    let (worker, pid) = (desk.worker(0), Some(caller.process.pid));
    let message = FromWorker::Online { pid, suspended: false, heartbeat: false, leads: None, counts: None };
    desk.hear(Event::Received { worker, message });
    let over = |desk: &Desk| {
        desk.count(|action: &Action| {
            matches!(action, Action::Tell { over: Some(_), message: ToWorker::Shutdown, .. })
        })
    };
    // No other process that the worker has started, and not that one in somebody else's name.
    let other = Caller { process: Process { pid: 77, started: 9 }, ..caller.clone() };
    for (conn, caller, told) in [
        (CONN, other, 0),
        (ConnId(10), Caller { worker: None, ..caller.clone() }, 0),
        (ConnId(11), Caller { family: Vec::new(), ..caller.clone() }, 0),
        (ConnId(12), caller, 1),
    ] {
        let mut next = super::adoption::follow(&desk, |_| {});
        claim(&mut next, conn, caller);
        next.story();
        next.ask("t", Request::Terminate);
        assert_eq!(over(&next), told, "{conn:?}");
    }
}

#[test]
fn reason_says_who_was_not_believed() {
    for change in [
        |caller: &mut Caller| caller.family.clear(),
        |caller: &mut Caller| caller.own_user = false,
        |caller: &mut Caller| caller.worker = None,
    ] {
        let (mut desk, mut caller) = wrapped();
        change(&mut caller);
        claim(&mut desk, CONN, caller);
        assert_eq!(rows(&desk), [(desk.worker(0), None, WorkerState::Running)]);
        desk.pass(Duration::from_secs(10));
        let vacant = desk.supervisor.status().vacant;
        let reason = vacant.first().and_then(|slot| slot.reason.clone()).unwrap_or_default();
        assert!(reason.contains("reported in its name and is not believed: "), "{reason}");
    }
}

#[test]
fn report_that_is_read_after_the_end_of_its_worker_is_refused() {
    let left = Survivor::new();
    let mut desk = daemon("", vec![left.link(0)]);
    let report = || left.reports(Some(left.caller(Some(left.link(0)))));
    desk.hear(report());
    desk.exit(left.id);
    desk.hear(Event::Reaped { worker: left.id });
    desk.hear(Event::Removed { worker: left.id, result: Ok(()) });
    // Others have ended since.
    (0..5).for_each(|_| {
        desk.exit(desk.spawned.last().copied().unwrap_or(left.id));
        desk.pass(Duration::from_secs(30));
    });
    let before = desk.supervisor.metrics().started;
    desk.story();
    desk.hear(report());
    assert_eq!(desk.story(), ["tell ? shutdown"]);
    assert_eq!(desk.supervisor.metrics().started, before, "no worker has begun");
}

#[test]
fn the_next_daemon_knows_who_speaks_for_a_worker_behind_a_wrapper() {
    let (mut desk, caller) = wrapped();
    claim(&mut desk, CONN, caller.clone());
    let mut next = super::adoption::follow(&desk, |_| {});
    claim(&mut next, ConnId(10), caller);
    next.story();
    next.ask("t", Request::Terminate);
    assert!(next.story().contains(&"tell a shutdown".to_owned()));
}

#[test]
fn child_of_a_worker_that_has_or_may_have_reported_while_it_boots_is_not_believed() {
    let refused = |desk: &mut Desk| {
        let caller = started_by(desk, Process { pid: 101, started: 1 });
        claim(desk, CONN, caller);
        desk.ask("s", Request::SendMessage { message: "a".into(), data: None, workers: None });
        desk.end("s").is_some_and(|(_, words)| !words.is_empty())
    };
    // By another daemon's channel.
    assert!(refused(&mut super::adoption::follow(&Desk::new(""), |_| {})));
    // By its own channel, which does not make it ready.
    let mut desk = Desk::new("[options]\nready = 'notify'");
    let worker = desk.worker(0);
    desk.hear(Event::Received { worker, message: FromWorker::online(false) });
    assert!(refused(&mut desk));
}
