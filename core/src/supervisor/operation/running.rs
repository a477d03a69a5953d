//! The command of a deploy that runs: the signals that it gets.

use crate::action::{Action, CommandSignal};
use crate::id::Process;
use crate::supervisor::pool::Pool;

use super::Operations;
use super::command::Command;

/// Sends what the command has to be sent by now.
pub(super) fn send_due(pool: &mut Pool, operations: &mut Operations) {
    let now = pool.now();
    let due = operations.command.as_mut().and_then(|command| command.due(now));
    send(pool, operations, due);
}

/// Nobody wants the command any more: it gets SIGTERM, and SIGKILL if it does not heed that.
pub(super) fn call_off(pool: &mut Pool, operations: &mut Operations) {
    let now = pool.now();
    let signal = operations.command.as_mut().and_then(|command| command.call_off(now));
    send(pool, operations, signal);
}

/// The command has to end at once.
pub(super) fn kill(pool: &mut Pool, operations: &mut Operations) {
    let signal = operations.command.as_mut().and_then(Command::kill);
    send(pool, operations, signal);
}

pub(super) fn send(pool: &mut Pool, operations: &Operations, signal: Option<(Process, CommandSignal)>) {
    let (Some((process, signal)), Some(command)) = (signal, &operations.command) else { return };
    let name = match signal {
        CommandSignal::Terminate => "SIGTERM",
        CommandSignal::Kill => "SIGKILL",
    };
    tracing::warn!(pid = process.pid, "a deploy: {} is sent {name}", command.errand().words());
    pool.effects.order(Action::SignalCommand { process, signal });
}
