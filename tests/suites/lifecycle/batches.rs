//! Workers that are replaced a few at a time.

use nodesockd_tests::{App, Load, Upstream, cli, http};

use super::releases::{laid_out, switch};

/// Three workers of release 1, replaced one by one.
fn in_batches() -> App {
    laid_out(App::new().workers(3).set("options.batch", 1))
}

#[test]
fn restart_in_batches_behind_nginx_loses_nothing() {
    let app = App::new().script("echo.js").workers(4).standby(1);
    let daemon = app.start();
    let before = daemon.status();
    let nginx = Upstream::of(&app, 4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let restarted = app.cli(&["restart", "--batch", "1"]);
    assert_eq!(restarted.code, 0, "{restarted}{}", daemon.log());
    assert!(restarted.stderr.contains("Batch 1 of 5."), "{restarted}");
    assert!(restarted.stderr.contains("Batch 5 of 5."), "{restarted}");
    let after = daemon.settled();
    assert!(after.workers.iter().all(|worker| before.workers.iter().all(|old| old.id != worker.id)));
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
}

#[test]
fn failing_third_batch_rolls_the_first_two_back() {
    let app = in_batches();
    let daemon = app.launch().within(&app.path("current")).start();
    let before = daemon.status().slot(2).id.clone();
    // The third worker of the new release that starts finds two marks, and fails.
    let script = app.read("releases/2/app.js");
    let count = "{\n\
        const fs = require('node:fs');\n\
        const mark = (n) => { try { fs.mkdirSync(`${__dirname}/mark.${n}`); return true; } catch { return false; } };\n\
        if ([0, 1, 2].find(mark) === 2) process.exit(7);\n\
        }\n";
    app.write("releases/2/app.js", &format!("{count}{script}"));
    switch(&app, 2);
    let restarted = app.cli(&["restart"]);
    assert_eq!(restarted.code, 7, "{restarted}{}", daemon.log());
    assert!(restarted.stderr.contains("rolled back: worker"), "{restarted}");
    let status = daemon.settled();
    assert_eq!(status.slot(2).id, before);
    let script = app.path("releases/1/app.js").display().to_string();
    for slot in 0..3 {
        assert_eq!(http::get(&app.link(slot), "/").json()["script"], script);
    }
}

#[test]
fn batches_and_suspension_are_refused_together() {
    let app = App::new().workers(2).set("options.batch", 1);
    let daemon = app.start();
    let before = daemon.status().pids();
    for args in [&["restart", "--suspended"][..], &["restart", "--suspended", "--batch", "2"]] {
        let refused = app.cli(args);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains("`--batch 0` does that this once"), "{refused}");
    }
    assert_eq!(daemon.status().pids(), before);
    let suspended = app.cli(&["restart", "--suspended", "--batch", "0"]);
    assert_eq!(suspended.code, 0, "{suspended}");
}

#[test]
fn daemon_that_follows_one_killed_between_batches_goes_on() {
    let app = App::new().script("echo.js").workers(3);
    let mut daemon = app.start();
    let before = daemon.status();
    let nginx = Upstream::of(&app, 3).next("off").start();
    let load = Load::start(&nginx.front(), 2);
    let restart = cli::spawn(&mut cli::command(app.folder(), &["restart", "--batch", "1"]));
    daemon.until("one batch has taken over", |status| {
        let fresh = |slot| status.slot(slot).id != before.slot(slot).id;
        status.workers.iter().filter(|worker| worker.idx.is_some()).count() == 3 && fresh(0)
    });
    daemon.die();
    daemon.follow(app.launch());
    let after = daemon.until("all are new", |status| {
        status.is_settled() && (0..3).all(|slot| status.slot(slot).id != before.slot(slot).id)
    });
    assert!(after.workers.iter().all(|worker| worker.state == "online"), "{after:#?}");
    restart.kill();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
}
