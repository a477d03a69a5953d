//! Bad input of every kind, against the protocol in docs/05-ipc.md. After each of it, the same daemon serves as before.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::io::{ErrorKind, Write};
use std::time::Duration;

use nodesockd_tests::{App, Connection, Daemon, Process, Status, http, wait};
use serde_json::{Value, json};

/// A daemon that nothing may change.
struct Target {
    app: App,
    daemon: Daemon,
    process: Process,
    before: Status,
}

impl Target {
    fn new(app: App) -> Self {
        let daemon = app.start();
        let (process, before) = (daemon.process(), daemon.status());
        Self { app, daemon, process, before }
    }

    fn web() -> Self {
        Self::new(App::new().workers(2))
    }

    /// The same daemon still runs, says the same of itself, and its workers serve.
    fn is_unharmed(&self) {
        assert!(self.process.is_alive(), "{}", self.daemon.log());
        assert_eq!(self.daemon.status(), self.before);
        for slot in 0..self.before.workers.len() {
            assert_eq!(http::get(&self.app.link(slot.try_into().unwrap()), "/").status, 200);
        }
        assert!(!self.daemon.log().contains('\x1b'), "{}", self.daemon.log());
        assert!(!self.daemon.log().contains("panicked"), "{}", self.daemon.log());
    }
}

/// Sends a line that is no request: the daemon says why it does not like it, and hangs up.
fn is_refused(line: &[u8]) {
    let target = Target::web();
    let mut bystander = target.app.connect();
    assert!(bystander.status().is_some());
    let mut connection = target.app.connect();
    // The daemon may have hung up before it got everything.
    let _ = connection.send(line);
    let refusal = connection.receive().unwrap();
    assert_eq!((&refusal["type"], &refusal["requestId"]), (&json!("reply"), &json!("")), "{refusal}");
    assert!(!refusal["errors"][0].as_str().unwrap().is_empty(), "{refusal}");
    assert_eq!(connection.receive(), None);
    assert!(bystander.status().is_some(), "other connections carry on");
    target.is_unharmed();
}

#[test]
fn a_frame_over_one_mebibyte() {
    is_refused(&[vec![b'x'; (1 << 20) + 2], b"\n".to_vec()].concat());
}

#[test]
fn a_frame_that_never_ends() {
    is_refused(&vec![b'x'; 8 << 20]);
}

#[test]
fn bad_utf8() {
    is_refused(b"{\"type\":\"status\",\"id\":\"\xff\xfe\"}\n");
}

#[test]
fn bad_json() {
    is_refused(b"{\"type\": \"status\", \"id\": \n");
}

#[test]
fn deep_json() {
    is_refused(&[vec![b'['; 500_000], b"\n".to_vec()].concat());
}

#[test]
fn deep_json_in_data() {
    let target = Target::web();
    let nested = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
    let mut connection = target.app.connect();
    for data in
        [nested.clone(), [b"{\"message\":\"note\",\"data\":".to_vec(), nested, b"}".to_vec()].concat()]
    {
        connection.send(b"{\"type\":\"send-app-msg\",\"id\":\"1\",\"data\":").unwrap();
        connection.send(&[data, b"}\n".to_vec()].concat()).unwrap();
        assert_eq!(connection.receive().unwrap()["requestId"], "1");
    }
    assert_eq!(connection.status(), Some(target.before.clone()));
    target.is_unharmed();
}

#[test]
fn an_empty_line() {
    is_refused(b"\n");
}

#[test]
fn nul_bytes() {
    is_refused(b"\0\0\0\0\n");
}

#[test]
fn json_that_is_no_object() {
    for line in ["[]", "7", "\"status\"", "null", "true"] {
        is_refused(format!("{line}\n").as_bytes());
    }
}

#[test]
fn a_request_without_an_id() {
    is_refused(b"{\"type\":\"stop-workers\"}\n");
}

#[test]
fn an_id_that_is_no_text() {
    is_refused(b"{\"type\":\"stop-workers\",\"id\":7}\n");
}

#[test]
fn an_id_that_is_too_long() {
    is_refused(format!("{{\"type\":\"status\",\"id\":\"{}\"}}\n", "x".repeat(10_000)).as_bytes());
}

