//! Restarts in the midst of which a daemon died: the next one undoes them, or finishes them.

use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::FoundLink;
use nodesockd_core::wire::{Request, StartOptions, WorkerState};

use super::adoption::{adopt, follow, left, report};
use super::desk::{Desk, restart, suspended};

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
