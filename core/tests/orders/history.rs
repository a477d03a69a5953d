//! The history: each operation that began has one entry, whatever ends it.

use std::time::Duration;

use nodesockd_core::config::Problem;
use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure, Memory, Queue};
use nodesockd_core::history::{Entry, Facts, Line, Outcome, What};
use nodesockd_core::id::{Peer, RequestRef, SlotIndex};
use nodesockd_core::state::{Leftovers, State};
use nodesockd_core::wire::{Code, DeployOptions, FromWorker, Request, StartOptions};
use nodesockd_core::{Action, Event};

use super::adoption::{adopt, left};
use super::desk::{Desk, asker, release, restart, set_workers, suspended, up, with_heartbeat};
use super::handoff::{taken_over, upgraded};
use super::log::{logged, warnings};

pub fn entries(desk: &Desk) -> Vec<Entry> {
    let entry = |action: &Action| match action {
        Action::Record(entry) => Some(Entry::clone(entry)),
        _ => None,
    };
    desk.orders.iter().filter_map(entry).collect()
}

fn ends(desk: &Desk) -> Vec<(What, Outcome)> {
    entries(desk).into_iter().filter_map(|entry| Some((entry.facts.what, entry.facts.outcome?))).collect()
}

fn last(desk: &Desk) -> Facts {
    entries(desk).pop().unwrap_or_else(|| panic!("no entry")).facts
}

fn lines(desk: &Desk) -> Vec<Line> {
    entries(desk).iter().map(|entry| entry.line(|time| time.as_nanos() / 1_000_000)).collect()
}

/// Whoever is alive still ends.
fn all_exit(desk: &mut Desk) {
    desk.pass(Duration::from_secs(1));
    desk.spawned.clone().into_iter().for_each(|worker| desk.exit(worker));
}

fn deploy() -> Request {
    Request::Deploy(DeployOptions { release: Some(release("2").dir), ..DeployOptions::default() })
}

fn is_record(action: &Action) -> bool {
    matches!(action, Action::Record(_))
}

#[test]
fn a_restart_is_in_the_history_with_who_asked_for_it_and_what_it_brought_up() {
    let mut desk = up("");
    desk.current = "2";
    desk.pass(Duration::from_secs(5));
    let asked = desk.now;
    desk.ask("r", restart(StartOptions::default()));
    assert_eq!(entries(&desk), [], "it is not over");
    desk.pass(Duration::from_secs(3));
    desk.all_online();
    let found = entries(&desk);
    let [Entry { began, ended, facts }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*began, *ended), (asked, desk.now));
    assert_eq!(facts.cause.by, Some(asker()));
    assert_eq!((facts.what, facts.outcome), (What::Restart, Some(Outcome::Done)));
    assert_eq!((facts.generation, facts.release.as_deref()), (Some(2), Some("/srv/releases/2")));
    assert_eq!((facts.number, facts.held, facts.reason.as_deref()), (1, None, None));
}

#[test]
fn what_fails_says_why() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.exit(desk.worker(1));
    let facts = last(&desk);
    assert_eq!((facts.what, facts.outcome), (What::Restart, Some(Outcome::Failed)));
    let reason = facts.reason.unwrap_or_default();
    assert!(reason.ends_with("for slot 0: it exited with status 1"), "{reason}");
    assert_eq!(facts.generation, Some(2), "the one that was not to be");

    desk.leaves = |action| *action == Action::LoadConfig;
    desk.hear(Event::Signalled { signal: DaemonSignal::Hangup });
    desk.hear(Event::ConfigLoaded { result: Err(vec![Problem::general("it is empty")]) });
    let facts = last(&desk);
    assert_eq!((facts.what, facts.outcome), (What::Reload, Some(Outcome::Failed)));
    assert_eq!(facts.cause.signal.as_deref(), Some("SIGHUP"));
    assert!(facts.reason.unwrap_or_default().contains("it is empty"));
}

