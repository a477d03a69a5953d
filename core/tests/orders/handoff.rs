//! What a daemon hands to the program that replaces it.
#![expect(clippy::disallowed_methods, reason = "golden hand-offs are files")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure, Queue};
use nodesockd_core::id::WorkerId;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::{Body, FromWorker, Request, StartOptions};
use nodesockd_core::{Action, Event, Supervisor, Time};
use serde_json::Value;

use super::desk::{Desk, config, newer, restart};

/// A daemon in the midst of things, about to hand off: a worker is a spare, one is booting, a request waits for a worker and
/// a restart for the next program.
fn handed_off() -> Handoff {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    // The second worker leads, and has not confirmed it.
    let leads = FromWorker::Online {
        pid: None,
        suspended: false,
        heartbeat: false,
        leads: Some(false),
        counts: None,
    };
    desk.hear(Event::Received { worker: desk.worker(1), message: leads });
    desk.pass(Duration::from_secs(1));
    desk.hear(Event::Exited { worker, status: ExitStatus::Code(1) });
    desk.ask("q", Request::SendRequest { request: "ping".into(), data: None, workers: Some("1".into()) });
    let options = StartOptions { suspended: true, progress: true, ..StartOptions::default() };
    desk.ask("r", Request::Restart { options, version: Some("99.0.0".into()) });
    desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
    desk.hear(Event::Frozen);
    match desk.orders.pop() {
        Some(Action::HandOff { handoff }) => *handoff,
        other => panic!("{other:?}"),
    }
}

fn handoffs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handoffs")
}

/// What this version hands off is kept in a file. Once the version is released, that must not change any more: a later
/// program has to read it. `UPDATE_HANDOFF=1` writes it anew until then.
#[test]
fn what_this_version_hands_off_is_kept_as_test_data() {
    let file = handoffs().join("3.0.0.json");
    let now = serde_json::to_value(handed_off()).unwrap_or_default();
    if std::env::var_os("UPDATE_HANDOFF").is_some() {
        let text = serde_json::to_string_pretty(&now).unwrap_or_default();
        std::fs::write(&file, text + "\n").unwrap_or_else(|error| panic!("{error}"));
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}"));
    let kept: Value = serde_json::from_str(&kept).unwrap_or_default();
    assert_eq!(now, kept);
}

/// Fields that some other version adds, in every object.
fn from_another_version(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(from_another_version);
            // A map from names to things has no room for a field, an enum's variant neither.
            if fields.contains_key("version") || fields.contains_key("seat") {
                fields.insert("added".into(), Value::Bool(true));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(from_another_version),
        _ => {}
    }
}

#[test]
fn what_any_version_has_handed_off_is_taken_over() {
    let files = std::fs::read_dir(handoffs()).unwrap_or_else(|error| panic!("{error}"));
    let files: Vec<_> = files.flatten().collect();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let mut value: Value = serde_json::from_str(&text).unwrap_or_default();
        from_another_version(&mut value);
        let handoff: Handoff = serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(handoff.validate(), Ok(()));
        let config = config("workers = 2\nstandby = 1");
        assert_eq!(handoff.refuses(&config), None);
        let now = Time::ZERO + Duration::from_secs(2);
        let supervisor = Supervisor::take_over(config.clone(), newer(), handoff, now);
        let mut desk = Desk::of(supervisor, config, now);
        assert_eq!(desk.supervisor.check().map_err(|violation| violation.to_string()), Ok(()));
        // The restart that was waited for is done, by new workers that are suspended.
        let suspended = desk.spawned.clone();
        for worker in suspended {
            desk.hear(Event::Received { worker, message: FromWorker::online(true) });
        }
        // The one that was booting cannot be told to go.
        let signalled = |action: &Action| match action {
            Action::Signal { worker, .. } | Action::Terminate { worker, .. } => Some(*worker),
            _ => None,
        };
        let signalled: Vec<WorkerId> = desk.orders.iter().filter_map(signalled).collect();
        for worker in signalled {
            desk.hear(Event::Exited { worker, status: ExitStatus::Signal(15) });
        }
        let last = desk.replies("r").pop();
        assert!(last.as_ref().is_some_and(|reply| reply.done && reply.errors.is_empty()), "{last:?}");
        let upgraded_from = Some("3.0.0".into());
        assert_eq!(
            last.and_then(|reply| reply.body),
            Some(Body::Daemon { pid: 1, upgrading: false, upgraded_from })
        );
        assert!(desk.supervisor.status().suspended);
        // The request to a worker that went with the restart was answered, one way or the other.
        assert_eq!(desk.replies("q").iter().filter(|reply| reply.done).count(), 1);
    }
}

#[test]
fn a_hand_off_that_counts_no_generations_leaves_the_next_program_at_its_first() {
    let mut value = serde_json::to_value(handed_off()).unwrap_or_default();
    value.as_object_mut().unwrap().remove("generation");
    let handoff = serde_json::from_value(value).unwrap();
    let next = Supervisor::take_over(config("workers = 2\nstandby = 1"), newer(), handoff, Time::ZERO);
    assert_eq!(next.status().generation, 1);
}

