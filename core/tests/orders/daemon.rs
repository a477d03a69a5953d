//! The daemon itself: its signals, its state file, its dev server.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::config::DevAddress;
use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::state::Entry;
use nodesockd_core::survey::Survey;
use nodesockd_core::wire::{Code, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, is_kill, restart};

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
        Action::ServeDev { address, links } => Some((*address, links.join(" "))),
        _ => None,
    };
    let served: Vec<_> = desk.orders.iter().filter_map(served).collect();
    let at = |links: &str| (Some(DevAddress::from(8000)), links.to_owned());
    assert_eq!(served, [at("app.0.sock"), at("app.0.sock app.1.sock"), (None, String::new())]);

    let without = Desk::up("");
    assert_eq!(without.count(|action| matches!(action, Action::ServeDev { .. })), 0);
}

#[test]
fn a_daemon_that_quits_leaves_no_state_file_and_removes_it_once() {
    let mut desk = Desk::up("");
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert!(desk.supervisor.has_quit());
    let removals = desk.files.iter().filter(|file| file.is_none()).count();
    assert_eq!((desk.state_file(), removals), (None, 1));
}

#[test]
fn a_state_file_that_cannot_be_written_is_tried_again() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Persist { .. });
    let written = |desk: &Desk| desk.count(|action| matches!(action, Action::Persist { .. }));
    desk.pass(Duration::from_secs(60));
    let before = written(&desk);
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.pass(Duration::from_millis(99));
    assert_eq!(written(&desk), before + 1, "the first failure is free");
    desk.pass(Duration::from_millis(1));
    assert_eq!(written(&desk), before + 2);
    let last = desk.orders.iter().rev().find(|action| matches!(action, Action::Persist { .. }));
    assert!(
        matches!(last, Some(Action::Persist { entry: Some(Entry::Whole(_)) })),
        "what is there may be torn"
    );
    desk.hear(Event::Persisted { result: Ok(()) });
    desk.pass(Duration::from_secs(60));
    assert_eq!(written(&desk), before + 2);
}

/// How many entries follow one another at most that say what has changed, while one of so many workers fails again and again.
fn longest_journal(workers: usize) -> usize {
    let mut desk = Desk::up(&format!("workers = {workers}"));
    for _ in 0..100 {
        let started = desk.spawned.len();
        desk.exit(desk.worker(started - 1));
        while desk.spawned.len() == started {
            desk.pass(Duration::from_millis(100));
        }
        desk.online(desk.worker(started));
    }
    let is_written = |action: &Action| matches!(action, Action::Persist { .. });
    let is_whole = |action: &Action| matches!(action, Action::Persist { entry: Some(Entry::Whole(_)) });
    assert!(desk.count(is_whole) * 10 < desk.count(is_written));
    let state = desk.state_file().unwrap_or_else(|| panic!("there is none"));
    assert_eq!((state.workers.len(), state.counters.started), (workers, workers as u64 + 100));
    let lines = |orders: &[Action]| orders.iter().filter(|action| is_written(action)).count();
    desk.orders.split(is_whole).map(lines).max().unwrap_or_default()
}

#[test]
fn the_state_file_is_written_anew_before_it_has_grown_to_thrice_its_size() {
    let (few, many) = (longest_journal(2), longest_journal(62));
    assert!(few < 40, "{few}");
    // Twice 60 workers more; most entries count for the worker and for themselves.
    assert!((50..=70).contains(&(many - few)), "{few}, {many}");
}

#[test]
fn folders_that_the_kernel_does_not_watch_are_looked_at_again_and_again() {
    let surveys = |desk: &Desk| desk.count(|action| *action == Action::Survey);
    let mut desk = Desk::up("");
    desk.pass(Duration::from_secs(60));
    assert_eq!(surveys(&desk), 0, "the kernel tells");
    desk.hear(Event::Unwatched { failure: Failure("ENOSPC".into()) });
    for nth in 1..4 {
        desk.pass(Duration::from_secs(10));
        assert_eq!(surveys(&desk), nth);
        desk.hear(Event::Surveyed(Survey { complete: true, ..Survey::default() }));
    }
}

/// A daemon that has been told to quit, and whose workers take their time.
fn quitting() -> Desk {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    desk.orders.clear();
    desk
}

