//! Commands of deploys: they take their time, succeed or fail, and outlive the daemon that has started them.

use nodesockd_core::action::{CommandOrder, CommandSignal};
use nodesockd_core::event::{Event, ExitStatus, Failure};
use nodesockd_core::id::Process;

use super::agenda::{Happening, Lane};
use super::{World, ms};
use crate::faults::Call;
use crate::scenario::{Errand, Finish};

/// The first command's process id: no worker gets one of these.
const FIRST_PID: u32 = 900_000;

/// All commands that were ever run, the last one last.
#[derive(Debug, Default)]
pub(crate) struct Commands(Vec<Command>);

/// A command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    process: Process,
    pub errand: Errand,
    /// How it ended, if it has.
    pub ended: Option<ExitStatus>,
    /// It is a child of the daemon that there is.
    child: bool,
    /// A daemon waits for its end.
    watched: bool,
}

impl Commands {
    /// The one that runs.
    pub fn running(&self) -> Option<&Command> {
        self.0.last().filter(|command| command.ended.is_none())
    }

    /// The one that a daemon which starts finds.
    pub fn left(&self) -> Option<Process> {
        self.running().map(|command| command.process)
    }

    /// The daemon dies.
    pub fn lose_daemon(&mut self) {
        self.0.iter_mut().for_each(|command| (command.child, command.watched) = (false, false));
    }

    fn named(&mut self, process: Process) -> Option<(usize, &mut Command)> {
        self.0.iter_mut().enumerate().find(|(_, command)| command.process == process)
    }
}

impl World {
    pub fn run_command(&mut self, order: &CommandOrder) -> Result<Process, Failure> {
        let called = self.call(Call::RunCommand);
        self.log_file(format_args!("run `{}`", order.command), &called);
        called?;
        let release = self.release_in(&order.cwd)?;
        let Some(errand) = Errand::parse(&order.command) else {
            return Err(Failure("no such command".into()));
        };
        self.check_migration_begins(release);
        let nth = self.commands.0.len();
        let pid = FIRST_PID + nth as u32;
        let process = Process { pid, started: u64::from(pid) };
        self.tally.count("command of a deploy");
        self.commands.0.push(Command { process, errand, ended: None, child: true, watched: true });
        let half = ms(errand.for_ms / 2);
        self.after(half, Happening::CommandWrites(nth));
        self.after(ms(errand.for_ms), Happening::CommandEnds(nth));
        Ok(process)
    }

    pub fn watch_command(&mut self, process: Process) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("watch command {}", process.pid));
        let Some((_, command)) = self.commands.named(process) else {
            return self.violated(format_args!("a command is watched that never ran: {process:?}"));
        };
        command.watched = true;
        if command.ended.is_some() {
            let ended = Event::CommandEnded { process, status: ExitStatus::Unknown };
            self.deliver(Some(Lane::Command), ms(0), ended);
        }
    }

    pub fn signal_command(&mut self, process: Process, signal: CommandSignal) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("{signal:?} command {}", process.pid));
        let Some((nth, command)) = self.commands.named(process) else {
            return self.violated(format_args!("a signal to a command that never ran: {process:?}"));
        };
        if command.ended.is_some() {
            return;
        }
        match signal {
            CommandSignal::Terminate if command.errand.finish == Finish::IgnoresSigterm => {}
            CommandSignal::Terminate => self.end_command(nth, ExitStatus::Signal(15)),
            CommandSignal::Kill => self.end_command(nth, ExitStatus::Signal(9)),
        }
    }

    pub(super) fn command_writes(&mut self, nth: usize) {
        let Some(command) = self.commands.0.get(nth).copied() else { return };
        if command.ended.is_none() && command.watched {
            let lines = vec!["half of it is done".to_owned()];
            let wrote = Event::CommandWrote { process: command.process, lines };
            self.deliver(Some(Lane::Command), ms(0), wrote);
        }
    }

    pub(super) fn command_ends(&mut self, nth: usize) {
        let Some(command) = self.commands.0.get(nth).copied() else { return };
        let status = match command.errand.finish {
            Finish::Succeeds | Finish::IgnoresSigterm => ExitStatus::Code(0),
            Finish::Fails => ExitStatus::Code(1),
        };
        self.end_command(nth, status);
    }

    fn end_command(&mut self, nth: usize, status: ExitStatus) {
        let Some(command) = self.commands.0.get_mut(nth).filter(|command| command.ended.is_none()) else {
            return;
        };
        command.ended = Some(status);
        let Command { process, errand, child, watched, .. } = *command;
        self.trace.line(self.agenda.now(), "command", format_args!("{} {status}", process.pid));
        self.migration_ended(errand, status);
        if watched {
            let status = if child { status } else { ExitStatus::Unknown };
            self.deliver(Some(Lane::Command), ms(0), Event::CommandEnded { process, status });
        }
    }
}
