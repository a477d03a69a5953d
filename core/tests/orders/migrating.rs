//! Deploys with a migration: a command runs while nobody is active, and the old release comes back if it fails.

use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure};
use nodesockd_core::state::MigrationStage;
use nodesockd_core::wire::{
    Body, Code, DeployOptions, DeployStep, FromWorker, MigrationOptions, Request, StartOptions, WorkerState,
};
use nodesockd_core::{Action, Event};

use super::adoption::follow;
use super::desk::{COMMAND, Desk, release, restart, with_heartbeat};
use super::history::entries;
use super::log::logged;

fn migrating(revert: Option<&str>, watch: Duration, limit: Option<Duration>) -> Request {
    let revert = revert.map(str::to_owned);
    Request::Deploy(DeployOptions {
        release: Some(release("2").dir),
        watch,
        migration: Some(MigrationOptions { command: "migrate".into(), revert, limit }),
        progress: true,
        ..DeployOptions::default()
    })
}

/// One slot, and a deploy whose new worker `b` has taken over; the migration runs.
fn runs(revert: Option<&str>, watch: Duration) -> Desk {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(revert, watch, None));
    desk.online(desk.worker(1));
    desk.story();
    desk
}

fn ends(desk: &mut Desk, code: i32) {
    desk.hear(Event::CommandEnded { process: COMMAND, status: ExitStatus::Code(code) });
}

fn steps(desk: &Desk) -> Vec<DeployStep> {
    desk.news("d").into_iter().map(|news| news.step).collect()
}

fn states(desk: &Desk) -> Vec<WorkerState> {
    desk.supervisor.status().workers.into_iter().map(|row| row.state).collect()
}

const NONE: Duration = Duration::ZERO;
const WATCH: Duration = Duration::from_secs(30);

#[test]
fn a_migration_runs_when_nobody_is_active_and_the_new_workers_begin_after_it() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("d", migrating(None, NONE, None));
    desk.online(desk.worker(1));
    desk.story();
    desk.hear(Event::Exited { worker: desk.worker(0), status: ExitStatus::Code(0) });
    assert_eq!(desk.story(), ["reap a", "remove socket of a", "run `migrate` in /srv/releases/2"]);
    assert_eq!(states(&desk), [WorkerState::Suspended]);
    let note = desk.supervisor.status().note.unwrap_or_default();
    assert_eq!(note, "a deploy is in progress: its migration runs as process 77");

    ends(&mut desk, 0);
    assert_eq!(steps(&desk), [DeployStep::Migrated]);
    assert_eq!(desk.end("d"), Some((None, String::new())));
    assert_eq!(desk.story(), ["tell b resume"]);
    assert_eq!((desk.current, desk.supervisor.pending()), ("2", None));
}

#[test]
fn what_a_migration_writes_is_told_line_by_line_and_escaped() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(None, NONE, None));
    desk.online(desk.worker(1));
    let lines = vec!["one".to_owned(), "\u{1b}[2Jtwo".to_owned()];
    desk.hear(Event::CommandWrote { process: COMMAND, lines });
    desk.ask("again", Request::AttachDeploy { progress: true });
    let logged = logged(tracing::Level::INFO, || {
        desk.hear(Event::CommandWrote { process: COMMAND, lines: vec!["three".into()] });
    });
    assert_eq!(logged, ["INFO migration: three pid=77"]);
    let told = |id: &str| {
        let line = |body| if let Some(Body::Deploy(news)) = body { news.line.or(news.command) } else { None };
        desk.replies(id).into_iter().filter_map(|reply| line(reply.body)).collect::<Vec<_>>()
    };
    assert_eq!(told("d"), ["migrate", "one", "\\x1b[2Jtwo", "three"]);
    assert_eq!(told("again"), ["migrate", "three"]);
}

#[test]
fn after_a_migration_that_fails_the_old_release_serves_again() {
    let mut desk = runs(None, WATCH);
    ends(&mut desk, 3);
    assert_eq!(desk.story(), ["switch to releases/1", "start c"]);
    assert_eq!(desk.end("d"), None);
    desk.online(desk.worker(2));
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::RolledBack));
    let expected = "rolled back: its migration failed: it exited with status 3; the old release serves again";
    assert_eq!(words, expected);
    assert_eq!(states(&desk), [WorkerState::Online]);
    let status = desk.supervisor.status();
    assert_eq!((status.release.as_deref(), status.generation), (Some("/srv/releases/1"), 3));
    assert_eq!((desk.current, desk.supervisor.pending()), ("1", None));
    assert_eq!(desk.end("d"), Some((code, words)));
}

