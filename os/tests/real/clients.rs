//! The control socket, its sessions, and the lock.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nodesockd_core::Event;
use nodesockd_core::action::Route;
use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::{Output, SocketPattern};
use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::{ConnId, Peer, RequestRef};
use nodesockd_core::wire::{Body, Json, Reply, Request};
use nodesockd_os::OpenError;
use nodesockd_os::session::{self, Fact};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::harness::{Harness, config, dead_socket, open};

/// A session without a socket.
fn session(pipe: usize) -> (DuplexStream, mpsc::Receiver<Fact>) {
    let (near, far) = tokio::io::duplex(pipe);
    let (facts, inbox) = mpsc::channel(4);
    tokio::spawn(session::serve(far, ConnId(1), None, facts));
    (near, inbox)
}

async fn until_disconnected(inbox: &mut mpsc::Receiver<Fact>) -> Vec<Event> {
    let mut events = Vec::new();
    let mut replies = None;
    while let Some(fact) = inbox.recv().await {
        match fact {
            Fact::Connected(_, outbox) => replies = Some(outbox),
            Fact::Event(Event::Disconnected { .. }) => replies.as_ref().unwrap().close(),
            Fact::Event(event) => events.push(event),
            Fact::Claimed { .. }
            | Fact::DumpsCore { .. }
            | Fact::Paused(_)
            | Fact::Stirred(_)
            | Fact::Sink(_) => {}
        }
    }
    events
}

