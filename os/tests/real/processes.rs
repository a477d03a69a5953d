//! Workers: how they are started, talk, and end.

use std::io::Write;

use nodesockd_core::Event;
use nodesockd_core::action::{Route, WorkerSignal};
use nodesockd_core::backend::Backend as _;
use nodesockd_core::config::Output;
use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::Peer;
use nodesockd_core::wire::{FromWorker, Json, Request, ToWorker};

use rustix::fs::{FileType, Mode};

use crate::harness::{Harness, exists};

/// Node's `process.send` and `process.on('message')` on our channel, both ways, then an orderly exit.
#[tokio::test]
async fn node_worker_uses_its_channel() {
    let mut harness = Harness::new();
    let script = "
        process.on('message', message => {
            process.send({ type: 'broken', data: { reason: message.data.data } }, () => process.exit(7));
        });
        process.send({ type: 'send-app-msg', id: 'r1', data: { message: 'hi' } });
        process.send({ type: 'online', data: { suspended: !process.stdin.read() } });";
    let (worker, process) = harness.spawn(&["node", "-e", script]);
    let Event::Requested { from, request, .. } = harness.until(|event| Some(event.clone())).await else {
        panic!()
    };
    assert_eq!((from.peer, from.id.as_str()), (Peer::Worker(worker), "r1"));
    assert!(matches!(request, Request::SendMessage { message, .. } if message == "hi"));
    let online = Event::Received { worker, message: FromWorker::online(true) };
    harness.until(|event| (*event == online).then_some(())).await;

    let data = Some(Json::parse("\"ünï\"").unwrap());
    harness.backend.tell(worker, None, &ToWorker::AppMessage { message: "m".into(), data });
    let (mut said, mut closed, mut exited) = (false, false, None);
    while !closed || exited.is_none() {
        match harness.until(|event| Some(event.clone())).await {
            Event::Received { message, .. } => {
                assert_eq!(message, FromWorker::Broken { reason: Some("ünï".into()) });
                assert!(!closed, "a message after the channel was closed");
                said = true;
            }
            Event::ChannelClosed { .. } => closed = true,
            Event::Exited { status, .. } => exited = Some(status),
            other => panic!("{other:?}"),
        }
    }
    assert!(said);
    assert_eq!(exited, Some(ExitStatus::Code(7)));
    assert!(exists(process.pid), "collected before it was ordered");
    harness.backend.reap(worker, process).await;
    assert!(!exists(process.pid));
}

#[tokio::test]
async fn exit_status_names_the_signal() {
    let mut harness = Harness::new();
    let (worker, process) = harness.spawn(&["sleep", "1000"]);
    harness.backend.signal(worker, process, WorkerSignal::Terminate);
    assert_eq!(harness.exit(worker).await, ExitStatus::Signal(15));
    harness.backend.reap(worker, process).await;
    harness.backend.signal(worker, process, WorkerSignal::KillGroup);

    let (worker, process) = harness.spawn(&["sh", "-c", "trap '' TERM; sleep 1000 & wait; wait"]);
    harness.backend.signal(worker, process, WorkerSignal::KillGroup);
    assert_eq!(harness.exit(worker).await, ExitStatus::Signal(9));
    harness.backend.reap(worker, process).await;
}

/// A worker leaves two grandchildren: one in its group, one in a session of its own. Neither survives.
#[tokio::test]
async fn reap_kills_descendants() {
    let mut harness = Harness::new();
    let script = "sleep 1000 & echo $! > near; setsid sh -c 'sleep 1000 & echo $! $$ > far; wait' & while [ ! -s far ]; do sleep 0.01; done";
    let (worker, process) = harness.spawn(&["sh", "-c", script]);
    assert_eq!(harness.exit(worker).await, ExitStatus::Code(0));
    let text = std::fs::read_to_string(harness.path("near")).unwrap()
        + &std::fs::read_to_string(harness.path("far")).unwrap();
    let left: Vec<u32> = text.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|pid| exists(*pid)));
    harness.backend.reap(worker, process).await;
    // All of them are killed. One that takes long to die is not waited for by then.
    harness.wait_for("they are collected", || !left.iter().any(|pid| exists(*pid))).await;
    assert!(!exists(process.pid));
}

