//! `reload`: the least that makes reality match.

use nodesockd_tests::{App, Output, http};

fn reload(app: &App) -> Output {
    app.save();
    app.cli(&["reload"])
}

#[test]
fn a_new_environment_restarts_the_workers() {
    let mut app = App::new().workers(2).env("GREETING", "hello");
    let daemon = app.start();
    let before = daemon.status();
    assert_eq!(http::get(&app.link(0), "/").json()["greeting"], "hello");
    app.change("env.GREETING", "good morning");
    let reloaded = reload(&app);
    assert_eq!(reloaded.code, 0, "{reloaded}");
    for slot in 0..2 {
        assert_eq!(http::get(&app.link(slot), "/").json()["greeting"], "good morning");
    }
    let after = daemon.status();
    assert!(before.pids().iter().all(|pid| !after.pids().contains(pid)));
}

#[test]
fn another_script_restarts_the_workers() {
    let mut app = App::new();
    let daemon = app.start();
    let before = daemon.status().slot(0).process();
    std::fs::copy(app.path("app.js"), app.path("other.js")).unwrap();
    app.change("script", "other.js");
    assert_eq!(reload(&app).code, 0);
    assert!(!before.is_alive());
    assert_eq!(http::get(&app.link(0), "/").json()["script"], app.path("other.js").to_str().unwrap());
}

#[test]
fn other_counts_scale_and_leave_the_rest_alone() {
    let mut app = App::new().workers(2);
    let daemon = app.start();
    let before = daemon.status();
    app.change("workers", 1);
    app.change("standby", 1);
    assert_eq!(reload(&app).code, 0);
    let after = daemon.until("it is so", |status| status.is_settled() && status.workers.len() == 2);
    assert_eq!(after.slot(0), before.slot(0));
    assert_eq!(after.standbys().len(), 1);
    assert!(!before.pids().contains(&after.standbys()[0].process().pid));
}

#[test]
fn another_name_is_told_to_the_workers() {
    let mut app = App::new().set("name", "before");
    let daemon = app.start();
    let before = daemon.status();
    let link = app.link(0);
    let title = || http::get(&link, "/").json()["title"].as_str().unwrap_or_default().to_owned();
    assert!(title().starts_with("before worker '"), "{}", title());
    app.change("name", "after");
    assert_eq!(reload(&app).code, 0);
    daemon.until_so("the title has changed", || title().starts_with("after worker '"));
    let after = daemon.status();
    assert_eq!((after.name.as_str(), after.workers), ("after", before.workers));
}

#[test]
fn other_time_outs_are_used_from_then_on() {
    let mut app = App::new().script("stubborn.js");
    let daemon = app.start();
    let before = daemon.status();
    app.change("options.shutdownTimeout", 100);
    assert_eq!(reload(&app).code, 0);
    assert_eq!(daemon.status().workers, before.workers);
    let config = app.cli(&["config", "--json"]).json();
    assert_eq!(config["config"]["options"]["shutdownTimeout"], 100);
    // It ignores `shutdown`, so what ends it is SIGTERM, and then SIGKILL.
    let restarted = app.cli(&["restart"]);
    let said = "did not exit within 100 ms (options.shutdownTimeout) and gets SIGTERM";
    assert!(restarted.code == 0 && restarted.to_string().contains(said), "{restarted}{}", daemon.log());
}

#[test]
fn a_bad_configuration_is_refused_with_all_reasons() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let (before, config) = (daemon.status(), app.cli(&["config", "--json"]).json());

    app.write("nodesockd.toml", "script = 'app.js'\ntmpdir = 'run'\nworkers = 'two'\n");
    let refused = app.cli(&["reload", "--ipc", "run/nodesockd.ipc"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (3, ""), "{refused}");
    for text in ["nodesockd.toml", "tmpdir", "tmpDir", "workers", "two"] {
        assert!(refused.stderr.contains(text), "no `{text}` in\n{refused}");
    }
    assert_eq!(daemon.status(), before);
    app.save();
    assert_eq!(app.cli(&["config", "--json"]).json(), config, "the configuration in force stays");
}

#[test]
fn what_cannot_change_is_refused() {
    for (key, value) in [("tmpDir", "elsewhere"), ("ipcFile", "other.ipc")] {
        let mut app = App::new();
        let daemon = app.start();
        let before = daemon.status();
        app.change(key, value);
        app.change("workers", 2);
        app.save();
        let refused = app.cli(&["reload", "--ipc", "run/nodesockd.ipc"]);
        assert_eq!(refused.code, 3, "{refused}");
        assert!(refused.stderr.contains(key), "{refused}");
        assert_eq!(daemon.status(), before);
    }
}

#[test]
fn a_reload_whose_workers_do_not_start_changes_nothing() {
    let mut app = App::new().set("name", "before");
    let daemon = app.start();
    let before = daemon.status();
    app.deploy("fails.js");
    app.change("env.GREETING", "hello");
    app.change("name", "after");
    let failed = reload(&app);
    assert_eq!(failed.code, 6, "{failed}");
    let after = daemon.until("the new worker is gone", |status| status.workers.len() == 1);
    assert_eq!(after, before);
    assert_eq!(app.cli(&["config", "--json"]).json()["config"]["name"], "before");
}
