//! Signals to the daemon.

use std::io;

use nodesockd_core::Event;
use nodesockd_core::event::DaemonSignal;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::children;
use crate::session::Fact;

/// Installs the handlers and reports what comes. SIGCHLD is for orphans: workers have their pidfds.
pub(crate) fn watch(facts: &mpsc::Sender<Fact>) -> io::Result<Vec<JoinHandle<()>>> {
    let kinds = [
        (SignalKind::terminate(), DaemonSignal::Terminate),
        (SignalKind::interrupt(), DaemonSignal::Interrupt),
        (SignalKind::hangup(), DaemonSignal::Hangup),
        (SignalKind::user_defined1(), DaemonSignal::User1),
        (SignalKind::user_defined2(), DaemonSignal::User2),
    ];
    let mut handlers = Vec::new();
    for (kind, meaning) in kinds {
        handlers.push((signal(kind)?, meaning));
    }
    let mut deaths = signal(SignalKind::child())?;
    let mut tasks: Vec<_> = handlers
        .into_iter()
        .map(|(signals, meaning)| tokio::spawn(report(signals, meaning, facts.clone())))
        .collect();
    tasks.push(tokio::spawn(async move {
        while deaths.recv().await.is_some() {
            children::collect_orphans();
        }
    }));
    Ok(tasks)
}

async fn report(mut signals: Signal, signal: DaemonSignal, facts: mpsc::Sender<Fact>) {
    while signals.recv().await.is_some() {
        if facts.send(Fact::Event(Event::Signalled { signal })).await.is_err() {
            return;
        }
    }
}
