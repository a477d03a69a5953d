//! A suspension ends by itself, if whoever asked for it has said so.

use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::expiry::{Ending, Expiry};
use nodesockd_core::wire::{Code, Request, StartOptions, ToWorker, WorkerState};

use super::adoption::follow;
use super::desk::{Desk, restart, suspended};
use super::handoff::upgraded;
use super::log::warnings;

const MINUTE: Duration = Duration::from_secs(60);

fn expiring(then: Ending) -> Request {
    restart(StartOptions { expiry: Some(Expiry { after: 10 * MINUTE, then }), ..suspended() })
}

/// An app of one slot whose worker `b` of release 2 is suspended, and nothing else is alive.
fn held(then: Ending) -> Desk {
    let mut desk = Desk::up("");
    desk.current = "2";
    desk.ask("r", expiring(then));
    desk.online(desk.worker(1));
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("r"), Some((None, String::new())));
    desk.story();
    desk
}

fn states(desk: &Desk) -> Vec<WorkerState> {
    desk.supervisor.status().workers.into_iter().map(|row| row.state).collect()
}

/// The folder in which the worker that was started last runs.
fn folder(desk: &Desk) -> Option<String> {
    let spawned = |action: &Action| match action {
        Action::Spawn(order) => Some(order.cwd.display().to_string()),
        _ => None,
    };
    desk.orders.iter().rev().find_map(spawned)
}

fn rolls_back(desk: &mut Desk) {
    assert_eq!(folder(desk).as_deref(), Some("/srv/releases/1"));
    let last = desk.worker(desk.spawned.len() - 1);
    desk.online(last);
    let rows = desk.supervisor.status().workers;
    let row = rows.iter().find(|row| row.id == last).map(|row| (row.state, row.slot.map(|slot| slot.0)));
    assert_eq!(row, Some((WorkerState::Online, Some(0))));
    assert!(!desk.supervisor.status().suspended);
}

#[test]
fn a_suspension_that_nobody_ends_is_resumed() {
    let mut desk = held(Ending::Resume);
    desk.pass(9 * MINUTE);
    assert_eq!(states(&desk), [WorkerState::Suspended]);
    let lines = warnings(|| desk.pass(MINUTE));
    assert!(
        lines.iter().any(|line| line
            .contains("nobody has ended the suspension within 600 s (--for): the app is resumed now")),
        "{lines:?}"
    );
    assert!(desk.story().contains(&"tell b resume".to_owned()));
    assert!(!desk.supervisor.status().suspended);
}

#[test]
fn a_suspension_that_nobody_ends_gives_way_to_the_old_release() {
    let mut desk = held(Ending::Rollback);
    desk.pass(10 * MINUTE);
    rolls_back(&mut desk);
    desk.pass(100 * MINUTE);
    assert_eq!(desk.spawned.len(), 3, "that happens once");
}

#[test]
fn time_begins_when_no_active_worker_is_left() {
    let mut desk = Desk::up("options.shutdownTimeout = 3600000\noptions.drainTimeout = 1000");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.current = "2";
    desk.ask("r", expiring(Ending::Resume));
    desk.online(desk.worker(1));
    desk.pass(30 * MINUTE);
    assert_eq!(desk.end("r"), None, "the old worker finishes");
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("r"), Some((None, String::new())));
    desk.pass(9 * MINUTE);
    assert!(desk.supervisor.status().suspended);
    desk.pass(MINUTE);
    assert!(!desk.supervisor.status().suspended);
}

#[test]
fn whoever_ends_the_suspension_in_time_is_not_disturbed() {
    for end in [Request::Resume, restart(StartOptions::default()), restart(suspended())] {
        let mut desk = held(Ending::Rollback);
        desk.pass(9 * MINUTE);
        desk.ask("e", end.clone());
        desk.all_online();
        let count = desk.spawned.len();
        desk.pass(30 * MINUTE);
        assert_eq!(desk.spawned.len(), count, "{end:?}");
        assert_eq!(desk.supervisor.status().suspended, end == restart(suspended()), "{end:?}");
    }
}

#[test]
fn an_operation_in_progress_is_waited_for() {
    let mut desk = held(Ending::Rollback);
    desk.pass(10 * MINUTE - Duration::from_millis(1));
    desk.ask("w", Request::SetStandby { count: 1 });
    desk.pass(Duration::from_secs(2));
    assert_eq!(desk.spawned.len(), 3, "only the standby is started");
    desk.online(desk.worker(2));
    desk.pass(Duration::from_secs(1));
    assert_eq!(folder(&desk).as_deref(), Some("/srv/releases/1"));
}

#[test]
fn a_hot_fix_goes_back_to_what_served_before_both() {
    let mut desk = held(Ending::Resume);
    desk.current = "3";
    desk.ask("again", expiring(Ending::Rollback));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(1));
    desk.pass(10 * MINUTE);
    rolls_back(&mut desk);
}

#[test]
fn there_has_to_be_a_release_to_go_back_to() {
    let mut desk = Desk::up("");
    desk.ask("r", expiring(Ending::Rollback));
    let (code, words) = desk.end("r").unwrap();
    assert_eq!(code, Some(Code::Usage));
    assert!(words.contains("/srv/releases/1 served before, too"), "{words}");
    assert_eq!(desk.spawned.len(), 1, "nothing is started");
    desk.current = "2";
    desk.ask("again", expiring(Ending::Rollback));
    assert_eq!(desk.spawned.len(), 2, "the next operation can begin");
}

#[test]
fn an_old_release_that_does_not_start_leaves_the_decision_to_a_person() {
    let mut desk = held(Ending::Rollback);
    desk.pass(10 * MINUTE);
    for _ in 0..10 {
        if desk.supervisor.status().note.is_none() {
            desk.exit(desk.worker(desk.spawned.len() - 1));
        }
    }
    let status = desk.supervisor.status();
    let note = status.note.unwrap_or_default();
    assert!(note.contains("the old release cannot be started"), "{note}");
    assert!(note.contains("the app stays suspended; when you know what the data is like"), "{note}");
    assert!(status.suspended && status.suspension.unwrap().ends.is_none());
    let count = desk.spawned.len();
    desk.pass(100 * MINUTE);
    assert_eq!(desk.spawned.len(), count, "that is tried once");
    desk.ask("e", Request::Resume);
    assert_eq!(desk.supervisor.status().note, None);
}

#[test]
fn the_next_daemon_ends_it_as_well() {
    let mut before = held(Ending::Rollback);
    before.pass(5 * MINUTE);
    let mut after = follow(&before, |_| {});
    after.pass(4 * MINUTE);
    assert!(after.supervisor.status().suspended);
    after.pass(MINUTE);
    rolls_back(&mut after);

    let mut newer = upgraded(before);
    newer.pass(5 * MINUTE);
    rolls_back(&mut newer);
}

#[test]
fn status_says_when_it_ends_and_how() {
    let mut desk = held(Ending::Rollback);
    let ends = |desk: &Desk| desk.supervisor.status().suspension.and_then(|suspension| suspension.ends);
    assert_eq!(ends(&desk), Some((desk.now + 10 * MINUTE, Ending::Rollback)));
    let lines = warnings(|| desk.pass(6 * MINUTE));
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("if nobody ends that, the old release is started again in 5.0 min")),
        "{lines:?}"
    );
}
