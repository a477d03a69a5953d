//! What the log tells an administrator: what is wrong, once, and what to do about it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, Failure, Queue};
use nodesockd_core::id::{ConnId, Process, SlotIndex};
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{FromWorker, Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event};
use tracing_subscriber::fmt;

use super::desk::{Desk, HOOK, NOTHING, config, set_workers};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged of these deeds, of this level and the graver ones.
pub(super) fn logged(level: tracing::Level, deeds: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = fmt().with_max_level(level).with_ansi(false).with_target(false).without_time();
    tracing::subscriber::with_default(log.with_writer(move || writer.clone()).finish(), deeds);
    let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).lines().map(|line| line.trim_start().to_owned()).collect()
}

pub(super) fn warnings(deeds: impl FnOnce()) -> Vec<String> {
    logged(tracing::Level::WARN, deeds)
}

fn failure() -> Result<(), Failure> {
    Err(Failure("ENOSPC".into()))
}

#[test]
fn a_state_file_that_cannot_be_written_is_spoken_of_once_until_it_can() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Persist { .. });
    let lines = logged(tracing::Level::INFO, || {
        for result in [failure(), failure(), failure(), Ok(()), Ok(())] {
            desk.hear(Event::Persisted { result });
        }
    });
    assert_eq!(
        lines,
        [
            "WARN cannot write the state file; a daemon that follows this one will know less: ENOSPC",
            "INFO the state file is written again",
        ]
    );
}

#[test]
fn output_that_nobody_takes_is_spoken_of_once() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::StartSink { .. });
    desk.config = config("[log]\ndir = 'log'");
    desk.ask("r", Request::Reload);
    desk.all_online();
    let lines = warnings(|| {
        for _ in 0..3 {
            desk.hear(Event::SinkStarted { result: failure() });
            desk.pass(Duration::from_secs(60));
        }
    });
    let said = "WARN there is no process to take workers' output, which goes straight to its place meanwhile: ENOSPC";
    assert_eq!(lines, [said]);
}

#[test]
fn what_cannot_be_removed_is_spoken_of_once() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Remove { .. });
    let worker = desk.worker(0);
    desk.exit(worker);
    let lines = warnings(|| {
        for _ in 0..3 {
            desk.hear(Event::Removed { worker, result: failure() });
        }
    });
    let said = format!(
        "WARN cannot remove the socket of a dead worker, will try again: ENOSPC worker={}",
        worker.short()
    );
    assert_eq!(lines, [said]);

    let mut desk = Desk::up("[options]\nlisten = 'daemon'");
    desk.leaves = |action| matches!(action, Action::Unlisten { .. });
    desk.ask("s", Request::Stop);
    let closed = desk.orders.iter().find_map(|action| match action {
        Action::Unlisten { slot, socket } => Some((*slot, socket.clone())),
        _ => None,
    });
    let Some((slot, socket)) = closed else { panic!("{:?}", desk.orders) };
    let lines = warnings(|| {
        for _ in 0..3 {
            desk.hear(Event::Unlistened { slot, socket: socket.clone(), result: failure() });
        }
    });
    assert_eq!(lines, ["WARN cannot remove a slot's socket, will try again: ENOSPC slot=0"]);
}

#[test]
fn connections_that_are_lost_are_spoken_of_and_no_others() {
    let drained = |queue: fn() -> Queue| {
        let mut desk = Desk::up("");
        desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
        desk.ask("r", Request::Restart { options: StartOptions::default(), version: None });
        desk.online(desk.worker(1));
        let worker = desk.worker(0);
        let lines = warnings(|| {
            desk.hear(Event::QueueMeasured { worker, queue: queue() });
            desk.hear(Event::QueueMeasured { worker, queue: queue() });
            desk.pass(Duration::from_secs(5));
        });
        (lines, worker.short(), desk.supervisor.status().note)
    };
    let (lines, worker, note) = drained(|| Queue::Length(3));
    assert_eq!(note, None);
    let said = format!(
        "WARN 3 connections still wait to be accepted after 5000 ms (options.drainTimeout); they will be reset worker={worker}"
    );
    assert_eq!(lines, [said]);
    let (lines, worker, note) = drained(|| Queue::Unknown("EACCES".into()));
    let note = note.unwrap_or_default();
    assert!(note.starts_with("the kernel does not tell accept queues (EACCES)"), "{note}");
    let said = format!("WARN cannot see the accept queue, leaving it 500 ms: EACCES worker={worker}");
    assert_eq!(lines, [said]);
    assert_eq!(drained(|| Queue::Length(0)).0, NOTHING);
}

#[test]
fn a_worker_that_does_not_go_is_spoken_of_at_each_step() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    let worker = desk.worker(0).short();
    let lines = warnings(|| {
        desk.ask("s", Request::Stop);
        desk.pass(Duration::from_secs(15));
    });
    assert_eq!(
        lines,
        [
            format!(
                "WARN worker did not exit within 10000 ms (options.shutdownTimeout), sending SIGTERM worker={worker} pid=101"
            ),
            format!(
                "WARN worker ignored SIGTERM, sending SIGKILL to its process group worker={worker} pid=101"
            ),
        ]
    );

    // One that is not waited for did nothing wrong.
    let mut desk = Desk::new("");
    let lines = warnings(|| {
        desk.hear(Event::Signalled { signal: DaemonSignal::Interrupt });
        desk.pass(Duration::from_secs(1));
    });
    assert_eq!(lines, NOTHING);
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    let lines = warnings(|| {
        desk.hear(Event::Signalled { signal: DaemonSignal::Interrupt });
        desk.hear(Event::Signalled { signal: DaemonSignal::Interrupt });
    });
    assert_eq!(lines, ["WARN interrupted again: killing all workers"]);
}

