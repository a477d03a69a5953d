//! What workers are started with, and why one counts as failed.

use std::time::Duration;

use nodesockd_core::event::{ExitStatus, Failure, Queue};
use nodesockd_core::id::WorkerId;
use nodesockd_core::{Action, Event, Time};

use super::desk::{Desk, is_spawn};

#[test]
fn a_worker_gets_what_it_needs() {
    let desk = Desk::new("nodeArgs = ['--enable-source-maps']\nenv = { A = 'b' }\nname = 'shop'");
    let Some(Action::Spawn(order)) = desk.orders.iter().find(|action| is_spawn(action)) else {
        panic!("none")
    };
    assert_eq!(order.argv, ["node", "--enable-source-maps", "/srv/app/server.js"]);
    let value =
        |name: &str| order.set.iter().rev().find(|(its, _)| its == name).map(|(_, value)| value.as_str());
    let socket = format!("/run/app/app.{}.sock", order.worker);
    assert_eq!(value("NODESOCKD_SOCKET_PATH"), Some(socket.as_str()));
    assert_eq!(value("NODESOCKD_APP_NAME"), Some("shop"));
    assert_eq!((value("A"), value("NODESOCKD_SUSPENDED"), value("LISTEN_FDS")), (Some("b"), Some(""), None));
    assert!(["PATH", "HOME"].iter().all(|name| order.pass.iter().any(|passed| passed == name)));
}

#[test]
fn workers_of_slots_inherit_one_socket_and_standbys_all() {
    let desk = Desk::new("workers = 2\nstandby = 1\n[options]\nlisten = 'daemon'");
    let names = |action: &Action| match action {
        Action::Spawn(order) => {
            let value =
                |name: &str| order.set.iter().find(|(its, _)| its == name).map(|(_, value)| value.clone());
            Some((order.listeners.len(), value("LISTEN_FDS")?, value("LISTEN_FDNAMES")?))
        }
        _ => None,
    };
    let got: Vec<_> = desk.orders.iter().filter_map(names).collect();
    let one = |name: &str| (1, "1".to_owned(), name.to_owned());
    assert_eq!(got, [one("0"), one("1"), (2, "2".to_owned(), "0:1".to_owned())]);
}

#[test]
fn a_worker_that_is_not_ready_is_told_apart_by_what_it_lacks() {
    let words = |ready: &str, event: Option<fn(WorkerId) -> Event>| {
        let mut desk = Desk::new(&format!("[options]\nready = '{ready}'\nonlineTimeout = 1000"));
        let worker = desk.spawned.first().copied();
        let Some(worker) = worker else { panic!("no worker") };
        // It does not answer what is asked of the kernel unless the event says so.
        if let Some(event) = event {
            desk.hear(event(worker));
        }
        desk.pass(Duration::from_secs(1));
        let vacant = desk.supervisor.status().vacant;
        vacant.first().and_then(|vacant| vacant.reason.clone()).unwrap_or_default()
    };
    let late = |why: &str| format!("it was not online within 1000 ms (options.onlineTimeout){why}");
    let silent = ": it reported nothing; `nodesockd.listen()` does, or see `options.ready`";
    assert_eq!(words("report", None), late(silent));
    assert_eq!(words("notify", None), late(": it sent no READY=1 to NOTIFY_SOCKET"));
    assert_eq!(words("listen", None), late(": nobody listens on its socket"));
    let listens = |worker| Event::QueueMeasured { worker, queue: Queue::Length(0) };
    assert_eq!(words("listen", Some(listens)), "");
    assert_eq!(words("http", Some(listens)), late(": GET / was not answered"));
}

#[test]
fn a_spawn_that_fails_says_so_for_its_slot() {
    let mut desk = Desk::new("");
    desk.leaves = is_spawn;
    let worker = desk.spawned.first().copied();
    let Some(worker) = worker else { panic!("no worker") };
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(9) });
    let vacant = desk.supervisor.status().vacant;
    let reasons: Vec<_> = vacant.iter().map(|vacant| vacant.reason.clone().unwrap_or_default()).collect();
    assert_eq!(reasons, ["it was killed by SIGKILL"]);
    let ordered = desk.spawned.last().copied().unwrap_or(worker);
    desk.hear(Event::Spawned { worker: ordered, result: Err(Failure("EAGAIN".into())) });
    let vacant = desk.supervisor.status().vacant;
    assert_eq!(
        vacant.first().map(|vacant| (vacant.failures, vacant.reason.clone())),
        Some((2, Some("EAGAIN".into())))
    );
}

#[test]
fn status_tells_since_when_it_is_so() {
    let mut desk = Desk::new("");
    desk.pass(Duration::from_secs(1));
    desk.all_online();
    desk.pass(Duration::from_secs(1));
    // Online again: nothing changes.
    desk.all_online();
    let status = desk.supervisor.status();
    assert_eq!(status.workers.iter().map(|row| row.since.as_nanos()).collect::<Vec<_>>(), [1_000_000_000]);
    assert_eq!(status.started, Time::ZERO);
}
