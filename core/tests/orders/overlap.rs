//! Old workers finish beside whatever comes next.

use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::wire::{Code, Request, StartOptions, ToWorker};

use super::desk::{Desk, config, restart, suspended};
use super::handoff::upgraded_under;

/// Workers that are told to shut down take their time.
fn is_shutdown(action: &Action) -> bool {
    matches!(action, Action::Tell { message: ToWorker::Shutdown, .. })
}

/// An app whose old workers have something to finish.
fn busy(keys: &str) -> Desk {
    let mut desk = Desk::up(keys);
    desk.leaves = is_shutdown;
    desk
}

/// Asks for a restart whose new worker is online at once.
fn restarted(desk: &mut Desk, id: &str, options: StartOptions) {
    desk.ask(id, restart(options));
    desk.online(desk.worker(desk.spawned.len() - 1));
    desk.pass(Duration::from_millis(100));
}

#[test]
fn a_second_restart_begins_while_an_old_worker_finishes() {
    let mut desk = busy("");
    restarted(&mut desk, "first", StartOptions::default());
    assert_eq!(desk.end("first"), None, "an old worker is alive");
    restarted(&mut desk, "second", StartOptions::default());
    assert_eq!(desk.story().iter().filter(|order| order.starts_with("link 0")).count(), 3);

    desk.exit(desk.worker(1));
    assert_eq!((desk.end("first"), desk.end("second")), (None, Some((None, String::new()))));
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("first"), Some((None, String::new())));
}

#[test]
fn a_client_may_wait_for_the_new_workers_only() {
    let mut desk = busy("");
    restarted(&mut desk, "r", StartOptions { until_swap: true, ..StartOptions::default() });
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert!(desk.supervisor.status().operation.is_none());
}

#[test]
fn nothing_begins_while_a_migration_is_prepared() {
    let mut desk = busy("");
    restarted(&mut desk, "first", StartOptions::default());
    restarted(&mut desk, "migration", suspended());
    let code = |desk: &Desk, id| desk.end(id).and_then(|(code, _)| code);
    desk.ask("second", restart(StartOptions::default()));
    desk.ask("resume", Request::Resume);
    assert_eq!((code(&desk, "second"), code(&desk, "resume")), (Some(Code::Busy), Some(Code::Busy)));

    desk.exit(desk.worker(1));
    assert_eq!(desk.end("migration"), None, "a worker of the time before the first restart is active");
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("migration"), Some((None, String::new())));
}

#[test]
fn the_oldest_of_too_many_gets_sigterm() {
    let mut desk = busy("options.retiring = 2");
    for id in ["first", "second"] {
        restarted(&mut desk, id, StartOptions::default());
    }
    desk.story();
    restarted(&mut desk, "third", StartOptions::default());
    let signalled: Vec<String> =
        desk.story().into_iter().filter(|order| order.starts_with("SIGTERM")).collect();
    assert_eq!(signalled, ["SIGTERM to a"]);
}

#[test]
fn a_newer_daemon_knows_who_waits_for_old_workers() {
    let mut before = busy("");
    restarted(&mut before, "r", StartOptions { progress: true, ..StartOptions::default() });
    let mut after = upgraded_under(before, config(""));
    assert_eq!(after.end("r"), None);
    after.exit(after.worker(0));
    assert_eq!(after.end("r"), Some((None, String::new())));
    assert_eq!(after.replies("r").len(), 2, "the old worker is gone, and the restart is complete");
}