#[test]
fn a_daemon_that_quits_tells_how_it_is_and_does_nothing_else_any_more() {
    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.hear(Event::Signalled { signal: DaemonSignal::Hangup });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(desk.count(loads), 0, "what waits is not begun");

    let mut desk = quitting();
    let one = NonZeroU32::MIN;
    let refused = [
        Request::Stop,
        Request::Start(StartOptions::default()),
        restart(StartOptions::default()),
        Request::Resume,
        Request::SetWorkers { count: one },
        Request::SetStandby { count: 1 },
        Request::Reload,
    ];
    for request in refused {
        let id = format!("{request:?}");
        desk.ask(&id, request);
        assert_eq!(desk.end(&id), Some((Some(Code::Busy), "the daemon is quitting".into())), "{id}");
    }
    for request in [Request::Status, Request::Config, Request::Terminate] {
        let id = format!("{request:?}");
        desk.ask(&id, request);
        assert_eq!(desk.end(&id), Some((None, String::new())), "{id}");
    }
    for signal in [DaemonSignal::Hangup, DaemonSignal::User2] {
        desk.hear(Event::Signalled { signal });
    }
    assert_eq!(desk.count(loads) + desk.count(tries), 0);
}

fn terminates(action: &Action) -> bool {
    matches!(action, Action::Terminate { .. })
}

#[test]
fn daemon_that_has_to_quit_in_time_does_not_wait_for_its_workers_longer() {
    let quitting = |keys: &str| {
        let mut desk = Desk::up(keys);
        desk.leaves =
            |action| terminates(action) || matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
        desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
        desk.pass(Duration::from_millis(1900));
        assert_eq!(desk.count(terminates), 0, "workers have the time that there is");
        desk.pass(Duration::from_millis(100));
        desk
    };
    let mut desk = quitting("[options]\nquitTimeout = 7000");
    assert_eq!(desk.count(terminates), 1);
    desk.pass(Duration::from_millis(4900));
    desk.ask("s", Request::Status);
    assert_eq!(desk.count(is_kill), 0, "whatever happens meanwhile");
    desk.pass(Duration::from_millis(100));
    assert_eq!(desk.count(is_kill), 1);
    desk.exit(desk.worker(0));
    assert!(desk.supervisor.has_quit());
    // A limit that is longer than workers may take changes nothing.
    for keys in ["", "[options]\nquitTimeout = 60000"] {
        assert_eq!(quitting(keys).count(terminates), 0, "{keys}");
    }
}

#[test]
fn daemon_that_has_to_quit_at_once_gives_workers_no_time() {
    let mut desk = Desk::up("workers = 2\n[options]\nquitTimeout = 0");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    desk.pass(Duration::ZERO);
    assert_eq!((desk.count(terminates), desk.count(is_kill)), (2, 2));
}

fn loads(action: &Action) -> bool {
    *action == Action::LoadConfig
}

fn tries(action: &Action) -> bool {
    matches!(action, Action::Preflight { .. })
}

#[test]
fn what_a_signal_asks_for_waits_until_nothing_else_is_in_progress() {
    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions::default()));
    for signal in [DaemonSignal::User2, DaemonSignal::Hangup] {
        desk.hear(Event::Signalled { signal });
    }
    assert_eq!((desk.count(loads), desk.count(tries)), (0, 0));
    desk.all_online();
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!((desk.count(loads), desk.count(tries)), (1, 1));
    desk.hear(Event::Preflighted { result: Err(Failure("there is none".into())) });
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn everybody_who_asks_for_a_stop_is_told_when_it_is_done() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.ask("first", Request::Stop);
    assert_eq!(desk.end("r"), Some((Some(Code::Busy), "a restart was ended by a stop".into())));
    desk.ask("second", Request::Stop);
    assert_eq!((desk.end("first"), desk.end("second")), (None, None));
    for worker in desk.spawned.clone() {
        desk.exit(worker);
    }
    let done = Some((None, String::new()));
    assert_eq!((desk.end("first"), desk.end("second")), (done.clone(), done));
}

#[test]
fn only_a_newer_program_is_an_upgrade() {
    let installed = |version: &str| {
        let mut desk = Desk::up("");
        let options = StartOptions::default();
        desk.ask("r", Request::Restart { options, version: Some("3.1.0".into()) });
        desk.hear(Event::Preflighted { result: Ok(version.into()) });
        (desk.count(|action| *action == Action::Freeze), desk.end("r").map(|(_, words)| words))
    };
    let stays = |version: &str| {
        format!("the daemon stays at version 3.0.0: the installed program is {version}, which is not newer")
    };
    for version in ["2.9.9", "3.0.0", "3.0.0-rc.1", "none"] {
        assert_eq!(installed(version), (0, Some(stays(version))));
    }
    for version in ["3.0.1", "3.1.0", "4.0.0-rc.1"] {
        assert_eq!(installed(version), (1, None));
    }
}

#[test]
fn an_upgrade_that_is_called_off_lets_facts_come_again() {
    let thawed = |frozen: bool| {
        let mut desk = Desk::up("");
        desk.hear(Event::Signalled { signal: DaemonSignal::User2 });
        if frozen {
            desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
        }
        desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
        desk.count(|action| *action == Action::Thaw)
    };
    assert_eq!((thawed(false), thawed(true)), (0, 1));
}
