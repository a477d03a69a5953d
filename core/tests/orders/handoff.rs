//! What a daemon hands to the program that replaces it.
#![expect(clippy::disallowed_methods, reason = "golden hand-offs are files")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::{BootId, WorkerId};
use nodesockd_core::supervisor::{Daemon, Handoff};
use nodesockd_core::wire::{FromWorker, Request, StartOptions};
use nodesockd_core::{Action, Event, Supervisor, Time};
use serde_json::Value;

use super::desk::{Desk, config};

/// A daemon in the midst of things, about to hand off: a worker is a spare, one is booting, a request waits for a worker and
/// a restart for the next program.
fn handed_off() -> Handoff {
    let mut desk = Desk::up("workers = 2\nstandby = 1");
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
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
        let daemon = Daemon { version: "99.0.0".into(), pid: 1, boot: BootId(2), manager: None };
        let now = Time::ZERO + Duration::from_secs(2);
        let supervisor = Supervisor::take_over(config.clone(), daemon, handoff, now);
        let mut desk = Desk::of(supervisor, config, now);
        assert_eq!(desk.supervisor.check().map_err(|violation| violation.to_string()), Ok(()));
        // The restart that was waited for is done, by new workers that are suspended.
        let suspended = desk.spawned.clone();
        for worker in suspended {
            desk.hear(Event::Received { worker, message: FromWorker::Online { suspended: true } });
        }
        // The one that was booting cannot be told to go.
        let signalled = |action: &Action| match action {
            Action::Signal { worker, .. } => Some(*worker),
            _ => None,
        };
        let signalled: Vec<WorkerId> = desk.orders.iter().filter_map(signalled).collect();
        for worker in signalled {
            desk.hear(Event::Exited { worker, status: ExitStatus::Signal(15) });
        }
        let last = desk.replies("r").pop();
        assert!(last.as_ref().is_some_and(|reply| reply.done && reply.errors.is_empty()), "{last:?}");
        assert!(desk.supervisor.status().suspended);
        // The request to a worker that went with the restart was answered, one way or the other.
        assert_eq!(desk.replies("q").iter().filter(|reply| reply.done).count(), 1);
    }
}