#[test]
fn what_undoes_a_migration_runs_before_the_old_release_serves_again() {
    let mut desk = runs(Some("undo"), NONE);
    ends(&mut desk, 1);
    assert_eq!(desk.story(), ["run `undo` in /srv/releases/2"]);
    let stage = |desk: &Desk| desk.state_file().and_then(|state| state.deploy?.migration);
    assert_eq!(stage(&desk), Some(MigrationStage::Reverts));
    ends(&mut desk, 0);
    assert_eq!(desk.story(), ["switch to releases/1", "start c"]);
    assert_eq!(stage(&desk), Some(MigrationStage::Back), "a daemon that follows knows that it is undone");
    desk.online(desk.worker(2));
    assert_eq!(desk.end("d").and_then(|(code, _)| code), Some(Code::RolledBack));
}

#[test]
fn where_the_way_back_fails_the_app_stays_suspended_and_says_so() {
    let mut desk = runs(Some("undo"), NONE);
    ends(&mut desk, 1);
    ends(&mut desk, 2);
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::NotRolledBack));
    assert!(words.contains("its migration failed: it exited with status 1; the revert"), "{words}");
    assert!(words.contains("it exited with status 2; the app stays suspended; when you know"), "{words}");
    assert_eq!((states(&desk), desk.current), (vec![WorkerState::Suspended], "2"));
    assert_eq!(desk.supervisor.status().note.as_ref(), Some(&words));
    desk.ask("again", Request::AttachDeploy { progress: true });
    assert_eq!(desk.end("again"), Some((code, words.clone())));

    let mut next = follow(&desk, |_| ());
    assert_eq!(next.supervisor.status().note.as_ref(), Some(&words), "a daemon that follows says so, too");
    assert!(next.supervisor.status().suspended);
    next.ask("resume", Request::Resume);
    assert_eq!(next.supervisor.status().note, None);
}

#[test]
fn a_release_can_be_deployed_that_ends_the_suspension() {
    let mut desk = runs(Some("undo"), NONE);
    ends(&mut desk, 1);
    ends(&mut desk, 2);
    let refused = desk.ask("m", migrating(None, NONE, None));
    assert_eq!(refused.first().and_then(|reply| reply.code), Some(Code::Usage));
    desk.ask(
        "old",
        Request::Deploy(DeployOptions { release: Some(release("1").dir), ..DeployOptions::default() }),
    );
    desk.online(desk.worker(2));
    assert_eq!((states(&desk), desk.current), (vec![WorkerState::Online], "1"));
    desk.pass(WATCH * 2);
    assert_eq!(desk.end("old"), Some((None, String::new())));
    assert_eq!(desk.supervisor.status().note, None);
}

#[test]
fn where_the_old_release_cannot_be_started_the_app_stays_suspended() {
    let mut desk = runs(None, NONE);
    ends(&mut desk, 1);
    desk.exit(desk.worker(2));
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::NotRolledBack));
    assert!(words.contains("the old release cannot be started: worker"), "{words}");
    assert_eq!((states(&desk), desk.current), (vec![WorkerState::Suspended], "1"));
    assert!(desk.supervisor.status().note.is_some());
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(3));
    assert_eq!((states(&desk), desk.supervisor.status().note), (vec![WorkerState::Online], None));
}

#[test]
fn workers_that_cannot_be_started_change_nothing() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(Some("undo"), NONE, None));
    desk.exit(desk.worker(1));
    assert_eq!(desk.end("d").and_then(|(code, _)| code), Some(Code::StartFailed));
    assert_eq!((states(&desk), desk.current), (vec![WorkerState::Online], "1"));
}

#[test]
fn a_command_that_cannot_be_run_has_failed() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::RunCommand(_));
    desk.ask("d", migrating(None, NONE, None));
    desk.online(desk.worker(1));
    desk.story();
    desk.hear(Event::CommandStarted { result: Err(Failure("cannot run `sh`: ENOENT".into())) });
    assert_eq!(desk.story(), ["switch to releases/1", "start c"]);
}

