//! Workers are replaced a few at a time.

use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::history::Outcome;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::wire::{
    BatchStatus, Body, Code, DeployOptions, DeployStep, MigrationOptions, Reply, Request, Stage,
    StartOptions, ToWorker, WorkerState,
};

use super::adoption::follow;
use super::desk::{Desk, config, release, restart, suspended};
use super::history::entries;

fn batch(size: u32) -> Request {
    restart(StartOptions { batch: Some(size), progress: true, ..StartOptions::default() })
}

fn deploy(watch: Duration) -> Request {
    Request::Deploy(DeployOptions {
        release: Some(release("2").dir),
        watch,
        progress: true,
        ..DeployOptions::default()
    })
}

/// Which batches were begun, as those who asked were told.
fn batches(desk: &Desk, id: &str) -> Vec<(u32, u32, bool)> {
    let batch = |body| if let Some(Body::Batch(batch)) = body { Some(batch) } else { None };
    let told = desk.replies(id).into_iter().filter_map(|reply| batch(reply.body));
    told.map(|BatchStatus { number, of, back }| (number, of, back)).collect()
}

/// The generation of who serves each slot.
fn generations(desk: &Desk) -> Vec<Option<u32>> {
    let serving = desk.supervisor.status().workers;
    serving.iter().filter(|row| row.slot.is_some()).map(|row| row.generation).collect()
}

fn shuts_down(action: &Action) -> bool {
    matches!(action, Action::Tell { message: ToWorker::Shutdown, .. })
}

#[test]
fn a_batch_begins_when_the_old_workers_of_the_one_before_are_gone() {
    let mut desk = Desk::up("workers = 3\noptions = { batch = 1 }");
    desk.leaves = shuts_down;
    desk.story();
    desk.ask("r", restart(StartOptions { progress: true, ..StartOptions::default() }));
    assert_eq!(desk.story(), ["start d"]);
    desk.online(desk.worker(3));
    assert_eq!(desk.story(), ["link 0 to d", "look at a", "tell a shutdown"]);
    assert_eq!(desk.supervisor.status().batch, Some(BatchStatus { number: 1, of: 3, back: false }));
    assert_eq!(generations(&desk), [Some(2), Some(1), Some(1)]);
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a", "remove socket of a", "start e"]);
    desk.online(desk.worker(4));
    desk.exit(desk.worker(1));
    desk.online(desk.worker(5));
    assert_eq!(desk.end("r"), None);
    desk.exit(desk.worker(2));
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!(generations(&desk), [Some(2), Some(2), Some(2)]);
}

#[test]
fn workers_whose_sockets_get_other_names_are_replaced_all_at_once() {
    let mut desk = Desk::up("workers = 3\noptions = { batch = 1 }");
    desk.story();
    desk.config = config("workers = 3\nsocketFile = 'web.{worker}'\noptions = { batch = 1 }");
    desk.ask("r", Request::Reload);
    assert_eq!(desk.story(), ["start d", "start e", "start f"]);
}

#[test]
fn standbys_are_replaced_in_batches_too() {
    let mut desk = Desk::up("workers = 2\nstandby = 2\noptions = { batch = 3 }");
    desk.ask("r", batch(3));
    assert_eq!(desk.spawned.len(), 7);
    (4..7).for_each(|nth| desk.online(desk.worker(nth)));
    assert_eq!(desk.spawned.len(), 8);
    desk.online(desk.worker(7));
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!(batches(&desk, "r"), [(1, 2, false), (2, 2, false)]);
    let rows = desk.supervisor.status().workers;
    assert_eq!(rows.iter().map(|row| row.generation).collect::<Vec<_>>(), [Some(2); 4]);
}

/// The second failure of a standby in a row has to wait: one is missing.
fn with_a_standby_missing(keys: &str) -> Desk {
    let mut desk = Desk::up(keys);
    desk.exit(desk.worker(2));
    desk.exit(desk.worker(3));
    desk.online(desk.worker(4));
    desk.story();
    desk
}

