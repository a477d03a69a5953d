//! Signals to the daemon.

use std::io;

use nix::sys::signal::SigSet;
use nodesockd_core::Event;
use nodesockd_core::event::DaemonSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::handoff::pause::{Pause, PauseToken};
use crate::peers::session::Fact;
use crate::processes::children;

/// What we watch for.
const KINDS: [(SignalKind, DaemonSignal); 5] = [
    (SignalKind::terminate(), DaemonSignal::Terminate),
    (SignalKind::interrupt(), DaemonSignal::Interrupt),
    (SignalKind::hangup(), DaemonSignal::Hangup),
    (SignalKind::user_defined1(), DaemonSignal::User1),
    (SignalKind::user_defined2(), DaemonSignal::User2),
];

/// Installs the handlers and reports what comes, until that is to stop. SIGCHLD is for orphans: workers have their pidfds.
pub(crate) fn watch(facts: &mpsc::Sender<Fact>, pause: &Pause) -> io::Result<Vec<JoinHandle<()>>> {
    let mut handlers = Vec::new();
    for (kind, meaning) in KINDS {
        handlers.push((signal(kind)?, meaning));
    }
    let mut deaths = signal(SignalKind::child())?;
    let mut tasks: Vec<_> = handlers
        .into_iter()
        .map(|(signals, meaning)| tokio::spawn(report(signals, meaning, facts.clone(), pause.token())))
        .collect();
    tasks.push(tokio::spawn(async move {
        while deaths.recv().await.is_some() {
            children::collect_orphans();
        }
    }));
    Ok(tasks)
}

/// From now on signals stay pending, across an `execve(2)` as well (signal(7)).
pub(crate) fn hold() -> io::Result<()> {
    let kinds = KINDS.map(|(kind, _)| kind).into_iter().chain([SignalKind::child()]);
    let signals: SigSet =
        kinds.filter_map(|kind| nix::sys::signal::Signal::try_from(kind.as_raw_value()).ok()).collect();
    Ok(signals.thread_block()?)
}

/// Those that are pending come now. To be called when there is somebody to hear of them.
pub(crate) fn release() {
    // The only error is an unknown operation.
    let _ = SigSet::empty().thread_set_mask();
}

async fn report(mut signals: Signal, signal: DaemonSignal, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
    loop {
        // One that has come is told before it stops.
        tokio::select! {
            biased;
            Some(()) = signals.recv() => {}
            () = token.requested() => return,
        }
        if facts.send(Fact::Event(Event::Signalled { signal })).await.is_err() {
            return;
        }
    }
}