#[test]
fn a_migration_that_takes_too_long_is_ended() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(None, NONE, Some(Duration::from_millis(45_500))));
    desk.online(desk.worker(1));
    desk.story();
    // Nothing else is due then.
    desk.pass(Duration::from_millis(45_499));
    assert_eq!(desk.story(), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.story(), ["Terminate the command"]);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.story(), ["Kill the command"]);
    desk.hear(Event::CommandEnded { process: COMMAND, status: ExitStatus::Signal(9) });
    desk.online(desk.worker(2));
    let words = desk.end("d").unwrap_or_default().1;
    assert!(
        words.contains("it took longer than 45500 ms (--migrate-timeout) and was killed by SIGKILL"),
        "{words}"
    );
}

#[test]
fn workers_that_fail_after_a_migration_leave_no_way_back_without_a_revert() {
    let mut desk = runs(None, WATCH);
    ends(&mut desk, 0);
    assert_eq!((steps(&desk).last(), desk.end("d")), (Some(&DeployStep::Watching), None));
    assert!(desk.news("d").iter().any(|news| news.alone), "no old worker is left");
    desk.exit(desk.worker(1));
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!((code, desk.current), (Some(Code::NotRolledBack), "2"));
    assert!(words.contains("cannot go back because the old workers are gone: worker"), "{words}");
}

#[test]
fn workers_that_fail_after_a_migration_are_replaced_by_suspended_ones_until_it_is_undone() {
    let mut desk = runs(Some("undo"), WATCH);
    ends(&mut desk, 0);
    desk.story();
    let reason = Some("no table".into());
    desk.hear(Event::Received { worker: desk.worker(1), message: FromWorker::Broken { reason } });
    let status = desk.supervisor.status();
    let of_old = status.workers.iter().filter(|row| row.generation == Some(3)).count();
    assert_eq!(of_old, 1, "a worker of the old release boots");
    desk.online(desk.worker(2));
    // Another worker of the new release had begun to boot.
    desk.exit(desk.worker(3));
    let story = desk.story();
    assert!(story.contains(&"run `undo` in /srv/releases/2".to_owned()), "{story:?}");
    assert_eq!(states(&desk), [WorkerState::Suspended]);
    ends(&mut desk, 0);
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!((code, desk.current), (Some(Code::RolledBack), "1"));
    assert!(words.contains("it is broken: no table; the old release serves again"), "{words}");
    assert_eq!(desk.supervisor.status().release.as_deref(), Some("/srv/releases/1"));
    assert_eq!(states(&desk), [WorkerState::Online]);
}

#[test]
fn a_worker_that_breaks_during_a_migration_fails_the_deploy_that_was_to_be_watched() {
    let mut desk = runs(None, WATCH);
    desk.breaks(1);
    ends(&mut desk, 0);
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::NotRolledBack));
    assert!(words.contains("it asked to be replaced"), "{words}");

    // One that has been replaced by then does not count.
    let mut desk = runs(None, WATCH);
    desk.breaks(1);
    desk.online(desk.worker(2));
    ends(&mut desk, 0);
    desk.pass(WATCH * 2);
    assert_eq!(desk.end("d"), Some((None, String::new())));
}

#[test]
fn nothing_begins_while_a_migration_runs() {
    let mut desk = runs(None, NONE);
    for (id, request) in [
        ("resume", Request::Resume),
        ("restart", restart(StartOptions::default())),
        ("reload", Request::Reload),
    ] {
        desk.ask(id, request);
        assert_eq!(desk.end(id).and_then(|(code, _)| code), Some(Code::Busy), "{id}");
    }
}

#[test]
fn a_stop_ends_a_migration_and_says_what_that_means() {
    let mut desk = runs(Some("undo"), NONE);
    desk.ask("s", Request::Stop);
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::Busy));
    assert!(words.contains("when its migration had begun; /srv/app names releases/2"), "{words}");
    assert_eq!(desk.end("s"), None, "the command runs still");
    let story = desk.story();
    assert!(story.contains(&"Terminate the command".to_owned()), "{story:?}");
    ends(&mut desk, 1);
    assert_eq!(desk.end("s"), Some((None, String::new())));
    assert_eq!(desk.current, "2");
}

#[test]
fn a_daemon_that_dies_during_a_migration_leaves_the_decision_to_a_person() {
    let desk = runs(Some("undo"), NONE);
    let mut next = follow(&desk, |_| ());
    let reasons: Vec<String> = entries(&next).into_iter().filter_map(|entry| entry.facts.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("while its migration ran")), "{reasons:?}");
    assert!(next.story().contains(&"watch the command".to_owned()));
    let note = next.supervisor.status().note.unwrap_or_default();
    assert!(note.contains("interrupted while its migration ran by the end of an earlier daemon"), "{note}");
    assert!(
        note.contains("nodesockd.ipc.migration") && note.ends_with("its migration runs as process 77"),
        "{note}"
    );
    next.ask("early", Request::Resume);
    assert_eq!(next.end("early").and_then(|(code, _)| code), Some(Code::Busy));
    next.hear(Event::CommandEnded { process: COMMAND, status: ExitStatus::Unknown });
    assert!(next.supervisor.status().suspended);
    let note = next.supervisor.status().note.unwrap_or_default();
    assert!(note.contains("nodesockd resume"), "{note}");
    next.ask("resume", Request::Resume);
    assert!(!next.supervisor.status().suspended);
}

