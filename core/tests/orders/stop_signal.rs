//! The signal on which a worker's program finishes.

use std::time::Duration;

use nodesockd_core::config::StopSignal;
use nodesockd_core::wire::{Request, StartOptions};
use nodesockd_core::{Action, Supervisor};

use super::adoption::{adopt, follow, left};
use super::desk::{Desk, config, newer, restart};

const QUIT: &str = "[options]\nready = 'notify'\nstopSignal = 'SIGQUIT'";

/// The signals that were ordered, and to whom.
fn signals(desk: &mut Desk) -> Vec<String> {
    desk.story().into_iter().filter(|order| order.starts_with("SIG")).collect()
}

fn reload(desk: &mut Desk, keys: &str) {
    desk.config = config(keys);
    desk.ask("reload", Request::Reload);
    desk.all_online();
}

#[test]
fn a_worker_that_hears_nothing_else_gets_it_and_then_its_time() {
    let mut desk = Desk::up(QUIT);
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);
    desk.pass(Duration::from_millis(14_999));
    assert_eq!(signals(&mut desk), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(signals(&mut desk), ["SIGKILL to a"]);
}

#[test]
fn a_worker_that_does_not_shut_down_gets_it() {
    let mut desk = Desk::up("[options]\nstopSignal = 'SIGUSR2'");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("s", Request::Stop);
    desk.pass(Duration::from_millis(9_999));
    assert_eq!(signals(&mut desk), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(signals(&mut desk), ["SIGUSR2 to a"]);
}

#[test]
fn a_reload_to_another_program_ends_the_old_one_by_its_own_signal() {
    let mut desk = Desk::up(QUIT);
    reload(&mut desk, "node = 'other'\n[options]\nready = 'notify'\nstopSignal = 'SIGWINCH'");
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);
    desk.exit(desk.worker(0));
    desk.ask("s", Request::Stop);
    assert_eq!(signals(&mut desk), ["SIGWINCH to b"]);
}

#[test]
fn a_reload_of_the_signal_alone_restarts_nobody_and_is_for_the_workers_there_are() {
    let mut desk = Desk::up("[options]\nready = 'notify'");
    reload(&mut desk, QUIT);
    assert_eq!(desk.spawned.len(), 1);
    let recorded = desk.state_file().map(|state| state.workers[0].stop_signal);
    assert_eq!(recorded, Some(StopSignal::Quit), "the next daemon has to know");
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);
    // That one has been told already.
    reload(&mut desk, "[options]\nready = 'notify'\nstopSignal = 'SIGWINCH'");
    let recorded = desk.state_file().map(|state| state.workers).unwrap_or_default();
    let of = |nth| recorded.iter().find(|record| record.id == desk.worker(nth)).map(|its| its.stop_signal);
    assert_eq!([of(0), of(1)], [StopSignal::Quit, StopSignal::Winch].map(Some));
}

#[test]
fn a_worker_of_an_earlier_daemon_gets_the_signal_that_is_recorded() {
    let before = Desk::up(QUIT);
    let other = config("[options]\nready = 'notify'\nstopSignal = 'SIGWINCH'");
    let mut desk = adopt(&before, &other, left(&before));
    desk.ask("s", Request::Stop);
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);

    // Earlier versions wrote nothing, and ended it by SIGTERM.
    let mut desk = follow(&before, |state| state.workers[0].stop_signal = StopSignal::default());
    desk.ask("s", Request::Stop);
    assert_eq!(signals(&mut desk), ["SIGTERM to a"]);

    // Of a worker that no state file names, nothing is known but what the configuration says of workers.
    let mut unknown = left(&before);
    unknown.state = None;
    let mut desk = adopt(&before, &before.config, unknown);
    desk.ask("s", Request::Stop);
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);
}

#[test]
fn a_newer_program_is_handed_the_signal() {
    let mut before = Desk::up(QUIT);
    let handoff = before.hand_off();
    let other = config("[options]\nready = 'notify'\nstopSignal = 'SIGWINCH'");
    let supervisor = Supervisor::take_over(other.clone(), newer(), handoff, before.now);
    let mut desk = Desk::after(&before, supervisor, other);
    desk.obey();
    desk.ask("s", Request::Stop);
    assert_eq!(signals(&mut desk), ["SIGQUIT to a"]);
}
