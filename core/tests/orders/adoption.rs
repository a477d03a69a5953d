//! A daemon that follows one that died: by the state file and the links that it left, and nothing else.

use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::event::{Caller, DaemonSignal, Failure};
use nodesockd_core::id::{BootId, ConnId, Process, SlotIndex, WorkerId};
use nodesockd_core::state::{FoundLink, Leftovers, RecordedStage, State, Survivor};
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::wire::{Claim, FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event, Supervisor};

use super::desk::{Desk, NOTHING, config, newer, restart, set_workers, suspended};

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

fn stage(state: &mut State, id: WorkerId, stage: RecordedStage) {
    state.workers.iter_mut().filter(|record| record.id == id).for_each(|record| record.stage = stage);
}

/// Other workers serve after a restart; those of before do not hear that they are to go.
fn leaving(keys: &str) -> Desk {
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

/// The links whose removal was ordered, by name.
fn removed_links(desk: &Desk) -> Vec<&str> {
    desk.orders
        .iter()
        .filter_map(
            |action| if let Action::Withdraw { link, .. } = action { Some(link.as_str()) } else { None },
        )
        .collect()
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
fn a_restart_that_the_next_daemon_finishes_counts_as_a_generation() {
    let mut before = Desk::up("workers = 2");
    before.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    before.ask("r", restart(StartOptions::default()));
    before.all_online();
    let generation = before.supervisor.status().generation;
    let mut left = left(&before);
    left.links[0].socket = before.socket(2);
    let desk = adopt(&before, &before.config, left);
    assert_eq!(desk.supervisor.status().generation, generation + 1);
}

#[test]
fn an_interrupted_restart_without_a_generation_leaves_the_next_daemon_at_its_own() {
    let mut before = Desk::up("");
    before.leaves = |action| matches!(action, Action::Publish { .. });
    before.ask("r", restart(StartOptions::default()));
    before.all_online();
    let mut left = left(&before);
    left.state.as_mut().unwrap().rollout.as_mut().unwrap().generation = 0;
    left.links[0].socket = before.socket(1);
    let desk = adopt(&before, &before.config, left);
    assert_eq!(desk.supervisor.status().generation, before.supervisor.status().generation);
}

#[test]
fn links_get_the_names_of_today() {
    let before = Desk::up("workers = 2");
    let today = config("workers = 2\nsocketFile = 'web.{worker}'");
    let mut desk = adopt(&before, &today, left(&before));
    let swept = |action: &Action| match action {
        Action::Sweep { pattern } => Some(pattern.to_string()),
        _ => None,
    };
    let swept: Vec<String> = desk.orders.iter().filter_map(swept).collect();
    assert_eq!(swept, ["app.{worker}.sock", "web.{worker}"]);
    assert_eq!(desk.story(), ["link 0 to a", "link 1 to b", "remove link 0", "remove link 1"]);

    // The last daemon had come half the way.
    let mut left = left(&before);
    let again = |link: &FoundLink| FoundLink { name: today.socket_file.link(link.slot), ..link.clone() };
    let new: Vec<FoundLink> = left.links.iter().take(1).map(again).collect();
    left.links.extend(new);
    let mut desk = adopt(&before, &today, left);
    assert_eq!(removed_links(&desk), ["app.0.sock", "app.1.sock"]);
    assert_eq!(desk.story(), ["remove link 0", "link 1 to b", "remove link 1"]);
}

#[test]
fn links_of_another_name_are_removed_when_a_reload_is_finished() {
    let mut before = Desk::up("workers = 2");
    let today = config("workers = 2\nsocketFile = 'web.{worker}'");
    before.config = today.clone();
    before.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    before.ask("r", Request::Reload);
    before.all_online();
    let mut left = left(&before);
    let link = |slot: u32, name: &str, nth: usize| FoundLink {
        slot: SlotIndex(slot),
        name: name.into(),
        socket: before.socket(nth),
    };
    left.links = vec![link(0, "web.0", 2), link(0, "app.0.sock", 0), link(1, "app.1.sock", 1)];
    let desk = adopt(&before, &today, left);
    assert_eq!(removed_links(&desk), ["app.0.sock", "app.1.sock"]);
}

#[test]
fn each_former_name_of_links_is_remembered_once() {
    let mut desk = Desk::up("");
    for name in ["web.{worker}", "app.{worker}.sock", "web.{worker}", "app.{worker}.sock"] {
        desk.config = config(&format!("socketFile = '{name}'"));
        desk.ask(name, Request::Reload);
        desk.all_online();
    }
    assert_eq!(desk.state_file().unwrap().socket_files, ["app.{worker}.sock", "web.{worker}"]);
}

#[test]
fn a_link_by_the_name_of_today_is_led_to_the_worker_of_another_name_in_one_step() {
    let before = leaving("");
    // The last daemon was about to give the links another name, and is to keep this one.
    let today = config("socketFile = 'web.{worker}'");
    let mut left = left(&before);
    let socket = before.socket(0);
    let name = today.socket_file.link(SlotIndex(0));
    left.links.push(FoundLink { slot: SlotIndex(0), name: name.clone(), socket });
    let desk = adopt(&before, &today, left);
    let links = |action: &Action| match action {
        Action::Publish { link, .. } => Some(format!("swap {link}")),
        Action::Withdraw { link, .. } => Some(format!("remove {link}")),
        _ => None,
    };
    let links: Vec<String> = desk.orders.iter().filter_map(links).collect();
    assert_eq!(links, [format!("swap {name}"), "remove app.0.sock".to_owned()]);
}

#[test]
fn a_worker_that_was_leaving_is_told_so_again_and_is_no_failure() {
    let mut before = leaving("");
    before.leaves = |_| false;
    let mut desk = follow(&before, |_| {});
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    assert_eq!(desk.story(), NOTHING);
    assert_eq!(states(&desk), [(Some(0), WorkerState::Online), (None, WorkerState::Terminating)]);
    report(&mut desk, 0, false);
    assert_eq!(desk.story(), ["tell a shutdown"]);
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a", "remove socket of a"]);
    // The first failure of the slot is the one that comes now: it costs nothing.
    desk.exit(desk.worker(1));
    assert!(desk.story().contains(&"start c".to_owned()));

    // Nor is a standby's end one.
    let before = leaving("standby = 1");
    let mut desk = follow(&before, |_| {});
    desk.exit(desk.worker(1));
    desk.story();
    desk.exit(desk.worker(3));
    assert!(desk.story().contains(&"start e".to_owned()));

    // It takes no place of another one.
    for standbys in 1..4 {
        let mut before = Desk::up(&format!("standby = {standbys}"));
        before.leaves = |action| matches!(action, Action::Tell { .. });
        before
            .hear(Event::Received { worker: before.worker(1), message: FromWorker::Broken { reason: None } });
        let mut desk = follow(&before, |_| {});
        assert_eq!(desk.story(), NOTHING, "{standbys}");
        let leaving = states(&desk).into_iter().filter(|(_, state)| *state == WorkerState::Terminating);
        assert_eq!(leaving.count(), 1, "{standbys}");
    }
}

#[test]
fn a_worker_that_was_leaving_and_hears_nothing_gets_sigterm_again() {
    let mut before = Desk::up("[options]\nready = 'notify'");
    before.ask("r", restart(StartOptions::default()));
    before.hear(Event::Notified { worker: before.worker(1) });
    assert_eq!(before.count(|action| matches!(action, Action::Terminate { again: false, .. })), 1);

    let mut desk = follow(&before, |_| {});
    assert_eq!(desk.story(), ["SIGTERM to a"]);
    // Only who accepts gets that one: a worker that does not yet accept has heard nothing so far.
    desk.pass(Duration::from_millis(9_999));
    assert_eq!(desk.story(), NOTHING);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.story(), ["SIGTERM to a"]);
    desk.pass(Duration::from_millis(14_999));
    assert_eq!(desk.story(), NOTHING);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.story(), ["SIGKILL to a"]);
    // It serves, and needs no channel for that.
    assert_eq!(states(&desk).first(), Some(&(Some(0), WorkerState::Online)));
}

