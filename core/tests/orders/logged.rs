//! Where the sink writes what workers write, and what it labels that with.

use nodesockd_core::action::{Destination, Route, SpawnOrder};
use nodesockd_core::config::{Config, Log};
use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::id::SlotIndex;
use nodesockd_core::wire::{Request, StartOptions};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, config, is_spawn, restart};

const LOG: &str = "workers = 2\nstandby = 1\n[log]\ndir = 'log'";

fn log(config: &Config) -> Vec<Log> {
    config.log.iter().cloned().collect()
}

fn reload(desk: &mut Desk, keys: &str) {
    desk.config = config(keys);
    desk.ask("reload", Request::Reload);
}

fn directed(desk: &Desk) -> Vec<Log> {
    let directed = desk.orders.iter().filter_map(|action| match action {
        Action::DirectLog { log } => Some(log.clone()),
        _ => None,
    });
    directed.collect()
}

fn labels(desk: &Desk) -> Vec<(usize, u32)> {
    let labels = desk.orders.iter().filter_map(|action| match action {
        Action::LabelOutput { worker, slot } => {
            Some((desk.spawned.iter().position(|spawned| spawned == worker)?, slot.0))
        }
        _ => None,
    });
    labels.collect()
}

#[test]
fn both_streams_of_a_worker_go_to_the_log() {
    let desk = Desk::up(LOG);
    let to_log = |order: &SpawnOrder| {
        [&order.stdout, &order.stderr].map(|route| *route == Route::Sink(Destination::Log))
    };
    let orders = desk.orders.iter().filter_map(|action| match action {
        Action::Spawn(order) => Some(to_log(order)),
        _ => None,
    });
    assert_eq!(orders.collect::<Vec<_>>(), [[true; 2]; 3]);
    assert_eq!(directed(&desk), [], "it is told when it is started");
    let started = Action::StartSink { log: config(LOG).log };
    assert_eq!(desk.count(|action| *action == started), 1);
}

#[test]
fn the_sink_is_told_who_serves_which_slot() {
    let mut desk = Desk::up(LOG);
    desk.hear(Event::SinkReady { version: "3.0.0".into() });
    assert_eq!(labels(&desk), [(0, 0), (1, 1)]);
    // The standby takes the place of a worker, and another standby is started.
    desk.orders.clear();
    let first = desk.worker(0);
    desk.exit(first);
    assert_eq!(labels(&desk), [(2, 0)]);
    // One that is started again is told again.
    desk.orders.clear();
    desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
    desk.pass(std::time::Duration::from_secs(60));
    let mut told = labels(&desk);
    told.sort_unstable();
    assert_eq!(told, [(1, 1), (2, 0)]);
    assert!(!labels(&desk).contains(&(3, SlotIndex(0).0)));
}

#[test]
fn a_sink_that_ends_is_started_again_until_the_daemon_quits() {
    let starts = |action: &Action| matches!(action, Action::StartSink { .. });
    for (quits, started) in [(false, 1), (true, 0)] {
        let mut desk = Desk::up(LOG);
        desk.leaves = |action| matches!(action, Action::Tell { .. });
        if quits {
            desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
        }
        desk.orders.clear();
        desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
        desk.pass(std::time::Duration::from_secs(1));
        assert_eq!(desk.count(starts), started, "quits: {quits}");
    }
}

#[test]
fn other_settings_hold_without_other_workers() {
    let mut desk = Desk::up(LOG);
    let before = desk.spawned.len();
    desk.orders.clear();
    for keys in ["rotate = '1M'", "keep = 3", "format = 'json'"] {
        let keys = format!("{LOG}\n{keys}");
        reload(&mut desk, &keys);
        assert_eq!(directed(&desk), log(&config(&keys)), "{keys}");
        desk.orders.clear();
    }
    assert_eq!(desk.spawned.len(), before);
    reload(&mut desk, "workers = 2\nstandby = 1");
    assert_eq!(desk.spawned.len(), 2 * before, "workers write elsewhere");
    assert_eq!(directed(&desk), [], "the old ones go on as before");
}

#[test]
fn a_restart_that_may_fail_leaves_the_log_where_it_is() {
    let mut desk = Desk::up(LOG);
    desk.orders.clear();
    let changed = LOG.replace("'log'", "'elsewhere'") + "\n[options]\nready = 'notify'";
    reload(&mut desk, &changed);
    assert_eq!(desk.spawned.len(), 6);
    assert_eq!(directed(&desk), [], "the old workers still serve");
    let new = desk.worker(3);
    desk.exit(new);
    assert_eq!(directed(&desk), []);
    desk.ask("restart", restart(StartOptions::default()));
    assert_eq!(directed(&desk), []);
}

#[test]
fn a_sink_of_another_version_is_upgraded_once() {
    let mut desk = Desk::up(LOG);
    let upgrades = |desk: &Desk| desk.count(|action| *action == Action::UpgradeSink);
    desk.hear(Event::SinkReady { version: "3.0.0".into() });
    assert_eq!(upgrades(&desk), 0);
    desk.hear(Event::SinkReady { version: "2.9.0".into() });
    assert_eq!(upgrades(&desk), 1);
    // It could not.
    desk.hear(Event::SinkReady { version: "2.9.0".into() });
    assert_eq!(upgrades(&desk), 1);
    desk.pass(std::time::Duration::from_secs(60));
    assert_eq!(desk.count(|action| *action == Action::KillSink), 0);
}

#[test]
fn new_workers_that_begin_to_write_to_a_log_find_it() {
    let mut desk = Desk::up("");
    desk.orders.clear();
    reload(&mut desk, LOG);
    let position = |what: &dyn Fn(&Action) -> bool| desk.orders.iter().position(what).unwrap();
    let sink = Action::StartSink { log: config(LOG).log };
    assert!(position(&|action| *action == sink) < position(&is_spawn));
}