/// An orphan that ends while its worker lives on is collected, without being asked for.
#[tokio::test]
async fn orphans_are_collected() {
    let mut harness = Harness::new();
    let file = harness.path("orphan");
    let gate = harness.path("gate");
    rustix::fs::mknodat(rustix::fs::CWD, &gate, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // Open at both ends, so that neither end waits for the other.
    let mut gate = std::fs::File::options().read(true).write(true).open(&gate).unwrap();
    let script = "(setsid sh -c 'echo $$ > orphan; read line < gate' &); exec sleep 1000";
    let (worker, process) = harness.spawn(&["sh", "-c", script]);
    harness
        .wait_for("the orphan runs", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')))
        .await;
    let orphan: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(exists(orphan));
    gate.write_all(b"go\n").unwrap();
    harness.wait_for("the orphan is collected", || !exists(orphan)).await;
    assert!(exists(process.pid));
    harness.backend.signal(worker, process, WorkerSignal::KillGroup);
    harness.exit(worker).await;
    harness.backend.reap(worker, process).await;
}

/// What a worker inherits: its streams, its channel and its lock, no ignored signal, umask 007, nothing of the environment.
#[tokio::test]
async fn worker_inherits_only_what_it_should() {
    let mut harness = Harness::new();
    let script = r#"
import os
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(*[fd for fd in range(1000) if is_open(fd)])
print(*[os.environ[name] for name in ('NODE_CHANNEL_FD', 'NODESOCKD_CHANNEL_FD', 'NODESOCKD_LOCK_FD')])
print(*[status[key].strip() for key in ('Umask', 'SigBlk', 'SigIgn')])
print(os.getpgid(0) == os.getpid(), os.readlink('/proc/self/fd/0'), os.getcwd())
print(*[name for name in sorted(os.environ) if name.startswith('NODE') or 'CARGO' in name or name == 'HOME'])
"#;
    let mut order = harness.order(&["python3", "-c", script]);
    order.stdout = Route::Straight(Output::File(harness.path("out")));
    let process = harness.backend.spawn(&order).unwrap();
    assert_eq!(harness.exit(order.worker).await, ExitStatus::Code(0));
    harness.backend.reap(order.worker, process).await;
    let text = std::fs::read_to_string(harness.path("out")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [channel, same, lock] = lines[1].split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(channel, same);
    let mut open = [channel, lock].map(|number| number.parse::<u32>().unwrap());
    open.sort_unstable();
    assert_eq!(lines[0], format!("0 1 2 {} {}", open[0], open[1]));
    let [umask, blocked, ignored] = lines[2].split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((umask, u64::from_str_radix(blocked, 16)), ("0007", Ok(0)), "{text}");
    // Python ignores SIGPIPE and SIGXFSZ itself; 32 and 33 are the C library's own, and nobody can reset them.
    let pythons = 1 << 12 | 1 << 24 | 0b11 << 31;
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & !pythons, 0, "{text}");
    assert_eq!(lines[3], format!("True /dev/null {}", harness.folder.path().display()));
    let names = "NODESOCKD_CHANNEL_FD NODESOCKD_LOCK_FD NODESOCKD_WORKER_ID NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE";
    assert_eq!(lines[4], names, "the tests' own environment is not passed on");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(harness.path("out")).unwrap());
    assert_eq!(mode & 0o7777, 0o600);
}

#[tokio::test]
async fn failed_spawn_says_why_and_leaves_nothing() {
    let mut harness = Harness::new();
    let mut order = harness.order(&["no-such-program"]);
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert!(
        failure.starts_with("cannot run `no-such-program`: it is in no folder of PATH, which is /"),
        "{failure}"
    );
    order.argv = vec!["./nothing".into()];
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert_eq!(failure, "cannot run `./nothing`: No such file or directory (os error 2)");
    std::fs::write(harness.path("plain"), "").unwrap();
    order.argv = vec!["./plain".into()];
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert_eq!(failure, "cannot run `./plain`: Permission denied (os error 13)");
    order.argv = vec!["true".into()];
    order.cwd = harness.path("gone");
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert!(failure.starts_with("cannot change to the working directory `/"), "{failure}");
    order.cwd = harness.path("");
    order.stdout = Route::Straight(Output::File(harness.path("no/such/folder")));
    let failure = harness.backend.spawn(&order).unwrap_err().0;
    assert!(failure.starts_with("cannot open the log file `/"), "{failure}");
}

/// Whatever a worker writes to its channel, the daemon and the rest of the channel go on.
#[tokio::test]
async fn channel_skips_garbage() {
    let mut harness = Harness::new();
    let script = r#"
import os, sys
fd = int(os.environ['NODESOCKD_CHANNEL_FD'])
for part in [b'\n', b'\xff\xfe\n', b'{"type":\n', b'x' * (3 << 20) + b'\n', b'[1]\n', b'{"cmd":"NODE_X"}\n',
             b'{"type":"reply"}\n', b'{"type":"status","id":"1"}\n', b'{"type":"on', b'line"}\n', b'half a line']:
    while part:
        part = part[os.write(fd, part):]
"#;
    let (worker, process) = harness.spawn(&["python3", "-c", script]);
    let deadline = harness.backend.now() + std::time::Duration::from_secs(30);
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(harness.backend.next(Some(deadline)).await.unwrap());
    }
    assert_eq!(heard[0], Event::Received { worker, message: FromWorker::online(false) });
    assert!(heard.contains(&Event::ChannelClosed { worker }));
    assert!(heard.contains(&Event::Exited { worker, status: ExitStatus::Code(0) }));
    harness.backend.reap(worker, process).await;
}

#[tokio::test]
async fn worker_that_never_reads_loses_its_channel_once() {
    let mut harness = Harness::new();
    let (worker, process) = harness.spawn(&["sleep", "1000"]);
    let data = Some(Json::of(&"x".repeat(1 << 20)));
    for _ in 0..10 {
        harness.backend.tell(worker, None, &ToWorker::AppMessage { message: "m".into(), data: data.clone() });
    }
    harness.until(|event| (*event == Event::ChannelClosed { worker }).then_some(())).await;
    harness.backend.tell(worker, None, &ToWorker::Resume { fd: None });
    harness.backend.signal(worker, process, WorkerSignal::Terminate);
    let next = harness.until(|event| Some(event.clone())).await;
    assert_eq!(next, Event::Exited { worker, status: ExitStatus::Signal(15) });
    harness.backend.reap(worker, process).await;
}

/// 300 workers later, no descriptor more is open than a few tests at work beside this one would explain.
#[tokio::test]
async fn reaped_workers_leave_no_descriptors() {
    let mut harness = Harness::new();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for _ in 0..300 {
        let (worker, process) = harness.spawn(&["true"]);
        harness.exit(worker).await;
        harness.backend.reap(worker, process).await;
    }
    assert!(open() < before + 150, "{before} → {}", open());
}
