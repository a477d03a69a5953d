//! Those who watch are told what happens, and a command is run for some of it.

use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, ExitStatus, Failure};
use nodesockd_core::id::{ConnId, Peer, RequestRef};
use nodesockd_core::occurrence::Occurrence;
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{Body, DeployOptions, Request, StartOptions};
use nodesockd_core::{Action, Event};

use super::adoption::follow;
use super::desk::{Desk, HOOK, release, restart, suspended, up};
use super::handoff::taken_over;
use super::log::warnings;

/// What the request `w` was told, by name; the numbers go up one by one.
fn told(desk: &Desk) -> Vec<&'static str> {
    let bodies: Vec<Body> = desk.replies("w").into_iter().filter_map(|reply| reply.body).collect();
    let Some(Body::Watching { seq: before }) = bodies.first() else { panic!("{bodies:?}") };
    let occurred = |body: &Body| match body {
        Body::Occurred { seq, occurrence } => Some((*seq, occurrence.name())),
        _ => None,
    };
    let told: Vec<(u64, &'static str)> = bodies.iter().filter_map(occurred).collect();
    for (nth, (seq, _)) in told.iter().enumerate() {
        assert_eq!(*seq, before + 1 + nth as u64, "none is missing");
    }
    told.into_iter().map(|(_, name)| name).collect()
}

fn runs(desk: &Desk) -> Vec<&'static str> {
    let run = |action: &Action| match action {
        Action::RunHook(order) => Some(order.occurrence.name()),
        _ => None,
    };
    desk.orders.iter().filter_map(run).collect()
}

fn ends(desk: &mut Desk, status: ExitStatus) {
    desk.hear(Event::HookEnded { process: HOOK, status });
}

/// The command runs, because the app has been suspended for so long.
fn reminded() -> Desk {
    let mut desk = up(HOOKED);
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(61));
    desk
}

const HOOKED: &str = "options.onEvent = ['mail', 'admin']\noptions.suspendWarning = 60000";

#[test]
fn a_restart_is_told_from_its_beginning_to_its_end() {
    let mut desk = up("");
    desk.ask("w", Request::WatchEvents);
    desk.ask("r", restart(StartOptions::default()));
    desk.all_online();
    let expected = [
        "begun",
        "worker-starting",
        "worker-online",
        "worker-serving",
        "worker-draining",
        "restart",
        "worker-gone",
    ];
    let mut found = told(&desk);
    found.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(told(&desk).first(), Some(&"begun"));
}

#[test]
fn who_watches_is_answered_when_the_daemon_quits_and_forgotten_when_it_hangs_up() {
    let mut desk = up("");
    desk.ask("w", Request::WatchEvents);
    assert_eq!(desk.end("w"), None);
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(desk.end("w"), Some((None, String::new())));
    assert!(told(&desk).contains(&"terminate"));

    let mut desk = up("");
    desk.ask("w", Request::WatchEvents);
    desk.hear(Event::Disconnected { conn: ConnId(1) });
    desk.exit(desk.worker(0));
    assert_eq!(told(&desk), [""; 0]);
    assert!(desk.supervisor.check().is_ok());
    let handoff = serde_json::to_value(desk.hand_off()).unwrap_or_default();
    let watchers = handoff["watchers"].as_array();
    assert!(watchers.is_none_or(Vec::is_empty), "the next program does not know it either: {watchers:?}");
}

#[test]
fn who_watches_does_so_under_the_program_that_follows() {
    let mut desk = up(HOOKED);
    desk.ask("w", Request::WatchEvents);
    desk.exit(desk.worker(0));
    let handoff = desk.hand_off();
    let missed = desk.replies("w").into_iter().find_map(|reply| match reply.body {
        Some(Body::Watching { seq }) => Some(seq),
        _ => None,
    });
    let before = missed.unwrap() + told(&desk).len() as u64;
    let config = desk.config.clone();
    let next = taken_over(&desk, handoff, config);
    let first = next.replies("w").into_iter().find_map(|reply| reply.body);
    let Some(Body::Occurred { seq, occurrence }) = first else { panic!("{first:?}") };
    // The beginning of the upgrade was told before.
    assert_eq!((seq, occurrence.name()), (before + 1, "upgrade"));
}

#[test]
fn a_worker_that_dies_has_failed_and_says_why() {
    let mut desk = up("");
    desk.ask("w", Request::WatchEvents);
    desk.exit(desk.worker(0));
    let news = desk.replies("w").into_iter().find_map(|reply| match reply.body {
        Some(Body::Occurred { occurrence, .. }) => match *occurrence {
            Occurrence::Worker(news) => Some(news),
            _ => None,
        },
        _ => None,
    });
    let news = news.unwrap_or_else(|| panic!("nothing was told"));
    assert_eq!((news.generation, news.reason.as_deref()), (Some(1), Some("it exited with status 1")));
}

#[test]
fn a_link_that_somebody_has_removed_is_told_when_it_is_there_again() {
    let mut desk = up("");
    desk.ask("w", Request::WatchEvents);
    desk.sees("app.0.sock", Sight::Nothing);
    assert_eq!(told(&desk), ["repaired", "worker-serving"]);
}