/// What is no line of the protocol is answered once, and ends the session. What came before it counts.
#[tokio::test]
async fn garbage_gets_one_answer_then_close() {
    let long = [b"x".repeat(2 << 20), b"\n".to_vec()].concat();
    let deep = ["[".repeat(200_000), "\n".into()].concat().into_bytes();
    for (garbage, reason) in [
        (&b"\n"[..], "an empty line"),
        (b"\xff\xfe\n", "a line that is not UTF-8"),
        (b"{\"type\":\n", "not a message"),
        (b"{\"type\":\"status\"}\n", "`status` without an `id`"),
        (b"null\n", "not a message"),
        (b"\0\n", "not a message"),
        (&long, "a line of more than 1048576 bytes"),
        (&deep, "not a message"),
    ] {
        let (client, mut inbox) = session(64);
        let (reader, mut writer) = tokio::io::split(client);
        let sent =
            [b"{\"type\":\"status\",\"id\":\"1\"}\n", garbage, b"{\"type\":\"status\",\"id\":\"2\"}\n"]
                .concat();
        // The session may be closed before it has read everything.
        let writing = tokio::spawn(async move { writer.write_all(&sent).await });
        let reading = tokio::spawn(async move {
            let mut text = String::new();
            BufReader::new(reader).read_to_string(&mut text).await.map(|_| text)
        });
        let from = RequestRef { peer: Peer::Client(ConnId(1)), id: "1".into() };
        assert_eq!(
            until_disconnected(&mut inbox).await,
            [Event::Requested { from, asker: None, request: Request::Status }]
        );
        let text = reading.await.unwrap().unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with(r#"{"type":"reply","requestId":"","errors":[""#), "{text}");
        assert!(text.contains(reason) && text.ends_with("\"done\":true}\n"), "{text}");
        let _ = writing.await.unwrap();
    }
}

/// A request with something wrong in it is answered, and the session goes on; half a line is worth nothing.
#[tokio::test]
async fn connection_survives_bad_request() {
    let (mut client, mut inbox) = session(64);
    let sent = b"{\"type\":\"dance\",\"id\":\"1\"}\n{\"type\":\"set-worker-count\",\"id\":\"2\",\"data\":{\"count\":0}}\n{\"type\":\"stop-workers\",\"id\":\"3\"}\n{\"type\":\"term";
    let mut text = String::new();
    let talking = async {
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        client.read_to_string(&mut text).await.unwrap();
    };
    let ((), events) = tokio::join!(talking, until_disconnected(&mut inbox));
    let from = RequestRef { peer: Peer::Client(ConnId(1)), id: "3".into() };
    assert_eq!(events, [Event::Requested { from, asker: None, request: Request::Stop }]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        r#"{"type":"reply","requestId":"1","errors":["unknown request type `dance`"],"code":"usage","done":true}"#
    );
    assert!(
        lines[1].starts_with(r#"{"type":"reply","requestId":"2","errors":["an app has at least 1 worker"#),
        "{text}"
    );
}

async fn ask(path: &Path, request: &str) -> BufReader<UnixStream> {
    let mut client = UnixStream::connect(path).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(client)
}

async fn requested(harness: &mut Harness) -> RequestRef {
    harness
        .until(|event| match event {
            Event::Requested { from, .. } => Some(from.clone()),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn each_client_gets_its_own_replies() {
    let mut harness = Harness::new();
    let socket = harness.path("nodesockd.ipc");
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(ask(&socket, &format!("{{\"type\":\"status\",\"id\":\"r{number}\"}}\r\n")).await);
    }
    for _ in 0..20 {
        let from = requested(&mut harness).await;
        harness
            .backend
            .reply(&from, &Reply::part(Body::Daemon { pid: 1, upgrading: false, upgraded_from: None }));
        harness.backend.reply(&from, &Reply::done(None));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let (mut part, mut done) = (String::new(), String::new());
        client.read_line(&mut part).await.unwrap();
        client.read_line(&mut done).await.unwrap();
        assert_eq!(
            part,
            format!("{{\"type\":\"reply\",\"requestId\":\"r{number}\",\"data\":{{\"pid\":1}}}}\n")
        );
        assert_eq!(done, format!("{{\"type\":\"reply\",\"requestId\":\"r{number}\",\"done\":true}}\n"));
    }
    drop(clients);
    let mut gone = 0;
    while gone < 20 {
        gone += harness.until(|event| matches!(event, Event::Disconnected { .. }).then_some(1)).await;
    }
}

#[tokio::test]
async fn client_that_never_reads_is_disconnected() {
    let mut harness = Harness::new();
    let _silent = ask(&harness.path("nodesockd.ipc"), "{\"type\":\"config\",\"id\":\"1\"}\n").await;
    let from = requested(&mut harness).await;
    let Peer::Client(conn) = from.peer else { unreachable!() };
    let large = Reply::part(Body::Config(Json::of(&"x".repeat(1 << 20))));
    for _ in 0..8 {
        harness.backend.reply(&from, &large);
    }
    harness.until(|event| (*event == Event::Disconnected { conn }).then_some(())).await;
    harness.backend.reply(&from, &large);
}

/// At the end waiting replies are delivered, the socket is gone, and the lock is free.
#[tokio::test]
async fn close_delivers_waiting_replies() {
    let mut harness = Harness::new();
    let socket = harness.path("nodesockd.ipc");
    let mut client = ask(&socket, "{\"type\":\"terminate\",\"id\":\"1\"}\n").await;
    let from = requested(&mut harness).await;
    let large = Body::Config(Json::of(&"x".repeat(1 << 20)));
    harness.backend.reply(&from, &Reply::part(large));
    harness.backend.reply(&from, &Reply::done(None));
    let mut text = String::new();
    let (read, ()) = tokio::join!(client.read_to_string(&mut text), harness.backend.close());
    read.unwrap();
    assert!(text.ends_with("\n{\"type\":\"reply\",\"requestId\":\"1\",\"done\":true}\n"));
    assert!(!socket.exists());
    assert!(harness.path("nodesockd.ipc.lock").exists());
    // A process that another test is just starting has the lock's file open, too, for a moment.
    let config = config(harness.folder.path());
    harness.wait_for("the lock is free", || open(config.clone()).is_ok()).await;
    assert!(!socket.exists(), "a backend that is dropped removes its socket, too");
}

#[tokio::test]
async fn second_daemon_is_refused_with_pid_of_first() {
    let harness = Harness::new();
    let error = open(config(harness.folder.path())).err().unwrap();
    let pid = std::process::id();
    assert!(matches!(&error, OpenError::Locked { pid: Some(found), .. } if *found == pid), "{error}");
    // Both have the same number, as daemons of two containers may have.
    let words = format!("a daemon in another container, process {pid} there, holds");
    assert!(error.to_string().starts_with(&words), "{error}");
    assert!(harness.path("nodesockd.ipc").exists());
}

#[tokio::test]
async fn open_replaces_stale_socket_only() {
    let harness = Harness::new();
    let other = |name: &str| {
        let mut config = config(harness.folder.path());
        config.ipc_file = harness.path(name);
        config.socket_file = SocketPattern::parse(&format!("{name}.{{worker}}.sock")).unwrap();
        config
    };
    dead_socket(&harness.path("stale.ipc"));
    drop(open(other("stale.ipc")).unwrap());
    std::fs::write(harness.path("file.ipc"), "").unwrap();
    let error = open(other("file.ipc")).err().unwrap().to_string();
    assert!(error.contains("something that is no socket is in the way"), "{error}");
    let _listener = std::os::unix::net::UnixListener::bind(harness.path("old.ipc")).unwrap();
    let error = open(other("old.ipc")).err().unwrap().to_string();
    assert!(error.contains("nodesockd 2.x"), "{error}");
    std::os::unix::fs::symlink("elsewhere", harness.path("planted.ipc.lock")).unwrap();
    let error = open(other("planted.ipc")).err().unwrap().to_string();
    assert!(error.starts_with("cannot lock") && !harness.path("elsewhere").exists(), "{error}");
}

#[tokio::test]
async fn open_refuses_folder_writable_by_others() {
    let harness = Harness::new();
    let folder = harness.path("tmp");
    let mut config = config(harness.folder.path());
    config.tmp_dir.clone_from(&folder);
    config.socket_dir.clone_from(&folder);
    let refusal = || open(config.clone()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refusal().contains("`mkdir -m 2750"), "{}", refusal());
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o757)).unwrap();
    assert!(refusal().contains("others may create and rename files in it (mode 757"), "{}", refusal());
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o2750)).unwrap();
    assert!(refusal().contains("holds `"), "{}", refusal());
}

