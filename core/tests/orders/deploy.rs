//! Deploys: the release is switched, its workers are watched, and the links go back if one of them fails.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::event::{ExitStatus, Failure};
use nodesockd_core::id::{ConnId, SlotIndex};
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{Code, DeployOptions, DeployStep, FromWorker, Request, StartOptions, WorkerState};
use nodesockd_core::{Action, Event};

use super::adoption::follow;
use super::desk::{Desk, release, restart, set_workers, suspended};

const WATCH: Duration = Duration::from_secs(30);

fn deploy() -> Request {
    Request::Deploy(DeployOptions {
        release: Some(release("2").dir),
        progress: true,
        ..DeployOptions::default()
    })
}

/// One slot and perhaps standbys, and a release whose workers serve and are watched: `a` is the old worker of the slot.
fn watched(keys: &str) -> Desk {
    let mut desk = Desk::up(keys);
    desk.ask("d", deploy());
    let started = desk.spawned.len();
    (started / 2..started).for_each(|nth| desk.online(desk.worker(nth)));
    desk
}

fn steps(desk: &Desk, id: &str) -> Vec<DeployStep> {
    desk.news(id).into_iter().map(|news| news.step).collect()
}

fn code(desk: &Desk, id: &str) -> Option<Code> {
    desk.end(id).and_then(|(code, _)| code)
}

fn breaks(desk: &mut Desk, nth: usize) {
    let reason = Some("no database".into());
    desk.hear(Event::Received { worker: desk.worker(nth), message: FromWorker::Broken { reason } });
}

/// The link of slot 0 names the nth worker.
fn serves(desk: &Desk, nth: usize) -> bool {
    let rows = desk.supervisor.status().workers;
    rows.first().is_some_and(|row| row.slot.is_some() && row.id == desk.worker(nth))
}

/// What becomes of symlinks, as far as anything is ordered.
fn switches(desk: &Desk) -> Vec<(PathBuf, PathBuf)> {
    let switch = |action: &Action| match action {
        Action::SwitchReleaseLink { from, to, .. } => Some((from.clone(), to.clone())),
        _ => None,
    };
    desk.orders.iter().filter_map(switch).collect()
}

fn there() -> (PathBuf, PathBuf) {
    ("releases/1".into(), "releases/2".into())
}

fn back() -> (PathBuf, PathBuf) {
    let (from, to) = there();
    (to, from)
}

#[test]
fn a_deploy_switches_the_release_and_keeps_the_old_workers_for_a_while() {
    let mut desk = Desk::up("");
    desk.ask("d", deploy());
    assert_eq!(switches(&desk), [there()]);
    desk.story();
    desk.online(desk.worker(1));
    assert_eq!(desk.story(), ["link 0 to b"]);
    let old = desk.supervisor.status().workers.into_iter().find(|row| row.kept);
    assert_eq!(old.map(|row| row.id), Some(desk.worker(0)));

    desk.pass(WATCH - Duration::from_millis(1));
    assert_eq!((desk.story(), desk.end("d")), (Vec::new(), None));
    desk.pass(Duration::from_millis(100));
    assert_eq!(desk.story(), ["look at a", "tell a shutdown", "reap a", "remove socket of a"]);
    assert_eq!((desk.current, desk.supervisor.status().generation), ("2", 2));
}

#[test]
fn a_deploy_tells_how_it_goes() {
    let mut desk = watched("");
    assert_eq!(desk.supervisor.status().operation.as_deref(), Some("a deploy"));
    assert_eq!(steps(&desk, "d"), [DeployStep::Switched, DeployStep::Watching]);
    let watching = desk.news("d").pop();
    let release = Some("/srv/releases/2".to_owned());
    let told = watching.map(|news| (news.alone, news.watch, news.release));
    assert_eq!(told, Some((false, Some(30_000), release)));
    desk.ask("again", Request::AttachDeploy { progress: true });
    desk.pass(WATCH * 2);
    assert_eq!(steps(&desk, "again"), [DeployStep::Watching, DeployStep::Confirmed]);
    assert_eq!(desk.end("again"), Some((None, String::new())));
    assert_eq!(desk.end("d"), Some((None, String::new())));
}

