//! How much memory workers have.

use nodesockd_core::event::{Failure, Memory};
use nodesockd_core::id::{Process, WorkerId};

use super::process::Proc;
use super::{World, ms};
use crate::scenario::{Behaviour, MAY_HAVE};

impl World {
    /// What the kernel says of a worker and its descendants.
    pub fn measure_memory(&mut self, id: WorkerId, target: Process) -> Result<Memory, Failure> {
        let now = self.agenda.now();
        let (worker, process) = self.living(id, target)?;
        let spawned = process.plan.spawned;
        let grown = |behaviour: &Behaviour| matches!(behaviour, Behaviour::Grows { after_ms } if spawned + ms(*after_ms) <= now);
        let large = process.plan.behaviours.iter().any(grown);
        if large {
            process.known.large = true;
            self.trace.line(now, "daemon", format_args!("measure the memory of {worker} → too much"));
        }
        let resident = if large { MAY_HAVE * 2 } else { MAY_HAVE / 2 };
        Ok(Memory { resident, room: MAY_HAVE * 8 })
    }

    /// Workers that the daemon has found too large, and that it has not begun to replace yet.
    pub(super) fn oversized(&self) -> Vec<String> {
        let goes = |process: &Proc| process.known.told_to_go() || process.known.unlinked.is_some();
        let stays = |process: &Proc| process.alive() && process.known.large && !goes(process);
        let large = self.processes.iter().filter(|(_, process)| stays(process));
        // Whoever asked for the suspension may have hung up before the answer.
        let suspended = self.oracle.suspended || self.state.as_ref().is_some_and(|state| state.suspended);
        let large = large.filter(|_| self.oracle.wanted && !suspended);
        large.map(|(worker, _)| format!("{worker} is too large and is not replaced")).collect()
    }
}
