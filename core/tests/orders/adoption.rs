//! A daemon that follows one that died: by the state file and the links that it left, and nothing else.

use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::event::{Caller, DaemonSignal};
use nodesockd_core::id::{BootId, ConnId, Process, SlotIndex, WorkerId};
use nodesockd_core::state::{FoundLink, Leftovers, RecordedStage, State, Survivor};
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::wire::{Claim, FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event, Supervisor};

use super::desk::{Desk, NOTHING, restart, suspended};

/// What a daemon leaves that dies now.
pub fn left(desk: &Desk) -> Leftovers {
    let state = desk.state_file().unwrap_or_else(|| panic!("no state file"));
    let survivor = |record: &nodesockd_core::state::WorkerRecord| {
        record.process.map(|process| Survivor { id: record.id, process })
    };
    let survivors = state.workers.iter().filter_map(survivor).collect();
    let owned = desk.supervisor.status().workers.into_iter().filter_map(|row| Some((row.slot?, row.id)));
    let socket = |worker| state.worker(worker).and_then(|record| record.socket.clone()).unwrap_or_default();
    let link =
        |(slot, worker)| FoundLink { slot, name: desk.config.socket_file.link(slot), socket: socket(worker) };
    let links = owned.map(link).collect();
    Leftovers { state: Some(state), survivors, links, command: None, history: Vec::new() }
}

/// The next daemon. Its workers have the names that they had.
pub fn adopt(before: &Desk, config: &Config, left: Leftovers) -> Desk {
    let daemon = Daemon {
        version: "3.0.0".into(),
        pid: 2,
        boot: BootId(2),
        manager: None,
        release: None,
        stderr: Terminal::Yes,
    };
    let supervisor = Supervisor::adopt(config.clone(), daemon, left, before.now);
    let mut desk = Desk::after(before, supervisor, config.clone());
    desk.obey();
    desk
}

/// What another daemon makes of what this one leaves, if the state file says something else of some workers.
pub fn follow(before: &Desk, change: impl Fn(&mut State)) -> Desk {
    let mut left = left(before);
    left.state.iter_mut().for_each(change);
    adopt(before, &before.config, left)
}

pub fn stage(state: &mut State, id: WorkerId, stage: RecordedStage) {
    state.workers.iter_mut().filter(|record| record.id == id).for_each(|record| record.stage = stage);
}

/// Other workers serve after a restart; those of before do not hear that they are to go.
pub fn leaving(keys: &str) -> Desk {
    let mut desk = Desk::up(keys);
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    desk
}

