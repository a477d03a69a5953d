//! The command as people run it: against no daemon, a scripted one, and a real one with real workers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Site, until};

#[test]
fn without_a_daemon_there_is_nobody_to_ask() {
    let site = Site::new();
    let said = site.run("status");
    assert_eq!((said.exit, said.out.as_str()), (Some(4), ""));
    insta::assert_snapshot!(site.stable(&said.err));
    let said = site.run("status --ipc tmp/other.ipc");
    assert_eq!(said.exit, Some(4));
    assert!(said.err.contains("tmp/other.ipc"), "{said:?}");
}

#[test]
fn a_bad_configuration_is_exit_code_3_for_everyone() {
    let site = Site::new();
    site.write("nodesockd.toml", "script = \"app.js\"\ntmpdir = \"tmp\"\nworkers = 0\n");
    for command in ["status", "daemon", "restart", "check"] {
        let said = site.run(command);
        assert_eq!(said.exit, Some(3), "{command}: {said:?}");
        let text = said.out + &said.err;
        assert!(text.contains("tmpdir") && text.contains("workers"), "every problem at once: {text}");
    }
    insta::assert_snapshot!(site.stable(&site.run("daemon").err));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let site = Site::new();
    for wrong in [
        "",
        "stat",
        "set-workers 0",
        "set-workers x",
        "send-req ask {a}",
        "status --timeout 5d",
        "daemon -d -1",
    ] {
        let said = site.run(wrong);
        assert_eq!(said.exit, Some(2), "{wrong}: {said:?}");
        assert_eq!(said.out, "", "{wrong}");
    }
    let said = site.run("send-req ask {\"a\":1,}");
    assert!(said.err.contains("line 1 column 8"), "{said:?}");
    insta::assert_snapshot!(site.run("send-msg hello world").err);
}

#[test]
fn the_version_goes_to_standard_output() {
    let said = Site::new().run("--version");
    assert_eq!((said.exit, said.out), (Some(0), format!("nodesockd {}\n", nodesockd::VERSION)));
}

#[test]
fn a_daemon_that_never_answers_is_given_up_on() {
    let site = Site::new();
    let _listener = UnixListener::bind(site.path("tmp/nodesockd.ipc")).unwrap();
    let said = site.run("restart --timeout 100ms");
    assert_eq!(said.exit, Some(8));
    insta::assert_snapshot!(said.err);
}

/// Answers one request on `tmp/nodesockd.ipc` with `replies`, in which `ID` stands for its id.
fn scripted(site: &Site, replies: &'static str) -> std::thread::JoinHandle<Value> {
    scripted_daemon(site, vec![replies])
}

/// Answers a request on `tmp/nodesockd.ipc` with each of these `replies`. Returns the last request.
fn scripted_daemon(site: &Site, script: Vec<&'static str>) -> std::thread::JoinHandle<Value> {
    let listener = UnixListener::bind(site.path("tmp/nodesockd.ipc")).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut requests = BufReader::new(stream.try_clone().unwrap());
        let mut request = Value::Null;
        for replies in script {
            let mut line = String::new();
            requests.read_line(&mut line).unwrap();
            request = serde_json::from_str(&line).unwrap();
            // A client that has heard enough hangs up.
            let _ = stream.write_all(replies.replace("ID", request["id"].as_str().unwrap()).as_bytes());
        }
        request
    })
}

const STATUS_OF_2X: &str = "{\"type\":\"reply\",\"requestId\":\"ID\",\"data\":{\"version\":\"2.0.0\",\"pid\":1,\"startTs\":0,\"workers\":[]},\"done\":true}\n";

#[test]
fn a_reader_that_hangs_up_is_no_error() {
    let site = Site::new();
    let daemon = scripted(&site, STATUS_OF_2X);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = site.command("status").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert_eq!(daemon.join().unwrap()["type"], "status");
}

#[test]
fn an_upgrade_tells_our_version_and_what_the_daemon_says_about_it() {
    let site = Site::new();
    let upgraded = "{\"type\":\"reply\",\"requestId\":\"ID\",\"data\":{\"pid\":1,\"upgradedFrom\":\"2.9.9\"},\"done\":true}\n";
    let daemon = scripted_daemon(&site, vec![STATUS_OF_2X, upgraded]);
    let said = site.run("restart --upgrade");
    assert_eq!(said.exit, Some(0));
    assert!(said.err.contains("has been upgraded: it was version 2.9.9"), "{said:?}");
    let request = daemon.join().unwrap();
    assert_eq!(request["data"], json!({ "version": nodesockd::VERSION, "progress": true }));
}