#[test]
fn each_operation_has_one_entry() {
    let mut desk = up("workers = 2");
    desk.ask("1", set_workers(1));
    desk.ask("2", restart(suspended()));
    desk.all_online();
    desk.ask("3", Request::Resume);
    desk.all_online();
    desk.pass(Duration::from_secs(10));
    desk.ask("4", Request::Reload);
    desk.ask("5", Request::Stop);
    all_exit(&mut desk);
    desk.ask("6", Request::Start(StartOptions::default()));
    desk.all_online();
    desk.ask("7", Request::SetStandby { count: 1 });
    desk.all_online();
    let expected = [
        What::SetWorkers,
        What::Restart,
        What::Resume,
        What::Reload,
        What::Stop,
        What::Start,
        What::SetStandby,
    ];
    assert_eq!(ends(&desk).into_iter().map(|(what, _)| what).collect::<Vec<What>>(), expected);
    let numbers: Vec<u64> = entries(&desk).iter().map(|entry| entry.facts.number).collect();
    assert_eq!(numbers, (1..=7).collect::<Vec<u64>>());
}

#[test]
fn what_is_refused_at_once_has_no_entry() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.ask("q", restart(StartOptions::default()));
    desk.ask("d", deploy());
    desk.ask("s", set_workers(100_000));
    assert_eq!(desk.end("q").and_then(|(code, _)| code), Some(Code::Busy));
    desk.all_online();
    assert_eq!(ends(&desk), [(What::Restart, Outcome::Done)]);
}

#[test]
fn an_operation_that_is_called_off_has_its_entry_before_what_ends_it() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    all_exit(&mut desk);
    assert_eq!(ends(&desk), [(What::Restart, Outcome::CalledOff), (What::Terminate, Outcome::Done)]);
    assert_eq!(last(&desk).cause.signal.as_deref(), Some("SIGTERM"));
    let quit = desk.orders.iter().position(|action| *action == Action::Quit);
    let recorded = desk.orders.iter().rposition(is_record);
    assert!(recorded < quit, "the daemon's own end is written before it quits");
}

#[test]
fn a_deploy_that_is_watched_ends_with_the_watch() {
    let mut desk = up("");
    desk.ask("d", deploy());
    desk.all_online();
    desk.pass(Duration::from_secs(29));
    assert_eq!(ends(&desk), []);
    desk.pass(Duration::from_secs(2));
    assert_eq!(ends(&desk), [(What::Deploy, Outcome::Done)]);
    let found = entries(&desk);
    assert_eq!(found[0].ended.since(found[0].began), Duration::from_secs(30));
    assert_eq!(last(&desk).release.as_deref(), Some("/srv/releases/2"));
}

#[test]
fn a_deploy_says_how_it_failed() {
    let mut back = up("");
    back.ask("d", deploy());
    back.all_online();
    back.exit(back.worker(1));
    let facts = last(&back);
    assert_eq!((facts.what, facts.outcome), (What::Deploy, Some(Outcome::RolledBack)));
    assert_eq!(facts.release.as_deref(), Some("/srv/releases/2"), "the one that failed");
    let reason = facts.reason.unwrap_or_default();
    assert!(reason.starts_with("rolled back: worker "), "{reason}");

    let mut refused = up("");
    refused.leaves = |action| matches!(action, Action::FindReleaseLink { .. });
    refused.ask("d", deploy());
    refused.hear(Event::ReleaseLinkFound { result: Err(Failure("no symlink".into())) });
    let facts = last(&refused);
    assert_eq!((facts.outcome, facts.reason.as_deref()), (Some(Outcome::Refused), Some("no symlink")));
    assert_eq!(facts.release.as_deref(), Some("/srv/releases/2"));
}

#[test]
fn who_waited_when_a_suspension_ended_is_counted_once_more() {
    let mut desk = up("workers = 2");
    desk.ask("r", restart(suspended()));
    for nth in [2, 3] {
        let message = with_heartbeat(true);
        desk.hear(Event::Received { worker: desk.worker(nth), message });
    }
    assert_eq!(last(&desk).held, None, "it has only begun");
    desk.ask("q", Request::Resume);
    let counts = |action: &Action| matches!(action, Action::CountWaiting { .. });
    let told = |action: &Action| matches!(action, Action::Tell { .. });
    let counted = desk.orders.iter().rposition(counts);
    assert!(counted < desk.orders.iter().rposition(told), "before they are resumed");
    desk.hear(Event::WaitingCounted { worker: desk.worker(2), queue: Queue::Length(3) });
    let pong = FromWorker::Pong { seq: 1, inspected: false, held: 2 };
    desk.hear(Event::Received { worker: desk.worker(3), message: pong });
    desk.pass(Duration::from_secs(10));
    assert_eq!((last(&desk).what, last(&desk).held), (What::Resume, Some(5)));
}

