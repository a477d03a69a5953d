//! What a worker is given: environment, descriptors, process group, umask, output.

use std::os::unix::fs::PermissionsExt;

use nodesockd_tests::{App, http};

#[test]
fn worker_environment_is_exact() {
    let app = App::new().python("raw.py").set("name", "shop").set("env", vec!["PASSED", "ABSENT"]);
    let surroundings =
        [("NODE_ENV", "production"), ("LANG", "C.UTF-8"), ("TZ", "UTC"), ("PASSED", "yes"), ("SECRET", "no")];
    let launch = surroundings.iter().fold(app.launch(), |launch, (name, value)| launch.env(name, value));
    let daemon = launch.start();
    let status = daemon.status();
    let worker = status.slot(0).process();
    let environment = worker.environment();
    let get = |name: &str| {
        let value = environment.iter().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {name} in {environment:?}"))
    };
    let id = &status.slot(0).id;
    let socket = app.run().join(format!("app.{id}.sock"));
    for (name, value) in [
        ("NODE_ENV", "production"),
        ("PASSED", "yes"),
        ("NODESOCKD_APP_NAME", "shop"),
        ("NODESOCKD_WORKER_ID", id),
        ("NODESOCKD_SLOT", "0"),
        ("NODESOCKD_SUSPENDED", ""),
        ("NODESOCKD_SOCKET_PATH", socket.to_str().unwrap()),
        ("NODESOCKD_IPC_PATH", app.ipc().to_str().unwrap()),
        ("NODESOCKD_SHUTDOWN_TIMEOUT", "50000"),
        ("NODE_CHANNEL_SERIALIZATION_MODE", "json"),
        ("NODE_CHANNEL_FD", get("NODESOCKD_CHANNEL_FD")),
    ] {
        assert_eq!(get(name), value, "{name}");
    }
    let mut names: Vec<&str> = environment.iter().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let expected = [
        "HOME",
        "LANG",
        "NODESOCKD_APP_NAME",
        "NODESOCKD_CHANNEL_FD",
        "NODESOCKD_IPC_PATH",
        "NODESOCKD_LOCK_FD",
        "NODESOCKD_SHUTDOWN_TIMEOUT",
        "NODESOCKD_SLOT",
        "NODESOCKD_SOCKET_PATH",
        "NODESOCKD_SUSPENDED",
        "NODESOCKD_WORKER_ID",
        "NODE_CHANNEL_FD",
        "NODE_CHANNEL_SERIALIZATION_MODE",
        "NODE_ENV",
        "PASSED",
        "PATH",
        "TZ",
    ];
    assert_eq!(names, expected);
}

#[test]
fn suspended_worker_knows_by_environment() {
    let app = App::new().python("raw.py");
    let daemon = app.start();
    // Started when the slot is served: a spare that is there before may take it.
    assert_eq!(app.cli(&["set-standby", "1"]).code, 0);
    let status = daemon.status();
    let told = |process: nodesockd_tests::Process| {
        process.environment().contains(&"NODESOCKD_SUSPENDED=true".to_owned())
    };
    assert!(told(status.standbys()[0].process()));
    assert!(!told(status.slot(0).process()));
}

#[test]
fn worker_inherits_channel_and_lock_only() {
    let app = App::new().python("raw.py");
    let careless = ["sh", "-c", "exec 8<nodesockd.toml 9<>leak; exec \"$@\"", "sh"];
    let daemon = app.launch().through(&careless).start();
    let worker = daemon.status().slot(0).process();
    let open = worker.descriptors();
    assert_eq!(open[0], (0, "/dev/null".to_owned()));
    let log = app.path("daemon.log").display().to_string();
    assert_eq!(open[1], (1, log), "stdout is the daemon's");
    assert!(is_piped(&open[2]), "stderr goes to the daemon's by the sink, which keeps its end: {open:?}");
    // The channel, the lock, and the socket that the worker itself listens on.
    assert_eq!(open.len(), 6, "{open:?}");
    let register = app.path("run/nodesockd.ipc.workers").display().to_string();
    let (locks, sockets): (Vec<_>, Vec<_>) = open[3..].iter().partition(|(_, name)| *name == register);
    assert_eq!(locks.len(), 1, "{open:?}");
    assert!(sockets.iter().all(|(_, name)| name.starts_with("socket:")), "{open:?}");
}

#[test]
fn worker_has_own_group_umask_007_and_no_input() {
    let app = App::new().workers(2).python("raw.py");
    let daemon = app.start();
    let status = daemon.status();
    for slot in 0..2 {
        let worker = status.slot(slot).process();
        assert_eq!(worker.group(), worker.pid);
        assert_eq!(worker.status("Umask"), "0007");
        assert_eq!(worker.folder(), app.folder());
        assert_eq!(http::get(&app.link(slot), "/").json()["stdin"], "");
    }
}

#[test]
fn output_files_are_appended_and_private() {
    let app = App::new().set("options.stdout", "logs/out.log").set("options.stderr", "logs/err.log");
    std::fs::create_dir(app.path("logs")).unwrap();
    app.write("logs/out.log", "from before\n");
    let daemon = app.start();
    assert_eq!(http::get(&app.link(0), "/say").status, 200);
    daemon.until_so("it has spoken", || {
        app.read("logs/out.log").contains("to stdout") && app.read("logs/err.log").contains("to stderr")
    });
    assert!(app.read("logs/out.log").starts_with("from before\n"));
    let mode = std::fs::metadata(app.path("logs/err.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn stderr_follows_stdout_by_default() {
    let app = App::new().set("options.stdout", "all.log");
    let daemon = app.start();
    assert_eq!(http::get(&app.link(0), "/say").status, 200);
    daemon.until_so("both are there", || {
        let said = app.read("all.log");
        said.contains("to stdout") && said.contains("to stderr")
    });
    assert!(!daemon.log().contains("to stderr"));
}

#[test]
fn output_may_be_discarded() {
    let app = App::new().set("options.stdout", "discard");
    let daemon = app.start();
    let open = daemon.status().slot(0).process().descriptors();
    assert_eq!(open[1], (1, "/dev/null".to_owned()));
    assert!(is_piped(&open[2]), "the sink keeps the end of stderr only: {open:?}");
}

/// A worker's stderr is a pipe.
fn is_piped((number, name): &(u32, String)) -> bool {
    *number == 2 && name.starts_with("pipe:")
}