#[test]
fn a_command_is_run_for_what_somebody_has_to_know_one_at_a_time() {
    let mut desk = up(HOOKED);
    desk.ask(
        "d",
        Request::Deploy(DeployOptions { release: Some(release("2").dir), ..DeployOptions::default() }),
    );
    desk.all_online();
    desk.exit(desk.worker(1));
    assert_eq!(runs(&desk), ["deploy"]);
    let Some(Action::RunHook(order)) = desk.orders.iter().find(|action| matches!(action, Action::RunHook(_)))
    else {
        panic!("no order")
    };
    assert_eq!(order.argv, ["mail", "admin"]);
    let set = |name: &str| order.set.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    assert_eq!((set("NODESOCKD_EVENT"), set("NODESOCKD_EVENTS_MISSED")), (Some("deploy"), Some("0")));

    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(25));
    ends(&mut desk, ExitStatus::Code(0));
    desk.pass(Duration::from_secs(40));
    assert_eq!(runs(&desk), ["deploy", "suspension-forgotten"]);
    desk.pass(Duration::from_secs(20));
    assert_eq!(runs(&desk).len(), 2, "it runs still");
}

#[test]
fn a_command_that_takes_too_long_is_killed_and_stands_in_nobodys_way() {
    let mut desk = reminded();
    assert_eq!(runs(&desk).len(), 1);
    desk.ask("q", restart(StartOptions::default()));
    desk.all_online();
    assert!(desk.end("q").is_some(), "nothing waits for it");
    let killed =
        |desk: &Desk| desk.count(|action| matches!(action, Action::KillHook { process } if *process == HOOK));
    desk.pass(Duration::from_secs(28));
    assert_eq!(killed(&desk), 0);
    let lines = warnings(|| desk.pass(Duration::from_secs(60)));
    assert_eq!(killed(&desk), 1);
    assert!(lines.iter().any(|line| line.contains("takes longer than 30 s, sending SIGKILL")), "{lines:?}");
    let lines = warnings(|| ends(&mut desk, ExitStatus::Signal(9)));
    assert!(
        lines.iter().any(|line| line.contains("the command has failed: it was killed by SIGKILL")),
        "{lines:?}"
    );
}

#[test]
fn a_command_that_cannot_be_started_is_said_and_not_tried_again_for_that() {
    let mut desk = up(HOOKED);
    desk.leaves = |action| matches!(action, Action::RunHook(_));
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(61));
    let failure = Failure("no such file".into());
    let lines = warnings(|| desk.hear(Event::HookStarted { result: Err(failure) }));
    assert_eq!(lines, ["WARN options.onEvent: the command cannot be started: no such file"]);
    assert_eq!(runs(&desk).len(), 1);
}

#[test]
fn what_waits_for_the_command_is_bounded_and_what_is_given_up_is_counted() {
    let mut desk = up(HOOKED);
    desk.leaves = |action| matches!(action, Action::RunHook(_));
    desk.ask("r", restart(suspended()));
    desk.all_online();
    let lines = warnings(|| desk.pass(Duration::from_secs(60 * 41)));
    let said = lines.iter().filter(|line| line.contains("the oldest are given up")).count();
    assert_eq!(said, 1);
    desk.orders.clear();
    desk.hear(Event::HookStarted { result: Err(Failure("gone".into())) });
    let Some(Action::RunHook(order)) = desk.orders.iter().find(|action| matches!(action, Action::RunHook(_)))
    else {
        panic!("no order")
    };
    let missed = order.set.iter().find(|(name, _)| name == "NODESOCKD_EVENTS_MISSED");
    assert_eq!(missed.map(|(_, value)| value.as_str()), Some("8"));
}

#[test]
fn the_next_daemon_runs_nothing_beside_a_command_of_the_one_before() {
    let desk = reminded();
    let mut next = follow(&desk, |_| {});
    let watched = next.count(|action| *action == Action::WatchHook { process: HOOK });
    assert_eq!((watched, runs(&next).len()), (1, 0));
    next.pass(Duration::from_secs(70));
    assert_eq!(next.count(|action| *action == Action::KillHook { process: HOOK }), 1, "it has its time");
    ends(&mut next, ExitStatus::Unknown);
    assert_eq!(runs(&next), ["suspension-forgotten"]);
}

#[test]
fn the_next_program_goes_on_with_the_command_and_with_what_waits_for_it() {
    let mut desk = reminded();
    desk.ask("d", Request::Resume);
    desk.ask("q", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(10));
    let handoff = desk.hand_off();
    let config = desk.config.clone();
    let mut next = taken_over(&desk, handoff, config);
    next.pass(Duration::from_secs(10));
    assert_eq!(next.count(|action| matches!(action, Action::KillHook { .. })), 0, "its time goes on");
    next.pass(Duration::from_secs(10));
    assert_eq!(next.count(|action| matches!(action, Action::KillHook { .. })), 1);
    next.pass(Duration::from_secs(40));
    assert_eq!(runs(&next).len(), 0, "it runs still");
    ends(&mut next, ExitStatus::Signal(9));
    assert_eq!(runs(&next), ["suspension-forgotten"]);
}

#[test]
fn without_a_command_nothing_is_run() {
    let mut desk = up("options.suspendWarning = 60000");
    desk.ask("r", restart(suspended()));
    desk.all_online();
    desk.pass(Duration::from_secs(300));
    assert_eq!(runs(&desk), [""; 0]);
}

#[test]
fn a_worker_that_watched_is_told_nothing_after_its_end() {
    let mut desk = up("");
    let (worker, request) = (desk.worker(0), Request::WatchEvents);
    let from = RequestRef { peer: Peer::Worker(worker), id: "w".into() };
    desk.hear(Event::Requested { from, asker: None, request });
    desk.exit(worker);
    let handoff = serde_json::to_value(desk.hand_off()).unwrap_or_default();
    assert_eq!(handoff["watchers"].as_array(), None, "{handoff}");
}