/// A process of which nothing is known but its identity.
fn caller(pid: u32) -> Caller {
    let process = Process { pid, started: 1 };
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

/// A worker reports to the daemon that is not its first.
pub fn report(desk: &mut Desk, nth: usize, suspended: bool) {
    says(desk, nth, FromWorker::online(suspended));
}

/// The same, in these words.
pub fn says(desk: &mut Desk, nth: usize, message: FromWorker) {
    let (worker, pid) = (desk.worker(nth), u32::try_from(nth).unwrap_or(0) + 101);
    desk.hear(Event::Claimed {
        conn: ConnId(10 + u64::from(pid)),
        caller: Some(caller(pid)),
        claims: Some(Claim { worker, pid: Some(pid) }),
        message,
    });
}

pub fn states(desk: &Desk) -> Vec<(Option<u32>, WorkerState)> {
    let rows = desk.supervisor.status().workers;
    rows.into_iter().map(|row| (row.slot.map(|slot| slot.0), row.state)).collect()
}

#[test]
fn who_serves_goes_on_and_nobody_is_started() {
    let before = Desk::up("workers = 2\nstandby = 1");
    let mut desk = follow(&before, |_| {});
    assert_eq!(desk.story(), NOTHING);
    assert_eq!(states(&desk), states(&before));
    for nth in 0..3 {
        report(&mut desk, nth, nth == 2);
    }
    assert_eq!(desk.supervisor.pending(), None);
    // They can be told things again.
    desk.ask("s", Request::Stop);
    let told: Vec<_> = desk.story().into_iter().filter(|order| order.starts_with("tell")).collect();
    assert_eq!(told, ["tell c shutdown", "tell a shutdown", "tell b shutdown"]);
}

#[test]
fn worker_of_a_daemon_that_counted_no_generations_is_of_none() {
    let before = Desk::up("");
    let desk = follow(&before, |state| state.workers[0].generation = 0);
    assert_eq!(desk.supervisor.status().workers[0].generation, None);
}

#[test]
fn a_worker_that_a_link_names_is_ready_whatever_the_state_file_says() {
    let before = Desk::up("");
    for said in [RecordedStage::Booting, RecordedStage::Online, RecordedStage::Draining] {
        let desk = follow(&before, |state| stage(state, before.worker(0), said));
        assert_eq!(states(&desk), [(Some(0), WorkerState::Online)], "{said:?}");
    }
    let desk = follow(&before, |state| stage(state, before.worker(0), RecordedStage::BootingSuspended));
    assert_eq!(states(&desk), [(Some(0), WorkerState::Suspended)]);
}

#[test]
fn a_mute_worker_that_a_link_names_counts_as_resumed() {
    // Its daemon has died between link and resume, and it will never report.
    let before = Desk::up("workers = 1\nslots = 2");
    let worker = before.worker(0);
    let mut desk = follow(&before, |state| {
        stage(state, worker, RecordedStage::Suspended);
        state.workers.iter_mut().for_each(|record| record.mute = true);
    });
    assert_eq!(states(&desk), [(Some(0), WorkerState::Online)]);
    assert_eq!(desk.story(), ["link 1 to a"]);
}

#[test]
fn a_standby_takes_over_with_the_socket_of_an_earlier_daemon() {
    let before = Desk::up("standby = 1\n[options]\nlisten = 'daemon'");
    let mut desk = follow(&before, |_| {});
    assert_eq!(desk.story(), [] as [&str; 0]);
    report(&mut desk, 1, true);
    desk.exit(desk.worker(0));
    let orders = desk.story();
    assert!(orders.contains(&"link 0 to b".to_owned()), "{orders:?}");
    assert!(orders.contains(&"tell b resume".to_owned()), "{orders:?}");
    assert!(orders.contains(&"start c".to_owned()), "the next spare: {orders:?}");
}

#[test]
fn a_standby_that_does_not_report_when_it_is_needed_is_not_waited_for() {
    let before = Desk::up("standby = 1");
    let mut desk = follow(&before, |_| {});
    desk.exit(desk.worker(0));
    let orders = desk.story();
    assert!(
        !orders.iter().any(|order| order.starts_with("start")),
        "its report may be on its way: {orders:?}"
    );
    desk.pass(Duration::from_secs(1));
    let orders = desk.story();
    assert!(orders.contains(&"start c".to_owned()), "{orders:?}");
    // It reports after all, and the new worker takes long to boot.
    report(&mut desk, 1, true);
    desk.pass(Duration::from_secs(1));
    let orders = desk.story();
    assert!(orders.contains(&"link 0 to b".to_owned()), "{orders:?}");
}

#[test]
fn a_standby_of_an_earlier_daemon_is_replaced_when_there_is_a_slot_that_it_cannot_take() {
    let before = Desk::up("standby = 1\n[options]\nlisten = 'daemon'");
    let mut desk = follow(&before, |_| {});
    report(&mut desk, 1, true);
    desk.ask("r", Request::SetWorkers { count: 2.try_into().unwrap() });
    assert_eq!(desk.story(), ["listen for 1", "start c"]);
    desk.online(desk.worker(2));
    let orders = desk.story();
    assert!(orders.contains(&"tell b shutdown".to_owned()), "{orders:?}");
    assert!(orders.contains(&"start d".to_owned()), "{orders:?}");
}

#[test]
fn a_socket_that_two_workers_inherited_is_removed_with_the_last_of_them() {
    let before = leaving("[options]\nlisten = 'daemon'");
    let mut desk = follow(&before, |_| {});
    desk.exit(desk.worker(0));
    assert!(!desk.story().contains(&"close 0".to_owned()));
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    report(&mut desk, 1, false);
    desk.exit(desk.worker(1));
    assert!(desk.story().contains(&"close 0".to_owned()));
}

#[test]
fn a_stranger_is_not_taken_for_a_worker() {
    let before = Desk::up("");
    let mut desk = follow(&before, |_| {});
    let claims = Some(Claim { worker: desk.worker(0), pid: Some(101) });
    let claim = |pid: Option<u32>, claims| Event::Claimed {
        conn: ConnId(7),
        caller: pid.map(caller),
        claims,
        message: FromWorker::Broken { reason: None },
    };
    for (pid, claims) in [(Some(999), claims), (None, claims), (Some(101), None)] {
        desk.hear(claim(pid, claims));
        assert_eq!(states(&desk), [(Some(0), WorkerState::Online)]);
    }
    desk.hear(claim(Some(101), claims));
    assert_eq!(states(&desk)[0], (Some(0), WorkerState::Broken));
}

#[test]
fn a_worker_that_waits_to_be_resumed_is_or_makes_the_app_suspended() {
    let reported = |state: Option<()>, nth: usize, waits: bool| {
        let before = Desk::up("workers = 2\nstandby = 1");
        let mut left = left(&before);
        left.state = left.state.filter(|_| state.is_some());
        let mut desk = adopt(&before, &before.config, left);
        desk.story();
        report(&mut desk, nth, waits);
        (desk.supervisor.status().suspended, desk.story().contains(&"tell a resume".to_owned()))
    };
    // By the state file the app is active: the last daemon was about to resume it.
    assert_eq!(reported(Some(()), 0, true), (false, true));
    assert_eq!(reported(Some(()), 2, true), (false, false));
    // Nobody knows, but the worker.
    assert_eq!(reported(None, 0, true), (true, false));
    assert_eq!(reported(None, 0, false), (false, false));
    assert_eq!(reported(None, 2, true), (false, false));

    let mut before = Desk::up("workers = 2");
    before.ask("r", restart(suspended()));
    before.all_online();
    let mut desk = follow(&before, |_| {});
    desk.story();
    report(&mut desk, 2, true);
    assert_eq!(desk.story(), NOTHING);
    assert!(desk.supervisor.status().suspended);
}

#[test]
fn a_worker_that_reported_is_known_by_its_connection_until_that_ends() {
    let mut desk = follow(&Desk::up(""), |_| {});
    report(&mut desk, 0, false);
    let conn = ConnId(111);
    let message = |text: &str| Request::SendMessage { message: text.into(), data: None, workers: None };
    desk.ask("heard", message("a"));
    assert_eq!(desk.end("heard"), Some((None, String::new())));
    let broken = FromWorker::Broken { reason: None };
    desk.hear(Event::Claimed { conn, caller: None, claims: None, message: broken });
    assert_eq!(states(&desk)[0], (Some(0), WorkerState::Broken));

    desk.hear(Event::Disconnected { conn });
    desk.ask("not heard", message("b"));
    let words = desk.end("not heard").map(|(_, words)| words).unwrap_or_default();
    assert!(words.ends_with("it has no channel to the daemon"), "{words}");
}

#[test]
fn a_worker_that_boots_while_its_daemon_dies_is_still_bound_to_wait() {
    let mut before = Desk::up("");
    before.ask("r", restart(suspended()));
    before.all_online();
    before.exit(before.worker(1));
    let mut desk = follow(&before, |_| {});
    report(&mut desk, 2, false);
    let waits = |state| state == WorkerState::Running || state == WorkerState::Terminating;
    assert!(
        states(&desk).into_iter().all(|(slot, state)| slot.is_none() && waits(state)),
        "{:?}",
        states(&desk)
    );

    let recorded = |desk: &Desk| left(desk).state.map(|state| state.workers).unwrap_or_default();
    let stages: Vec<_> = recorded(&Desk::new("standby = 1")).iter().map(|record| record.stage).collect();
    assert_eq!(stages, [RecordedStage::Booting, RecordedStage::BootingSuspended]);
}

#[test]
fn a_worker_has_its_own_slot_although_only_the_link_of_another_names_it() {
    let before = Desk::up("workers = 1\nslots = 2");
    let mut left = left(&before);
    let other = |link: &FoundLink| {
        let slot = SlotIndex(1);
        FoundLink { slot, name: before.config.socket_file.link(slot), ..link.clone() }
    };
    left.links = left.links.iter().take(1).map(other).collect();
    let mut desk = adopt(&before, &before.config, left);
    assert_eq!(desk.story(), ["link 0 to a"]);
    assert_eq!(states(&desk), [(Some(0), WorkerState::Online)]);
    assert_eq!(desk.supervisor.status().spare, [(SlotIndex(1), Some(desk.worker(0)))]);
}
