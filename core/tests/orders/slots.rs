//! Slots and their links: who takes over, and what has to go.

use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::id::{Process, SlotIndex};
use nodesockd_core::wire::{FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event};

use super::adoption::follow;
use super::desk::{Desk, NOTHING, config, is_spawn, restart, set_workers, suspended, up};

fn is_publish(action: &Action) -> bool {
    matches!(action, Action::Publish { .. })
}

fn is_withdraw(action: &Action) -> bool {
    matches!(action, Action::Withdraw { .. })
}

#[test]
fn a_standby_takes_over_as_the_app_is() {
    let mut active = up("standby = 1");
    active.exit(active.worker(0));
    let orders = active.story();
    assert!(orders.contains(&"link 0 to b".to_owned()));
    assert!(orders.contains(&"tell b resume".to_owned()));

    let mut waiting = Desk::up("standby = 1");
    waiting.ask("r", restart(suspended()));
    waiting.all_online();
    waiting.story();
    waiting.exit(waiting.worker(2));
    let orders = waiting.story();
    assert!(orders.contains(&"link 0 to d".to_owned()));
    assert!(!orders.contains(&"tell d resume".to_owned()));

    // One that knows nothing of suspension does as well, where nobody minds.
    let mut active = Desk::new("standby = 1");
    active.online(active.worker(0));
    let message = FromWorker::online(false);
    active.hear(Event::Received { worker: active.worker(1), message });
    assert_eq!(active.supervisor.pending(), None);
    active.orders.clear();
    active.exit(active.worker(0));
    assert!(active.story().contains(&"link 0 to b".to_owned()));
}

#[test]
fn a_restart_swaps_no_link_while_one_is_under_way_for_another_reason() {
    let mut desk = Desk::up("standby = 1");
    desk.leaves = is_publish;
    desk.exit(desk.worker(0));
    desk.orders.clear();
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    assert_eq!(desk.count(is_publish), 0);
    desk.published(0, 1, Ok(()));
    desk.all_online();
    assert!(desk.count(is_publish) > 0);
}

#[test]
fn a_link_that_cannot_be_swapped_is_tried_again_for_the_same_worker() {
    for keys in ["standby = 1", "standby = 1\n[options]\nlisten = 'daemon'"] {
        let mut desk = up(keys);
        desk.leaves = is_publish;
        desk.exit(desk.worker(0));
        desk.story();
        // The first failure is free, the second one costs 100 ms.
        desk.published(0, 1, Err("ENOSPC"));
        assert_eq!(desk.story(), ["link 0 to b"]);
        desk.published(0, 1, Err("ENOSPC"));
        desk.pass(Duration::from_millis(99));
        assert!(desk.story().is_empty());
        desk.pass(Duration::from_millis(1));
        assert_eq!(desk.story(), ["link 0 to b"]);
    }

    let mut desk = Desk::new("");
    desk.leaves = is_publish;
    desk.online(desk.worker(0));
    desk.story();
    desk.published(0, 0, Err("ENOSPC"));
    assert_eq!(desk.story(), ["link 0 to a"]);
    desk.published(0, 0, Err("ENOSPC"));
    desk.pass(Duration::from_millis(100));
    assert_eq!(desk.story(), ["link 0 to a"]);
}

#[test]
fn a_standby_that_was_not_needed_yet_has_failed_at_nothing() {
    let mut desk = Desk::new("workers = 2\nstandby = 1");
    desk.online(desk.worker(0));
    desk.online(desk.worker(1));
    desk.exit(desk.worker(0));
    desk.story();
    desk.exit(desk.worker(2));
    assert!(desk.story().contains(&"start e".to_owned()));
}

