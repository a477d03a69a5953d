//! Sockets of an earlier daemon (`options.listen = "daemon"`): only workers that have outlived it can accept from them.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::event::Failure;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::{FoundLink, RecordedStage};
use nodesockd_core::wire::{FromWorker, Request, StartOptions};
use nodesockd_core::{Action, Event};

use super::adoption::{adopt, follow, leaving, left, says};
use super::desk::{Desk, NOTHING, config, restart, set_workers};

/// A daemon whose workers have outlived the one before it, and those of them have reported; the last of all is a standby.
fn next(keys: &str, reported: &[usize]) -> Desk {
    let before = Desk::up(&format!("{keys}\nstandby = 1\n[options]\nlisten = 'daemon'"));
    let spare = before.spawned.len() - 1;
    let mut desk = follow(&before, |_| {});
    for nth in reported {
        says(&mut desk, *nth, FromWorker::online(*nth == spare));
    }
    desk.orders.clear();
    desk
}

fn broken() -> FromWorker {
    FromWorker::Broken { reason: None }
}

#[test]
fn a_socket_for_a_restart_that_fails_is_closed_while_the_earlier_one_serves() {
    let before = Desk::up("[options]\nlisten = 'daemon'");
    let mut desk = follow(&before, |_| {});
    let once = StartOptions { max_attempts: Some(NonZeroU32::MIN), ..StartOptions::default() };
    desk.ask("r", restart(once));
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["listen for 0", "start b", "reap b", "close 0"]);
}

#[test]
fn a_standby_that_was_booting_is_told_to_go_when_it_reports() {
    let before = Desk::new("standby = 1\n[options]\nlisten = 'daemon'");
    let mut desk = follow(&before, |_| {});
    desk.orders.clear();
    desk.ask("s", Request::SetStandby { count: 0 });
    assert_eq!(desk.story(), NOTHING);
    says(&mut desk, 1, FromWorker::online(true));
    assert_eq!(desk.story(), ["tell b shutdown", "reap b"]);
}

#[test]
fn a_worker_that_boots_for_a_restart_that_is_undone_is_not_written_down_as_one_that_served() {
    let mut before = Desk::up("[options]\nlisten = 'daemon'");
    before.ask("r", restart(StartOptions::default()));
    let booting = before.worker(1);
    let mut left = left(&before);
    left.survivors.retain(|survivor| survivor.id == booting);
    let desk = adopt(&before, &before.config, left);
    let written = desk.files.iter().flatten().filter_map(|state| state.worker(booting));
    let stages: Vec<RecordedStage> = written.map(|record| record.stage).collect();
    // The daemon after this one would lead links to it.
    assert!(stages.contains(&RecordedStage::Leaving), "{stages:?}");
    assert!(!stages.contains(&RecordedStage::Draining), "{stages:?}");
}

#[test]
fn a_link_waits_for_no_standby_of_a_restart_that_is_undone() {
    let mut before = Desk::up("standby = 1\n[options]\nlisten = 'daemon'");
    before.ask("r", restart(StartOptions::default()));
    let new = before.worker(3);
    before.online(new);
    let mut left = left(&before);
    left.survivors.retain(|survivor| survivor.id == new);
    let mut desk = adopt(&before, &before.config, left);
    assert_eq!(desk.story(), ["remove link 0", "listen for 0", "start e", "start f"]);
}

#[test]
fn a_socket_that_a_standby_has_stays_while_the_earlier_one_serves() {
    let mut desk = next("", &[0, 1]);
    says(&mut desk, 1, broken());
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["tell b shutdown", "listen for 0", "start c", "reap b"]);
    // The one that is closed is the earlier one.
    desk.exit(desk.worker(0));
    let taken_over = ["link 0 to c", "close 0", "tell c resume"];
    assert_eq!(desk.story(), [&["remove link 0", "reap a"][..], &taken_over].concat());
}

#[test]
fn an_earlier_socket_is_closed_when_the_last_worker_that_has_it_is_gone() {
    let mut desk = next("", &[0, 1]);
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    desk.story();
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a"]);
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["reap b", "close 0"]);
}

#[test]
fn who_waits_in_the_socket_of_a_dead_worker_is_turned_away_when_another_one_serves() {
    let mut desk = next("", &[0]);
    // The standby may report, and could accept what waits.
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a"]);
    desk.pass(Duration::from_secs(1));
    desk.online(desk.worker(2));
    let orders = ["listen for 0", "start c", "link 0 to c", "tell c resume", "start d"];
    assert_eq!(desk.story(), orders);
    // That worker would keep the socket open.
    says(&mut desk, 1, FromWorker::online(true));
    assert_eq!(desk.story(), ["tell b shutdown", "reap b", "close 0"]);
}

