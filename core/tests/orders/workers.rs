//! What workers are started with, and why one counts as failed.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::event::{ExitStatus, Failure, Queue};
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::state::RecordedStage;
use nodesockd_core::survey::{Sight, Survey};
use nodesockd_core::wire::{FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event, Time};

use super::desk::{Desk, is_spawn, restart, suspended, up};

#[test]
fn a_worker_gets_what_it_needs() {
    let desk = Desk::new("nodeArgs = ['--enable-source-maps']\nenv = { A = 'b' }\nname = 'shop'");
    let Some(Action::Spawn(order)) = desk.orders.iter().find(|action| is_spawn(action)) else {
        panic!("none")
    };
    assert_eq!(order.argv, ["node", "--enable-source-maps", "/srv/releases/1/server.js"]);
    let all: Vec<_> = order.set.iter().chain(&order.overrides).collect();
    let value = |name: &str| all.iter().rev().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
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
            let value = |name: &str| {
                order.overrides.iter().find(|(its, _)| its == name).map(|(_, value)| value.clone())
            };
            Some((order.listeners.len(), value("LISTEN_FDS")?, value("LISTEN_FDNAMES")?))
        }
        _ => None,
    };
    let got: Vec<_> = desk.orders.iter().filter_map(names).collect();
    let one = |name: &str| (1, "1".to_owned(), name.to_owned());
    assert_eq!(got, [one("0"), one("1"), (2, "2".to_owned(), "0:1".to_owned())]);
}

#[test]
fn a_worker_is_told_its_slot_and_a_standby_that_it_is_one() {
    let desk = Desk::new("standby = 1\nenv = { SLOT = '{slot}' }");
    let slot = |action: &Action| match action {
        Action::Spawn(order) => {
            order.set.iter().find(|(name, _)| name == "SLOT").map(|(_, value)| value.clone())
        }
        _ => None,
    };
    assert_eq!(desk.orders.iter().filter_map(slot).collect::<Vec<_>>(), ["0", "standby"]);
}

#[test]
fn who_started_the_servers_is_told_by_sigterm_when_these_have_ended() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    let worker = desk.worker(0);
    desk.hear(Event::ServersEnded { worker });
    assert!(!desk.story().contains(&"SIGTERM to a".to_owned()), "it serves");
    desk.ask("s", Request::Stop);
    desk.story();
    desk.hear(Event::ServersEnded { worker });
    assert_eq!(desk.story(), ["SIGTERM to a"]);
}