#[test]
fn links_go_back_to_the_old_workers_and_nothing_boots() {
    let mut desk = watched("workers = 2\nstandby = 1");
    desk.pass(Duration::from_secs(3));
    desk.story();
    desk.exit(desk.worker(4));
    let (code, words) = desk.end("d").unwrap_or_default();
    let told = desk.news("d").into_iter().find(|news| news.step == DeployStep::RollingBack);
    assert_eq!(told.and_then(|news| news.reason).as_deref(), Some("it exited with status 1"));
    let story = desk.story();
    let links: Vec<_> = story.iter().filter(|order| order.starts_with("link")).collect();
    assert_eq!(links, ["link 0 to a", "link 1 to b"], "{story:?}");
    assert!(story.iter().all(|order| !order.starts_with("start")), "{story:?}");
    assert!(
        words.starts_with("rolled back: worker") && words.ends_with("in slot 1: it exited with status 1"),
        "{words}"
    );
    assert_eq!((code, desk.current), (Some(Code::RolledBack), "1"));

    desk.pass(Duration::from_secs(60));
    let status = desk.supervisor.status();
    let rows: Vec<_> = status.workers.iter().map(|row| (row.id, row.generation, row.kept)).collect();
    assert_eq!(rows, [0, 1, 2].map(|nth| (desk.worker(nth), Some(1), false)));
    assert_eq!((status.generation, desk.supervisor.pending()), (1, None));
}

#[test]
fn a_worker_that_is_broken_is_a_reason_to_go_back() {
    let mut desk = watched("");
    breaks(&mut desk, 1);
    assert!(serves(&desk, 0));
    assert_eq!(code(&desk, "d"), Some(Code::RolledBack));
}

#[test]
fn a_standby_that_fails_is_a_reason_to_go_back() {
    let mut desk = watched("standby = 1");
    desk.exit(desk.worker(3));
    assert!(serves(&desk, 0));
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!(code, Some(Code::RolledBack));
    assert!(words.contains("as a standby"), "{words}");
}

#[test]
fn who_has_failed_meanwhile_is_started_anew() {
    let mut desk = watched("");
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("d"), None, "the new worker is well");
    breaks(&mut desk, 1);
    assert!(serves(&desk, 1), "until somebody else can");
    assert_eq!(code(&desk, "d"), Some(Code::RolledBack));
    let old = desk.orders.iter().rev().find_map(|action| match action {
        Action::Spawn(order) => Some(order.cwd.clone()),
        _ => None,
    });
    assert_eq!(old, Some(release("1").dir));
    desk.online(desk.worker(2));
    assert!(serves(&desk, 2));
}

#[test]
fn old_worker_that_dies_while_links_go_back_does_not_hold_the_others_up() {
    let mut desk = watched("workers = 2");
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    breaks(&mut desk, 2);
    desk.leaves = |_| false;
    desk.exit(desk.worker(0));
    desk.published(1, 1, Ok(()));
    desk.published(0, 0, Ok(()));
    assert_eq!(code(&desk, "d"), Some(Code::RolledBack));
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.spawned.len(), 5, "the slot of the dead worker gets another one");
}

#[test]
fn a_deploy_whose_workers_do_not_start_changes_nothing() {
    let mut desk = Desk::up("");
    desk.ask("d", deploy());
    desk.exit(desk.worker(1));
    assert_eq!(switches(&desk), [there(), back()]);
    assert_eq!((code(&desk, "d"), desk.current, serves(&desk, 0)), (Some(Code::StartFailed), "1", true));
    desk.ask("attach", Request::AttachDeploy { progress: true });
    assert_eq!(code(&desk, "attach"), Some(Code::StartFailed));
}

#[test]
fn a_deploy_tries_as_often_as_it_is_told() {
    let mut desk = Desk::up("[options]\nmaxStartAttempts = 3");
    let max_attempts = NonZeroU32::new(2);
    desk.ask("d", Request::Deploy(DeployOptions { max_attempts, ..DeployOptions::default() }));
    desk.exit(desk.worker(1));
    assert_eq!(desk.end("d"), None);
    desk.pass(Duration::from_secs(1));
    desk.exit(desk.worker(2));
    assert_eq!(code(&desk, "d"), Some(Code::StartFailed));
}