#[test]
fn another_operation_in_progress_is_exit_code_5() {
    let site = Site::new();
    let daemon = scripted(
        &site,
        "{\"type\":\"reply\",\"requestId\":\"ID\",\"errors\":[\"a restart is in progress\"],\"code\":\"busy\",\"done\":true}\n",
    );
    let said = site.run("restart");
    daemon.join().unwrap();
    assert_eq!(said.exit, Some(5));
    insta::assert_snapshot!(said.err);
}

#[test]
fn a_daemon_is_asked_what_it_does_and_told_what_to_do() {
    let site = Site::new();
    let daemon = site.daemon();

    let status = site.run("status");
    assert_eq!((status.exit, status.err.as_str()), (Some(0), ""));
    assert!(status.out.starts_with("shop  nodesockd 3."), "{status:?}");
    assert_eq!(status.out.matches(" online ").count(), 2, "{status:?}");
    assert_eq!(site.status()["pid"], daemon.child.id());

    let config = site.run("config");
    assert!(config.out.contains("workers = 2"), "{config:?}");
    let config: Value = serde_json::from_str(&site.run("config --json").out).unwrap();
    assert_eq!(config["files"][0], site.path("nodesockd.toml").display().to_string());

    let said = site.run("start");
    assert_eq!((said.exit, said.err.as_str()), (Some(0), "The workers are running.\n"));

    assert_eq!(site.run("set-workers 3").exit, Some(0));
    assert_eq!(site.run("set-standby 1").exit, Some(0));
    assert_eq!(site.status()["workers"].as_array().unwrap().len(), 4);

    assert_eq!(site.run("stop").exit, Some(0));
    assert_eq!(site.status()["workers"], json!([]));
    assert_eq!(site.run("start").exit, Some(0));

    assert_eq!(site.run("reload").exit, Some(0));
    site.configure("colour = \"red\"");
    let said = site.run("reload --ipc tmp/nodesockd.ipc");
    assert_eq!(said.exit, Some(3));
    assert!(said.err.contains("colour"), "{said:?}");

    let said = site.run("terminate --ipc tmp/nodesockd.ipc");
    assert_eq!(said.exit, Some(0), "{said:?}");
    assert_eq!(daemon.ended(), Some(0));
}

#[test]
fn a_restart_is_told_step_by_step() {
    let site = Site::new();
    let _daemon = site.daemon();
    let said = site.run("restart");
    assert_eq!((said.exit, said.out.as_str()), (Some(0), ""));
    for step in ["starting", "online", "serving", "draining", "gone"] {
        let lines = said.err.lines().filter(|line| line.starts_with("slot ") && line.ends_with(step));
        assert_eq!(lines.count(), 2, "{step}: {}", said.err);
    }
    assert!(said.err.contains("2 workers serve, 2 old ones gone."), "{}", said.err);
}

#[test]
fn a_suspended_restart_waits_for_resume() {
    let site = Site::new();
    let _daemon = site.daemon();
    let said = site.run("restart --suspend");
    assert_eq!(said.exit, Some(0), "{said:?}");
    assert!(said.err.ends_with("requests wait until `nodesockd resume`.\n"), "{said:?}");
    let status = site.run("status").out;
    assert_eq!(status.matches("  suspended ").count(), 2, "{status}");
    assert!(status.contains("The app has been suspended for"), "{status}");
    assert_eq!(site.run("resume").exit, Some(0));
    assert_eq!(site.run("status").out.matches(" online ").count(), 2);
}

