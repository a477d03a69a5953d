//! Every sentence a person reads, to be read in `snapshots/`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::CommandFactory;
use nodesockd::cli::Cli;
use nodesockd::exit::{Exit, Failure};
use nodesockd::out::Style;
use nodesockd::render;
use nodesockd::setup::check::{Finding, Verdict};
use nodesockd::setup::doctor::Area;
use nodesockd::setup::report;
use nodesockd::view::{ConfigView, StatusView};
use nodesockd_core::wire::Progress;
use serde_json::json;

/// A terminal's escape character, made visible.
fn visible(text: &str) -> String {
    text.replace('\x1b', "␛")
}

#[test]
fn help() {
    let mut cli = Cli::command();
    cli.build();
    let mut text = format!("$ nodesockd --help\n{}", cli.render_long_help());
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let mut command = command.clone();
        let help = command.render_long_help();
        text.push_str(&format!("\n\n$ nodesockd {} --help\n{help}", command.get_name()));
    }
    insta::assert_snapshot!(text);
}

/// Three minutes into the life of a daemon to which a lot has happened.
const NOW: u64 = 1_800_000_180_000;

fn eventful() -> StatusView {
    let worker = |id: &str, rest: serde_json::Value| {
        let mut worker =
            json!({ "id": format!("3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4{id}"), "stateTs": NOW - 65_000 });
        worker.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        worker
    };
    serde_json::from_value(json!({
        "version": "3.0.0", "pid": 4711, "name": "shop", "startTs": NOW - 180_000, "suspended": true,
        "suspension": { "sinceTs": NOW - 90_000, "by": { "pid": 4700, "uid": 0, "command": "deploy \u{1b}[2J" }, "waiting": 3, "full": [1] },
        "generation": 7, "release": "/srv/shop/releases/42",
        "workers": [
            worker("aaaa1", json!({ "idx": 0, "pid": 4712, "state": "online", "generation": 7 })),
            worker("aaaa2", json!({ "idx": 1, "pid": 4713, "state": "suspended", "stateTs": NOW - 4_000 })),
            worker("aaaa3", json!({ "idx": 10, "pid": 104_714, "state": "broken" })),
            worker("aaaa4", json!({ "pid": 4715, "state": "terminating", "generation": 6 })),
            worker("aaaa5", json!({ "pid": 4716, "state": "suspended", "standby": true })),
            worker("aaaa6", json!({ "state": "running", "stateTs": NOW + 1 })),
        ],
        "vacant": [
            { "idx": 2, "failures": 3, "retryTs": NOW + 4_200, "reason": "exited with status 1 \u{1b}[2J" },
            { "idx": 3, "failures": 1, "reason": "was killed by SIGSEGV" },
            { "idx": 4, "failures": 0 },
        ],
        "failingStandby": { "missing": 1, "failures": 5, "retryTs": NOW + 800, "reason": "it exited \u{1b}[2J" },
        "failures": [
            { "idx": 0, "count": 1, "lastTs": NOW - 400, "reason": "it was killed by SIGKILL \u{1b}[2J" },
            { "idx": 2, "count": 12, "lastTs": NOW - 65_000, "reason": "it exited with status 1" },
        ],
        "operation": "restart, asked for by c7",
    }))
    .unwrap()
}

#[test]
fn status_of_an_eventful_daemon() {
    insta::assert_snapshot!("status_piped", render::status(&eventful(), NOW, Style::PLAIN));
    insta::assert_snapshot!("status_terminal", visible(&render::status(&eventful(), NOW, Style::COLOUR)));
}

#[test]
fn status_of_a_2_x_daemon() {
    let view: StatusView = serde_json::from_value(json!({
        "version": "2.1.3", "pid": 99, "startTs": NOW - 273_600_000,
        "workers": [{ "id": "3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4f5a6b", "idx": 0, "pid": 100, "state": "online", "stateTs": NOW - 7_500_000 }],
    }))
    .unwrap();
    insta::assert_snapshot!(render::status(&view, NOW, Style::PLAIN));
}

#[test]
fn status_without_workers() {
    let view: StatusView = serde_json::from_value(json!({
        "version": "3.0.0", "pid": 99, "name": "shop", "startTs": NOW - 400, "workers": [], "suspended": false,
    }))
    .unwrap();
    insta::assert_snapshot!(render::status(&view, NOW, Style::PLAIN));
}