#[test]
fn standbys_that_an_operation_brings_are_not_started_twice() {
    // In the second case, one batch is enough for all.
    for size in [1, 3] {
        let mut desk =
            with_a_standby_missing(&format!("workers = 2\nstandby = 2\noptions = {{ batch = {size} }}"));
        desk.ask("r", restart(StartOptions::default()));
        let ordered = desk.story().len();
        desk.pass(Duration::from_secs(1));
        assert_eq!((desk.story(), size), (vec![], size));
        // The operation brings none any more.
        let last = desk.spawned.len() - 1;
        desk.exit(desk.worker(last));
        assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::StartFailed));
        let started = desk.story().iter().filter(|order| order.starts_with("start")).count();
        assert_eq!((ordered, started), (1 + usize::try_from(size).unwrap_or(0), 1));
    }
}

#[test]
fn a_standby_that_was_missing_replaces_none() {
    let mut desk = with_a_standby_missing("workers = 2\nstandby = 2\noptions = { batch = 1 }");
    desk.ask("r", restart(StartOptions::default()));
    assert_eq!(desk.story(), ["start f", "start g"]);
    desk.online(desk.worker(5));
    desk.leaves = shuts_down;
    desk.online(desk.worker(6));
    assert_eq!(desk.story(), ["link 0 to f", "look at a", "tell a shutdown"]);
    desk.leaves = |_| false;
    desk.exit(desk.worker(0));
    (7..9).for_each(|nth| desk.online(desk.worker(nth)));
    assert_eq!(desk.end("r"), Some((None, String::new())));
    let rows = desk.supervisor.status().workers;
    assert_eq!(rows.iter().map(|row| row.generation).collect::<Vec<_>>(), [Some(2); 4]);
}

#[test]
fn a_batch_does_not_wait_for_ever_and_too_many_that_finish_get_sigterm() {
    let keys = "workers = 4\noptions = { batch = 1, shutdownTimeout = 3600000, retiring = 1 }";
    let mut desk = Desk::up(keys);
    desk.leaves = shuts_down;
    desk.ask("r", batch(1));
    desk.online(desk.worker(4));
    desk.pass(Duration::from_secs(29));
    assert_eq!(desk.spawned.len(), 5);
    desk.pass(Duration::from_secs(2));
    assert_eq!(desk.spawned.len(), 6);
    desk.online(desk.worker(5));
    desk.story();
    desk.pass(Duration::from_secs(31));
    let story = desk.story();
    assert!(story.contains(&"SIGTERM to a".to_owned()), "{story:?}");
    assert!(!story.contains(&"SIGTERM to b".to_owned()), "{story:?}");
}

#[test]
fn a_failing_first_batch_changes_nothing() {
    let mut desk = Desk::up("workers = 2");
    desk.ask("r", batch(1));
    desk.exit(desk.worker(2));
    assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::StartFailed));
    assert_eq!(generations(&desk), [Some(1), Some(1)]);
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn a_failing_later_batch_rolls_the_earlier_ones_back() {
    let mut desk = Desk::up("workers = 3");
    desk.current = "2";
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    desk.online(desk.worker(4));
    assert_eq!(generations(&desk), [Some(2), Some(2), Some(1)]);
    desk.exit(desk.worker(5));
    assert_eq!(desk.supervisor.status().generation, 1);
    for nth in [6, 7] {
        let worker = desk.worker(nth);
        let order = |action: &Action| match action {
            Action::Spawn(order) if order.worker == worker => Some(order.cwd.clone()),
            _ => None,
        };
        assert_eq!(desk.orders.iter().find_map(order), Some(release("1").dir), "{nth}");
        assert_eq!(desk.end("r"), None);
        desk.online(worker);
    }
    let (code, words) = desk.end("r").unwrap_or_default();
    assert_eq!(code, Some(Code::RolledBack));
    assert!(words.starts_with("rolled back: worker") && words.contains("for slot 2: it exited"), "{words}");
    assert_eq!(
        batches(&desk, "r"),
        [(1, 3, false), (2, 3, false), (3, 3, false), (0, 0, true), (1, 2, true), (2, 2, true)]
    );
    assert_eq!(generations(&desk), [Some(1), Some(1), Some(1)]);
    assert_eq!(desk.supervisor.pending(), None);
    let failed = desk.replies("r").pop().and_then(|reply| reply.body);
    assert!(matches!(&failed, Some(Body::Failed(failed)) if failed[0].id == desk.worker(5)), "{failed:?}");
    let outcome = entries(&desk).pop().and_then(|entry| entry.facts.outcome);
    assert_eq!(outcome, Some(Outcome::RolledBack));
    desk.ask("a", Request::AttachDeploy { progress: false });
    assert_eq!(desk.end("a").and_then(|(code, _)| code), Some(Code::Usage), "this was no deploy");
}

