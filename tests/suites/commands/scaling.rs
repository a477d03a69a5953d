//! `set-workers`, `set-standby`

use nodesockd_tests::{App, http};

#[test]
fn slots_come_and_go() {
    let app = App::new();
    let daemon = app.start();
    let first = daemon.status().slot(0).process();

    let up = app.cli(&["set-workers", "3"]);
    assert_eq!(up.code, 0, "{up}");
    let status = daemon.status();
    assert!(status.is_settled(), "the command returns when the new slots are served: {status:#?}");
    assert_eq!(status.slot(0).process(), first, "who served before still does");
    for slot in 0..3 {
        assert_eq!(http::get(&app.link(slot), "/").json()["pid"], status.slot(slot).process().pid);
    }

    let surplus = [status.slot(1).process(), status.slot(2).process()];
    let down = app.cli(&["set-workers", "1"]);
    assert_eq!(down.code, 0, "{down}");
    assert!(surplus.iter().all(|process| !process.is_alive()), "the command returns when they are gone");
    assert_eq!(daemon.status().slot(0).process(), first);
    let links: Vec<String> =
        app.sockets().into_iter().filter(|name| name.len() == "app.0.sock".len()).collect();
    assert_eq!(links, ["app.0.sock"]);
}

#[test]
fn standbys_come_and_go() {
    let app = App::new();
    let daemon = app.start();
    let up = app.cli(&["set-standby", "2"]);
    assert_eq!(up.code, 0, "{up}");
    let status = daemon.status();
    let spares: Vec<_> = status.standbys().iter().map(|worker| worker.process()).collect();
    assert_eq!(spares.len(), 2);
    assert!(status.standbys().iter().all(|worker| worker.state == "suspended" && worker.idx.is_none()));

    let down = app.cli(&["set-standby", "0"]);
    assert_eq!(down.code, 0, "{down}");
    assert!(spares.iter().all(|process| !process.is_alive()));
    assert_eq!(daemon.status().workers.len(), 1);
}

#[test]
fn a_slot_whose_worker_does_not_start_is_not_added() {
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    app.deploy("fails.js");
    let failed = app.cli(&["set-workers", "3"]);
    assert_eq!(failed.code, 6, "{failed}");
    let after = daemon.until("the new workers are gone", |status| status.workers.len() == 1);
    assert_eq!(after.workers, before.workers);
    assert_eq!(after.vacant, []);
}

#[test]
fn a_reload_undoes_it() {
    let app = App::new();
    let daemon = app.start();
    assert_eq!(app.cli(&["set-workers", "2"]).code, 0);
    assert_eq!(app.cli(&["set-standby", "1"]).code, 0);
    assert_eq!(app.cli(&["reload"]).code, 0);
    daemon.until("one worker is left", |status| status.workers.len() == 1 && status.is_settled());
}

#[test]
fn nonsense_is_refused() {
    let app = App::new();
    let daemon = app.start();
    let before = daemon.status();
    for args in [["set-workers", "0"], ["set-workers", "-1"], ["set-workers", "many"], ["set-standby", "-1"]]
    {
        let refused = app.cli(&args);
        assert_eq!(refused.code, 2, "{args:?}\n{refused}");
    }
    assert_eq!(daemon.status(), before);
}