#[test]
fn status_cannot_be_made_to_drive_a_terminal() {
    let view: StatusView = serde_json::from_value(json!({
        "version": "\u{1b}[31m", "pid": 99, "name": "\u{9b}2J", "startTs": NOW, "operation": "\u{202e}\r",
        "workers": [{ "id": "\u{1b}\u{1b}\u{1b}", "state": "\u{7}", "stateTs": 0, "newer": true }],
    }))
    .unwrap();
    let text = render::status(&view, NOW, Style::PLAIN);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn config() {
    let view: ConfigView = serde_json::from_value(json!({
        "files": ["/srv/shop/nodesockd.local.toml", "/srv/shop/nodesockd.toml"],
        "config": {
            "name": "shop", "script": "/srv/shop/app.js", "workers": 2, "devServer": false, "env": ["PORT"],
            "options": { "onlineTimeout": 10_000, "stdout": "/var/log/shop.log", "ipcGroup": null },
        },
    }))
    .unwrap();
    insta::assert_snapshot!(render::config(&view, Style::PLAIN));
}

/// A restart of two slots and a standby, in which one worker needs a second attempt.
fn steps() -> Vec<Progress> {
    let step = |id: &str, idx: Option<u32>, pid: Option<u32>, stage: &str, reason: Option<&str>| {
        let id = format!("3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4{id}");
        serde_json::from_value(json!({ "id": id, "idx": idx, "pid": pid, "stage": stage, "reason": reason }))
            .unwrap()
    };
    vec![
        step("aaaa1", Some(0), None, "starting", None),
        step("aaaa2", Some(1), None, "starting", None),
        step("aaaa3", None, None, "starting", None),
        step("aaaa1", Some(0), Some(51), "online", None),
        step("aaaa2", Some(1), Some(52), "failed", Some("exited with status 1")),
        step("bbbb2", Some(1), None, "starting", None),
        step("aaaa3", None, Some(53), "online", None),
        step("aaaa3", None, Some(53), "standby", None),
        step("bbbb2", Some(1), Some(54), "online", None),
        step("bbbb2", Some(1), Some(54), "online", None),
        step("aaaa1", Some(0), Some(51), "serving", None),
        step("bbbb2", Some(1), Some(54), "serving", None),
        step("00001", Some(0), Some(41), "draining", None),
        step("00002", Some(1), Some(42), "draining", None),
        step("00001", Some(0), Some(41), "gone", None),
    ]
}

#[test]
fn progress_in_lines() {
    let mut transcript = render::Transcript::new(false);
    let lines: Vec<String> = steps().into_iter().filter_map(|step| transcript.record(step)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn progress_in_pictures() {
    let mut transcript = render::Transcript::new(false);
    let mut film = String::new();
    for step in steps() {
        if transcript.record(step).is_some() {
            film.push_str(&transcript.picture(20, Style::PLAIN));
            film.push_str("---\n");
        }
    }
    film.push_str("In colour:\n");
    film.push_str(&visible(&transcript.picture(20, Style::COLOUR)));
    film.push_str("---\nIn a window of three lines:\n");
    film.push_str(&transcript.picture(3, Style::PLAIN));
    insta::assert_snapshot!(film);
}

#[test]
fn progress_of_a_suspended_restart_that_fails() {
    let mut transcript = render::Transcript::new(true);
    let mut lines: Vec<String> = steps().into_iter().filter_map(|step| transcript.record(step)).collect();
    let late = json!({ "id": "3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4cccc3", "idx": 2, "stage": "starting" });
    lines.extend(transcript.record(serde_json::from_value(late).unwrap()));
    lines.extend(transcript.give_up());
    assert!(transcript.give_up().is_empty(), "said once");
    let picture = visible(&transcript.picture(20, Style::COLOUR));
    insta::assert_snapshot!(format!("{}\n{picture}", lines.join("\n")));
}

#[test]
fn logs_of_workers_that_failed_to_start() {
    let lines = ["Error: cannot find \u{1b}[1mmodule\u{1b}[0m".to_owned(), "    at app.js:1".to_owned()];
    let text = [
        render::log_end("/var/log/shop.log", Some(&lines), Style::PLAIN),
        render::log_end("/var/log/shop.log", Some(&[]), Style::PLAIN),
        render::log_end("/var/log/shop.log", None, Style::PLAIN),
    ];
    insta::assert_snapshot!(text.concat());
}

#[test]
fn failures() {
    let failure = Failure {
        exit: Exit::InvalidConfig,
        messages: vec!["one problem".into(), "another\non two lines".into()],
        help: Some("what to do".into()),
    };
    insta::assert_snapshot!("failure_piped", render::failure(&failure, Style::PLAIN));
    insta::assert_snapshot!("failure_terminal", visible(&render::failure(&failure, Style::COLOUR)));
}

#[test]
fn check() {
    let finding = |verdict, message: &str, help: Option<&str>| Finding {
        verdict,
        message: message.into(),
        help: help.map(Into::into),
    };
    let findings = [
        finding(Verdict::Good, "the configuration is valid: nodesockd.toml", None),
        finding(Verdict::Warning, "a daemon runs already", Some("give it another `ipcFile`")),
        finding(Verdict::Bad, "unknown key\n --> nodesockd.toml:1:1\n  |", None),
    ];
    insta::assert_snapshot!("check_piped", report::check(&findings, Style::PLAIN));
    insta::assert_snapshot!("check_terminal", visible(&report::check(&findings, Style::COLOUR)));
}

#[test]
fn doctor() {
    let finding = |verdict, message: &str, help: Option<&str>| Finding {
        verdict,
        message: message.into(),
        help: help.map(Into::into),
    };
    let good = finding(Verdict::Good, "the configuration is valid: nodesockd.toml", None);
    let bad = finding(
        Verdict::Bad,
        "the unit shop.service: `ExecStart` lacks the command `daemon`",
        Some("add it"),
    );
    let area = |name, findings: &[Finding]| Area { name, findings: findings.to_vec() };
    let warning =
        finding(Verdict::Warning, "the app is suspended: requests wait", Some("`nodesockd resume`"));
    let areas = [area("configuration", &[good]), area("service", &[bad]), area("daemon", &[warning])];
    insta::assert_snapshot!("doctor_piped", report::doctor(&areas, Style::PLAIN));
    insta::assert_snapshot!("doctor_terminal", visible(&report::doctor(&areas, Style::COLOUR)));
    assert!(report::doctor(&areas[..1], Style::PLAIN).ends_with("\n\nEverything is as it should be.\n"));
}