#[test]
fn a_standby_accepts_from_no_socket_before_it_is_promoted_though_it_inherits_only_one() {
    let desk = Desk::up("standby = 1\n[options]\nlisten = 'daemon'");
    assert_eq!((desk.record(0).socket.is_some(), desk.record(1).socket), (true, None));
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

#[test]
fn a_spawn_that_fails_says_so_for_its_slot() {
    let mut desk = Desk::new("");
    desk.leaves = is_spawn;
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

fn states(desk: &Desk) -> Vec<WorkerState> {
    desk.supervisor.status().workers.iter().map(|row| row.state).collect()
}

#[test]
fn each_process_has_the_time_that_creating_one_may_take() {
    let mut desk = Desk::up("");
    desk.leaves = is_spawn;
    desk.ask("two", Request::SetWorkers { count: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN) });
    // They are created one after the other.
    for nth in [1, 2] {
        desk.pass(Duration::from_millis(1500));
        let process = Process { pid: 200, started: 1 };
        desk.hear(Event::Spawned { worker: desk.worker(nth), result: Ok(process) });
    }
    desk.online(desk.worker(1));
    desk.online(desk.worker(2));
    assert_eq!(desk.end("two"), Some((None, String::new())));

    // The process was there in time, but the daemon hears of it too late.
    desk.ask("late", restart(StartOptions::default()));
    desk.now = desk.now + Duration::from_millis(2001);
    let process = Process { pid: 201, started: 1 };
    desk.hear(Event::Spawned { worker: desk.worker(3), result: Ok(process) });
    let words = desk.end("late").map(|(_, words)| words).unwrap_or_default();
    assert!(words.ends_with("was not created within 2000 ms (options.spawnTimeout)"), "{words}");
}

#[test]
fn no_worker_of_a_suspended_app_may_come_up_active() {
    let active = |worker| Event::Received { worker, message: FromWorker::online(false) };
    let why = "it came up active although it was started suspended; its app must wait for `resume`";

    // In the restart that suspends the app.
    let mut desk = Desk::up("");
    desk.ask("r", restart(suspended()));
    desk.story();
    desk.hear(active(desk.worker(1)));
    assert_eq!(desk.story(), ["SIGTERM to b"]);

    // Later, in the place of one that died.
    let mut desk = Desk::up("");
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.exit(desk.worker(1));
    desk.hear(active(desk.worker(2)));
    let reasons = desk.supervisor.status().vacant.into_iter().filter_map(|vacant| vacant.reason);
    assert_eq!(reasons.collect::<Vec<_>>(), [why]);

    // What has begun to accept may answer what it took.
    let mut desk = Desk::up("[options]\nlisten = 'daemon'");
    desk.ask("r", restart(suspended()));
    desk.story();
    desk.hear(active(desk.worker(1)));
    assert_eq!(desk.story(), ["tell b shutdown", "reap b"]);

    // Those that end the suspension may, although all that inherit a socket are started suspended.
    let mut desk = Desk::up("[options]\nlisten = 'daemon'");
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.ask("back", restart(StartOptions::default()));
    desk.hear(active(desk.worker(2)));
    assert_eq!(desk.end("back"), Some((None, String::new())));
}

#[test]
fn a_broken_worker_serves_until_it_is_replaced_if_it_serves_at_all() {
    let broken = |worker| Event::Received {
        worker,
        message: FromWorker::Broken { reason: Some("no\nmemory".into()) },
    };
    let mut desk = Desk::up("standby = 0");
    desk.orders.clear();
    desk.hear(broken(desk.worker(0)));
    assert_eq!((desk.story(), states(&desk)[0]), (vec!["start b".to_owned()], WorkerState::Broken));
    desk.online(desk.worker(1));
    assert_eq!(desk.story()[..2], ["link 0 to b", "look at a"]);

    // A standby is not missed.
    let mut desk = Desk::up("standby = 1");
    desk.orders.clear();
    desk.hear(broken(desk.worker(1)));
    assert_eq!(desk.story(), ["tell b shutdown", "start c", "reap b", "remove socket of b"]);

    // Nor is one that is not to serve yet.
    let mut desk = Desk::up("workers = 2");
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(2));
    desk.hear(broken(desk.worker(2)));
    let words = desk.end("r").map(|(_, words)| words).unwrap_or_default();
    assert!(words.ends_with("it is broken: no\\nmemory"), "{words}");
}

#[test]
fn a_failure_counts_once() {
    let mut desk = Desk::up("");
    desk.breaks(0);
    desk.exit(desk.worker(0));
    let failures: Vec<u32> = desk.supervisor.status().vacant.iter().map(|vacant| vacant.failures).collect();
    assert_eq!(failures, [1]);
}

#[test]
fn a_worker_without_a_channel_serves_but_waits_for_no_resume() {
    let mut desk = Desk::up("standby = 1");
    desk.orders.clear();
    for nth in [0, 1] {
        desk.hear(Event::ChannelClosed { worker: desk.worker(nth) });
    }
    // It may have died, which is known a moment later.
    desk.pass(Duration::from_millis(99));
    assert!(states(&desk).contains(&WorkerState::Suspended));
    desk.pass(Duration::from_millis(1));
    assert_eq!(states(&desk)[0], WorkerState::Online);
    // The standby cannot be told anything: SIGTERM follows when it has had its time.
    desk.pass(Duration::from_secs(10));
    let orders = desk.story();
    assert!(
        orders.contains(&"start c".to_owned()) && orders.contains(&"SIGTERM to b".to_owned()),
        "{orders:?}"
    );
    assert!(!orders.contains(&"SIGTERM to a".to_owned()), "{orders:?}");
}

#[test]
fn one_that_says_nothing_needs_no_channel() {
    let mut desk = Desk::up("standby = 1\n[options]\nready = 'notify'");
    desk.orders.clear();
    desk.hear(Event::ChannelClosed { worker: desk.worker(1) });
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.story(), desk.supervisor.pending()), (Vec::new(), None));
}

