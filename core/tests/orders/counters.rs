//! What is counted: by whom it is known, and what outlives workers and daemons.

use std::time::Duration;

use nodesockd_core::event::ExitStatus;
use nodesockd_core::history::Outcome;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::metrics::{Level, Metrics, Traffic};
use nodesockd_core::state::Entry;
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{FromWorker, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event};

use super::adoption::{adopt, left};
use super::desk::{Desk, config, restart, suspended, up};
use super::handoff::upgraded;

const KEYS: &str = "workers = 2\nmetrics = 'metrics.sock'";

/// The worker says that it has answered so many requests.
fn counted(desk: &mut Desk, nth: usize, requests: u64) {
    let traffic = Traffic { requests: vec![0, requests], ..Traffic::default() };
    let message = FromWorker::Counted { traffic: Box::new(traffic), level: Level::default() };
    let worker = desk.worker(nth);
    desk.hear(Event::Received { worker, message });
}

fn numbers(desk: &Desk) -> Metrics {
    desk.supervisor.metrics()
}

fn requests(desk: &Desk) -> u64 {
    numbers(desk).traffic.total()
}

#[test]
fn what_a_worker_says_is_written_down_when_somebody_asks() {
    let mut desk = up(KEYS);
    let writes = desk.files.len();
    counted(&mut desk, 0, 10);
    assert_eq!((requests(&desk), desk.files.len()), (10, writes), "nobody was told");
    desk.ask("m", Request::Metrics);
    let said: Vec<u64> =
        desk.state_file().unwrap().workers.iter().map(|worker| worker.traffic.total()).collect();
    assert_eq!(said.iter().sum::<u64>(), 10);
    desk.ask("n", Request::Metrics);
    assert_eq!(desk.files.len(), writes + 1, "nothing new was told");
    let mut next = adopt(&desk, &desk.config, left(&desk));
    let writes = next.files.len();
    next.ask("o", Request::Metrics);
    assert_eq!(next.files.len(), writes, "nothing new, by the next daemon");
}

#[test]
fn what_was_told_does_not_fall_when_the_daemon_and_a_worker_die() {
    let mut before = up(KEYS);
    counted(&mut before, 0, 10);
    counted(&mut before, 1, 5);
    before.ask("m", Request::Metrics);
    counted(&mut before, 1, 6);
    let (dead, mut left) = (before.worker(0), left(&before));
    left.survivors.retain(|survivor| survivor.id != dead);
    let desk = adopt(&before, &before.config, left);
    let numbers = numbers(&desk);
    assert_eq!((numbers.traffic.total(), numbers.deaths["unseen"]), (15, 1));
    assert_eq!(numbers.started - 1, numbers.workers.len() as u64);
}

#[test]
fn the_last_words_of_a_worker_count_also_after_its_exit() {
    let mut desk = up(KEYS);
    desk.leaves = |action| matches!(action, Action::Reap { .. });
    counted(&mut desk, 0, 3);
    let worker = desk.worker(0);
    desk.hear(Event::Exited { worker, status: ExitStatus::Code(1) });
    counted(&mut desk, 0, 5);
    counted(&mut desk, 0, 4);
    assert_eq!((requests(&desk), numbers(&desk).deaths["exited"]), (5, 1));
    desk.hear(Event::Reaped { worker });
    assert_eq!(requests(&desk), 5);
}

#[test]
fn the_next_program_goes_on_counting() {
    let mut desk = up(KEYS);
    counted(&mut desk, 0, 7);
    let worker = desk.worker(1);
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(9) });
    let before = numbers(&desk);
    let after = numbers(&upgraded(desk));
    assert_eq!(after.traffic, before.traffic);
    assert_eq!((after.started, &after.deaths), (before.started, &before.deaths));
}

#[test]
fn a_slot_is_not_served_from_the_death_of_its_worker_until_the_next_one_serves() {
    let mut desk = up("");
    assert_eq!(numbers(&desk).takeovers.count(), 0, "the start is none");
    desk.exit(desk.worker(0));
    assert_eq!((numbers(&desk).unserved, numbers(&desk).takeovers.count()), (1, 0));
    desk.pass(Duration::from_millis(40));
    desk.all_online();
    let numbers = numbers(&desk);
    assert_eq!((numbers.unserved, numbers.takeovers.count(), numbers.takeovers.sum), (0, 1, 40_000));
}