#[test]
fn as_many_standbys_go_as_are_too_many() {
    let mut desk = up("standby = 3");
    desk.ask("s", Request::SetStandby { count: 1 });
    let told = desk.story().iter().filter(|order| order.ends_with("shutdown")).count();
    assert_eq!(told, 2);
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn a_worker_that_boots_for_a_slot_that_is_to_go_goes_as_well() {
    let mut desk = up("workers = 2");
    desk.exit(desk.worker(1));
    desk.story();
    desk.ask("w", set_workers(1));
    assert_eq!(desk.story(), ["SIGTERM to c", "remove link 1"]);

    // Nor does one stay that is being created.
    let mut desk = up("");
    desk.leaves = is_spawn;
    desk.exit(desk.worker(0));
    desk.ask("s", Request::Stop);
    let states: Vec<_> = desk.supervisor.status().workers.iter().map(|row| row.state).collect();
    assert_eq!(states, [WorkerState::Terminating]);
    desk.story();
    let process = Process { pid: 200, started: 1 };
    desk.hear(Event::Spawned { worker: desk.worker(1), result: Ok(process) });
    assert_eq!(desk.story(), ["SIGKILL to b"]);
}

#[test]
fn the_end_of_an_old_name_is_not_the_end_of_the_link() {
    let mut desk = up("");
    desk.leaves = is_withdraw;
    desk.config = config("socketFile = 'web.{worker}'");
    desk.ask("r", Request::Reload);
    desk.all_online();
    desk.ask("s", Request::Stop);
    desk.story();
    let gone = |link: &str| Event::Withdrawn { slot: SlotIndex(0), link: link.into(), result: Ok(()) };
    desk.hear(gone("app.0.sock"));
    assert_eq!(desk.story(), NOTHING);
    desk.hear(gone("web.0"));
    assert_eq!(desk.story()[0], "look at b");
}

#[test]
fn a_link_that_cannot_be_removed_keeps_its_worker_for_five_tries() {
    let mut desk = up("");
    desk.leaves = is_withdraw;
    desk.ask("s", Request::Stop);
    desk.story();
    for _ in 0..4 {
        let result = Err(Failure("EACCES".into()));
        desk.hear(Event::Withdrawn { slot: SlotIndex(0), link: "app.0.sock".into(), result });
        desk.pass(Duration::from_secs(1));
        assert_eq!(desk.story(), ["remove link 0"]);
    }
    let result = Err(Failure("EACCES".into()));
    desk.hear(Event::Withdrawn { slot: SlotIndex(0), link: "app.0.sock".into(), result });
    assert_eq!(desk.story()[..2], ["look at a", "tell a shutdown"]);
    assert!(desk.supervisor.status().workers.is_empty());
}

#[test]
fn a_daemon_quits_when_nothing_is_left_or_could_not_be_removed_five_times() {
    let is_quit = |action: &Action| *action == Action::Quit;
    let mut desk = up("");
    desk.leaves = |action| matches!(action, Action::Remove { .. });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    let worker = desk.worker(0);
    for _ in 0..5 {
        assert_eq!((desk.count(is_quit), desk.supervisor.has_quit()), (0, false));
        // Nothing else is begun meanwhile.
        for signal in [DaemonSignal::Hangup, DaemonSignal::User2] {
            desk.hear(Event::Signalled { signal });
        }
        desk.hear(Event::Removed { worker, result: Err(Failure("EACCES".into())) });
        desk.pass(Duration::from_secs(1));
    }
    let begun = |action: &Action| matches!(action, Action::LoadConfig | Action::Preflight { .. });
    assert_eq!(desk.count(begun), 0);
    assert_eq!((desk.count(is_quit), desk.supervisor.has_quit()), (1, true));
    // It does nothing more.
    desk.orders.clear();
    desk.ask("late", set_workers(3));
    assert_eq!(desk.story(), NOTHING);
}

#[test]
fn status_shows_slots_first_then_standbys_and_those_that_leave() {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    let rows = desk.supervisor.status().workers;
    let shown: Vec<_> =
        rows.iter().map(|row| (row.slot.map(|slot| slot.0), row.standby, row.state)).collect();
    let (online, suspended, leaving) =
        (WorkerState::Online, WorkerState::Suspended, WorkerState::Terminating);
    let expected = [
        (Some(0), false, online),
        (Some(1), false, online),
        (None, true, suspended),
        (None, false, leaving),
        (None, false, leaving),
        (None, false, leaving),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn a_new_worker_that_breaks_while_its_link_is_being_swapped_is_retired_after_the_swap() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.leaves = is_publish;
    desk.online(desk.worker(1));
    assert_eq!(desk.story(), ["start b", "link 0 to b"]);
    desk.breaks(1);
    assert_eq!(desk.story(), NOTHING, "the link may name it by now");
}

#[test]
fn a_standby_that_cannot_be_told_to_begin_is_not_promoted() {
    let mut desk = up("standby = 1");
    desk.hear(Event::ChannelClosed { worker: desk.worker(1) });
    desk.exit(desk.worker(0));
    let orders = desk.story();
    assert!(orders.contains(&"start c".to_owned()), "{orders:?}");
    assert!(!orders.contains(&"link 0 to b".to_owned()), "{orders:?}");
}

#[test]
fn a_standby_that_hears_nothing_anyway_is_promoted_without_a_channel() {
    let keys = "standby = 1\n[options]\nready = 'notify'";
    let mut desk = Desk::up(keys);
    let mut next = follow(&desk, |_| ());
    desk.hear(Event::ChannelClosed { worker: desk.worker(1) });
    for desk in [&mut desk, &mut next] {
        desk.orders.clear();
        desk.exit(desk.worker(0));
        let story = desk.story();
        assert!(story.contains(&"link 0 to b".to_owned()), "{story:?}");
    }
}

#[test]
fn a_standby_that_has_lost_its_channel_is_replaced_at_once() {
    let mut desk = up("standby = 1");
    desk.hear(Event::ChannelClosed { worker: desk.worker(1) });
    assert_eq!(desk.story(), ["start c"]);
}
