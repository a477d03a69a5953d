//! `status`, `config`, `check`

use nodesockd_tests::{App, app, cli};
use serde_json::Value;

#[test]
fn status_shows_the_daemon_and_its_workers() {
    let app = App::new().workers(2).standby(1).set("name", "shop");
    let daemon = app.start();
    let status = daemon.status();

    let shown = app.cli(&["status"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{shown}");
    let mut expected = vec!["shop".to_owned(), status.version.clone(), format!("pid {}", daemon.pid())];
    expected.extend(["standby", "online", "suspended"].map(str::to_owned));
    for worker in &status.workers {
        expected.push(worker.id[worker.id.len() - 5..].to_owned());
        expected.push(worker.process().pid.to_string());
    }
    for text in expected {
        assert!(shown.stdout.contains(&text), "no `{text}` in\n{shown}");
    }
    assert!(!shown.stdout.contains('\x1b'), "colours are for terminals\n{shown}");

    let json = app.cli(&["status", "--json"]);
    assert_eq!((json.code, json.stderr.as_str()), (0, ""), "{json}");
    assert_eq!(json.stdout.lines().count(), 1, "{json}");
    assert_eq!(json.json(), app.connect().request("status", &Value::Null).data);
}

#[test]
fn status_is_what_2x_answers_and_more() {
    let app = App::new();
    let daemon = app.start();
    let status = app.connect().request("status", &Value::Null).data;
    let worker = &status["workers"][0];
    assert_eq!(status["pid"], daemon.pid());
    assert_eq!(worker["idx"], 0);
    assert_eq!(worker["state"], "online");
    assert_eq!(worker["id"].as_str().unwrap().len(), 36);
    let (started, since) = (status["startTs"].as_u64().unwrap(), worker["stateTs"].as_u64().unwrap());
    assert!(started > 1_600_000_000_000, "milliseconds since the epoch: {started}");
    assert!(started <= since, "a worker is not older than its daemon");
}

#[test]
fn config_shows_what_is_in_force_and_where_it_came_from() {
    let app = App::new().workers(2).set("extends", "./base.yml");
    app.write("base.yml", "name: from-base\nworkers: 7\n");
    let _daemon = app.start();

    let json = app.cli(&["config", "--json"]);
    assert_eq!(json.code, 0, "{json}");
    let Value::Object(answer) = json.json() else { panic!("{json}") };
    assert_eq!(answer["config"]["name"], "from-base");
    assert_eq!(answer["config"]["workers"], 2);
    assert_eq!(answer["config"]["options"]["shutdownTimeout"], 50_000);
    let files: Vec<&str> = answer["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let expected = ["nodesockd.toml", "base.yml"].map(|name| app.path(name).display().to_string());
    assert_eq!(files.len(), 2, "{json}");
    assert!(expected.iter().all(|file| files.contains(&file.as_str())), "{json}");

    let text = app.cli(&["config"]);
    assert_eq!(text.code, 0, "{text}");
    assert!(text.stdout.contains("from-base") && text.stdout.contains("base.yml"), "{text}");
}

#[test]
fn check_finds_what_would_keep_a_daemon_from_running() {
    let app = App::new();
    app.save();
    let good = app.cli(&["check"]);
    assert_eq!(good.code, 0, "{good}");
    let json = app.cli(&["check", "--json"]);
    assert!(json.json()["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{json}");

    std::fs::remove_file(app.path("app.js")).unwrap();
    let bad = app.cli(&["check"]);
    assert_eq!(bad.code, 3, "{bad}");
    assert!(bad.stdout.contains("app.js"), "{bad}");
}

#[test]
fn check_warns_where_the_kernel_does_not_tell_accept_queues() {
    let app = App::new();
    app.save();
    assert!(app.cli(&["check"]).stdout.contains("the kernel tells accept queues (UNIX_DIAG)"));
    let check = cli::command(app.folder(), &["check"]);
    let mut sandboxed = cli::through(&app::python("without_netlink.py"), &check, app.folder());
    let output = cli::spawn(&mut sandboxed).finish();
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("does not tell accept queues by UNIX_DIAG"), "{output}");
    assert!(output.stdout.contains("they are read from /proc/self/net/unix"), "{output}");
}