#[test]
fn without_a_watch_a_deploy_is_a_restart() {
    let mut desk = Desk::up("");
    let options = DeployOptions { watch: Duration::ZERO, ..DeployOptions::default() };
    desk.ask("d", Request::Deploy(options));
    assert_eq!(switches(&desk), []);
    desk.online(desk.worker(1));
    desk.pass(Duration::from_millis(100));
    assert_eq!(desk.end("d"), Some((None, String::new())));
}

#[test]
fn a_client_that_vanishes_changes_nothing() {
    let mut desk = watched("");
    desk.hear(Event::Disconnected { conn: ConnId(1) });
    desk.pass(WATCH * 2);
    assert_eq!((desk.end("d"), serves(&desk, 1)), (None, true));
    desk.ask("attach", Request::AttachDeploy { progress: false });
    assert_eq!(desk.end("attach"), Some((None, String::new())));
}

#[test]
fn who_asks_for_the_last_deploy_is_told_how_that_ended_and_not_what_failed_since() {
    let ended = |desk: &mut Desk, id: &str| {
        desk.ask(id, Request::AttachDeploy { progress: false });
        code(desk, id)
    };
    let fails = |desk: &mut Desk| {
        for _ in 0..2 {
            desk.exit(desk.worker(desk.spawned.len() - 1));
            desk.pass(Duration::from_secs(1));
        }
    };
    let mut desk = Desk::up("options.maxStartAttempts = 2");
    desk.ask("d", deploy());
    fails(&mut desk);
    assert_eq!((code(&desk, "d"), ended(&mut desk, "1")), (Some(Code::StartFailed), Some(Code::StartFailed)));

    let mut desk = watched("options.maxStartAttempts = 2");
    desk.pass(WATCH * 2);
    desk.ask("r", restart(StartOptions::default()));
    fails(&mut desk);
    assert_eq!((code(&desk, "r"), ended(&mut desk, "2")), (Some(Code::StartFailed), None));
    assert_eq!(desk.end("2"), Some((None, String::new())));
}

#[test]
fn a_stop_is_how_a_deploy_has_ended_that_it_interrupts() {
    let mut desk = watched("");
    desk.ask("s", Request::Stop);
    desk.ask("1", Request::AttachDeploy { progress: false });
    assert_eq!(desk.end("1"), Some((Some(Code::Busy), "a deploy was ended by a stop".into())));

    let mut desk = watched("");
    desk.pass(WATCH * 2);
    desk.ask("r", restart(StartOptions::default()));
    desk.ask("s", Request::Stop);
    desk.ask("2", Request::AttachDeploy { progress: false });
    assert_eq!((code(&desk, "r"), desk.end("2")), (Some(Code::Busy), Some((None, String::new()))));
}

#[test]
fn what_cannot_be_deployed_is_refused() {
    let refused = |desk: &mut Desk| {
        desk.ask("d", deploy());
        (code(desk, "d"), desk.current)
    };
    let mut desk = Desk::up("");
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(1));
    assert_eq!(refused(&mut desk), (Some(Code::Usage), "1"));

    let mut desk = Desk::up("");
    desk.ask("s", Request::Stop);
    assert_eq!(refused(&mut desk), (Some(Code::Usage), "1"));

    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions::default()));
    assert_eq!(refused(&mut desk), (Some(Code::Busy), "1"));

    for leaves in [
        (|action: &Action| matches!(action, Action::FindReleaseLink { .. })) as fn(&Action) -> bool,
        |action| matches!(action, Action::SwitchReleaseLink { .. }),
    ] {
        let mut desk = Desk::up("");
        desk.leaves = leaves;
        desk.ask("d", deploy());
        let failure = || Failure("no symlink leads there".into());
        desk.hear(Event::ReleaseLinkFound { result: Err(failure()) });
        desk.hear(Event::ReleaseLinkSwitched { to: "releases/2".into(), result: Err(failure()) });
        assert_eq!(desk.end("d"), Some((Some(Code::Usage), "no symlink leads there".into())));
        assert_eq!((desk.spawned.len(), desk.supervisor.pending()), (1, None));
    }
}

