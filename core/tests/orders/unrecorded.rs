//! A daemon that follows one whose state file is gone: the links say who serves, and workers whether the app is suspended.

use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::Leftovers;
use nodesockd_core::wire::{Request, StartOptions, WorkerState};

use super::adoption::{adopt, left, report, states};
use super::desk::{Desk, NOTHING, config, restart, set_workers, suspended};
use super::log::warnings;

/// What a daemon leaves that dies now, and whose state file is removed.
fn without_record(desk: &Desk) -> Leftovers {
    Leftovers { state: None, ..left(desk) }
}

#[test]
fn without_a_state_file_the_links_say_who_serves() {
    let before = Desk::up("workers = 2");
    let lost = || {
        let mut left = without_record(&before);
        left.links.pop();
        left
    };
    // One is named, the other is not: it may have served a moment ago.
    let mut desk = adopt(&before, &before.config, lost());
    assert_eq!(desk.story(), ["look at b", "link 1 to a", "start c"]);
    assert_eq!(states(&desk)[0], (Some(0), WorkerState::Online));
    report(&mut desk, 0, false);
    desk.ask("s", Request::Stop);
    assert!(desk.story().contains(&"tell a shutdown".to_owned()));

    // Where workers say nothing, they are told nothing.
    let mute = config("workers = 2\n[options]\nready = 'notify'");
    let mut desk = adopt(&before, &mute, lost());
    desk.ask("s", Request::Stop);
    assert!(desk.story().contains(&"SIGTERM to a".to_owned()));
}

#[test]
fn nothing_is_said_of_a_state_file_where_there_were_no_workers() {
    let before = Desk::new("");
    let adopted = |left: Leftovers| warnings(|| drop(adopt(&before, &before.config, left)));
    assert_eq!(adopted(Leftovers::default()), NOTHING);
    let said = "WARN adopting 1 workers without a state file, by the links alone";
    assert_eq!(adopted(without_record(&Desk::up(""))), [said]);
}

/// What becomes of two workers and a new one for a slot without a worker, without a state file: `second` is what the other adopted
/// worker says first, before the new one is there.
fn without_a_state_file(second: Option<bool>, first: Option<bool>) -> (Desk, Vec<String>) {
    let before = Desk::up("workers = 3");
    let mut left = without_record(&before);
    left.survivors.pop();
    left.links.pop();
    let mut desk = adopt(&before, &before.config, left);
    second.into_iter().for_each(|suspended| report(&mut desk, 1, suspended));
    desk.online(desk.worker(3));
    desk.story();
    match first {
        Some(suspended) => report(&mut desk, 0, suspended),
        None => desk.pass(Duration::from_secs(10)),
    }
    let orders = desk.story();
    (desk, orders)
}

#[test]
fn a_new_worker_begins_when_all_adopted_ones_have_said_that_they_are_active() {
    let resumed = ["tell d resume"];
    assert_eq!(without_a_state_file(Some(false), Some(false)).1, resumed);
    // One that never reports was started by another program.
    assert_eq!(without_a_state_file(Some(false), None).1[..1], resumed);
}

#[test]
fn an_active_worker_is_replaced_where_others_say_that_the_app_is_suspended() {
    for (second, first) in [(Some(true), Some(false)), (Some(false), Some(true))] {
        let (desk, orders) = without_a_state_file(second, first);
        assert!(desk.supervisor.status().suspended);
        assert_eq!(orders, ["start e"]);
        assert!(desk.ready[&desk.worker(4)].1, "the one that takes its place waits as well");
        let broken = states(&desk).into_iter().filter(|(_, state)| *state == WorkerState::Broken);
        assert_eq!(broken.count(), 1);
    }
    // Nobody is active: a new worker waits, as the others do.
    assert_eq!(without_a_state_file(Some(true), Some(true)).1, NOTHING);
}

#[test]
fn workers_that_are_to_say_nothing_are_replaced_where_one_says_late_that_the_app_is_suspended() {
    let before = Desk::up("workers = 2");
    let mut desk =
        adopt(&before, &config("workers = 2\noptions = { ready = 'notify' }"), without_record(&before));
    assert!(!desk.supervisor.status().suspended);
    desk.story();
    report(&mut desk, 1, true);
    assert!(desk.supervisor.status().suspended);
    assert_eq!(desk.story(), ["start c"]);
}

#[test]
fn a_resume_holds_whatever_workers_report_later() {
    let before = Desk::up("workers = 2");
    let mut desk = adopt(&before, &before.config, without_record(&before));
    report(&mut desk, 0, true);
    assert!(desk.supervisor.status().suspended);
    desk.ask("q", Request::Resume);
    desk.story();
    report(&mut desk, 1, true);
    assert!(!desk.supervisor.status().suspended);
    assert_eq!(desk.story(), ["tell b resume"]);
}

#[test]
fn a_daemon_after_that_asks_those_who_have_not_reported_yet_as_well() {
    let before = Desk::up("workers = 2");
    let mut second = adopt(&before, &before.config, without_record(&before));
    report(&mut second, 1, true);
    let mut third = adopt(&second, &second.config, left(&second));
    third.story();
    report(&mut third, 0, true);
    report(&mut third, 1, true);
    assert!(third.supervisor.status().suspended);
    assert_eq!(third.story(), NOTHING, "nobody is active, and nobody is replaced");
}

#[test]
fn a_restart_that_suspends_is_not_resumed_by_what_adopted_workers_say_meanwhile() {
    let before = Desk::up("workers = 2");
    let mut desk = adopt(&before, &before.config, without_record(&before));
    desk.ask("r", restart(suspended()));
    // The link of slot 1 is still to be swapped when both adopted workers have reported.
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    report(&mut desk, 0, false);
    desk.all_online();
    desk.story();
    report(&mut desk, 1, false);
    assert_eq!(desk.story(), NOTHING);
}

#[test]
fn a_worker_whose_link_is_being_swapped_may_still_say_that_it_is_active() {
    let before = Desk::up("workers = 2");
    let mut desk = adopt(&before, &before.config, without_record(&before));
    desk.ask("r", restart(StartOptions::default()));
    report(&mut desk, 1, true);
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    desk.online(desk.worker(2));
    desk.online(desk.worker(3));
    desk.story();
    desk.published(1, 3, Err("EIO"));
    assert_eq!(desk.story()[0], "link 0 to a");
    report(&mut desk, 0, false);
    assert_eq!(states(&desk)[0], (Some(0), WorkerState::Broken), "it is replaced by one that is suspended");
}

#[test]
fn a_change_of_the_number_of_workers_does_not_resume_an_app_that_turns_out_to_be_suspended() {
    let before = Desk::up("workers = 2");
    let mut desk = adopt(&before, &before.config, without_record(&before));
    desk.ask("w", set_workers(3));
    report(&mut desk, 0, true);
    report(&mut desk, 1, true);
    desk.story();
    desk.online(desk.worker(2));
    assert!(desk.supervisor.status().suspended);
    assert_eq!(desk.story(), ["link 2 to c", "start d"]);
    assert!(desk.ready[&desk.worker(3)].1, "the one that takes its place waits as the others do");
    desk.ask("q", Request::Resume);
    assert_eq!(desk.story(), ["tell a resume", "tell b resume"]);
}
