//! Answers about workers that failed, with what these wrote last.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::event::Failure;
use nodesockd_core::wire::{Body, Code, FailedWorker, StartOptions};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, restart};

const DISCARD: &str = "[options]\nstderr = 'discard'";

/// A daemon with a process that takes output, and a restart whose worker has failed.
fn failed() -> Desk {
    let mut desk = Desk::up(DISCARD);
    desk.hear(Event::SinkReady { version: "3.0.0".into() });
    desk.orders.clear();
    desk.ask("r", restart(StartOptions::default()));
    let new = desk.worker(1);
    desk.exit(new);
    assert_eq!(desk.count(|action| *action == Action::AskLastLines { worker: new }), 1);
    assert_eq!(desk.end("r"), None, "it waits for the last lines");
    desk
}

fn lines(desk: &Desk) -> Option<Vec<String>> {
    let reply = desk.replies("r").into_iter().find(|reply| reply.done)?;
    assert_eq!(reply.code, Some(Code::StartFailed));
    match reply.body {
        Some(Body::Failed(workers)) => workers.into_iter().next().map(|FailedWorker { lines, .. }| lines),
        other => panic!("{other:?}"),
    }
}

fn starts(desk: &Desk) -> usize {
    desk.count(|action| matches!(action, Action::StartSink { .. }))
}

#[test]
fn a_failed_restart_is_answered_with_the_last_lines() {
    let mut desk = failed();
    let told = vec!["SyntaxError".to_owned()];
    desk.hear(Event::LastLines { worker: desk.worker(1), lines: told.clone() });
    assert_eq!(lines(&desk), Some(told));
    assert_eq!(desk.end("r").map(|(code, _)| code), Some(Some(Code::StartFailed)));
}

#[test]
fn an_answer_does_not_wait_for_a_process_that_is_silent_or_gone() {
    let mut desk = failed();
    desk.pass(Duration::from_millis(1999));
    assert_eq!(desk.end("r"), None);
    desk.pass(Duration::from_millis(1));
    assert_eq!(lines(&desk), Some(Vec::new()));
    assert_eq!(desk.count(|action| *action == Action::KillSink), 0);
    desk.pass(Duration::from_secs(8));
    assert_eq!(desk.count(|action| *action == Action::KillSink), 1);
    desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
    assert_eq!(starts(&desk), 1);

    let mut desk = failed();
    desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
    assert_eq!(lines(&desk), Some(Vec::new()));
}

#[test]
fn another_request_is_not_held_up_by_an_answer_that_waits() {
    let mut desk = failed();
    assert_eq!(desk.ask("s", restart(StartOptions::default())), []);
    desk.all_online();
    assert_eq!(desk.end("s").map(|(code, _)| code), Some(None));
    assert_eq!(desk.end("r"), None);
}

#[test]
fn a_daemon_that_goes_or_upgrades_answers_at_once() {
    let mut desk = failed();
    desk.ask("t", nodesockd_core::wire::Request::Terminate);
    assert_eq!(lines(&desk), Some(Vec::new()));
    let mut desk = failed();
    desk.hand_off();
    assert_eq!(lines(&desk), Some(Vec::new()));
}

#[test]
fn the_process_that_takes_output_is_started_before_workers_and_again_when_it_dies() {
    let mut desk = Desk::new(DISCARD);
    let first = |wanted: fn(&Action) -> bool| desk.orders.iter().position(wanted);
    assert!(
        first(|action| matches!(action, Action::StartSink { .. }))
            < first(|action| matches!(action, Action::Spawn(_)))
    );
    for deaths in 1..4 {
        desk.hear(Event::SinkEnded { failure: Failure("it was killed".into()) });
        desk.pass(Duration::from_secs(1));
        assert_eq!(starts(&desk), 1 + deaths);
    }
    assert_eq!(starts(&Desk::up("")), 0, "stderr is a terminal");
}

#[test]
fn the_last_lines_of_the_last_64_workers_are_kept() {
    let mut desk = Desk::up(DISCARD);
    desk.hear(Event::SinkReady { version: "3.0.0".into() });
    let max_attempts = NonZeroU32::new(66);
    desk.ask("r", restart(StartOptions { max_attempts, ..StartOptions::default() }));
    for nth in 1..=66 {
        desk.exit(desk.worker(nth));
        desk.hear(Event::LastLines { worker: desk.worker(nth), lines: vec![nth.to_string()] });
        desk.pass(Duration::from_millis(1));
    }
    let Some(Body::Failed(failed)) = desk.replies("r").pop().and_then(|reply| reply.body) else {
        panic!("{:?}", desk.replies("r"))
    };
    let told: Vec<_> = failed.into_iter().map(|worker| worker.lines.concat()).collect();
    let kept = (3..=66).map(|nth| nth.to_string());
    assert_eq!(told, [String::new(), String::new()].into_iter().chain(kept).collect::<Vec<_>>());
}