#[test]
fn a_stop_ends_the_watch() {
    let mut desk = watched("");
    desk.ask("s", Request::Stop);
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.end("s"), code(&desk, "d")), (Some((None, String::new())), Some(Code::Busy)));
    assert_eq!((desk.supervisor.pending(), desk.current), (None, "2"));
}

#[test]
fn daemons_that_follow_undo_a_deploy_before_the_swap() {
    let mut desk = Desk::up("");
    desk.ask("d", deploy());
    let mut next = follow(&desk, |_| ());
    assert_eq!(switches(&next), [back()]);
    next.pass(Duration::from_secs(60));
    assert_eq!((serves(&next, 0), next.current, next.supervisor.status().generation), (true, "1", 1));
    let note = next.supervisor.status().note;
    assert_eq!(
        note.as_deref(),
        Some("a deploy was interrupted by the end of an earlier daemon; it was undone")
    );
    assert_eq!(follow(&next, |_| ()).supervisor.status().note, None);

    // One that has no symlink to switch is told of as well.
    let mut desk = Desk::up("");
    desk.ask("d", Request::Deploy(DeployOptions::default()));
    let next = follow(&desk, |_| ());
    assert_eq!(next.supervisor.status().note, note);
    assert!(desk.state_file().is_some_and(|state| state.deploy.is_some()));
}

#[test]
fn daemons_that_follow_finish_a_deploy_after_the_swap() {
    let desk = watched("");
    let mut next = follow(&desk, |_| ());
    next.pass(Duration::from_secs(60));
    assert_eq!(switches(&next), []);
    let rows = next.supervisor.status().workers;
    let states: Vec<_> = rows.iter().map(|row| (row.id, row.state)).collect();
    let (old, new) = (desk.worker(0), desk.worker(1));
    assert_eq!(states, [(new, WorkerState::Online), (old, WorkerState::Terminating)]);
    assert_eq!((next.current, next.supervisor.status().generation), ("2", 2));
}

#[test]
fn daemons_that_follow_finish_a_rollback() {
    let mut desk = watched("");
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    breaks(&mut desk, 1);
    assert_eq!((desk.end("d"), serves(&desk, 1)), (None, true));
    let mut next = follow(&desk, |_| ());
    assert_eq!(switches(&next), [back()]);
    next.pass(Duration::from_secs(60));
    assert_eq!((serves(&next, 0), next.current, next.supervisor.status().generation), (true, "1", 1));
}

#[test]
fn a_symlink_that_cannot_be_put_back_is_named() {
    let mut desk = watched("");
    desk.leaves = |action| matches!(action, Action::SwitchReleaseLink { .. });
    breaks(&mut desk, 1);
    desk.hear(Event::ReleaseLinkSwitched {
        to: Path::new("releases/1").into(),
        result: Err(Failure("read-only".into())),
    });
    let note = desk.supervisor.status().note;
    let expected = "a deploy was undone, but /srv/app still names releases/2: read-only";
    assert_eq!(note.as_deref(), Some(expected));
}

#[test]
fn a_worker_that_dies_while_the_symlink_is_switched_begins_no_rollout() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::SwitchReleaseLink { .. });
    desk.ask("d", deploy());
    let folders = |desk: &Desk| -> Vec<PathBuf> {
        let spawns = desk.orders.iter().filter_map(|action| match action {
            Action::Spawn(order) => Some(order.cwd.clone()),
            _ => None,
        });
        spawns.collect()
    };
    desk.hear(Event::Exited { worker: desk.worker(0), status: ExitStatus::Code(1) });
    let old = release("1").dir;
    assert_eq!(folders(&desk), [old.clone(), old.clone()], "one takes the place of the dead one");

    desk.current = "2";
    desk.hear(Event::ReleaseLinkSwitched { to: there().1, result: Ok(()) });
    assert_eq!(folders(&desk), [old.clone(), old, release("2").dir]);
}

/// Which of the workers is asked, and for what.
fn asked(desk: &mut Desk) -> Vec<(usize, String)> {
    let orders = std::mem::take(&mut desk.orders);
    let probe = |action: &Action| match action {
        Action::Probe { worker, path, .. } => {
            Some((desk.spawned.iter().position(|spawned| spawned == worker)?, path.clone()))
        }
        _ => None,
    };
    orders.iter().filter_map(probe).collect()
}

