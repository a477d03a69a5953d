//! A worker whose process takes long to end.

use nodesockd_core::event::{DaemonSignal, Dying, ExitStatus};
use nodesockd_core::wire::{StartOptions, WorkerState};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, restart};

fn dumps_core(desk: &mut Desk, nth: usize) {
    let worker = desk.worker(nth);
    desk.hear(Event::Dying { worker, cause: Dying::DumpsCore });
}

#[test]
fn standby_takes_over_before_the_process_is_gone() {
    let mut desk = Desk::up("standby = 1");
    desk.story();
    dumps_core(&mut desk, 0);
    assert_eq!(desk.story(), ["link 0 to b", "tell b resume", "start c"]);
    let worker = desk.worker(0);
    let states: Vec<_> = desk.supervisor.status().workers.iter().map(|row| (row.id, row.state)).collect();
    assert!(states.contains(&(worker, WorkerState::Terminating)), "{states:?}");
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(11) });
    assert_eq!(desk.story(), ["reap a", "remove socket of a"]);
}

#[test]
fn neighbour_serves_before_the_process_is_gone() {
    let mut desk = Desk::up("workers = 2");
    desk.story();
    dumps_core(&mut desk, 0);
    assert_eq!(desk.story(), ["link 0 to b", "start c"]);
    desk.hear(Event::Exited { worker: desk.worker(0), status: ExitStatus::Signal(11) });
    assert_eq!(desk.story(), ["reap a", "remove socket of a"]);
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["link 0 to c"]);
}

#[test]
fn slow_death_is_one_failure_whose_reason_is_the_exit() {
    let mut desk = Desk::up("");
    dumps_core(&mut desk, 0);
    let failures = |desk: &Desk| {
        let status = desk.supervisor.status();
        status.failures.iter().map(|slot| (slot.count, slot.reason.clone())).collect::<Vec<_>>()
    };
    assert_eq!(failures(&desk), [(1, "it has crashed and dumps core".to_owned())]);
    // The same again is no news.
    dumps_core(&mut desk, 0);
    let worker = desk.worker(0);
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(11) });
    assert_eq!(failures(&desk), [(1, "it was killed by SIGSEGV".to_owned())]);
}

#[test]
fn slow_death_is_counted_as_what_it_was_and_not_as_a_kill() {
    let mut desk = Desk::up("workers = 2\n[options]\nquitTimeout = 0");
    dumps_core(&mut desk, 0);
    let worker = desk.worker(0);
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(11) });
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    desk.pass(std::time::Duration::ZERO);
    let worker = desk.worker(1);
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(9) });
    let deaths = desk.supervisor.metrics().deaths;
    assert_eq!((deaths["signalled"], deaths["killed"]), (1, 1), "{deaths:?}");
}

#[test]
fn restart_whose_new_worker_dumps_core_fails_at_once() {
    let mut desk = Desk::up("");
    desk.ask("again", restart(StartOptions::default()));
    dumps_core(&mut desk, 1);
    let (_, errors) = desk.end("again").unwrap_or_default();
    assert!(errors.contains("it has crashed and dumps core"), "{errors}");
}