#[test]
fn a_new_worker_that_fails_before_the_last_batch_is_a_failure() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    desk.exit(desk.worker(3));
    assert_eq!((desk.supervisor.status().generation, desk.end("r")), (1, None));
    // The worker of the next batch goes, and the one that takes the place of the dead one is of the old generation.
    desk.exit(desk.worker(4));
    desk.online(desk.worker(5));
    assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::RolledBack));
    assert_eq!(generations(&desk), [Some(1), Some(1), Some(1)]);
}

#[test]
fn a_way_back_that_fails_as_well_is_gone_by_whenever_it_can_be() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    desk.exit(desk.worker(4));
    desk.exit(desk.worker(5));
    let (code, words) = desk.end("r").unwrap_or_default();
    assert_eq!(code, Some(Code::NotRolledBack));
    assert!(
        words.contains("not every worker of generation 1 could be started, which is tried again"),
        "{words}"
    );
    let well = desk.supervisor.status().workers.into_iter().filter(|row| row.state == WorkerState::Online);
    let well: Vec<_> = well.map(|row| row.id).collect();
    assert_eq!(well, [desk.worker(1), desk.worker(2)], "who was there before all that goes on");
    desk.pass(Duration::from_secs(1));
    desk.online(*desk.spawned.last().unwrap_or(&desk.worker(0)));
    assert_eq!(generations(&desk), [Some(1), Some(1), Some(1)]);
}

#[test]
fn batches_do_not_go_with_a_suspension_or_a_migration() {
    let mut desk = Desk::up("workers = 2\noptions = { batch = 1 }");
    let suspended = StartOptions { suspended: true, ..StartOptions::default() };
    let asked = [
        restart(suspended.clone()),
        restart(StartOptions { batch: Some(2), ..suspended.clone() }),
        Request::Deploy(DeployOptions {
            migration: Some(MigrationOptions { command: "migrate".into(), revert: None, limit: None }),
            ..DeployOptions::default()
        }),
    ];
    for (nth, request) in asked.into_iter().enumerate() {
        let id = format!("r{nth}");
        desk.ask(&id, request);
        let (code, words) = desk.end(&id).unwrap_or_default();
        assert_eq!(code, Some(Code::Usage));
        assert!(
            words.contains("`--batch 0` does that this once, if there is memory for 4 workers"),
            "{words}"
        );
    }
    desk.ask("all", restart(StartOptions { batch: Some(0), ..suspended }));
    assert_eq!(desk.spawned.len(), 4);
}

#[test]
fn a_watched_deploy_in_batches_goes_back_by_renames_and_then_batch_by_batch() {
    let mut desk = Desk::up("workers = 3\noptions = { batch = 1 }");
    desk.ask("d", deploy(Duration::from_secs(30)));
    (3..6).for_each(|nth| desk.online(desk.worker(nth)));
    assert_eq!((desk.current, generations(&desk)), ("2", vec![Some(2); 3]));
    assert_eq!(desk.supervisor.status().workers.iter().filter(|row| row.kept).count(), 1);
    desk.pass(Duration::from_secs(3));
    desk.story();
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.exit(desk.worker(5));
    let story = desk.story();
    assert_eq!(story[0], "link 2 to c", "{story:?}");
    let back = desk.state_file().and_then(|state| state.batches?.back).unwrap_or_default();
    assert!(back.contains("exited with status 1"), "{back:?}");
    desk.leaves = |_| false;
    desk.published(2, 2, Ok(()));
    assert_eq!(desk.supervisor.status().batch, Some(BatchStatus { number: 1, of: 2, back: true }));
    assert_eq!(desk.end("d"), None);
    (6..8).for_each(|nth| desk.online(desk.worker(nth)));
    assert_eq!(desk.end("d").and_then(|(code, _)| code), Some(Code::RolledBack));
    assert_eq!((desk.current, generations(&desk)), ("1", vec![Some(1); 3]));
    assert_eq!((desk.supervisor.pending(), desk.supervisor.status().workers.len()), (None, 3));
}

