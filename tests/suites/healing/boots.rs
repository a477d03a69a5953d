//! Many workers that need the CPU before they listen, and workers that never listen.

use nodesockd_tests::{App, Status};

fn count(status: &Status, state: &str) -> usize {
    status.workers.iter().filter(|worker| worker.state == state).count()
}

#[test]
fn heavy_starts_boot_by_turns_until_all_serve() {
    let app = App::new().script("heavy.js").env("BURN", "500").workers(12).standby(1).set("options.boots", 2);
    let daemon = app.launch().spawn();
    let mut most = 0;
    let mut waited = false;
    daemon.until("all workers serve", |status| {
        most = most.max(count(status, "running"));
        waited |= count(status, "waiting") > 0;
        let standby_first = !status.standbys().is_empty()
            && status.standbys().iter().any(|worker| worker.state == "running")
            && status.workers.iter().any(|worker| !worker.standby && worker.state == "waiting");
        assert!(!standby_first, "a standby boots before a slot: {status:#?}");
        count(status, "online") == 12 && status.standbys().len() == 1 && status.is_settled()
    });
    assert!(most <= 2, "{most} workers booted at a time");
    assert!(waited, "no worker was seen to wait for its turn");
}

#[test]
fn machine_that_is_only_slow_ends_serving() {
    // Far less time than a worker needs.
    let app = App::new()
        .script("heavy.js")
        .env("BURN", "700")
        .workers(4)
        .set("options.boots", 4)
        .set("options.onlineTimeout", 400);
    let daemon = app.launch().spawn();
    daemon.until("all workers serve", |status| count(status, "online") == 4 && status.is_settled());
}

#[test]
fn message_tells_a_worker_that_worked_from_one_that_waited() {
    let says = |fixture: &str, words: &str| {
        let app = App::new().script(fixture).set("options.onlineTimeout", 3000);
        let daemon = app.launch().spawn();
        daemon.until(words, |status| {
            let reason = status.vacant.iter().find_map(|slot| slot.reason.as_deref());
            reason.is_some_and(|reason| reason.contains(words))
        });
    };
    says(
        "heavy.js",
        "the machine is slow or the start is heavy; raise options.onlineTimeout or lower options.boots",
    );
    says("hangs.js", "of CPU in 3.0 s: it waits for something");
}
