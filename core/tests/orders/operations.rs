//! What a person asks for: how it goes, and how it ends.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::config::MAX_WORKERS;
use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::id::{ConnId, SlotIndex};
use nodesockd_core::wire::{Body, Code, Reply, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, config, is_spawn};

fn restart(options: StartOptions) -> Request {
    Request::Restart { options, version: None }
}

fn waiting() -> Request {
    restart(StartOptions { wait: true, ..StartOptions::default() })
}

#[test]
fn a_restart_tells_how_it_goes() {
    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions { progress: true, ..StartOptions::default() }));
    desk.ask("silent", Request::Status);
    desk.all_online();
    let stage = |reply: Reply| match reply.body {
        Some(Body::Progress(progress)) => Some(format!("{:?}", progress.stage)),
        _ => None,
    };
    let stages: Vec<_> = desk.replies("r").into_iter().filter_map(stage).collect();
    assert_eq!(stages, ["Starting", "Online", "Serving", "Draining", "Gone"]);
    assert_eq!(desk.end("r"), Some((None, String::new())));
}

#[test]
fn a_restart_tells_of_its_own_workers_until_they_serve() {
    let mut desk = Desk::up("workers = 2");
    desk.ask("r", restart(StartOptions { progress: true, ..StartOptions::default() }));
    // Another old one is started for the slot.
    desk.exit(desk.worker(0));
    desk.online(desk.worker(4));
    let told = |reply: Reply| match reply.body {
        Some(Body::Progress(progress)) => Some(progress.id),
        _ => None,
    };
    let told: Vec<_> = desk.replies("r").into_iter().filter_map(told).collect();
    assert_eq!(told, [desk.worker(2), desk.worker(3)]);
}

#[test]
fn a_restart_tells_of_workers_that_have_had_their_time() {
    let mut desk = Desk::up("");
    desk.leaves = |action| {
        matches!(action, Action::Signal { .. } | Action::Terminate { .. })
            || matches!(action, Action::Tell { message: ToWorker::Shutdown, .. })
    };
    desk.ask("r", restart(StartOptions { progress: true, ..StartOptions::default() }));
    desk.all_online();
    desk.pass(Duration::from_secs(10));
    desk.pass(Duration::from_secs(5));
    let reason = |reply: Reply| match reply.body {
        Some(Body::Progress(progress)) => progress.reason,
        _ => None,
    };
    let reasons: Vec<_> = desk.replies("r").into_iter().filter_map(reason).collect();
    let lost = "what it has not answered by its end is lost";
    assert_eq!(
        reasons,
        [
            format!("it did not exit within 10000 ms (options.shutdownTimeout) and gets SIGTERM; {lost}"),
            format!("it did not end by SIGTERM and is killed; {lost}")
        ]
    );
}

#[test]
fn a_restart_says_why_it_failed() {
    let failing = |keys: &str, leaves: fn(&Action) -> bool| {
        let mut desk = Desk::up(keys);
        desk.leaves = leaves;
        desk.ask("r", restart(StartOptions::default()));
        desk.pass(Duration::from_secs(60));
        let (code, words) = desk.end("r").unwrap_or_default();
        assert_eq!(code, Some(Code::StartFailed));
        words.split_once(": ").map(|(_, reason)| reason.to_owned()).unwrap_or_default()
    };
    let created = "its process was not created within 2000 ms (options.spawnTimeout)";
    assert_eq!(failing("", is_spawn), created);
    let silent = "it was not online within 10000 ms (options.onlineTimeout): it reported nothing; \
                  `nodesockd.listen()` does, or see `options.ready`";
    assert_eq!(failing("", |_| false), silent);
}

#[test]
fn sixteen_restarts_may_wait() {
    let mut desk = Desk::up("");
    for number in 0..=16 {
        assert_eq!(desk.ask(&number.to_string(), waiting()), [], "{number}");
    }
    desk.ask("one too many", waiting());
    let busy = "a restart is in progress; try again when it is complete".to_owned();
    assert_eq!(desk.end("one too many"), Some((Some(Code::Busy), busy)));
}

#[test]
fn restart_of_a_client_that_hangs_up_while_it_waits_is_not_begun() {
    let mut desk = Desk::up("");
    desk.ask("first", restart(StartOptions::default()));
    desk.ask("second", waiting());
    desk.hear(Event::Disconnected { conn: ConnId(1) });
    desk.all_online();
    assert_eq!((desk.supervisor.pending(), desk.spawned.len()), (None, 2));
}

#[test]
fn an_id_that_is_open_is_not_accepted_again() {
    let mut desk = Desk::up("");
    desk.ask("a", waiting());
    let replies = desk.ask("a", Request::Status);
    assert_eq!(replies.len(), 1);
    assert_eq!(desk.end("a").map(|(code, _)| code), Some(Some(Code::Usage)));
}

