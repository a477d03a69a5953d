//! Workers that were to go when their daemon died: the next one sees to it that they do, and lose nothing.

use std::time::Duration;

use nodesockd_core::event::{Failure, Queue};
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::{FoundLink, RecordedStage};
use nodesockd_core::wire::{FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event, Supervisor};

use super::adoption::{adopt, follow, leaving, left, report, stage, states};
use super::desk::{Desk, NOTHING, newer, restart, set_workers, suspended};

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
fn a_daemon_that_comes_late_reads_first_who_has_reported_to_it() {
    // It has not been able to tell the worker anything.
    let (time, moment) = (Duration::from_secs(10), Duration::from_millis(250));
    let late = time + Duration::from_millis(51);
    let leaving = leaving("");
    let mut desk = follow(&leaving, |_| {});
    desk.stand_still(late);
    assert_eq!(desk.story(), NOTHING);
    report(&mut desk, 0, false);
    assert_eq!(desk.story()[0], "tell a shutdown");

    let mut desk = follow(&leaving, |_| {});
    desk.stand_still(late);
    desk.pass(moment);
    assert_eq!(desk.story(), ["SIGTERM to a"], "the worker has said nothing");

    let mut desk = follow(&leaving, |_| {});
    desk.stand_still(late - Duration::from_millis(1));
    assert_eq!(desk.story(), ["SIGTERM to a"], "there was time to read");

    let mut desk = follow(&leaving, |_| {});
    desk.now = desk.now + time;
    report(&mut desk, 1, false);
    desk.stand_still(Duration::from_millis(1));
    assert_eq!(desk.story(), NOTHING, "the daemon had other things to do");

    // Nor is a suspended worker out of reach before.
    let mut before = Desk::up("");
    before.ask("r", restart(suspended()));
    before.all_online();
    let mut desk = follow(&before, |_| {});
    desk.stand_still(late);
    assert_eq!(desk.story(), NOTHING);
    desk.pass(moment);
    assert_eq!(desk.story(), ["start c"]);
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
fn a_worker_that_was_booting_for_all_that_is_known_is_drained() {
    let mut before = Desk::up("");
    before.ask("r", restart(StartOptions::default()));
    let mut desk = follow(&before, |_| {});
    let story = desk.story();
    assert!(story.contains(&"look at b".to_owned()), "{story:?}");
    assert!(!story.contains(&"SIGTERM to b".to_owned()), "{story:?}");
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
fn a_worker_that_lost_its_channel_while_its_queue_was_emptied_has_its_time() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(1));
    desk.hear(Event::ChannelClosed { worker: desk.worker(0) });
    desk.pass(Duration::from_secs(1));
    desk.story();
    desk.hear(Event::QueueMeasured { worker: desk.worker(0), queue: Queue::Closed });
    assert_eq!(desk.story(), NOTHING);
}
