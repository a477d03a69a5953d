//! Workers that are well and have come to a limit.

use std::time::Duration;

use nodesockd_core::event::{Failure, Memory};
use nodesockd_core::wire::{DeployOptions, Request, WorkerState};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, config, is_spawn, restart};

const MIB: u64 = 1 << 20;

/// The memory of the nth worker is measured.
fn measured(desk: &mut Desk, nth: usize, mebibytes: u64) {
    let worker = desk.worker(nth);
    let memory = Memory { resident: mebibytes * MIB, room: 1000 * MIB };
    desk.hear(Event::MemoryMeasured { worker, result: Ok(memory) });
}

#[test]
fn worker_with_too_much_memory_serves_until_its_replacement_does() {
    let mut desk = Desk::up("limits.memory = '100M'");
    desk.pass(Duration::from_secs(11));
    assert!(desk.count(|action| matches!(action, Action::MeasureMemory { .. })) > 0);
    desk.story();
    measured(&mut desk, 0, 100);
    assert!(desk.story().is_empty(), "it may have so much");
    desk.pass(Duration::from_secs(11));
    assert!(desk.count(|action| matches!(action, Action::MeasureMemory { .. })) > 0, "it is measured again");
    desk.story();
    measured(&mut desk, 0, 101);
    assert_eq!(desk.story(), ["start b"]);
    desk.all_online();
    assert_eq!(desk.story().first().map(String::as_str), Some("link 0 to b"));
    let failures = desk.supervisor.status().failures;
    let reasons: Vec<_> = failures.iter().map(|slot| (slot.count, slot.reason.as_str())).collect();
    assert_eq!(reasons, [(1, "it has 101 MiB of memory and may have 100 MiB (limits.memory)")]);
}

#[test]
fn limit_holds_from_the_reload_that_sets_it_to_the_one_that_does_not() {
    let measures = |action: &Action| matches!(action, Action::MeasureMemory { .. });
    let mut desk = Desk::up("");
    for (keys, measured) in [("limits.memory = '100M'", true), ("", false)] {
        desk.orders.clear();
        desk.config = config(keys);
        desk.ask(keys, Request::Reload);
        desk.pass(Duration::from_secs(60));
        assert_eq!(desk.count(measures) > 0, measured, "{keys:?}");
    }
}

#[test]
fn share_is_one_of_what_there_may_be() {
    let mut desk = Desk::up("limits.memory = '10%'");
    desk.story();
    measured(&mut desk, 0, 100);
    assert_eq!(desk.count(is_spawn), 0);
    measured(&mut desk, 0, 101);
    assert_eq!(desk.count(is_spawn), 1);
}

#[test]
fn one_worker_at_a_time_is_replaced_for_a_limit() {
    let mut desk = Desk::up("workers = 3\nlimits.memory = '100M'");
    desk.story();
    for nth in 0..3 {
        measured(&mut desk, nth, 200);
    }
    assert_eq!(desk.count(is_spawn), 1);
    desk.all_online();
    assert_eq!(desk.count(is_spawn), 2, "the first is gone, the next one's turn has come");
    desk.all_online();
    desk.all_online();
    assert_eq!(desk.count(is_spawn), 3);
}

#[test]
fn limit_waits_for_the_end_of_a_restart() {
    let mut desk = Desk::up("workers = 2\nlimits.memory = '100M'");
    desk.ask("again", restart(Default::default()));
    desk.story();
    measured(&mut desk, 0, 200);
    assert_eq!(desk.count(is_spawn), 0);
}

#[test]
fn workers_that_started_together_do_not_age_together() {
    let mut desk = Desk::up("workers = 4\nlimits.age = '100s'");
    desk.story();
    desk.pass(Duration::from_secs(89));
    assert_eq!(desk.count(is_spawn), 0, "at most a tenth is taken off");
    let mut replaced_at = Vec::new();
    for second in 89..=100 {
        let before = desk.count(is_spawn);
        desk.pass(Duration::from_secs(1));
        if desk.count(is_spawn) > before {
            replaced_at.push(second);
        }
        desk.all_online();
    }
    assert!(replaced_at.len() > 1, "{replaced_at:?}");
}

#[test]
fn memory_of_workers_that_started_together_is_not_measured_at_one_moment() {
    let mut desk = Desk::up("workers = 8\nlimits.memory = '100M'");
    let measured = |desk: &Desk| desk.count(|action| matches!(action, Action::MeasureMemory { .. }));
    let by_second: Vec<usize> = (0..10)
        .map(|_| {
            let before = measured(&desk);
            desk.pass(Duration::from_secs(1));
            measured(&desk) - before
        })
        .collect();
    assert_eq!(by_second.iter().sum::<usize>(), 8, "each once within ten seconds");
    assert!(by_second.iter().filter(|count| **count > 0).count() > 3, "{by_second:?}");
}

#[test]
fn link_marks_a_worker_as_one_that_serves() {
    let mut desk = Desk::new("standby = 1");
    let marked = |desk: &Desk| desk.count(|action| matches!(action, Action::MarkServing { .. }));
    assert_eq!(marked(&desk), 0);
    desk.all_online();
    assert_eq!(marked(&desk), 1, "the standby does not serve");
    let worker = desk.worker(0);
    desk.exit(worker);
    assert_eq!(marked(&desk), 2);
}

#[test]
fn age_is_said_in_hours_as_soon_as_there_are_any() {
    for (limit, age) in [("90s", "90 s"), ("1h", "1 h")] {
        let mut desk = Desk::up(&format!("limits.age = '{limit}'"));
        desk.pass(desk.config.limits.age.map_or(Duration::ZERO, |age| age.0));
        let reason = desk.orders.iter().find_map(|action| match action {
            Action::Record(entry) => entry.facts.reason.clone(),
            _ => None,
        });
        let reason = reason.unwrap_or_default();
        assert!(reason.ends_with(&format!(": it has reached the age of {age} (limits.age)")), "{reason}");
    }
}

#[test]
fn a_worker_has_both_limits_at_the_same_time() {
    let mut desk = Desk::up("limits = { memory = '100M', age = '1h' }");
    desk.pass(Duration::from_secs(11));
    measured(&mut desk, 0, 50);
    desk.story();
    desk.pass(Duration::from_secs(3600));
    assert_eq!(desk.story()[0], "start b");
}

#[test]
fn a_worker_that_has_grown_too_old_while_a_deploy_was_watched_is_replaced_when_that_goes_back() {
    let mut desk = Desk::up("limits.age = '100s'");
    desk.pass(Duration::from_secs(80));
    let watch = Duration::from_secs(60);
    desk.ask("d", Request::Deploy(DeployOptions { watch, ..DeployOptions::default() }));
    desk.online(desk.worker(1));
    desk.pass(Duration::from_secs(40));
    desk.breaks(1);
    desk.pass(Duration::from_secs(1));
    let row = desk.supervisor.status().workers[0].clone();
    assert_eq!((row.id, row.state), (desk.worker(0), WorkerState::Broken));
}

#[test]
fn the_next_worker_is_replaced_although_the_socket_of_the_one_before_cannot_be_removed() {
    let mut desk = Desk::up("workers = 2\nlimits.memory = '100M'");
    desk.leaves = |action| matches!(action, Action::Remove { .. });
    measured(&mut desk, 0, 200);
    desk.all_online();
    let result = Err(Failure("it is a folder".into()));
    desk.hear(Event::Removed { worker: desk.worker(0), result });
    desk.story();
    measured(&mut desk, 1, 200);
    assert_eq!(desk.story(), ["start d"]);
}