#[test]
fn the_time_of_all_suspensions_is_counted() {
    let mut desk = up("");
    let counted = |desk: &Desk| (numbers(desk).suspended, numbers(desk).suspended_ms);
    for (nth, before) in [0, 20_000].into_iter().enumerate() {
        desk.pass(Duration::from_secs(7));
        desk.ask(&format!("s{nth}"), restart(suspended()));
        desk.all_online();
        desk.pass(Duration::from_secs(15));
        assert_eq!(counted(&desk), (true, before + 15_000));
        desk.pass(Duration::from_secs(5));
        desk.ask(&format!("r{nth}"), Request::Resume);
        desk.pass(Duration::from_secs(3));
        assert_eq!(counted(&desk), (false, before + 20_000));
    }
    assert_eq!(counted(&upgraded(desk)), (false, 40_000), "the next program goes on");
}

#[test]
fn workers_that_know_how_are_told_to_count_when_the_configuration_says_so() {
    let mut desk = up("");
    let message = FromWorker::Online {
        pid: None,
        suspended: false,
        heartbeat: false,
        leads: None,
        counts: Some(false),
    };
    desk.hear(Event::Received { worker: desk.worker(0), message });
    let told = |desk: &Desk| {
        let count =
            |action: &Action| matches!(action, Action::Tell { message: ToWorker::Count { on: true }, .. });
        desk.orders.iter().filter(|action| count(action)).count()
    };
    assert_eq!(told(&desk), 0);
    desk.config = config("metrics = 'metrics.sock'");
    desk.ask("r", Request::Reload);
    assert_eq!(told(&desk), 1);
}

#[test]
fn operations_are_counted_by_their_outcome() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    let counted = |desk: &Desk| {
        let numbers = numbers(desk);
        (numbers.operations["restart"]["done"], numbers.operations["deploy"]["failed"])
    };
    assert_eq!(counted(&desk), (1, 0));
    let outcomes = |what: &str| numbers(&desk).operations[what].len();
    assert_eq!((outcomes("restart"), outcomes("deploy")), (2, Outcome::ALL.len()), "0 is told of these");
    assert_eq!(counted(&adopt(&desk, &desk.config, left(&desk))), (1, 0), "the next daemon goes on");
    assert_eq!(counted(&upgraded(desk)), (1, 0), "the next program goes on");
}

#[test]
fn a_link_that_is_seen_before_it_is_known_to_be_made_again_counts_as_such() {
    let mut desk = up(KEYS);
    let link = desk.config.socket_file.link(SlotIndex(0));
    let socket = desk.socket(0);
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.sees(&link, Sight::Nothing);
    desk.sees(&link, Sight::Link(socket));
    desk.published(0, 0, Ok(()));
    assert_eq!(numbers(&desk).links_repaired, 1);
}

#[test]
fn a_link_that_was_made_again_is_written_down_when_somebody_asks() {
    let mut desk = up(KEYS);
    let link = desk.config.socket_file.link(SlotIndex(0));
    desk.sees(&link, Sight::Nothing);
    let written = |desk: &Desk| desk.state_file().unwrap().counters.links_repaired;
    let (before, writes) = (written(&desk), desk.files.len());
    desk.ask("m", Request::Metrics);
    assert_eq!((before, written(&desk), numbers(&desk).links_repaired), (0, 1, 1));
    assert_eq!(desk.files.len(), writes + 1);
    desk.ask("n", Request::Metrics);
    assert_eq!(desk.files.len(), writes + 1);
}

#[test]
fn a_state_file_that_is_written_anew_holds_what_was_counted() {
    let mut desk = up("");
    for _ in 0..100 {
        desk.exit(*desk.spawned.last().unwrap());
        desk.pass(Duration::from_secs(60));
        desk.online(*desk.spawned.last().unwrap());
    }
    let whole = |action: &Action| match action {
        Action::Persist { entry: Some(Entry::Whole(state)) } => Some(state.counters.started),
        _ => None,
    };
    let started: Vec<u64> = desk.orders.iter().filter_map(whole).collect();
    assert!(started.is_sorted() && started.last() > Some(&50), "{started:?}");
}

#[test]
fn what_a_worker_has_at_this_moment_is_told_of_that_worker_also_by_the_next_program() {
    let mut desk = up(KEYS);
    let level = Level { in_flight: 3, heap_used: 40, heap_limit: 100 };
    let worker = desk.worker(1);
    let message = FromWorker::Counted { traffic: Box::default(), level };
    desk.hear(Event::Received { worker, message });
    let levels = |desk: &Desk| numbers(desk).workers.iter().map(|worker| worker.level).collect::<Vec<_>>();
    assert_eq!(levels(&desk), [None, Some(level)]);
    assert_eq!(levels(&upgraded(desk)), [None, Some(level)]);
}