/// The daemon that follows after an upgrade.
pub fn upgraded(desk: Desk) -> Desk {
    let config = desk.config.clone();
    upgraded_under(desk, config)
}

/// The same, under another configuration.
pub fn upgraded_under(mut desk: Desk, config: Config) -> Desk {
    let handoff = desk.hand_off();
    taken_over(&desk, handoff, config)
}

/// The daemon that follows `desk` with what that has handed off.
pub fn taken_over(desk: &Desk, handoff: Handoff, config: Config) -> Desk {
    let supervisor = Supervisor::take_over(config.clone(), newer(), handoff, desk.now);
    let mut next = Desk::after(desk, supervisor, config);
    next.obey();
    next
}

#[test]
fn what_cannot_be_taken_over_is_refused_with_the_reason() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(handed_off()).unwrap_or_default();
        change(&mut value);
        serde_json::from_value::<Handoff>(value).unwrap_or_else(|error| panic!("{error}"))
    };
    let why = |change: &dyn Fn(&mut Value)| changed(change).validate().err().unwrap_or_default();
    assert_eq!(why(&|value| value["version"] = 2.into()), "its version is 2, this program reads 1");
    assert_eq!(why(&|value| value["desired"]["slots"] = 4097.into()), "it wants 4097 workers");
    assert_eq!(why(&|value| value["desired"]["standby"] = 4097.into()), "it wants 4097 workers");
    assert_eq!(why(&|value| value["desired"]["slots"] = 4096.into()), "");
    assert_eq!(changed(&|_| {}).from(), "3.0.0");

    let refused = |keys: &str| handed_off().refuses(&config(keys)).unwrap_or_default();
    let words =
        |key: &str| format!("`{key}` cannot change while the daemon runs; stop it and start it again");
    assert_eq!(
        refused("socketFile = 'sub/{worker}'"),
        "the folder in `socketFile` cannot change while the daemon runs; stop it and start it again"
    );
    assert_eq!(refused("ipcFile = 'other.ipc'"), words("ipcFile"));
    assert_eq!(refused("[options]\nipcGroup = 'deploy'"), words("options.ipcGroup"));
    assert_eq!(refused("name = 'other'"), "");
}

#[test]
fn links_and_sockets_are_found_by_the_names_they_had_before_an_upgrade() {
    let mut newer = upgraded_under(Desk::up(""), config("socketFile = 'web.{worker}'"));
    let written: Vec<_> = newer.files.iter().flatten().map(|state| state.socket_files.clone()).collect();
    assert!(!written.is_empty());
    assert!(written.iter().all(|names| names == &["app.{worker}.sock", "web.{worker}"]), "{written:?}");
    assert_eq!(newer.story(), ["link 0 to a", "remove link 0"]);
}

#[test]
fn a_booting_worker_is_asked_again_for_what_the_last_program_did_not_hear() {
    let mut desk = Desk::new("[options]\nready = 'http'");
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
    desk.pass(Duration::from_millis(10));
    let worker = desk.worker(0);
    desk.hear(Event::QueueMeasured { worker, queue: Queue::Length(0) });
    let asked = |desk: &Desk| desk.count(|action| matches!(action, Action::Probe { .. }));
    assert_eq!(asked(&desk), 1);
    let mut newer = upgraded(desk);
    newer.pass(Duration::ZERO);
    assert_eq!(asked(&newer), 1);
}

#[test]
fn who_has_served_under_the_last_program_is_drained_before_it_goes() {
    let desk = Desk::up("");
    let mut next = upgraded(desk);
    next.ask("r", restart(StartOptions::default()));
    next.online(next.worker(1));
    assert_eq!(next.story()[..3], ["start b", "link 0 to b", "look at a"]);
}

#[test]
fn what_waits_for_an_upgrade_is_done_by_the_next_program() {
    let waiting = |deed: fn(&mut Desk)| {
        let mut desk = Desk::up("");
        desk.hear(Event::Signalled { signal: DaemonSignal::User2 });
        deed(&mut desk);
        desk.hear(Event::Preflighted { result: Ok("99.0.0".into()) });
        desk.hear(Event::Frozen);
        let Some(Action::HandOff { handoff }) = desk.orders.pop() else { panic!("no hand-off") };
        taken_over(&desk, *handoff, desk.config.clone())
    };
    let mut next = waiting(|desk| {
        desk.ask("r", restart(StartOptions { wait: true, ..StartOptions::default() }));
    });
    assert_eq!(next.story()[0], "start b");
    next.online(next.worker(1));
    assert_eq!(next.end("r"), Some((None, String::new())));

    let next = waiting(|desk| desk.hear(Event::Signalled { signal: DaemonSignal::Hangup }));
    assert_eq!(next.count(|action| *action == Action::LoadConfig), 1);
}

#[test]
fn a_daemon_whose_successor_does_not_come_goes_on() {
    let mut desk = Desk::up("");
    desk.hand_off();
    desk.orders.clear();
    for _ in 0..2 {
        desk.hear(Event::NotHandedOff { failure: Failure("it crashed".into()) });
        assert_eq!(desk.count(|action| *action == Action::Thaw), 1);
    }
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    assert_eq!(desk.end("r"), Some((None, String::new())));
}
