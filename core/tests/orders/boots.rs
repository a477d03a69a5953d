//! Workers boot by turns.

use std::time::Duration;

use nodesockd_core::event::{CpuTime, ExitStatus};
use nodesockd_core::supervisor::{Pending, Timer};
use nodesockd_core::wire::{Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event};

use crate::desk::{Desk, is_spawn, restart};
use crate::handoff::upgraded;

fn states(desk: &Desk) -> Vec<WorkerState> {
    let mut states: Vec<_> = desk.supervisor.status().workers.iter().map(|worker| worker.state).collect();
    states.sort_unstable();
    states
}

fn cpu(used: u64, waited: u64) -> Result<CpuTime, nodesockd_core::event::Failure> {
    Ok(CpuTime { used: Duration::from_millis(used), waited: Duration::from_millis(waited) })
}

#[test]
fn as_many_workers_boot_at_a_time_as_may_and_slots_come_before_standbys() {
    let mut desk = Desk::new("workers = 3\nstandby = 1\noptions.boots = 2");
    assert_eq!(desk.spawned.len(), 2);
    use WorkerState::{Online, Running, Waiting};
    assert_eq!(states(&desk), [Waiting, Waiting, Running, Running]);
    assert!(matches!(desk.supervisor.pending(), Some(Pending::Worker(..))));
    desk.online(desk.worker(0));
    assert_eq!(states(&desk), [Waiting, Running, Running, Online]);
    desk.online(desk.worker(1));
    desk.online(desk.worker(2));
    let started: Vec<&str> = vec!["link 0 to a", "link 1 to b", "link 2 to c"];
    let story = desk.story();
    assert!(started.iter().all(|link| story.contains(&(*link).to_owned())), "{story:?}");
    desk.online(desk.worker(3));
    assert!(desk.supervisor.status().workers.iter().any(|worker| worker.standby && worker.slot.is_none()));
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn stopped_app_waits_for_no_standby_that_has_failed() {
    let mut desk = Desk::up("standby = 1");
    for _ in 0..3 {
        desk.pass(Duration::from_millis(500));
        desk.exit(desk.worker(desk.spawned.len() - 1));
    }
    let waits = |desk: &Desk| desk.supervisor.poll_timeout().map(|(_, timer)| timer);
    assert_eq!(waits(&desk), Some(Timer::Restart));
    desk.ask("s", Request::Stop);
    assert_eq!(waits(&desk), None);
}

#[test]
fn standby_that_is_well_again_is_missing_no_more() {
    let missing = |desk: &Desk| desk.supervisor.status().failing_standby.map(|standby| standby.missing);
    let mut desk = Desk::up("standby = 1");
    desk.exit(desk.worker(1));
    assert_eq!(missing(&desk), Some(1));
    desk.online(desk.worker(2));
    assert_eq!(missing(&desk), None);
}

#[test]
fn of_two_standbys_the_one_that_boots_goes() {
    let mut desk = Desk::up("standby = 2");
    desk.exit(desk.worker(2));
    desk.story();
    desk.ask("fewer", Request::SetStandby { count: 1 });
    assert_eq!(desk.story(), ["SIGTERM to d"]);
}

#[test]
fn time_of_a_worker_begins_when_its_turn_has_come() {
    let mut desk = Desk::new("workers = 3\noptions.boots = 1\noptions.onlineTimeout = 1000");
    for nth in 0..3 {
        desk.pass(Duration::from_millis(900));
        desk.online(desk.worker(nth));
    }
    assert_eq!(states(&desk), [WorkerState::Online; 3]);
    assert_eq!(desk.count(is_spawn), 3);
}

#[test]
fn worker_that_died_is_replaced_before_a_rollout_goes_on() {
    let mut desk = Desk::new("workers = 2\noptions.boots = 1");
    desk.online(desk.worker(0));
    desk.online(desk.worker(1));
    desk.ask("r", restart(StartOptions::default()));
    desk.exit(desk.worker(1));
    desk.story();
    desk.online(desk.worker(2));
    // The replacement, not the second worker of the rollout.
    desk.online(desk.worker(3));
    assert_eq!(desk.story(), ["start d", "link 1 to d", "start e"]);
    desk.online(desk.worker(4));
    assert_eq!(desk.end("r").map(|(code, _)| code), Some(None));
}

#[test]
fn worker_that_waits_for_its_turn_is_forgotten_when_it_is_not_wanted() {
    let mut desk = Desk::new("workers = 4\noptions.boots = 1");
    desk.ask("s", Request::Stop);
    let worker = desk.worker(0);
    desk.hear(Event::Exited { worker, status: ExitStatus::Code(0) });
    assert_eq!(desk.end("s").map(|(code, _)| code), Some(None));
    assert_eq!((desk.spawned.len(), desk.supervisor.pending()), (1, None));
}

#[test]
fn worker_that_waits_for_its_turn_is_ordered_anew_by_the_next_program() {
    let mut desk = Desk::new("workers = 2\noptions.boots = 1");
    desk.online(desk.worker(0));
    desk.exit(desk.worker(0));
    let first = desk.worker(1);
    let mut next = upgraded(desk);
    next.online(first);
    next.online(next.worker(2));
    assert_eq!(next.supervisor.pending(), None);
}

/// Nobody tells how the last worker that was late spent its time, until the test does.
fn late(keys: &str) -> Desk {
    let mut desk = Desk::new(keys);
    desk.leaves = |action| matches!(action, Action::MeasureCpu { .. });
    desk.pass(Duration::from_secs(1));
    desk
}

fn reason(desk: &Desk) -> String {
    desk.supervisor.status().vacant.into_iter().find_map(|slot| slot.reason).unwrap_or_default()
}

#[test]
fn message_tells_a_worker_that_worked_from_one_that_waited() {
    for (measured, words) in [
        (
            cpu(20, 10),
            "it reported nothing; `nodesockd.listen()` does, or see `options.ready`; it used 0.0 s of CPU in 1.0 s: it waits for something",
        ),
        (
            cpu(960, 20),
            "it used 1.0 s of CPU in 1.0 s: the machine is slow or the start is heavy; raise options.onlineTimeout or lower options.boots",
        ),
        (
            cpu(100, 850),
            "it used 0.1 s of CPU in 1.0 s and waited 0.8 s for a CPU: the machine is slow or the start is heavy; raise options.onlineTimeout or lower options.boots",
        ),
    ] {
        let mut desk = late("options.onlineTimeout = 1000");
        let worker = desk.worker(0);
        desk.hear(Event::CpuMeasured { worker, result: measured });
        assert_eq!(
            reason(&desk),
            format!("it was not online within 1000 ms (options.onlineTimeout): {words}")
        );
    }
}

#[test]
fn slow_machine_boots_fewer_workers_at_a_time_and_gives_them_longer() {
    let mut desk = late("workers = 4\noptions.boots = 4\noptions.onlineTimeout = 1000");
    for nth in 0..4 {
        let worker = desk.worker(nth);
        desk.hear(Event::CpuMeasured { worker, result: cpu(250, 700) });
        desk.hear(Event::Exited { worker, status: ExitStatus::Signal(15) });
    }
    assert_eq!(desk.spawned.len(), 6, "two at a time");
    // Neither of them is late when the configured time is over.
    desk.pass(Duration::from_millis(1900));
    for nth in 4..8 {
        desk.online(desk.worker(nth));
    }
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn worker_that_is_ready_at_the_last_moment_stays() {
    let mut desk = late("options.onlineTimeout = 1000");
    let worker = desk.worker(0);
    desk.online(worker);
    desk.hear(Event::CpuMeasured { worker, result: cpu(900, 0) });
    assert_eq!((states(&desk), desk.spawned.len()), (vec![WorkerState::Online], 1));
}

#[test]
fn worker_that_was_ready_in_time_stays_although_the_daemon_reads_that_late() {
    let (limit, moment) = (Duration::from_secs(1), Duration::from_millis(250));
    let late = || {
        let mut desk = Desk::new("options.onlineTimeout = 1000");
        desk.stand_still(limit + Duration::from_millis(51));
        desk
    };
    let mut desk = late();
    desk.pass(moment - Duration::from_millis(1));
    desk.online(desk.worker(0));
    assert_eq!((states(&desk), desk.spawned.len()), (vec![WorkerState::Online], 1));

    let mut desk = late();
    assert_eq!(desk.spawned.len(), 1);
    desk.pass(moment);
    assert_eq!(desk.spawned.len(), 2, "the worker has said nothing");
}

#[test]
fn worker_that_loses_its_channel_before_it_is_ready_gets_its_stop_signal_when_its_time_is_over() {
    let mut desk = Desk::new("options.onlineTimeout = 1000");
    desk.hear(Event::ChannelClosed { worker: desk.worker(0) });
    desk.story();
    desk.pass(Duration::from_secs(2));
    assert!(desk.story().contains(&"SIGTERM to a".to_owned()));
}
