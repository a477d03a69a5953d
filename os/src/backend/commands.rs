//! The command of a deploy, and that of `options.onEvent`: at most one of each runs.

use std::path::{Path, PathBuf};

use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder};
use nodesockd_core::config::Companion;
use nodesockd_core::event::Failure;
use nodesockd_core::id::Process;
use tokio::sync::mpsc;

use crate::peers::session::Fact;
use crate::processes::command::{Purpose, Running};

/// The commands that were started last.
pub(super) struct Commands {
    ipc_file: PathBuf,
    deploy: Option<Running>,
    hook: Option<Running>,
    facts: mpsc::Sender<Fact>,
}

impl Commands {
    /// Those of the daemon whose control socket is `ipc_file`.
    pub fn beside(ipc_file: &Path, facts: mpsc::Sender<Fact>) -> Self {
        Self { ipc_file: ipc_file.to_owned(), deploy: None, hook: None, facts }
    }

    pub fn run(&mut self, order: &CommandOrder) -> Result<Process, Failure> {
        let command = Running::start(order, &self.file(Purpose::Deploy))?;
        Ok(self.follow(Purpose::Deploy, command))
    }

    pub fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure> {
        let hook = Running::start_hook(order, &self.file(Purpose::Hook))?;
        Ok(self.follow(Purpose::Hook, hook))
    }

    /// Goes on with a command that an earlier daemon has started. Returns whether it still runs.
    pub fn watch(&mut self, purpose: Purpose, process: Process) -> bool {
        let adopted = Running::adopt(purpose, process);
        adopted.map(|command| self.follow(purpose, command)).is_some()
    }

    pub fn signal(&self, purpose: Purpose, process: Process, signal: CommandSignal) {
        let command = match purpose {
            Purpose::Deploy => &self.deploy,
            Purpose::Hook => &self.hook,
        };
        if let Some(command) = command.as_ref().filter(|command| command.process() == process) {
            command.signal(signal);
        }
    }

    pub fn ended(&mut self, purpose: Purpose) {
        *self.last(purpose) = None;
    }

    /// Removes the files that the commands have written to.
    pub fn remove_files(&self) {
        for purpose in [Purpose::Deploy, Purpose::Hook] {
            let _ = std::fs::remove_file(self.file(purpose));
        }
    }

    fn follow(&mut self, purpose: Purpose, command: Running) -> Process {
        tokio::spawn(command.follow(&self.file(purpose), self.facts.clone()));
        self.last(purpose).insert(command).process()
    }

    fn last(&mut self, purpose: Purpose) -> &mut Option<Running> {
        match purpose {
            Purpose::Deploy => &mut self.deploy,
            Purpose::Hook => &mut self.hook,
        }
    }

    /// The file that a command writes to.
    fn file(&self, purpose: Purpose) -> PathBuf {
        let file = match purpose {
            Purpose::Deploy => Companion::Migration,
            Purpose::Hook => Companion::Hook,
        };
        file.path(&self.ipc_file)
    }
}