#[test]
fn there_is_a_largest_number_of_workers() {
    let most = NonZeroU32::new(MAX_WORKERS).unwrap_or(NonZeroU32::MIN);
    let mut desk = Desk::up("");
    desk.leaves = is_spawn;
    assert_eq!(desk.ask("all", Request::SetWorkers { count: most }), []);
    assert_eq!(desk.count(is_spawn), MAX_WORKERS as usize);

    let mut desk = Desk::up("");
    desk.leaves = is_spawn;
    assert_eq!(desk.ask("all", Request::SetStandby { count: MAX_WORKERS }), []);
    assert_eq!(desk.count(is_spawn), MAX_WORKERS as usize + 1);

    let mut desk = Desk::up("");
    desk.ask("workers", Request::SetWorkers { count: most.saturating_add(1) });
    desk.ask("standby", Request::SetStandby { count: MAX_WORKERS + 1 });
    let refused = Some((Some(Code::Usage), "4097 is too many: the most is 4096".to_owned()));
    assert_eq!((desk.end("workers"), desk.end("standby")), (refused.clone(), refused));
    assert_eq!(desk.count(is_spawn), 1);
}

/// A reload that finds these keys, where there were none: how many workers it starts, and how it ends.
fn reloaded(keys: &str) -> (usize, Option<(Option<Code>, String)>) {
    let mut desk = Desk::up("");
    desk.config = config(keys);
    desk.orders.clear();
    desk.ask("r", Request::Reload);
    desk.all_online();
    (desk.count(is_spawn), desk.end("r"))
}

#[test]
fn a_reload_does_the_least_that_is_needed() {
    let done = |count| (count, Some((None, String::new())));
    let same = ["", "name = 'shop'", "devServer = 8000", "debug = true", "[options]\nonlineTimeout = 1"];
    for keys in same {
        assert_eq!(reloaded(keys), done(0), "{keys}");
    }
    let replaced = [
        "nodeArgs = ['-v']",
        "socketFile = 'web.{worker}'",
        "env = ['A']",
        "[options]\nstdout = 'out'",
        "[options]\nstderr = 'err'",
        "[options]\nlisten = 'daemon'",
        "[options]\nready = 'notify'",
        "workers = 1\nnode = '/opt/node'",
    ];
    for keys in replaced {
        assert_eq!(reloaded(keys), done(1), "{keys}");
    }
    assert_eq!(reloaded("workers = 3\nstandby = 1"), done(3));
    let (started, end) = reloaded("ipcFile = 'other.ipc'");
    assert_eq!((started, end.and_then(|(code, _)| code)), (0, Some(Code::InvalidConfig)));
}

#[test]
fn a_new_name_is_told_once_and_to_all() {
    let mut desk = Desk::up("workers = 2");
    desk.config = config("workers = 2\nname = 'shop'");
    desk.ask("r", Request::Reload);
    let told = |action: &Action| matches!(action, Action::Tell { message: ToWorker::SetName { name }, .. } if name == "shop");
    assert_eq!(desk.count(told), 2);
    desk.orders.clear();
    desk.ask("again", Request::Reload);
    assert_eq!(desk.count(told), 0);
}

#[test]
fn a_worker_is_started_as_often_as_was_asked_before_the_restart_fails() {
    let mut desk = Desk::up("[options]\nstderr = 'err.log'");
    let options = StartOptions { max_attempts: NonZeroU32::new(3), ..StartOptions::default() };
    desk.ask("r", restart(options));
    for nth in 1..=3 {
        assert_eq!((desk.spawned.len(), desk.end("r")), (nth + 1, None));
        desk.exit(desk.worker(nth));
    }
    assert_eq!(desk.spawned.len(), 4);
    let Some(Reply { body: Some(Body::Failed(failed)), code: Some(Code::StartFailed), .. }) =
        desk.replies("r").pop()
    else {
        panic!("{:?}", desk.replies("r"))
    };
    let told =
        failed.iter().map(|worker| (worker.id, worker.idx, worker.reason.as_str(), worker.stderr.as_deref()));
    let exited =
        |nth| (desk.worker(nth), Some(SlotIndex(0)), "it exited with status 1", Some("/srv/app/err.log"));
    assert_eq!(told.collect::<Vec<_>>(), [exited(1), exited(2), exited(3)]);
}

/// A restart of two slots whose links are to be swapped by the test.
fn swapping() -> Desk {
    let mut desk = Desk::up("workers = 2");
    desk.orders.clear();
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    assert_eq!(desk.story(), ["start c", "start d", "link 0 to c", "link 1 to d"]);
    desk
}

