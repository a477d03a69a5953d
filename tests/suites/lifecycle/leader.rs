//! One worker leads, and at no time two: the workers themselves write down when they begin and when they end.

use nix::sys::signal::Signal;
use nodesockd_tests::program::{self, NEWER};
use nodesockd_tests::{App, Daemon, cli, http};

/// An app whose leader holds a lock.
fn app() -> App {
    App::new().script("leads.js").workers(3)
}

/// The pid of the worker that leads, by `status`.
fn leader(app: &App) -> Option<u64> {
    let said = app.cli(&["status", "--json"]);
    if said.code != 0 {
        return None;
    }
    let status = said.json();
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    let leaders: Vec<u64> =
        workers.iter().filter(|row| row["leader"] == true).filter_map(|row| row["pid"].as_u64()).collect();
    assert!(leaders.len() < 2, "{status}");
    leaders.first().copied()
}

/// Waits until a worker leads, by its own account as well, that is not `before`. Never two have led at a time.
fn led(app: &App, daemon: &Daemon, before: Option<u64>) -> u64 {
    let mut found = None;
    daemon.until_so("another worker leads", || {
        found = leader(app).filter(|pid| Some(*pid) != before && last_to_begin(app) == Some(*pid));
        found.is_some()
    });
    assert_one_at_a_time(app);
    found.unwrap()
}

fn journal(app: &App) -> String {
    if app.path("leaders").exists() { app.read("leaders") } else { String::new() }
}

fn last_to_begin(app: &App) -> Option<u64> {
    let text = journal(app);
    text.lines().filter_map(|line| line.strip_prefix("begins ")).next_back()?.parse().ok()
}

fn assert_one_at_a_time(app: &App) {
    let text = journal(app);
    assert!(!text.contains("two at a time") && !text.contains("suspended"), "{text}");
}

fn has_ended(app: &App, pid: u64) -> bool {
    journal(app).lines().any(|line| line == format!("ends {pid}"))
}

#[test]
fn restart_and_deaths_pass_the_leadership_on() {
    let app = app();
    let daemon = app.start();
    let mut last = led(&app, &daemon, None);
    assert!(app.cli(&["status"]).stdout.contains(", leads"));
    for _ in 0..3 {
        assert_eq!(app.cli(&["restart"]).code, 0);
        let next = led(&app, &daemon, Some(last));
        assert!(has_ended(&app, last));
        last = next;
    }
    for _ in 0..3 {
        let status = daemon.settled();
        let dead = status.workers.iter().find(|worker| worker.pid.map(u64::from) == Some(last)).unwrap();
        dead.process().signal(Signal::SIGKILL);
        last = led(&app, &daemon, Some(last));
    }
    daemon.until_logged("worker that led is gone");
}

#[test]
fn leader_goes_on_while_daemons_die_and_then_hands_over() {
    let app = app();
    let mut daemon = app.start();
    let first = led(&app, &daemon, None);
    for _ in 0..3 {
        daemon.die();
        daemon.follow(app.launch());
        assert_eq!(leader(&app), Some(first));
    }
    assert_eq!(app.cli(&["restart"]).code, 0);
    let second = led(&app, &daemon, Some(first));
    assert!(has_ended(&app, first));
    // One that dies while there is no daemon has a successor under the next one.
    daemon.die();
    nodesockd_tests::Process::of(u32::try_from(second).unwrap()).unwrap().signal(Signal::SIGKILL);
    daemon.follow(app.launch());
    led(&app, &daemon, Some(second));
    assert_eq!(journal(&app).lines().filter(|line| line.starts_with("begins")).count(), 3);
}

#[test]
fn leader_goes_on_when_the_daemon_becomes_a_newer_program() {
    let app = app();
    program::install(program::nodesockd(), &app.path("nodesockd"));
    let daemon = app.launch().from(&app.path("nodesockd")).start();
    let first = led(&app, &daemon, None);
    program::install(program::newer(), &app.path("nodesockd"));
    let mut upgrade = std::process::Command::new(program::newer());
    cli::in_folder(&mut upgrade, app.folder());
    let said = cli::spawn(upgrade.args(["restart", "--upgrade"])).finish();
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(daemon.status().version, NEWER);
    led(&app, &daemon, Some(first));
    assert!(has_ended(&app, first));
}

#[test]
fn nobody_leads_while_the_app_is_suspended() {
    let app = app();
    let daemon = app.start();
    let first = led(&app, &daemon, None);
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    assert!(has_ended(&app, first));
    assert_eq!(leader(&app), None);
    assert_eq!(last_to_begin(&app), Some(first));
    assert_eq!(app.cli(&["resume"]).code, 0);
    led(&app, &daemon, Some(first));
}

#[test]
fn hung_leader_is_followed_when_it_is_dead() {
    let mut app = app();
    app.change("health.hangTimeout", 1000);
    let daemon = app.start();
    let first = led(&app, &daemon, None);
    let hung = nodesockd_tests::Process::of(u32::try_from(first).unwrap()).unwrap();
    hung.signal(Signal::SIGSTOP);
    led(&app, &daemon, Some(first));
    assert!(!has_ended(&app, first));
}

#[test]
fn promoted_standby_learns_its_slot() {
    let app = App::new().script("leads.js").standby(1);
    let daemon = app.start();
    let before = daemon.status();
    let page = || http::get(&app.link(0), "/").json();
    assert_eq!(page()["slot"], 0);
    let spare = before.standbys()[0].pid.unwrap();
    before.slot(0).process().signal(Signal::SIGKILL);
    daemon.until("the standby serves", |status| status.is_settled() && status.slot(0).pid == Some(spare));
    assert_eq!((&page()["pid"], &page()["slot"]), (&spare.into(), &0.into()));
    led(&app, &daemon, None);
    assert_eq!(page()["leader"], true);
}

#[test]
fn worker_in_another_language_leads_by_the_channel() {
    let app = App::new().python("raw.py").workers(2).standby(1);
    let daemon = app.start();
    let leaders = || (0..2).filter(|slot| http::get(&app.link(*slot), "/").json()["leader"] == true).count();
    daemon.until_so("a worker leads", || leaders() == 1);
    let first = leader(&app);
    assert_eq!(app.cli(&["restart"]).code, 0);
    daemon.until_so("another worker leads", || leaders() == 1 && leader(&app) != first);
    let status = daemon.settled();
    let spare = status.standbys()[0].pid.unwrap();
    status.slot(1).process().signal(Signal::SIGKILL);
    daemon.until("the standby serves", |status| status.is_settled() && status.slot(1).pid == Some(spare));
    assert_eq!(http::get(&app.link(1), "/").json()["slot"], 1);
}