#[test]
fn a_reply_to_nobody() {
    is_refused(
        b"{\"type\":\"reply\",\"requestId\":\"00000000-0000-4000-8000-000000000000\",\"done\":true}\n",
    );
}

#[test]
fn an_http_client() {
    is_refused(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

#[test]
fn connection_survives_invalid_requests() {
    let target = Target::web();
    let mut connection = target.app.connect();
    for (kind, data) in [
        ("no-such-thing", Value::Null),
        ("\u{1b}[2Jred", Value::Null),
        ("online", json!({ "id": target.before.workers[0].id, "pid": 1 })),
        ("set-worker-count", Value::Null),
        ("set-worker-count", json!({})),
        ("set-worker-count", json!({ "count": "two" })),
        ("set-worker-count", json!({ "count": 0 })),
        ("set-worker-count", json!({ "count": -1 })),
        ("set-worker-count", json!({ "count": 1.5 })),
        ("set-worker-count", json!({ "count": 4_000_000_000_u32 })),
        ("set-worker-count", json!({ "count": 1e300 })),
        ("set-standby-count", json!({ "count": [] })),
        ("set-standby-count", json!({ "count": 4_000_000_000_u32 })),
        ("restart-workers", json!({ "suspended": "yes" })),
        ("restart-workers", json!({ "maxAttempts": 0 })),
        ("restart-workers", json!([true])),
        ("start-workers", json!("now")),
        ("send-app-msg", json!({ "message": 5 })),
        ("send-app-msg", json!({ "message": "note", "workers": 0 })),
        ("send-app-msg", json!({ "message": "note", "workers": "\u{1b}[31m" })),
        ("send-app-req", json!({ "data": 1 })),
    ] {
        let reply = connection.request(kind, &data);
        assert_eq!(reply.code.as_deref(), Some("usage"), "{kind} {data}: {reply:?}");
        assert!(!reply.errors.concat().contains('\x1b'), "{reply:?}");
        assert_eq!(connection.status().as_ref(), Some(&target.before), "{kind} {data}");
    }
    target.is_unharmed();
}

#[test]
fn requests_with_the_same_id_are_told_apart() {
    let target = Target::web();
    let mut connection = target.app.connect();
    let request =
        json!({ "type": "send-app-req", "id": "1", "data": { "request": "never", "workers": "0" } });
    for _ in 0..2 {
        connection.send(format!("{request}\n").as_bytes()).unwrap();
    }
    let refused = connection.receive().unwrap();
    assert_eq!((&refused["requestId"], &refused["code"]), (&json!("1"), &json!("usage")), "{refused}");
    drop(connection);
    target.is_unharmed();
}

#[test]
fn half_a_frame_blocks_nobody() {
    let target = Target::web();
    let stalled = target.app.connect();
    stalled.send(b"{\"type\":\"stop-wor").unwrap();
    target.is_unharmed();
    drop(stalled);
    target.is_unharmed();
    let closing = target.app.connect();
    closing.send(b"{\"type\":\"stop-workers\",\"id\":\"1\"}").unwrap();
    closing.stream().shutdown(std::net::Shutdown::Write).unwrap();
    drop(closing);
    target.is_unharmed();
}

#[test]
fn client_that_never_reads_is_disconnected() {
    let target = Target::web();
    let memory = target.process.resident();
    let greedy = target.app.connect();
    greedy.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let request = b"{\"type\":\"status\",\"id\":\"1\"}\n".repeat(1000);
    for _ in 0..100 {
        // Either the daemon does not read on, or it hangs up.
        match greedy.stream().write_all(&request) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::TimedOut => {
                break;
            }
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
                    "{error}"
                );
                break;
            }
        }
    }
    let growth = target.process.resident().saturating_sub(memory);
    assert!(growth < 16 << 10, "{growth} KiB more than before");
    target.is_unharmed();
}

