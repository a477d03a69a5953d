//! A suspension has an owner, and nobody forgets it.

use std::time::Duration;

use nodesockd_core::event::Queue;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::RecordedStage;
use nodesockd_core::wire::{FromWorker, Request, StartOptions, SuspensionStatus, ToWorker};
use nodesockd_core::{Action, Event, Supervisor};

use super::adoption::follow;
use super::desk::{Desk, asker, newer, restart, suspended};
use super::log::warnings;

const MINUTE: Duration = Duration::from_secs(60);

/// An app of two slots whose suspended workers have reported.
fn held(keys: &str) -> Desk {
    let mut desk = Desk::up(&format!("workers = 2\n{keys}"));
    desk.pass(MINUTE);
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk
}

fn status(desk: &Desk) -> Option<SuspensionStatus> {
    desk.supervisor.status().suspension
}

fn counted(desk: &mut Desk, nth: usize, queue: Queue) {
    let worker = desk.worker(nth);
    desk.hear(Event::WaitingCounted { worker, queue });
}

#[test]
fn status_says_who_has_suspended_the_app_and_since_when() {
    let mut desk = held("");
    let begun = desk.now;
    desk.pass(MINUTE);
    let told = status(&desk).unwrap();
    assert_eq!((told.since, told.by), (begun, Some(asker())));
    desk.ask("q", Request::Resume);
    assert_eq!(status(&desk), None);
}

#[test]
fn who_was_told_to_resume_is_written_down_although_nothing_else_happens() {
    let mut desk = held("");
    let stages = |desk: &Desk| {
        let serving = desk.state_file().unwrap_or_else(|| panic!("no state file"));
        serving.workers.iter().map(|record| record.stage).collect::<Vec<_>>()
    };
    assert_eq!(stages(&desk), [RecordedStage::Suspended; 2]);
    // No order has an end that could be heard of.
    desk.leaves = |_| true;
    desk.orders.clear();
    desk.ask("q", Request::Resume);
    assert_eq!(stages(&desk), [RecordedStage::Online; 2]);
    let resumed = |action: &Action| matches!(action, Action::Tell { message: ToWorker::Resume { .. }, .. });
    let first = desk.orders.iter().position(resumed).unwrap_or_default();
    let writes = desk.orders[first..].iter().filter(|action| matches!(action, Action::Persist { .. }));
    assert_eq!(writes.count(), 1, "one for all workers");
}

#[test]
fn a_second_suspended_restart_has_an_owner_of_its_own() {
    let mut desk = held("");
    desk.pass(MINUTE);
    desk.ask("q", restart(suspended()));
    desk.all_online();
    assert_eq!(status(&desk).unwrap().since, desk.now);
}

#[test]
fn requests_that_wait_are_counted_in_accept_queues_and_by_workers() {
    let mut desk = held("");
    let asked = |desk: &Desk| desk.count(|action| matches!(action, Action::CountWaiting { .. }));
    let before = asked(&desk);
    desk.pass(MINUTE);
    assert!(asked(&desk) > before, "accept queues are looked at again and again");
    counted(&mut desk, 2, Queue::Length(3));
    counted(&mut desk, 3, Queue::Full(4097));
    let (worker, pong) = (desk.worker(2), FromWorker::Pong { seq: 1, inspected: false, held: 5 });
    desk.hear(Event::Received { worker, message: pong });
    let told = status(&desk).unwrap();
    assert_eq!((told.waiting, told.full), (4105, vec![SlotIndex(1)]));
    counted(&mut desk, 3, Queue::Length(4096));
    assert_eq!(status(&desk).unwrap().full, []);
}

#[test]
fn only_what_waits_for_workers_that_serve_is_counted() {
    let mut desk = held("standby = 1");
    let spare = desk.spawned.len() - 1;
    let held = FromWorker::Pong { seq: 1, inspected: false, held: 5 };
    desk.hear(Event::Received { worker: desk.worker(spare), message: held });
    assert_eq!(status(&desk).unwrap().waiting, 0, "a standby serves nobody");
    counted(&mut desk, 3, Queue::Length(3));
    assert_eq!(status(&desk).unwrap().waiting, 3);
    desk.exit(desk.worker(3));
    desk.pass(MINUTE);
    assert_eq!(status(&desk).unwrap().waiting, 0, "who waited for a worker that died is gone");
}

#[test]
fn a_full_accept_queue_is_told_once() {
    let mut desk = held("");
    let lines = warnings(|| (0..3).for_each(|_| counted(&mut desk, 2, Queue::Full(4097))));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("4097 connections wait for the suspended worker"), "{lines:?}");
}

#[test]
fn a_suspension_is_told_again_and_again() {
    let mut desk = held("options.suspendWarning = 60000");
    let lines = warnings(|| (0..30).for_each(|_| desk.pass(MINUTE / 10)));
    assert_eq!(lines.len(), 3, "{lines:?}");
    let first = "WARN the app has been suspended for 1.0 min by process 4711 of user 0: `nodesockd restart -s`, and 0 \
                 requests wait";
    assert!(lines[0].starts_with(first), "{lines:?}");
    desk.ask("q", Request::Resume);
    assert_eq!(warnings(|| desk.pass(10 * MINUTE)), [""; 0]);
}

#[test]
fn what_is_in_progress_is_told_in_place_of_a_way_out() {
    let mut desk = held("options.suspendWarning = 5000");
    let lines = warnings(|| {
        desk.ask("q", restart(StartOptions::default()));
        desk.pass(Duration::from_secs(6));
    });
    assert!(lines.iter().any(|line| line.ends_with("requests wait: a restart is in progress")), "{lines:?}");
}

#[test]
fn nobody_is_told_who_does_not_want_to_be() {
    let mut desk = held("options.suspendWarning = 0");
    assert_eq!(warnings(|| desk.pass(100 * MINUTE)), [""; 0]);
}

#[test]
fn the_next_daemon_knows_whose_suspension_it_is() {
    let mut before = held("");
    let told = status(&before).unwrap();
    before.pass(MINUTE);
    let after = follow(&before, |_| {});
    assert_eq!(status(&after).map(|status| (status.since, status.by)), Some((told.since, told.by.clone())));
    let mut undone = follow(&before, |state| state.suspension = None);
    assert_eq!(
        status(&undone).map(|status| status.by),
        Some(None),
        "the file of an older daemon has no owner"
    );
    undone.ask("q", Request::Resume);
    assert_eq!(status(&undone), None);

    let handoff = before.hand_off();
    let heir = Supervisor::take_over(before.config.clone(), newer(), handoff, before.now);
    assert_eq!(heir.status().suspension.map(|status| (status.since, status.by)), Some((told.since, told.by)));
}