#[test]
fn a_link_that_cannot_be_swapped_brings_the_others_back() {
    let failed =
        Some((Some(Code::StartFailed), "the link of slot 0 could not be swapped: ENOSPC".to_owned()));
    // Nothing is decided before every link has answered.
    let mut desk = swapping();
    desk.published(0, 2, Err("ENOSPC"));
    assert_eq!(desk.story(), [""; 0]);
    desk.published(1, 3, Ok(()));
    assert_eq!(desk.story(), ["link 1 to b"]);
    desk.published(1, 1, Ok(()));
    assert_eq!(desk.end("r"), failed);
    let orders = desk.story();
    assert_eq!(orders.iter().filter(|order| order.starts_with("link")).count(), 0, "{orders:?}");
    let slots: Vec<_> = desk.supervisor.status().workers.iter().map(|row| (row.id, row.slot)).collect();
    let owns = |nth, slot| (desk.worker(nth), Some(SlotIndex(slot)));
    assert_eq!(slots, [owns(0, 0), owns(1, 1)]);

    // One that was not swapped has nothing to be brought back.
    let mut desk = swapping();
    desk.published(1, 3, Err("ENOSPC"));
    desk.published(0, 2, Err("ENOSPC"));
    assert_eq!(
        desk.end("r").map(|(_, words)| words),
        Some("the link of slot 1 could not be swapped: ENOSPC".into())
    );
    assert!(desk.story().iter().all(|order| !order.starts_with("link")));
}

#[test]
fn the_state_file_knows_every_name_that_links_and_sockets_had() {
    let mut desk = Desk::up("");
    let names = |desk: &Desk| desk.state_file().map(|state| state.socket_files).unwrap_or_default();
    assert_eq!(names(&desk), ["app.{worker}.sock"]);
    desk.config = config("socketFile = 'web.{worker}'");
    desk.ask("there", Request::Reload);
    // While new workers boot, both may be found.
    assert_eq!(names(&desk), ["app.{worker}.sock", "web.{worker}"]);
    desk.all_online();
    assert_eq!(names(&desk), ["app.{worker}.sock", "web.{worker}"]);
    desk.config = config("");
    desk.ask("back", Request::Reload);
    desk.all_online();
    assert_eq!(names(&desk), ["app.{worker}.sock", "web.{worker}"]);
}

#[test]
fn a_client_that_hangs_up_takes_nothing_from_another() {
    let mut desk = Desk::up("");
    desk.ask("r", restart(StartOptions::default()));
    desk.hear(Event::Disconnected { conn: ConnId(2) });
    desk.all_online();
    assert_eq!(desk.end("r"), Some((None, String::new())));
}

#[test]
fn an_old_worker_that_dies_while_links_are_swapped_is_no_failure() {
    let mut desk = swapping();
    desk.exit(desk.worker(0));
    desk.published(0, 2, Ok(()));
    desk.published(1, 3, Ok(()));
    assert_eq!(desk.end("r"), Some((None, String::new())));
}

#[test]
fn nothing_is_due_for_standbys_while_links_are_swapped() {
    let mut desk = Desk::up("standby = 1");
    desk.exit(desk.worker(1));
    desk.exit(desk.worker(2));
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(3));
    desk.online(desk.worker(4));
    // The next standby could be started now, and is not.
    desk.stand_still(Duration::from_millis(100));
    assert!(desk.supervisor.poll_timeout().is_none_or(|(at, _)| at > desk.now));
    assert_eq!(desk.spawned.len(), 5);
}

#[test]
fn whoever_waits_for_old_workers_is_answered_by_a_daemon_that_leaves_them_to_another() {
    let keys = "[options]\nupgrade = 'respawn'";
    let mut desk = Desk::up(keys);
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(1));
    assert_eq!(desk.end("r"), None);
    desk.hear(Event::Signalled { signal: DaemonSignal::User2 });
    desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
    assert_eq!(desk.end("r"), Some((None, String::new())));
}

#[test]
fn what_has_failed_before_a_restart_does_not_count_after_it() {
    let mut desk = Desk::up("");
    desk.exit(desk.worker(0));
    desk.exit(desk.worker(1));
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(2));
    desk.story();
    desk.exit(desk.worker(2));
    assert!(desk.story().contains(&"start d".to_owned()), "at once");
}

#[test]
fn old_worker_whose_socket_cannot_be_removed_is_not_waited_for() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Remove { .. });
    let dead = desk.worker(0);
    desk.exit(dead);
    desk.hear(Event::Removed { worker: dead, result: Err(Failure("EBUSY".into())) });
    desk.online(desk.worker(1));
    desk.leaves = |_| false;
    desk.ask("r", restart(StartOptions::default()));
    desk.online(desk.worker(2));
    assert_eq!(desk.end("r"), Some((None, String::new())));
}