#[test]
fn a_failing_restart_says_why() {
    let site = Site::new();
    let _daemon = site.daemon();
    let serving = || -> Vec<Value> {
        let status = site.status();
        let workers = status["workers"].as_array().unwrap();
        workers.iter().filter(|worker| worker["idx"].is_u64()).cloned().collect()
    };
    let before = serving();
    site.write("app.js", "console.error('first line\\n\\x1b[31mthe database is missing'); process.exit(3)");
    let said = site.run("restart");
    assert_eq!(said.exit, Some(6), "{said:?}");
    assert!(said.err.contains("failed: it exited with status 3"), "{said:?}");
    assert!(said.err.contains("| \\x1b[31mthe database is missing"), "{said:?}");
    let error = said.err.lines().find(|line| line.starts_with("error: worker")).unwrap_or_default();
    assert!(error.contains("for slot") && error.ends_with("exited with status 3"), "{said:?}");
    assert_eq!(serving(), before);
}

#[test]
fn workers_are_sent_messages_and_asked_questions() {
    let site = Site::new();
    let _daemon = site.daemon();

    let said = site.run("send-req echo {\"n\":1.5}");
    assert_eq!((said.exit, said.err.as_str()), (Some(0), ""));
    assert_eq!(said.out.lines().filter(|line| line.ends_with(": {\"n\":1.5}")).count(), 2, "{said:?}");

    let said = site.run("send-req --json -w 1 echo \"x\"");
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["data"], "x");
    assert!(answer["pid"].is_u64() && answer["id"].is_string());

    let said = site.run("send-req -w -0 dance");
    assert_eq!((said.exit, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("no \\x1b[2Jsuch request: dance"), "{said:?}");

    let said = site.run("send-msg hello [1]");
    assert_eq!((said.exit, said.err.as_str()), (Some(0), "Sent.\n"));
    until("both workers got it", || {
        let log = std::fs::read_to_string(site.path("log")).unwrap();
        (log.matches("got hello [1]").count() == 2).then_some(())
    });

    let said = site.run("send-req -w 0,abc echo");
    assert_eq!(said.exit, Some(2), "{said:?}");
    assert!(said.err.contains("abc"), "{said:?}");
}

#[test]
fn a_second_daemon_names_the_first() {
    let site = Site::new();
    let daemon = site.daemon();
    let said = site.run("daemon");
    assert_eq!(said.exit, Some(1), "{said:?}");
    assert!(said.err.contains(&daemon.child.id().to_string()), "{said:?}");
    assert_eq!(site.status()["pid"], daemon.child.id());
}

#[test]
fn the_command_line_beats_the_configuration_about_the_dev_server_at_every_reload() {
    let site = Site::new();
    site.configure("devServer = 1");
    let log = std::fs::File::create(site.path("daemon.log")).unwrap();
    let mut child = site.command("daemon --no-dev-server").stderr(log).spawn().unwrap();
    until("the daemon answers", || (site.run("start").exit == Some(0)).then_some(()));
    let config = || serde_json::from_str::<Value>(&site.run("config --json").out).unwrap()["config"].clone();
    assert_eq!(config()["devServer"], false);
    assert_eq!(site.run("reload").exit, Some(0));
    assert_eq!(config()["devServer"], false);
    assert_eq!(site.run("terminate").exit, Some(0));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_surroundings_are_checked_without_a_daemon_and_with_one() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    std::fs::set_permissions(site.path("tmp"), std::fs::Permissions::from_mode(0o2750)).unwrap();
    let said = site.run("check");
    assert_eq!((said.exit, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(!said.out.contains('✗') && said.out.contains("no daemon runs"), "{said:?}");

    let daemon = site.daemon();
    let said = site.run("check --json");
    let findings: Value = serde_json::from_str(&said.out).unwrap();
    assert!(findings.to_string().contains(&format!("pid {}", daemon.child.id())), "{findings}");

    std::fs::remove_file(site.path("app.js")).unwrap();
    let said = site.run("check");
    assert_eq!(said.exit, Some(3));
    assert!(said.out.contains("✗ there is no script"), "{said:?}");
}

#[test]
fn a_client_that_goes_away_does_not_cancel_what_it_started() {
    let site = Site::new();
    let _daemon = site.daemon();
    let old: Vec<Value> =
        site.status()["workers"].as_array().unwrap().iter().map(|w| w["id"].clone()).collect();
    let mut client = site.command("restart").stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    client.stderr.take().unwrap().read_exact(&mut first).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    until("all workers are others than before", || {
        let status = site.status();
        let now = status["workers"].as_array().unwrap();
        (now.len() == 2 && now.iter().all(|worker| !old.contains(&worker["id"]))).then_some(())
    });
}