#[test]
fn a_crash_loop_is_told_once() {
    let mut desk = up("");
    for _ in 0..9 {
        let worker = desk.spawned.last().copied().unwrap_or_else(|| panic!("no worker"));
        desk.exit(worker);
        desk.pass(Duration::from_secs(40));
    }
    let found = entries(&desk);
    let [Entry { facts, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((facts.what, facts.outcome, facts.slot), (What::CrashLoop, None, Some(SlotIndex(0))));
    let reason = "5 workers in a row have failed, the last one: it exited with status 1";
    assert_eq!(facts.reason.as_deref(), Some(reason));
}

#[test]
fn a_file_that_cannot_be_written_to_stops_nothing_and_is_told_once() {
    let mut desk = up("workers = 2");
    desk.leaves = is_record;
    let failed = |desk: &mut Desk, number| {
        desk.hear(Event::Recorded { number, result: Err(Failure("no space".into())) });
    };
    let lines = warnings(|| {
        desk.ask("1", set_workers(1));
        for _ in 0..4 {
            failed(&mut desk, 1);
            desk.pass(Duration::from_secs(1));
        }
        desk.ask("2", set_workers(2));
        desk.all_online();
    });
    assert_eq!(desk.end("2"), Some((None, String::new())));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("cannot write the history, will try on: no space"), "{lines:?}");
    desk.leaves = |_| false;
    failed(&mut desk, 1);
    desk.orders.clear();
    desk.pass(Duration::from_secs(60));
    assert_eq!(ends(&desk), [(What::SetWorkers, Outcome::Done); 2], "in the order in which they ended");
}

#[test]
fn what_waits_for_a_file_is_bounded() {
    let mut desk = up("");
    desk.leaves = is_record;
    for round in 0..50 {
        desk.ask(&format!("{round}"), Request::SetStandby { count: 0 });
    }
    desk.leaves = |_| false;
    desk.orders.clear();
    let lines = logged(tracing::Level::INFO, || {
        desk.hear(Event::Recorded { number: 1, result: Err(Failure("no space".into())) });
        desk.pass(Duration::from_secs(1));
    });
    let again = "INFO the history is written again; 18 entries are lost".to_owned();
    assert!(lines.contains(&again), "{lines:?}");
    desk.orders.remove(0);
    let numbers: Vec<u64> = entries(&desk).iter().map(|entry| entry.facts.number).collect();
    assert_eq!(numbers, (20..=50).collect::<Vec<u64>>());
}

/// The daemon that follows, and knows the end of the file.
fn after_death(desk: &Desk, history: Vec<Line>) -> Desk {
    adopt(desk, &desk.config, Leftovers { history, ..left(desk) })
}

#[test]
fn the_next_daemon_says_what_became_of_an_operation_that_was_interrupted() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.pass(Duration::from_secs(1));
    let next = after_death(&desk, Vec::new());
    assert_eq!(ends(&next), [(What::Restart, Outcome::Interrupted)]);
    let found = entries(&next);
    let [restart, start] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((restart.facts.number, start.facts.number), (1, 2));
    assert_eq!(restart.facts.cause.by, Some(asker()));
    let reason = restart.facts.reason.as_deref().unwrap_or_default();
    assert_eq!(reason, "a restart was interrupted by the end of an earlier daemon; it was undone");
    assert_eq!(start.facts.what, What::DaemonStart);
    let words = "version 3.0.0; it took over 2 workers of an earlier daemon";
    assert_eq!(start.facts.reason.as_deref(), Some(words));
}