#[test]
fn a_worker_that_is_started_while_a_deploy_is_watched_is_watched_too() {
    let mut desk = Desk::up("workers = 3\noptions = { batch = 1 }");
    desk.exit(desk.worker(2));
    desk.online(desk.worker(3));
    desk.ask("d", deploy(Duration::from_secs(30)));
    desk.online(desk.worker(4));
    // It has failed twice in a row: its successor, of the new release, has to wait, and the last batch does not.
    desk.exit(desk.worker(3));
    desk.online(desk.worker(5));
    assert!(desk.supervisor.status().workers.iter().any(|row| row.kept));
    desk.pass(Duration::from_secs(1));
    desk.online(desk.worker(6));
    assert_eq!(generations(&desk), [Some(2), Some(2), Some(2)]);
    desk.exit(desk.worker(6));
    assert_eq!(desk.supervisor.status().batch.map(|batch| batch.back), Some(true));
    desk.online(desk.worker(7));
    assert_eq!(desk.end("d").and_then(|(code, _)| code), Some(Code::RolledBack));
    desk.pass(Duration::from_secs(1));
    desk.online(desk.worker(8));
    assert_eq!((desk.current, generations(&desk)), ("1", vec![Some(1); 3]));
}

#[test]
fn nothing_begins_between_two_batches_and_a_stop_ends_them() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    desk.ask("second", batch(1));
    assert_eq!(desk.end("second").and_then(|(code, _)| code), Some(Code::Busy));
    desk.ask("s", Request::Stop);
    desk.exit(desk.worker(4));
    assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::Busy));
    assert_eq!(desk.end("s"), Some((None, String::new())));
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.spawned.len(), desk.supervisor.pending()), (5, None));
}

#[test]
fn the_daemon_that_follows_undoes_a_first_batch_that_has_not_taken_over() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    let mut next = follow(&desk, |_| ());
    next.exit(next.worker(3));
    assert_eq!((next.supervisor.pending(), next.supervisor.status().batch), (None, None));
    let note = next.supervisor.status().note;
    assert_eq!(
        note.as_deref(),
        Some("a restart was interrupted by the end of an earlier daemon; it was undone")
    );
    assert_eq!(generations(&next), vec![Some(1); 3]);
}

#[test]
fn the_daemon_that_follows_goes_on_with_the_batches() {
    let mut desk = Desk::up("workers = 3");
    desk.current = "2";
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    let mut next = follow(&desk, |_| ());
    // It was booting, and is undone.
    next.exit(next.worker(4));
    let before = next.spawned.len();
    assert_eq!(next.supervisor.status().operation.as_deref(), Some("a restart"));
    next.online(next.worker(before - 1));
    // It has not reported to this daemon, and cannot be told before.
    next.exit(next.worker(1));
    assert_eq!(next.supervisor.status().operation.as_deref(), Some("a restart"));
    next.online(next.worker(before));
    assert_eq!(next.spawned.len(), before + 1, "one at a time");
    assert_eq!(generations(&next), [Some(2), Some(2), Some(2)]);
}

#[test]
fn the_daemon_that_follows_finishes_the_last_batch_of_which_one_link_was_swapped() {
    let mut desk = Desk::up("workers = 4");
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(3), .. });
    desk.ask("r", batch(2));
    desk.all_online();
    desk.story();
    desk.all_online();
    assert_eq!(desk.story(), ["link 2 to g", "link 3 to h"]);
    let mut next = follow(&desk, |_| ());
    assert_eq!(next.story(), ["look at c", "link 3 to h", "look at d"]);
    assert_eq!(generations(&next), vec![Some(2); 4]);
}

