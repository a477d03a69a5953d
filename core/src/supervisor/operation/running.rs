//! The command of a deploy that runs: the signals that it gets.

use crate::action::{Action, CommandSignal};
use crate::id::Process;
use crate::supervisor::pool::Pool;

use super::Operations;
use super::command::{Command, Errand};

/// Sends what the command has to be sent by now.
pub(super) fn send_due(pool: &mut Pool, operations: &mut Operations) {
    let now = pool.now();
    send_if(pool, operations, |command| command.due(now));
}

/// Nobody wants the command any more: it gets SIGTERM, and SIGKILL if it does not heed that.
pub(super) fn call_off(pool: &mut Pool, operations: &mut Operations) {
    let now = pool.now();
    send_if(pool, operations, |command| command.call_off(now));
}

/// The command has to end at once.
pub(super) fn kill(pool: &mut Pool, operations: &mut Operations) {
    send_if(pool, operations, Command::kill);
}

/// Sends what the command, if one runs, has to be sent.
fn send_if(
    pool: &mut Pool,
    operations: &mut Operations,
    signal: impl FnOnce(&mut Command) -> Option<(Process, CommandSignal)>,
) {
    if let Some(command) = &mut operations.command
        && let Some(signal) = signal(command)
    {
        send(pool, command.errand(), signal);
    }
}

pub(super) fn send(pool: &mut Pool, errand: Errand, (process, signal): (Process, CommandSignal)) {
    let name = match signal {
        CommandSignal::Terminate => "SIGTERM",
        CommandSignal::Kill => "SIGKILL",
    };
    tracing::warn!(pid = process.pid, "a deploy: {} is sent {name}", errand.words());
    pool.effects.order(Action::SignalCommand { process, signal });
}