#[test]
fn a_daemon_says_how_many_workers_it_has_taken_over() {
    let desk = Desk::up("workers = 2");
    for (survive, words) in [
        (0, "version 3.0.0"),
        (1, "version 3.0.0; it took over 1 worker of an earlier daemon"),
        (2, "version 3.0.0; it took over 2 workers of an earlier daemon"),
    ] {
        let mut left = left(&desk);
        left.survivors.truncate(survive);
        let next = adopt(&desk, &desk.config, left);
        let start = entries(&next).into_iter().find(|entry| entry.facts.what == What::DaemonStart).unwrap();
        assert_eq!(start.facts.reason.as_deref(), Some(words));
    }
}

#[test]
fn an_entry_is_written_once_whenever_the_daemon_dies() {
    let mut desk = up("");
    desk.leaves = is_record;
    desk.ask("1", set_workers(1));
    let entry = [(What::SetWorkers, Outcome::Done)];
    assert_eq!(ends(&after_death(&desk, Vec::new())), entry, "it may not have been written");
    let written = lines(&desk);
    assert_eq!(ends(&after_death(&desk, written)), [], "it was, and the daemon has not heard of that");
}

#[test]
fn operation_that_is_in_the_file_was_not_interrupted() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    let cut = left(&desk);
    desk.all_online();
    let next = adopt(&desk, &desk.config, Leftovers { history: lines(&desk), ..cut });
    assert_eq!(entries(&next).iter().filter(|entry| entry.facts.what == What::Restart).count(), 0);
}