/// Needs root, to be somebody else: not the daemon's user, in or not in its group.
#[tokio::test]
async fn only_own_user_and_group_may_connect() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let group = nix::unistd::Group::from_name("daemon").unwrap().unwrap();
    let mut harness = Harness::with(|config| config.options.ipc_group = Some("daemon".into()));
    let socket = harness.path("nodesockd.ipc");
    let found = std::fs::metadata(&socket).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::gid(&found), group.gid.as_raw());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    // Wide open, so that it is the daemon who has to decide.
    std::fs::set_permissions(harness.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    let script = r#"
import os, socket, sys
os.setgroups([int(group) for group in sys.argv[1:]])
os.setgid(65534)
os.setuid(65534)
peer = socket.socket(socket.AF_UNIX)
peer.connect('nodesockd.ipc')
peer.sendall(b'{"type":"dance","id":"1"}\n')
print(peer.makefile().readline(), end='', flush=True)
"#;
    let member = group.gid.to_string();
    for (groups, answer) in [
        (&["100"][..], "\"requestId\":\"\",\"errors\":[\"user 65534 is not in group"),
        (&["100", &member], "\"requestId\":\"1\",\"errors\":[\"unknown request type"),
    ] {
        let mut order = harness.order(&[&["python3", "-c", script], groups].concat());
        order.stdout = Route::Straight(Output::File(harness.path(groups.last().unwrap())));
        let process = harness.backend.spawn(&order).unwrap();
        assert_eq!(harness.exit(order.worker).await, ExitStatus::Code(0));
        harness.backend.reap(order.worker, process).await;
        let text = std::fs::read_to_string(harness.path(groups.last().unwrap())).unwrap();
        assert!(text.contains(answer), "{text}");
    }
}

#[tokio::test]
async fn next_returns_at_once_after_deadline() {
    let mut harness = Harness::new();
    assert_eq!(harness.backend.next(Some(nodesockd_core::Time::ZERO)).await, None);
}

/// Workers that outlived their daemon keep their connections for as long as they live, however many they are.
#[tokio::test]
async fn clients_find_a_place_beside_any_number_of_workers() {
    let mut harness = Harness::new();
    let path = harness.path("nodesockd.ipc");
    let mut workers = Vec::new();
    for _ in 0..260 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let id = harness.worker();
        let line = format!(
            "{{\"type\":\"online\",\"data\":{{\"id\":\"{id}\",\"pid\":{},\"suspended\":false}}}}\n",
            std::process::id()
        );
        stream.write_all(line.as_bytes()).await.unwrap();
        harness.until(|event| matches!(event, Event::Claimed { .. }).then_some(())).await;
        workers.push(stream);
    }
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(Request::Status.encode("1").as_bytes()).await.unwrap();
    harness.until(|event| matches!(event, Event::Requested { .. }).then_some(())).await;
}