#[test]
fn what_the_system_refuses_is_passed_on_with_what_to_do() {
    let mut desk = Desk::up("");
    let said = |desk: &mut Desk, event: Event| logged(tracing::Level::INFO, || desk.hear(event)).join("\n");
    assert_eq!(said(&mut desk, Event::Swept { result: Ok(0) }), "");
    assert_eq!(
        said(&mut desk, Event::Swept { result: Ok(2) }),
        "INFO removed 2 stale files that an earlier daemon left in tmpDir"
    );
    let swept = Event::Swept { result: Err(Failure("EACCES".into())) };
    assert_eq!(said(&mut desk, swept), "WARN cannot remove stale files from tmpDir: EACCES");
    let taken =
        Event::DevServing { address: Some(8000.into()), result: Err(Failure("port 8000 is taken".into())) };
    assert_eq!(said(&mut desk, taken), "WARN port 8000 is taken");
    assert_eq!(said(&mut desk, Event::DevServing { address: Some(8000.into()), result: Ok(()) }), "");
    assert_eq!(said(&mut desk, Event::LogsReopened { result: Ok(()) }), "INFO log files reopened");
    let logs = Event::LogsReopened { result: failure() };
    assert_eq!(said(&mut desk, logs), "WARN log files not reopened, the old ones stay in use: ENOSPC");
    assert_eq!(
        said(&mut desk, Event::LogWritten { result: failure() }),
        "WARN what workers write is not logged, and lines are dropped: ENOSPC"
    );
}

#[test]
fn an_old_link_that_stays_is_spoken_of() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Withdraw { .. });
    desk.config = config("socketFile = 'web.{worker}'");
    desk.ask("r", Request::Reload);
    desk.all_online();
    let slot = SlotIndex(0);
    let lines =
        warnings(|| desk.hear(Event::Withdrawn { slot, link: "app.0.sock".into(), result: failure() }));
    assert_eq!(lines, ["WARN cannot remove the old link app.0.sock: ENOSPC slot=0"]);
}

#[test]
fn a_stranger_that_speaks_as_a_worker_is_spoken_of() {
    let mut desk = Desk::up("");
    let lines = warnings(|| {
        desk.hear(Event::Claimed {
            conn: ConnId(9),
            caller: None,
            claims: None,
            message: FromWorker::online(false),
        });
    });
    assert_eq!(lines, ["WARN a process that is none of our workers speaks as one"]);
}

#[test]
fn a_link_that_is_being_changed_or_is_right_again_is_not_spoken_of() {
    let mut desk = Desk::up("standby = 1");
    let link = desk.config.socket_file.link(SlotIndex(0));
    let socket = desk.config.socket_file.socket(desk.worker(0));
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    let gone = warnings(|| desk.sees(&link, Sight::Nothing));
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(warnings(|| desk.sees(&link, Sight::Nothing)), NOTHING, "it is being made again");
    let worker = desk.worker(0);
    desk.hear(Event::Published { slot: SlotIndex(0), worker, result: failure() });
    desk.hear(Event::Published { slot: SlotIndex(0), worker, result: failure() });
    assert_eq!(
        warnings(|| desk.sees(&link, Sight::Link(socket.clone()))),
        NOTHING,
        "somebody else has made it"
    );
}

#[test]
fn who_got_the_stop_signal_in_place_of_a_worker_is_told() {
    let mut desk = Desk::up("");
    desk.leaves = |action| matches!(action, Action::Tell { .. });
    desk.ask("s", Request::Stop);
    let servers = vec![Process { pid: 200, started: 7 }];
    let lines = logged(tracing::Level::INFO, || {
        desk.hear(Event::Terminated { worker: desk.worker(0), servers });
    });
    assert!(
        lines[0].starts_with("INFO SIGTERM went to who accepts from the worker's socket; process 101,"),
        "{lines:?}"
    );
}

#[test]
fn a_listening_socket_that_is_gone_is_spoken_of_once() {
    let mut desk = Desk::up("[options]\nlisten = 'daemon'");
    let socket = desk.socket(0);
    let told = |desk: &mut Desk| {
        let lines = warnings(|| desk.sees(&socket, Sight::Nothing));
        lines.iter().filter(|line| line.contains("the slot gets another one")).count()
    };
    assert_eq!((told(&mut desk), told(&mut desk)), (1, 0));

    // One that is being closed may be gone.
    let mut desk = Desk::up("workers = 2\n[options]\nlisten = 'daemon'");
    desk.leaves = |action| matches!(action, Action::Unlisten { .. });
    desk.ask("w", set_workers(1));
    let closed = desk.orders.iter().find_map(|action| match action {
        Action::Unlisten { socket, .. } => Some(socket.clone()),
        _ => None,
    });
    let Some(socket) = closed else { panic!("none is closed") };
    assert_eq!(warnings(|| desk.sees(&socket, Sight::Nothing)), NOTHING);
}

#[test]
fn what_the_command_for_events_writes_is_logged() {
    let mut desk = Desk::up("options.onEvent = ['tell']\n[health]\npath = '/fit'\nfailures = 1");
    desk.pass(Duration::from_secs(10));
    desk.hear(Event::Probed { worker: desk.worker(0), result: Ok(503) });
    let lines = logged(tracing::Level::INFO, || {
        desk.hear(Event::HookWrote { process: HOOK, lines: vec!["sent\u{7}".into()] });
    });
    assert_eq!(lines, ["INFO onEvent: sent\\x07 pid=78"]);
}