#[test]
fn operation_in_progress_is_in_the_text_of_the_state_file() {
    let mut desk = up("");
    desk.ask("r", restart(StartOptions::default()));
    let state = desk.state_file();
    let text = serde_json::to_string(&state).unwrap_or_default();
    assert!(text.contains(r#""what":"restart""#), "{text}");
    assert_eq!(serde_json::from_str::<Option<State>>(&text).ok(), Some(state));
}

#[test]
fn numbers_go_on_under_the_next_daemon() {
    let mut desk = up("");
    desk.ask("1", set_workers(1));
    let mut written = lines(&desk);
    written.iter_mut().for_each(|line| line.facts.number = 70);
    let next = after_death(&desk, written);
    assert_eq!(last(&next).number, 71);
    let mut next = upgraded(next);
    assert_eq!(last(&next).number, 72);
    next.ask("2", set_workers(1));
    assert_eq!(last(&next).number, 73);
}

#[test]
fn what_could_not_be_written_before_an_upgrade_is_written_after_it() {
    let mut desk = up("");
    desk.leaves = is_record;
    desk.ask("1", set_workers(1));
    let next = upgraded(desk);
    assert_eq!(ends(&next), [(What::SetWorkers, Outcome::Done), (What::Upgrade, Outcome::Done)]);
}

#[test]
fn incidents_are_counted_on_by_the_next_daemon() {
    let mut desk = up("limits.memory = '100M'");
    let (worker, mebibyte) = (desk.worker(0), 1 << 20);
    let memory = Memory { resident: 200 * mebibyte, room: 1000 * mebibyte };
    desk.hear(Event::MemoryMeasured { worker, result: Ok(memory) });
    let counted = |desk: &Desk| desk.supervisor.metrics().incidents["limit"];
    assert_eq!(counted(&desk), 1);
    assert_eq!(counted(&after_death(&desk, lines(&desk))), 1);
    assert_eq!(counted(&upgraded(desk)), 1);
}

#[test]
fn how_a_deploy_ended_is_known_after_the_daemon_that_did_it() {
    let mut desk = up("");
    desk.ask("d", deploy());
    desk.all_online();
    desk.exit(desk.worker(1));
    let told = desk.end("d");
    let mut next = after_death(&desk, lines(&desk));
    next.ask("a", Request::AttachDeploy { progress: false });
    assert_eq!(next.end("a"), told);
    assert_eq!(told.and_then(|(code, _)| code), Some(Code::RolledBack));

    let mut cut = up("");
    cut.ask("d", deploy());
    let mut next = after_death(&cut, Vec::new());
    next.ask("a", Request::AttachDeploy { progress: false });
    let (code, words) = next.end("a").unwrap_or_default();
    assert_eq!(code, None);
    assert!(words.contains("was interrupted by the end of an earlier daemon; it was undone"), "{words}");
}

#[test]
fn an_upgrade_is_over_when_the_new_program_has_taken_over() {
    let mut desk = up("");
    desk.ask("d", deploy());
    desk.all_online();
    desk.pass(Duration::from_secs(60));
    let handoff = desk.hand_off();
    let mut next = taken_over(&desk, handoff, desk.config.clone());
    assert_eq!(ends(&next), [(What::Upgrade, Outcome::Done)]);
    let facts = last(&next);
    assert_eq!(facts.number, 2);
    assert_eq!(facts.cause.signal.as_deref(), Some("SIGUSR2"));
    assert_eq!(facts.reason.as_deref(), Some("from 3.0.0 to 99.0.0"));
    next.ask("a", Request::AttachDeploy { progress: false });
    assert_eq!(next.end("a"), Some((None, String::new())), "the deploy before it is known still");

    let mut refused = up("");
    refused.hear(Event::Signalled { signal: DaemonSignal::User2 });
    refused.hear(Event::Preflighted { result: Ok("3.0.0".into()) });
    assert_eq!(ends(&refused), [(What::Upgrade, Outcome::Failed)]);
}

#[test]
fn what_comes_from_outside_is_cut_and_made_safe() {
    let mut desk = up("");
    desk.leaves = |action| *action == Action::LoadConfig;
    desk.ask("r", Request::Reload);
    let words = format!("\u{1b}[2J{}", "x".repeat(10_000));
    desk.hear(Event::ConfigLoaded { result: Err(vec![Problem::general(words)]) });
    let reason = last(&desk).reason.unwrap_or_default();
    assert!(reason.len() < 2100 && !reason.contains('\u{1b}'), "{} characters", reason.len());
}

#[test]
fn a_worker_that_dies_alone_is_no_entry() {
    let mut desk = up("");
    desk.hear(Event::Exited { worker: desk.worker(0), status: ExitStatus::Signal(9) });
    desk.all_online();
    assert_eq!(entries(&desk), []);
}

#[test]
fn a_worker_that_has_come_to_a_limit_is_an_entry_with_its_slot_and_the_reason() {
    let mut desk = up("workers = 2\nlimits.memory = '100M'");
    let (worker, mebibyte) = (desk.worker(1), 1 << 20);
    let memory = Memory { resident: 200 * mebibyte, room: 1000 * mebibyte };
    desk.hear(Event::MemoryMeasured { worker, result: Ok(memory) });
    let facts = last(&desk);
    assert_eq!((facts.what, facts.slot, facts.outcome), (What::Limit, Some(SlotIndex(1)), None));
    let why = "it has 200 MiB of memory and may have 100 MiB (limits.memory)";
    assert_eq!(facts.reason, Some(format!("worker {}: {why}", worker.short())));
}

#[test]
fn an_operation_that_has_changed_nothing_yet_is_in_the_state_file() {
    let mut desk = up("");
    desk.leaves = |action| *action == Action::LoadConfig;
    desk.ask("r", Request::Reload);
    let text = serde_json::to_string(&desk.state_file()).unwrap_or_default();
    assert!(text.contains(r#""what":"reload""#), "{text}");
}

#[test]
fn what_a_worker_asks_for_is_in_the_history_with_its_name() {
    let mut desk = up("");
    let worker = desk.worker(0);
    let from = RequestRef { peer: Peer::Worker(worker), id: "r".into() };
    desk.hear(Event::Requested { from, asker: None, request: set_workers(2) });
    desk.all_online();
    let by = last(&desk).cause.by.and_then(|by| by.worker);
    assert_eq!(by, Some(worker));
}

#[test]
fn a_daemon_that_quits_orders_all_to_be_written() {
    let mut desk = up("");
    desk.leaves = is_record;
    for round in 0..3 {
        desk.ask(&format!("{round}"), set_workers(1));
    }
    desk.ask("t", Request::Terminate);
    let numbers: Vec<u64> = entries(&desk).iter().map(|entry| entry.facts.number).collect();
    assert_eq!(numbers, (1..=4).collect::<Vec<u64>>());
    assert!(desk.supervisor.has_quit());
}