fn checked() -> Request {
    Request::Deploy(DeployOptions {
        release: Some(release("2").dir),
        health: Some("/fit".into()),
        progress: true,
        ..DeployOptions::default()
    })
}

#[test]
fn new_workers_have_to_answer_while_they_are_watched_and_old_ones_need_not() {
    let mut desk = Desk::up("health.path = '/lives'");
    desk.ask("d", checked());
    desk.online(desk.worker(1));
    asked(&mut desk);
    desk.pass(Duration::from_millis(10));
    assert_eq!(asked(&mut desk), [(1, "/fit".to_owned())], "at once");
    desk.hear(Event::Probed { worker: desk.worker(1), result: Ok(200) });
    desk.pass(Duration::from_millis(1100));
    assert_eq!(asked(&mut desk), [(1, "/fit".to_owned())], "and every second");
    desk.hear(Event::Probed { worker: desk.worker(1), result: Ok(503) });
    let (code, words) = desk.end("d").unwrap_or_default();
    assert_eq!((code, desk.current), (Some(Code::RolledBack), "1"));
    assert!(words.ends_with("GET /fit failed (--health): it was answered with 503"), "{words}");
    desk.pass(Duration::from_secs(12));
    assert!(asked(&mut desk).contains(&(0, "/lives".to_owned())), "what the configuration says counts again");
}

#[test]
fn workers_that_answer_are_confirmed() {
    let mut desk = Desk::up("");
    desk.ask("d", checked());
    desk.online(desk.worker(1));
    for _ in 0..40 {
        desk.pass(Duration::from_secs(1));
        if !asked(&mut desk).is_empty() {
            desk.hear(Event::Probed { worker: desk.worker(1), result: Ok(302) });
        }
    }
    assert_eq!((desk.current, desk.supervisor.pending()), ("2", None));
    assert_eq!(asked(&mut desk), []);
}

#[test]
fn a_deploy_is_not_confirmed_before_the_last_check_of_its_watch_is_answered() {
    for (answer, ending) in [(200, None), (500, Some(Code::RolledBack))] {
        let mut desk = Desk::up("");
        let Request::Deploy(options) = checked() else { panic!("it is a deploy") };
        desk.ask("d", Request::Deploy(DeployOptions { watch: Duration::from_millis(500), ..options }));
        desk.online(desk.worker(1));
        desk.pass(Duration::from_millis(10));
        assert_eq!(asked(&mut desk), [(1, "/fit".to_owned())]);
        desk.pass(Duration::from_secs(3));
        assert_eq!(desk.end("d"), None, "the watch is over, and the worker may be unfit");
        assert!(
            desk.supervisor.poll_timeout().is_some_and(|(at, _)| at > desk.now),
            "nothing is due at once"
        );
        desk.hear(Event::Probed { worker: desk.worker(1), result: Ok(answer) });
        desk.pass(Duration::from_secs(1));
        desk.exit(desk.worker(usize::from(ending.is_some())));
        assert_eq!(desk.end("d").map(|(code, _)| code), Some(ending), "{answer}");
        assert_eq!(desk.current, if ending.is_some() { "1" } else { "2" });
    }
}

#[test]
fn workers_that_share_a_socket_cannot_be_checked() {
    let mut desk = Desk::up("options.listen = 'daemon'");
    desk.ask("d", checked());
    assert_eq!(code(&desk, "d"), Some(Code::Usage));
}

#[test]
fn daemons_that_follow_keep_the_standbys_of_the_new_release() {
    let desk = watched("standby = 1");
    let next = follow(&desk, |_| ());
    let mut rows = next.supervisor.status().workers;
    rows.retain(|row| row.state != WorkerState::Terminating);
    let stay: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(stay, [desk.worker(2), desk.worker(3)]);
}

#[test]
fn an_old_worker_that_is_broken_is_not_kept() {
    let mut desk = Desk::up("");
    desk.ask("d", deploy());
    breaks(&mut desk, 0);
    desk.all_online();
    assert!(serves(&desk, 1));
    assert!(desk.supervisor.status().workers.iter().all(|row| !row.kept));
}