#[test]
fn a_link_without_a_worker_follows_when_all_links_of_a_reload_are_swapped() {
    let keys = "slots = 3\nstandby = 1\n[options]\nlisten = 'daemon'";
    let before = Desk::up(keys);
    let mut left = left(&before);
    let links = (0..3).map(SlotIndex).map(|slot| (slot, before.config.socket_file.link(slot)));
    let socket = left.links[0].socket.clone();
    left.links = links.map(|(slot, name)| FoundLink { slot, name, socket: socket.clone() }).collect();
    let mut desk = adopt(&before, &before.config, left);
    // The standby may report, and could accept what waits.
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a"]);
    desk.config = config(&format!("workers = 2\nenv = ['A']\n{keys}"));
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    desk.ask("r", Request::Reload);
    (2..5).for_each(|nth| desk.online(desk.worker(nth)));
    let start = ["listen for 0", "start c", "listen for 1", "start d", "start e"];
    assert_eq!(desk.story(), [&start[..], &["link 0 to c", "link 1 to d"]].concat());
    desk.published(1, 3, Ok(()));
    assert_eq!(desk.story()[..2], ["tell c resume", "tell d resume"]);
}

#[test]
fn a_vacant_slots_earlier_socket_stays_for_a_standby_while_a_neighbour_serves() {
    let mut desk = next("workers = 2", &[0, 1]);
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["link 0 to b", "reap a"]);
    says(&mut desk, 2, FromWorker::online(true));
    assert_eq!(desk.story()[..2], ["link 0 to c", "tell c resume"]);

    // Until the slot has another worker.
    let mut desk = next("workers = 2", &[0, 1]);
    desk.exit(desk.worker(0));
    desk.pass(Duration::from_secs(1));
    desk.story();
    desk.online(desk.worker(3));
    assert_eq!(desk.story(), ["link 0 to d", "tell d resume", "listen for 1", "start e"]);
    says(&mut desk, 2, FromWorker::online(true));
    assert_eq!(desk.story(), ["tell c shutdown", "reap c", "close 0"]);
}

#[test]
fn a_standby_with_the_earlier_socket_takes_a_slot_back_from_the_neighbour_that_serves_meanwhile() {
    let mut desk = next("workers = 2", &[0, 1, 2]);
    // Another standby has sockets of this daemon's.
    desk.ask("s", Request::SetStandby { count: 2 });
    desk.online(desk.worker(3));
    desk.leaves = |action| matches!(action, Action::Examine { .. });
    desk.story();
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["link 0 to b", "reap a"]);
    desk.hear(Event::Examined { worker: desk.worker(2), result: Err(Failure("ESRCH".into())) });
    assert_eq!(desk.story()[..2], ["link 0 to c", "tell c resume"]);
}

#[test]
fn a_link_is_removed_if_nobody_can_take_over_the_socket_that_it_names() {
    let mut desk = next("", &[0]);
    // By then, the standby counts as out of reach.
    desk.pass(Duration::from_secs(10));
    desk.story();
    desk.exit(desk.worker(0));
    assert!(desk.story().contains(&"remove link 0".to_owned()));
}

#[test]
fn a_standby_that_has_the_same_socket_empties_the_queue() {
    let mut desk = next("", &[0, 1]);
    says(&mut desk, 0, broken());
    assert_eq!(desk.story()[..3], ["link 0 to b", "tell b resume", "tell a shutdown"]);
}

#[test]
fn a_standby_without_the_socket_of_today_goes_when_there_is_another_one() {
    let mut desk = next("", &[0]);
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    says(&mut desk, 0, broken());
    assert_eq!(desk.story(), NOTHING);
    desk.pass(Duration::from_secs(1));
    desk.online(desk.worker(2));
    let orders = [
        "listen for 0",
        "start c",
        "link 0 to c",
        "tell c resume",
        "look at a",
        "start d",
        "tell a shutdown",
    ];
    assert_eq!(desk.story(), orders);
    says(&mut desk, 1, FromWorker::online(true));
    assert_eq!(desk.story(), ["tell b shutdown"]);
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a"]);
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["reap b", "close 0"]);
}

#[test]
fn a_standby_with_the_earlier_socket_of_a_slot_that_is_no_more_is_replaced() {
    let mut desk = next("workers = 2", &[0, 1, 2]);
    desk.ask("w", set_workers(1));
    let gone = ["remove link 1", "look at b", "tell b shutdown", "reap b"];
    let replaced = ["listen for 0", "start d", "tell c shutdown", "reap c", "close 1"];
    assert_eq!(desk.story(), [&gone[..], &replaced].concat());
}

#[test]
fn a_standby_with_the_earlier_socket_of_a_worker_that_drains_stays_until_that_is_gone() {
    let mut desk = next("workers = 2", &[0, 1, 2]);
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("w", set_workers(1));
    assert_eq!(desk.story(), ["remove link 1", "look at b", "tell b shutdown"]);
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["reap b", "listen for 0", "start d", "tell c shutdown"]);
}

#[test]
fn who_waits_in_the_socket_of_a_dead_worker_is_answered_by_one_that_was_to_go_and_has_not_heard_of_it() {
    let before = leaving("[options]\nlisten = 'daemon'");
    // By now, another one accepts from the same socket.
    assert_eq!(before.record(0).stage, RecordedStage::Leaving);
    let mut desk = follow(&before, |_| {});
    desk.exit(desk.worker(1));
    desk.story();
    says(&mut desk, 0, FromWorker::online(false));
    assert_eq!(desk.story(), ["look at a", "tell a shutdown", "reap a", "close 0"]);
}
