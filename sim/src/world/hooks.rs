//! The command that is run for events: it takes its time, fails or hangs, and outlives the daemon that has started it.

use nodesockd_core::Time;
use nodesockd_core::action::HookOrder;
use nodesockd_core::event::{Event, ExitStatus, Failure};
use nodesockd_core::id::Process;

use super::agenda::{Happening, Lane};
use super::{World, ms};
use crate::faults::Call;

/// The first one's process id: neither a worker nor a command of a deploy gets one of these.
const FIRST_PID: u32 = 800_000;

/// Nobody may let one run for longer than this, in ms: its limit, and what slow calls add.
const LONGEST: u64 = 45_000;

/// All that were ever run, the last one last.
#[derive(Debug, Default)]
pub(crate) struct Hooks(Vec<Hook>);

#[derive(Debug, Clone, Copy)]
struct Hook {
    process: Process,
    ended: bool,
    /// The daemon that has started it died before it had written that down.
    unrecorded: bool,
    /// Since when the daemon that there is has watched it; none does if `None`.
    watched: Option<Time>,
}

impl Hooks {
    /// The daemon dies. `recorded`: the one of which the state file says that it runs.
    pub fn lose_daemon(&mut self, recorded: Option<Process>) {
        for hook in &mut self.0 {
            hook.watched = None;
            hook.unrecorded |= !hook.ended && recorded != Some(hook.process);
        }
    }
}

impl World {
    pub fn run_hook(&mut self, order: &HookOrder) -> Result<Process, Failure> {
        let called = self.call(Call::RunHook);
        self.log_file(
            format_args!("run `{}` for {}", order.argv.join(" "), order.occurrence.name()),
            &called,
        );
        called?;
        let runs = |hook: &Hook| !hook.ended && !hook.unrecorded;
        if self.hooks.0.iter().any(runs) && !self.deaths.forgot {
            self.violated("two commands for events run at once");
        }
        self.tally.count("command for an event");
        let nth = self.hooks.0.len();
        let pid = FIRST_PID + nth as u32;
        let process = Process { pid, started: u64::from(pid) };
        self.hooks.0.push(Hook {
            process,
            ended: false,
            unrecorded: false,
            watched: Some(self.agenda.now()),
        });
        let times: Vec<u64> = order.argv.iter().filter_map(|word| word.parse().ok()).collect();
        let takes = times.get(nth % times.len().max(1)).copied().unwrap_or(1);
        self.after(ms(takes), Happening::HookEnds(nth));
        Ok(process)
    }

    pub fn watch_hook(&mut self, process: Process) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("watch command {}", process.pid));
        let now = self.agenda.now();
        let Some(hook) = self.hooks.0.iter_mut().find(|hook| hook.process == process) else {
            return self.violated(format_args!("a command is watched that never ran: {process:?}"));
        };
        hook.watched = Some(now);
        if hook.ended {
            let ended = Event::HookEnded { process, status: ExitStatus::Unknown };
            self.deliver(Some(Lane::Hook), ms(0), ended);
        }
    }

    pub fn kill_hook(&mut self, process: Process) {
        self.trace.line(self.agenda.now(), "daemon", format_args!("kill command {}", process.pid));
        let nth = self.hooks.0.iter().position(|hook| hook.process == process);
        if let Some(nth) = nth {
            self.tally.count("command for an event hangs");
            self.end_hook(nth, ExitStatus::Signal(9));
        }
    }

    pub(super) fn hook_ends(&mut self, nth: usize) {
        let Some(Hook { ended: false, watched, .. }) = self.hooks.0.get(nth).copied() else { return };
        if watched.is_some_and(|since| self.agenda.now().since(since) > ms(LONGEST)) {
            self.violated("a command for an event runs on and on");
        }
        self.end_hook(nth, ExitStatus::Code(i32::from(nth % 3 == 2)));
    }

    fn end_hook(&mut self, nth: usize, status: ExitStatus) {
        let Some(hook) = self.hooks.0.get_mut(nth).filter(|hook| !hook.ended) else { return };
        hook.ended = true;
        let Hook { process, watched, .. } = *hook;
        self.trace.line(self.agenda.now(), "command", format_args!("{} {status}", process.pid));
        if watched.is_some() {
            self.deliver(Some(Lane::Hook), ms(0), Event::HookEnded { process, status });
        }
    }
}