#[test]
fn workers_of_a_suspended_app_are_replaced_all_at_once() {
    let mut desk = Desk::up("workers = 3\noptions = { batch = 1 }");
    desk.ask("s", restart(StartOptions { batch: Some(0), ..suspended() }));
    desk.all_online();
    desk.story();
    desk.ask("r", restart(StartOptions::default()));
    assert_eq!(desk.story(), ["start g", "start h", "start i"]);
}

#[test]
fn a_restart_that_fits_into_one_batch_is_one_without_batches() {
    let mut desk = Desk::up("workers = 2");
    desk.ask("r", batch(2));
    assert_eq!((desk.spawned.len(), desk.supervisor.status().batch), (4, None));
    desk.all_online();
    assert_eq!(desk.end("r"), Some((None, String::new())));
    assert_eq!(batches(&desk, "r"), []);
}

#[test]
fn a_vacant_slot_is_filled_beside_the_first_batch() {
    let mut desk = Desk::up("workers = 3");
    // It has failed twice in a row: the next worker of its slot has to wait. What is left of the dead ones does not matter.
    desk.leaves = |action| matches!(action, Action::Remove { .. });
    desk.exit(desk.worker(2));
    desk.exit(desk.worker(3));
    desk.story();
    desk.ask("r", batch(1));
    assert_eq!(desk.story(), ["start e", "start f"]);
}

#[test]
fn an_old_worker_that_fails_beside_the_first_batch_is_no_failure_of_that() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    desk.exit(desk.worker(2));
    assert_eq!(desk.end("r"), None);
    desk.online(desk.worker(3));
    assert_eq!(generations(&desk)[0], Some(2));
}

#[test]
fn a_way_back_does_not_fail_by_a_worker_of_the_former_generation() {
    let mut desk = Desk::up("workers = 4");
    desk.ask("r", batch(1));
    (4..6).for_each(|nth| desk.online(desk.worker(nth)));
    desk.exit(desk.worker(6));
    desk.online(desk.worker(7));
    // It was there before all that.
    desk.exit(desk.worker(3));
    assert_eq!(desk.end("r"), None);
    (8..desk.spawned.len()).for_each(|nth| desk.online(desk.worker(nth)));
    desk.pass(Duration::from_secs(1));
    (8..desk.spawned.len()).for_each(|nth| desk.online(desk.worker(nth)));
    assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::RolledBack));
}

#[test]
fn a_way_back_that_fails_leaves_no_worker_booting_that_nobody_wants() {
    let mut desk = Desk::up("workers = 3");
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    // The old worker of the last slot fails: by now, another one is of the new generation.
    desk.exit(desk.worker(2));
    desk.exit(desk.worker(4));
    assert_eq!(desk.supervisor.status().batch.map(|batch| batch.back), Some(true));
    desk.story();
    desk.exit(desk.worker(6));
    assert_eq!(desk.end("r").and_then(|(code, _)| code), Some(Code::NotRolledBack));
    let story = desk.story();
    assert!(story.contains(&"SIGTERM to f".to_owned()), "{story:?}");
}

#[test]
fn a_way_back_does_not_wait_again_for_workers_that_take_long_to_finish() {
    let mut desk = Desk::up("workers = 3\noptions.shutdownTimeout = 3600000");
    desk.leaves = shuts_down;
    desk.ask("r", batch(1));
    desk.online(desk.worker(3));
    desk.pass(Duration::from_secs(31));
    desk.story();
    desk.exit(desk.worker(4));
    let story = desk.story();
    assert!(story.contains(&"start f".to_owned()), "{story:?}");
}