#[test]
fn a_daemon_that_dies_before_the_swap_undoes_a_deploy_with_a_migration() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(None, NONE, None));
    let mut next = follow(&desk, |_| ());
    next.pass(Duration::from_secs(60));
    assert_eq!((next.current, next.supervisor.status().suspended), ("1", false));
}

#[test]
fn a_daemon_that_dies_after_a_migration_leaves_it_done() {
    let mut desk = runs(None, WATCH);
    ends(&mut desk, 0);
    let next = follow(&desk, |_| ());
    let status = next.supervisor.status();
    assert_eq!((next.current, status.suspended), ("2", false));
    assert!(status.note.is_some_and(|note| note.ends_with("its workers stay")));
}

#[test]
fn an_upgrade_keeps_that_a_person_has_to_decide() {
    let mut desk = runs(Some("undo"), NONE);
    ends(&mut desk, 1);
    ends(&mut desk, 2);
    let handoff = desk.hand_off();
    let text = serde_json::to_string(&handoff).unwrap_or_default();
    assert!(text.contains("the app stays suspended"), "{text}");
}

#[test]
fn a_worker_that_dies_as_soon_as_it_begins_fails_a_deploy_that_is_watched() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(None, WATCH, None));
    let online = |desk: &Desk, suspended| {
        let message = with_heartbeat(suspended);
        Event::Received { worker: desk.worker(1), message }
    };
    desk.hear(online(&desk, true));
    ends(&mut desk, 0);
    assert_eq!(desk.end("d"), None, "it has not confirmed that it was resumed");
    desk.exit(desk.worker(1));
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::NotRolledBack));
    assert!(words.contains("it exited with status 1"), "{words}");
}

#[test]
fn a_migration_is_killed_when_the_daemon_has_to_quit() {
    let mut desk = Desk::up("options.quitTimeout = 7000");
    desk.ask("d", migrating(None, NONE, None));
    desk.online(desk.worker(1));
    desk.ask("t", Request::Terminate);
    desk.story();
    desk.pass(Duration::from_secs(7));
    assert!(desk.story().contains(&"Kill the command".to_owned()));
}

#[test]
fn whoever_asked_for_a_deploy_is_told_which_worker_has_failed_after_its_migration() {
    let mut desk = runs(Some("undo"), WATCH);
    ends(&mut desk, 0);
    // Another one takes the place of the dead one, until it is known that all of them have to go.
    (1..4).for_each(|nth| desk.exit(desk.worker(nth)));
    ends(&mut desk, 0);
    desk.all_online();
    let body = desk.replies("d").pop().and_then(|reply| reply.body);
    let Some(Body::Failed(failed)) = body else { panic!("{body:?}") };
    assert_eq!(failed.iter().map(|worker| worker.id).collect::<Vec<_>>(), [desk.worker(1)]);
}

#[test]
fn what_waits_for_the_migration_of_an_earlier_daemon_begins_after_that() {
    let desk = runs(Some("undo"), NONE);
    let mut next = follow(&desk, |_| ());
    next.hear(Event::Signalled { signal: DaemonSignal::Hangup });
    let loads = |desk: &Desk| desk.count(|action| *action == Action::LoadConfig);
    assert_eq!(loads(&next), 0);
    next.hear(Event::CommandEnded { process: COMMAND, status: ExitStatus::Unknown });
    assert_eq!(loads(&next), 1);
}

#[test]
fn a_worker_that_dies_as_soon_as_it_begins_is_replaced_where_nobody_watches() {
    let mut desk = Desk::up("");
    desk.ask("d", migrating(None, NONE, None));
    let message = with_heartbeat(true);
    desk.hear(Event::Received { worker: desk.worker(1), message });
    ends(&mut desk, 0);
    assert_eq!(desk.end("d"), None, "it has not confirmed that it was resumed");
    desk.exit(desk.worker(1));
    assert_eq!(desk.end("d"), Some((None, String::new())));
}