#[test]
fn a_queue_is_waited_for_no_longer_than_allowed() {
    let mut desk = Desk::up("[options]\ndrainTimeout = 20");
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    desk.hear(Event::QueueMeasured { worker: desk.worker(0), queue: Queue::Length(0) });
    desk.story();
    desk.pass(Duration::from_millis(19));
    assert_eq!(desk.story(), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.story()[0], "tell a shutdown");
}

#[test]
fn a_worker_that_boots_long_is_looked_at_less_and_less_often() {
    let mut desk = Desk::new("[options]\nready = 'listen'");
    desk.orders.clear();
    let looks = |desk: &mut Desk, ms| {
        desk.pass(Duration::from_millis(ms));
        desk.story().len()
    };
    let looks: Vec<usize> = [1, 2, 4, 8, 16, 32, 64, 100, 1000].map(|ms| looks(&mut desk, ms)).into();
    assert_eq!(looks, [1, 1, 1, 1, 1, 1, 1, 1, 10]);
}

#[test]
fn a_worker_that_binds_its_socket_is_looked_at_at_once_and_soon_again() {
    let mut desk = Desk::new("[options]\nready = 'listen'");
    desk.pass(Duration::from_millis(200));
    desk.orders.clear();
    let socket = desk.config.socket_file.socket(desk.worker(0));
    let bound = Event::Surveyed(Survey { entries: [(socket, Sight::Socket)].into(), ..Survey::default() });
    desk.hear(bound.clone());
    // The desk answers that nobody listens yet.
    assert_eq!(desk.story(), ["look at a"]);
    desk.pass(Duration::from_millis(3));
    assert_eq!(desk.story(), ["look at a", "look at a"]);
    desk.online(desk.worker(0));
    desk.orders.clear();
    desk.hear(bound);
    assert_eq!(desk.story(), [] as [&str; 0]);
}

#[test]
fn a_worker_that_answers_http_is_ready_and_no_sooner() {
    let mut desk = Desk::new("[options]\nready = 'http'\nreadyPath = '/healthy'");
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
    let worker = desk.worker(0);
    desk.pass(Duration::from_millis(10));
    desk.hear(Event::QueueMeasured { worker, queue: Queue::Length(0) });
    let asked =
        |desk: &Desk| desk.count(|action| matches!(action, Action::Probe { path, .. } if path == "/healthy"));
    for (nth, result) in [Ok(503), Err(Failure("ECONNRESET".into())), Ok(300)].into_iter().enumerate() {
        assert_eq!((asked(&desk), states(&desk)), (nth + 1, vec![WorkerState::Running]));
        desk.hear(Event::Probed { worker, result });
        desk.pass(Duration::from_millis(100));
    }
    desk.hear(Event::Probed { worker, result: Ok(204) });
    assert_eq!((asked(&desk), states(&desk)), (4, vec![WorkerState::Online]));
}

#[test]
fn a_worker_that_lives_stays_whatever_becomes_of_socket_files() {
    let mut desk = Desk::up("");
    let worker = desk.worker(0);
    desk.hear(Event::Removed { worker, result: Ok(()) });
    assert_eq!(states(&desk), [WorkerState::Online]);
}

#[test]
fn workers_that_fail_as_soon_as_they_serve_are_not_replaced_as_fast_as_standbys_boot() {
    let mut desk = Desk::up("standby = 1");
    desk.breaks(0);
    assert_eq!(desk.spawned.len(), 3, "the first failure is replaced at once");
    // The next standby boots still.
    desk.breaks(1);
    desk.online(desk.worker(2));
    let serving =
        desk.supervisor.status().workers.into_iter().find(|row| row.slot.is_some()).map(|row| row.id);
    assert_eq!(serving, Some(desk.worker(2)), "a standby takes over at once");
    desk.pass(Duration::from_millis(99));
    assert_eq!(desk.spawned.len(), 3);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.spawned.len(), 4);
}

#[test]
fn a_standby_that_died_is_replaced_before_it_is_cleared_away() {
    let mut desk = up("standby = 1");
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["start c", "reap b", "remove socket of b"]);
}

#[test]
fn a_worker_whose_queue_is_looked_at_is_written_down_as_one_that_serves_until_it_goes() {
    for keys in ["", "options.listen = 'daemon'"] {
        let mut desk = up(keys);
        desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
        desk.ask("s", Request::Stop);
        assert_eq!(desk.story(), ["remove link 0", "look at a"]);
        assert_eq!(desk.record(0).stage, RecordedStage::Draining, "{keys}");
    }
}