#[test]
fn the_way_back_of_a_deploy_is_told_and_workers_keep_their_name() {
    let mut desk = Desk::up("workers = 2\noptions.batch = 1");
    desk.ask("d", deploy(Duration::ZERO));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(3));
    let steps: Vec<_> = desk.news("d").into_iter().map(|news| news.step).collect();
    assert_eq!(steps, [DeployStep::Switched, DeployStep::RollingBack]);
    desk.online(desk.worker(4));
    assert_eq!(desk.end("d").and_then(|(code, _)| code), Some(Code::RolledBack));
    let renames = |action: &Action| matches!(action, Action::Tell { message: ToWorker::SetName { .. }, .. });
    assert_eq!(desk.count(renames), 0);

    // With the configuration of before, the name of before comes back.
    let mut desk = Desk::up("workers = 2\noptions.batch = 1");
    desk.config = config("workers = 2\nname = 'shop'\nnodeArgs = ['-v']\noptions.batch = 1");
    desk.ask("r", Request::Reload);
    desk.online(desk.worker(2));
    desk.orders.clear();
    desk.exit(desk.worker(3));
    assert!(desk.count(renames) > 0);
    assert_eq!(desk.news("r"), []);
}

#[test]
fn the_daemon_that_follows_undoes_what_a_deploy_in_batches_has_done_when_a_later_batch_fails() {
    let mut desk = Desk::up("workers = 3\noptions.batch = 1");
    desk.ask("d", deploy(Duration::ZERO));
    desk.online(desk.worker(3));
    let mut next = follow(&desk, |_| ());
    // It was booting, and is undone.
    next.exit(next.worker(4));
    next.exit(next.worker(5));
    next.online(next.worker(6));
    // It has not reported to this daemon, and cannot be told before.
    next.exit(next.worker(3));
    assert_eq!((next.current, generations(&next)), ("1", vec![Some(1); 3]));
    next.ask("a", Request::AttachDeploy { progress: false });
    assert_eq!(next.end("a").and_then(|(code, _)| code), Some(Code::RolledBack));
}

#[test]
fn the_daemon_that_follows_knows_how_many_workers_there_were_before_the_first_batch() {
    let mut desk = Desk::up("workers = 2\noptions.batch = 1");
    desk.config = config("workers = 3\nstandby = 1\nnodeArgs = ['-v']\noptions.batch = 1");
    desk.ask("r", Request::Reload);
    desk.all_online();
    assert_eq!(generations(&desk).len(), 3);
    let mut next = follow(&desk, |_| ());
    next.exit(next.worker(next.spawned.len() - 2));
    next.exit(next.worker(next.spawned.len() - 1));
    next.all_online();
    next.pass(Duration::from_secs(1));
    next.all_online();
    assert_eq!(generations(&next), vec![Some(1); 2]);
    assert!(next.supervisor.status().workers.iter().all(|row| !row.standby));
}

#[test]
fn the_daemon_that_follows_goes_on_with_a_way_back() {
    let mut desk = Desk::up("workers = 2");
    desk.ask("r", batch(1));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(3));
    assert_eq!(desk.supervisor.status().batch.map(|batch| batch.back), Some(true));
    let mut next = follow(&desk, |_| ());
    // It was booting, and is undone.
    next.exit(next.worker(4));
    next.all_online();
    // It has not reported to this daemon, and cannot be told before.
    next.exit(next.worker(2));
    assert_eq!(generations(&next), vec![Some(1); 2]);
    let outcomes: Vec<_> = entries(&next).into_iter().filter_map(|entry| entry.facts.outcome).collect();
    assert_eq!(outcomes.last(), Some(&Outcome::RolledBack), "{outcomes:?}");
}

#[test]
fn what_becomes_of_the_old_workers_of_a_batch_is_told() {
    let mut desk = Desk::up("workers = 2");
    desk.leaves = shuts_down;
    desk.ask("r", batch(1));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(0));
    let gone = |reply: Reply| match reply.body {
        Some(Body::Progress(progress)) if progress.stage == Stage::Gone => Some(progress.id),
        _ => None,
    };
    let gone: Vec<_> = desk.replies("r").into_iter().filter_map(gone).collect();
    assert_eq!(gone, [desk.worker(0)]);
}
