//! Servers that know nothing of nodesockd and are told to end by SIGTERM, behind nginx as `nodesockd nginx` configures it.

use nodesockd_tests::servers::printed;
use nodesockd_tests::{App, Load, Server, cli, http};

const CLIENTS: usize = 8;

/// Restarts the app under load, and loses nothing.
fn restarts_lose_nothing(server: Server) {
    let app = server.app().workers(2);
    let daemon = app.start();
    let nginx = printed(&app, &[], |text| text);
    let load = Load::start(&nginx.front(), CLIENTS);
    for _ in 0..5 {
        load.flows();
        let restarted = app.cli(&["restart"]);
        assert_eq!(restarted.code, 0, "{restarted}");
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{server:?}: {ledger}{}{}", nginx.log(), daemon.log());
}

#[test]
fn restarts_of_plain_node_lose_nothing() {
    restarts_lose_nothing(Server::Node);
}

#[test]
fn restarts_of_uvicorn_lose_nothing() {
    restarts_lose_nothing(Server::Uvicorn);
}

/// Plain Node that finishes on this signal alone.
fn finishing_on(app: App, signal: &str) -> App {
    app.env("FINISHES_ON", signal).set("options.stopSignal", signal)
}

#[test]
fn each_program_is_ended_by_the_signal_on_which_it_finishes() {
    let app = finishing_on(Server::Node.app().workers(2), "SIGQUIT");
    let mut daemon = app.start();
    let nginx = printed(&app, &[], |text| text);
    let load = Load::start(&nginx.front(), CLIENTS);
    let finished = |app: &App| app.read("terminated").lines().count();
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(finished(&app), 2, "{}", daemon.log());
    load.flows();
    // Whatever the configuration says by now, the old program gets what it was started with: from the next daemon, too.
    let app = finishing_on(app, "SIGUSR2");
    app.save();
    daemon.die();
    daemon.follow(app.launch());
    assert_eq!(app.cli(&["restart"]).code, 0);
    assert_eq!(finished(&app), 4, "{}", daemon.log());
    load.flows();
    let app = finishing_on(app, "SIGHUP");
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    assert_eq!(finished(&app), 6, "{}", daemon.log());
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}", daemon.log());
}

#[test]
fn kept_connections_are_printed_for_those_only_who_answer_on_them() {
    let printed = |app: &App| {
        app.save();
        app.cli(&["nginx"]).stdout
    };
    let ours = printed(&App::new());
    assert!(ours.contains("  keepalive 16;\n") && ours.contains("  \"\" \"\";\n"), "{ours}");
    let others = printed(&Server::Node.app());
    assert!(!others.contains("  keepalive") && others.contains("  \"\" close;\n"), "{others}");
}

#[test]
fn placeholders_are_filled_in() {
    let app = App::new().script("plain.js").without("script").workers(2).set("options.ready", "http");
    let words = ["node", "-e", "require('./app.js')", "{slot}", "{socket}", "{release}", "{other}"];
    let app = app.set("command", words.to_vec()).env("WHERE", "{slot} in {release}");
    let daemon = app.start();
    for slot in 0..2 {
        let worker = daemon.status().slot(slot).clone();
        let folder = std::fs::canonicalize(app.folder()).unwrap().display().to_string();
        let socket = app.run().join(format!("app.{}.sock", worker.id)).display().to_string();
        let words = worker.process().words();
        assert_eq!(words[words.len() - 4..], [slot.to_string(), socket, folder.clone(), "{other}".into()]);
        let variable = format!("WHERE={slot} in {folder}");
        assert!(worker.process().environment().contains(&variable));
    }
}

#[test]
fn misspelt_placeholder_is_a_problem_with_its_place() {
    let app = App::new().without("script").set("command", vec!["node", "app.js", "{sockett}"]);
    app.save();
    let output = app.cli(&["check"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stdout.contains("the placeholder `{sockett}`"), "{output}");
    assert!(output.stdout.contains("did you mean `{socket}`?"), "{output}");
}

#[test]
fn check_names_wrappers_and_literal_variables() {
    let said = |words: &[&str]| {
        let app = App::new().without("script").set("command", words.to_vec()).set("options.ready", "http");
        app.save();
        app.cli(&["check"]).stdout
    };
    let npm = said(&["npm", "start"]);
    assert!(
        npm.contains("`npm` stands between the daemon and the app; SIGTERM goes to the process that"),
        "{npm}"
    );
    let bun = said(&["bun", "run", "app.js"]);
    assert!(!bun.contains("stands between"), "{bun}");
    let shell = said(&["sh", "-c", "node app.js --at $NODESOCKD_SOCKET_PATH; true"]);
    assert!(shell.contains("`sh` stands between") && !shell.contains("as it stands"), "{shell}");
    let literal = said(&["node", "app.js", "$NODESOCKD_SOCKET_PATH"]);
    assert!(
        literal.contains("`command` has `$NODESOCKD_SOCKET_PATH`, which the worker gets as it stands"),
        "{literal}"
    );
    let fine = said(&["sh", "-c", "exec node app.js"]);
    assert!(!fine.contains("stands between"), "{fine}");
}

#[test]
fn check_says_what_a_standby_inherits() {
    let said = |standby: u32, workers: u32| {
        let app =
            App::new().python("inherits.py").set("options.ready", "notify").set("options.listen", "daemon");
        let app = app.standby(standby).workers(workers);
        app.save();
        app.cli(&["check"]).stdout
    };
    let warning = "a standby gets the sockets of all slots";
    assert!(said(1, 2).contains(warning), "{}", said(1, 2));
    for (standby, workers) in [(0, 2), (1, 1)] {
        assert!(!said(standby, workers).contains(warning), "{standby}, {workers}");
    }
}

#[test]
fn doctor_warns_of_kept_connections() {
    let app = Server::Node.app();
    let daemon = app.start();
    daemon.settled();
    let site = nodesockd_tests::nginx::Site::new();
    let front = site.front();
    let upstream =
        format!("upstream app {{ server unix:{} max_fails=0; keepalive 8; }}", app.link(0).display());
    let kept = "proxy_http_version 1.1; proxy_set_header Connection '';";
    site.configure(&format!(
        "{upstream}\nserver {{ listen unix:{}; location / {{ proxy_pass http://app; {kept} }} }}",
        front.display()
    ));
    app.write("nginx.dump", &site.dump());
    for args in [vec!["nginx", "--check", "nginx.dump"], vec!["doctor", "--nginx", "nginx.dump"]] {
        let output = cli::run(app.folder(), &args);
        assert!(output.stdout.contains("told to end by SIGTERM"), "{args:?}: {output}");
    }
    assert_eq!(http::get(&app.link(0), "/1").status, 200);
}
