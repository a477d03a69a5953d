//! Every worker of a generation runs the release of that generation.

use std::path::Path;
use std::time::Duration;

use nodesockd_core::Action;
use nodesockd_core::config::{Config, Program};
use nodesockd_core::id::WorkerId;
use nodesockd_core::release::Release;
use nodesockd_core::wire::{Request, StartOptions};

use super::adoption::follow;
use super::desk::{Desk, config, release, restart, suspended};
use super::handoff::upgraded_under;

/// Where a worker was started: its working directory and its script.
fn started(desk: &Desk, worker: WorkerId) -> (String, String) {
    let order = desk.orders.iter().find_map(|action| match action {
        Action::Spawn(order) if order.worker == worker => Some(order),
        _ => None,
    });
    let order = order.unwrap_or_else(|| panic!("{worker} was not started"));
    (order.cwd.display().to_string(), order.argv.last().cloned().unwrap_or_default())
}

fn of(number: &str) -> (String, String) {
    (format!("/srv/releases/{number}"), format!("/srv/releases/{number}/server.js"))
}

/// The worker that was started last.
fn last(desk: &Desk) -> WorkerId {
    desk.worker(desk.spawned.len() - 1)
}

/// The worker in slot 0 dies; who takes its place.
fn replaced(desk: &mut Desk) -> WorkerId {
    let owner = desk.supervisor.status().workers[0].id;
    desk.exit(owner);
    last(desk)
}

#[test]
fn a_replacement_runs_the_release_that_was_current_when_its_generation_was_ordered() {
    let mut desk = Desk::up("");
    assert_eq!(started(&desk, desk.worker(0)), of("1"));
    desk.current = "2";
    let successor = replaced(&mut desk);
    assert_eq!(started(&desk, successor), of("1"), "the database is not migrated yet");
    desk.online(successor);

    desk.ask("r", restart(suspended()));
    let dies = last(&desk);
    assert_eq!(started(&desk, dies), of("2"));
    desk.current = "3";
    desk.online(dies);
    let successor = replaced(&mut desk);
    assert_eq!(started(&desk, successor), of("2"));
}

#[test]
fn what_a_generation_gains_later_runs_its_release() {
    let mut desk = Desk::up("");
    desk.current = "2";
    desk.ask("standby", Request::SetStandby { count: 1 });
    assert_eq!(started(&desk, last(&desk)), of("1"));
    desk.all_online();
    desk.ask("start again", restart(StartOptions::default()));
    assert_eq!(started(&desk, last(&desk)), of("2"));
}

#[test]
fn daemons_that_follow_know_the_release() {
    let mut desk = Desk::up("");
    desk.current = "2";
    let mut newer = upgraded_under(desk, config(""));
    let successor = replaced(&mut newer);
    assert_eq!(started(&newer, successor), of("1"), "after an upgrade");

    let mut desk = Desk::up("");
    desk.current = "2";
    let mut next = follow(&desk, |_| ());
    let successor = replaced(&mut next);
    assert_eq!(started(&next, successor), of("1"), "after a death");
}

#[test]
fn a_release_that_was_removed_is_replaced_by_the_current_one() {
    let mut desk = Desk::up("");
    (desk.current, desk.pruned) = ("2", true);
    let first = replaced(&mut desk);
    desk.exit(first);
    desk.pass(Duration::from_secs(1));
    assert_eq!(started(&desk, last(&desk)), of("2"));
}

#[test]
fn a_script_is_found_in_the_release_wherever_it_lies() {
    let pinned = |script: &str| {
        let program = Program::Script { node: "node".into(), node_args: Vec::new(), script: script.into() };
        let config = Config { program, ..config("") };
        let named = Release::named_by(&config);
        let release =
            Release { script_dir: named.script_dir.as_ref().map(|_| "/opt/app-3".into()), ..release("1") };
        (named.script_dir, release.script(&config, Path::new(script)).display().to_string())
    };
    assert_eq!(pinned("/srv/app/dist/app.js"), (None, "/srv/releases/1/dist/app.js".to_owned()));
    assert_eq!(pinned("/opt/app/app.js"), (Some("/opt/app".into()), "/opt/app-3/app.js".to_owned()));
}