#[test]
fn surplus_connections_wait() {
    let target = Target::web();
    let descriptors = target.process.descriptors().len();
    let mut connections: Vec<Connection> = (0..300).map(|_| target.app.connect()).collect();
    for connection in &mut connections {
        connection.ask("status", &Value::Null).unwrap();
    }
    // Not all of them are served at the same time; as some leave, the next are.
    for mut connection in connections {
        assert!(connection.receive().is_some());
    }
    target
        .daemon
        .until_so("the descriptors are closed", || target.process.descriptors().len() <= descriptors);
    target.is_unharmed();
}

#[test]
fn daemon_survives_connection_storm() {
    let target = Target::web();
    let descriptors = target.process.descriptors().len();
    for turn in 0..3_000 {
        // The queue of waiting connections may be full for a moment.
        let connection =
            wait::found("there is room", || Connection::open(&target.app.ipc()).ok(), String::new);
        let _ = match turn % 4 {
            0 => Ok(()),
            1 => connection.send(b"{\"type\":\"status\",\"id\":\"1\"}\n"),
            2 => connection.send(b"{\"type\":"),
            _ => connection.send(b"\xff\n\n\0"),
        };
    }
    target
        .daemon
        .until_so("the descriptors are closed", || target.process.descriptors().len() <= descriptors);
    target.is_unharmed();
}

#[test]
fn daemon_survives_garbage_from_worker() {
    let app = App::new().workers(2).python("mad.py");
    let target = Target::new(app);
    target.daemon.until_logged("on its channel");
    let lines = target.daemon.log().lines().filter(|line| line.contains("on its channel")).count();
    assert!(lines < 40, "a worker cannot fill the log:\n{}", target.daemon.log());
    target.is_unharmed();
}

#[test]
fn worker_cannot_speak_for_another() {
    let Target { app, daemon, before, .. } = Target::web();
    let (victim, liar) = (before.slot(0), before.slot(1));
    let question = json!({ "request": "impersonate", "data": victim.id, "workers": "1" });
    assert_eq!(app.connect().request("send-app-req", &question).errors, [""; 0]);
    // Whose channel it is decides, not what is said on it.
    let after =
        daemon.until("the liar is replaced", |status| status.is_settled() && status.slot(1).id != liar.id);
    assert_eq!(after.slot(0), victim);
}

#[test]
fn daemon_survives_worker_that_never_reads() {
    let target = Target::new(App::new().python("deaf.py"));
    let memory = target.process.resident();
    let mut connection = target.app.connect();
    let message = json!({ "message": "note", "data": "x".repeat(1 << 19) });
    // What waits for it is bounded: there comes a time when its channel is given up. It serves on.
    let refused = (0..100).any(|_| !connection.request("send-app-msg", &message).errors.is_empty());
    assert!(refused);
    let growth = target.process.resident().saturating_sub(memory);
    assert!(growth < 16 << 10, "{growth} KiB more than before");
    target.is_unharmed();
    // It cannot be told to shut down any more, and goes all the same.
    assert_eq!(target.app.cli(&["stop"]).code, 0);
}

#[test]
fn worker_reason_is_escaped_for_terminals() {
    let app = App::new();
    let target = Target::new(app);
    let (app, daemon) = (&target.app, &target.daemon);
    app.deploy("broken.js");
    assert_eq!(http::get(&app.link(0), "/break").status, 200);
    // What replaces it is broken from the start, and it serves on.
    daemon.until_logged("the database is gone");
    daemon.until_logged("no \\x1b[31mdatabase\\x1b[0m\\x07");
    assert!(!daemon.log().contains(['\x1b', '\x07']), "{}", daemon.log());
    daemon.status().slot(0).process().signal(nix::sys::signal::Signal::SIGKILL);
    let status = daemon.until("the slot is vacant", |status| {
        status
            .vacant
            .iter()
            .any(|slot| slot.reason.as_deref().is_some_and(|reason| reason.contains("database\\x1b")))
    });
    assert_eq!(status.pid, daemon.pid());
    let shown = app.cli(&["status"]);
    assert!(!shown.stdout.contains(['\x1b', '\x07']), "{shown}");
    assert!(shown.stdout.contains("vacant"), "{shown}");
    let failed = app.cli(&["restart"]);
    assert_eq!(failed.code, 6, "{failed}");
    assert!(!failed.stderr.contains(['\x1b', '\x07']), "{failed}");
}