#[test]
fn a_deploy_of_the_release_that_the_symlink_names_switches_nothing() {
    let mut desk = Desk::up("");
    desk.ask(
        "d",
        Request::Deploy(DeployOptions { release: Some(release("1").dir), ..DeployOptions::default() }),
    );
    assert_eq!((switches(&desk), desk.spawned.len()), (Vec::new(), 2));
}

#[test]
fn an_old_worker_whose_link_cannot_be_removed_is_not_watched() {
    let mut desk = Desk::up("workers = 2");
    desk.leaves = |action| matches!(action, Action::Withdraw { .. });
    desk.ask("w", set_workers(1));
    let link = desk.config.socket_file.link(SlotIndex(1));
    let result = || Err(Failure("EBUSY".into()));
    desk.hear(Event::Withdrawn { slot: SlotIndex(1), link: link.clone(), result: result() });
    desk.hear(Event::Withdrawn { slot: SlotIndex(1), link, result: result() });
    desk.ask("d", deploy());
    desk.online(desk.worker(2));
    assert_eq!(desk.supervisor.status().operation.as_deref(), Some("a deploy"));
    desk.exit(desk.worker(1));
    assert_eq!((desk.end("d"), desk.current), (None, "2"));
}

#[test]
fn a_deploy_has_ended_when_its_old_workers_are_gone() {
    let mut desk = watched("");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.pass(WATCH * 2);
    assert_eq!((desk.end("d"), steps(&desk, "d").pop()), (None, Some(DeployStep::Confirmed)));
    desk.exit(desk.worker(0));
    assert_eq!(desk.end("d"), Some((None, String::new())));
}

#[test]
fn a_link_that_cannot_be_swapped_yet_is_not_waited_for_when_its_old_worker_dies() {
    let mut desk = watched("workers = 2");
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(0), .. });
    // Somebody has removed the link of a slot, and it cannot be made again for the moment.
    let link = desk.config.socket_file.link(SlotIndex(0));
    desk.sees(&link, Sight::Nothing);
    for _ in 0..2 {
        desk.published(0, 2, Err("ENOSPC"));
    }
    breaks(&mut desk, 3);
    assert_eq!((desk.end("d"), desk.supervisor.status().operation.as_deref()), (None, Some("a deploy")));
    desk.exit(desk.worker(0));
    assert_eq!(code(&desk, "d"), Some(Code::RolledBack));
}

#[test]
fn a_watch_does_not_wait_for_an_old_worker_that_does_not_answer() {
    let mut desk = Desk::up("[health]\npath = '/fit'");
    desk.ask("d", checked());
    desk.online(desk.worker(1));
    // The old worker is asked for the same path, by the configuration, and answers nothing.
    for _ in 0..60 {
        desk.orders.retain(|order| matches!(order, Action::Reply { .. }));
        desk.pass(Duration::from_secs(1));
        let new = desk.worker(1);
        let asked = desk.count(|order| matches!(order, Action::Probe { worker, .. } if *worker == new));
        (0..asked).for_each(|_| desk.hear(Event::Probed { worker: new, result: Ok(200) }));
    }
    assert_eq!(desk.end("d"), Some((None, String::new())));
}

#[test]
fn an_answer_to_what_was_asked_before_a_watch_says_nothing_about_a_new_worker() {
    let mut desk = Desk::up("workers = 2\nhealth.path = '/lives'\noptions.onlineTimeout = 60000");
    desk.ask("d", checked());
    desk.online(desk.worker(2));
    desk.pass(Duration::from_secs(11));
    asked(&mut desk);
    desk.online(desk.worker(3));
    desk.pass(Duration::from_millis(10));
    assert_eq!(asked(&mut desk), [(3, "/fit".to_owned())], "the other one is being asked something else");
    desk.hear(Event::Probed { worker: desk.worker(2), result: Ok(503) });
    assert_eq!(code(&desk, "d"), None, "the configuration lets that pass three times");
    desk.pass(Duration::from_millis(10));
    assert_eq!(asked(&mut desk), [(2, "/fit".to_owned())]);
    desk.hear(Event::Probed { worker: desk.worker(2), result: Ok(503) });
    assert_eq!(code(&desk, "d"), Some(Code::RolledBack));
}