#[test]
fn a_mute_worker_that_accepts_no_more_may_have_had_its_signal_from_an_earlier_daemon() {
    let before = Desk::up("workers = 2\n[options]\nready = 'notify'");
    let mut left = left(&before);
    left.state = None;
    left.links.pop();
    let desk = adopt(&before, &before.config, left);
    // What it answers is not cut off.
    assert_eq!(desk.count(|action| matches!(action, Action::Terminate { again: true, .. })), 1);
    assert_eq!(desk.count(|action| matches!(action, Action::Terminate { again: false, .. })), 0);
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
fn a_worker_that_may_have_served_is_drained_before_it_goes() {
    let before = Desk::up("workers = 2");
    // It lost its link to another one.
    let mut left = left(&before);
    left.links.pop();
    let mut desk = adopt(&before, &before.config, left);
    desk.story();
    report(&mut desk, 1, false);
    desk.ask("s", Request::Stop);
    assert!(desk.story().contains(&"look at b".to_owned()));

    // One that booted when its daemon died has not served.
    let before = Desk::new("standby = 1");
    let mut desk = follow(&before, |_| {});
    report(&mut desk, 0, false);
    report(&mut desk, 1, true);
    desk.story();
    desk.ask("s", Request::SetStandby { count: 0 });
    assert_eq!(desk.story(), ["tell b shutdown", "reap b", "remove socket of b"]);
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
fn a_restart_that_had_not_begun_to_swap_is_undone() {
    let mut before = Desk::up("workers = 2\nstandby = 1");
    before.ask("r", restart(StartOptions::default()));
    before.online(before.worker(3));
    let mut desk = follow(&before, |_| {});
    assert_eq!(
        desk.supervisor.status().note.as_deref(),
        Some("a restart was interrupted by the end of an earlier daemon; it was undone")
    );
    let serving: Vec<_> =
        desk.supervisor.status().workers.iter().filter(|row| row.slot.is_some()).map(|row| row.id).collect();
    assert_eq!(serving, [desk.worker(0), desk.worker(1)]);
    for nth in 0..6 {
        report(&mut desk, nth, nth == 2);
    }
    let told: Vec<_> = desk.story().into_iter().filter(|order| order.starts_with("tell")).collect();
    assert_eq!(told, ["tell d shutdown", "tell e shutdown", "tell f shutdown"]);
    desk.pass(Duration::from_secs(30));
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn no_new_worker_outlives_a_restart_that_is_undone() {
    let mut before = Desk::up("standby = 1");
    before.ask("r", restart(StartOptions::default()));
    before.online(before.worker(3));
    // The old standby died with its daemon.
    let mut left = left(&before);
    left.survivors.retain(|survivor| survivor.id != before.worker(1));
    let mut desk = adopt(&before, &before.config, left);
    report(&mut desk, 0, false);
    report(&mut desk, 2, false);
    report(&mut desk, 3, true);
    desk.online(desk.worker(4));
    desk.pass(Duration::from_secs(30));
    let all: Vec<_> = desk.supervisor.status().workers.iter().map(|row| row.id).collect();
    assert_eq!(all, [desk.worker(0), desk.worker(4)]);
}

#[test]
fn a_restart_that_had_begun_to_swap_is_finished() {
    let mut before = Desk::up("workers = 2\nstandby = 1");
    before.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    before.ask("r", restart(suspended()));
    before.all_online();
    let mut left = left(&before);
    // The first of two links was swapped.
    let link = |slot, worker| FoundLink {
        slot: SlotIndex(slot),
        name: before.config.socket_file.link(SlotIndex(slot)),
        socket: before.config.socket_file.socket(before.worker(worker)),
    };
    left.links = vec![link(0, 3), link(1, 1)];
    let mut desk = adopt(&before, &before.config, left);
    assert_eq!(
        desk.supervisor.status().note.as_deref(),
        Some("a restart was interrupted by the end of an earlier daemon; it is being finished")
    );
    assert!(desk.supervisor.status().suspended);
    for nth in 0..6 {
        report(&mut desk, nth, nth > 1);
    }
    let orders = desk.story();
    let linked: Vec<_> = orders.iter().filter(|order| order.starts_with("link")).collect();
    assert_eq!(linked, ["link 1 to e"]);
    desk.pass(Duration::from_secs(30));
    assert_eq!(desk.supervisor.pending(), None);
    let all: Vec<_> = desk.supervisor.status().workers.iter().map(|row| row.id).collect();
    assert_eq!(all, [desk.worker(3), desk.worker(4), desk.worker(5)]);
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
    let mut before = Desk::up("[options]\nlisten = 'daemon'");
    before.leaves = |action| matches!(action, Action::Tell { .. });
    before.ask("r", restart(StartOptions::default()));
    before.online(before.worker(1));
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
fn a_worker_whose_resume_was_not_recorded_is_replaced_by_what_is_in_progress() {
    let mut before = Desk::up("workers = 2");
    before.ask("r", restart(suspended()));
    before.all_online();
    let left = left(&before);
    before.ask("q", Request::Resume);
    for asked in [restart(suspended()), Request::SetStandby { count: 1 }] {
        let mut desk = adopt(&before, &before.config, left.clone());
        desk.ask("q", asked);
        report(&mut desk, 2, false);
        report(&mut desk, 3, false);
        for _ in 0..3 {
            desk.pass(Duration::from_secs(1));
            (4..desk.spawned.len()).for_each(|nth| desk.online(desk.worker(nth)));
        }
        let status = desk.supervisor.status();
        let serving = status.workers.iter().filter(|row| row.slot.is_some());
        assert!(status.suspended && serving.clone().count() == 2);
        assert!(serving.into_iter().all(|row| row.state == WorkerState::Suspended), "{status:#?}");
    }
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

#[test]
fn no_other_slot_is_served_by_a_worker_that_was_leaving() {
    let before = Desk::up("workers = 1\nslots = 2");
    let mut left = left(&before);
    let name = before.config.socket_file.link(SlotIndex(1));
    let other = FoundLink { slot: SlotIndex(1), name: name.clone(), ..left.links[0].clone() };
    left.links.push(other);
    left.state.iter_mut().for_each(|state| stage(state, before.worker(0), RecordedStage::Leaving));
    let supervisor = Supervisor::adopt(before.config.clone(), newer(), left, before.now);
    let mut desk = Desk::after(&before, supervisor, before.config.clone());
    desk.leaves = |action| matches!(action, Action::Withdraw { .. });
    desk.obey();
    assert_eq!(desk.story(), ["start b", "remove link 0", "remove link 1"]);
    let failed = Event::Withdrawn { slot: SlotIndex(1), link: name, result: Err(Failure("EBUSY".into())) };
    desk.hear(failed.clone());
    desk.hear(failed);
    assert_eq!(desk.story(), ["remove link 1"]);
}

#[test]
fn a_suspended_worker_that_is_to_go_still_serves_for_others_if_it_is_the_last_that_can() {
    let mut before = Desk::up("workers = 2\nslots = 4");
    before.ask("r", restart(suspended()));
    before.all_online();
    before.leaves = |action| matches!(action, Action::Publish { slot, .. } if slot.0 != 1);
    before.ask("w", set_workers(1));
    before.exit(before.worker(2));
    let (mut left, last) = (left(&before), before.worker(3));
    let record = left.state.as_ref().and_then(|state| state.worker(last)).cloned();
    let socket = record.as_ref().and_then(|record| record.socket.clone()).unwrap_or_default();
    assert_eq!(record.map(|record| (record.stage, record.suspended)), Some((RecordedStage::Draining, true)));
    let link = |slot| FoundLink { slot, name: before.config.socket_file.link(slot), socket: socket.clone() };
    left.links = (0..4).map(SlotIndex).map(link).collect();
    let mut desk = adopt(&before, &before.config, left);
    assert_eq!(desk.story(), NOTHING);
}

#[test]
fn a_worker_that_was_booting_for_all_that_is_known_is_drained() {
    let mut before = Desk::up("");
    before.ask("r", restart(StartOptions::default()));
    let mut desk = follow(&before, |_| {});
    let story = desk.story();
    assert!(story.contains(&"look at b".to_owned()), "{story:?}");
    assert!(!story.contains(&"SIGTERM to b".to_owned()), "{story:?}");
}
