//! Processes that say on the control socket that they are workers.
//!
//! A worker that outlived its daemon reports there. One that this daemon knows is recognised by its process. One that it
//! does not know was started by a daemon that left no state file, as 2.x does; that one is adopted if the kernel confirms what
//! it says. Nobody is believed without the kernel's word.

use crate::action::Action;
use crate::config::Named;
use crate::event::Caller;
use crate::id::{ConnId, WorkerId};
use crate::state::{RecordedStage, Survivor, WorkerRecord};
use crate::wire::{Claim, FromWorker, ToWorker};

use super::Supervisor;
use super::adopt::Fate;

impl Supervisor {
    /// A connection to the control socket speaks as a worker.
    pub(super) fn claimed(
        &mut self,
        conn: ConnId,
        caller: Option<Caller>,
        claim: Option<Claim>,
        message: FromWorker,
    ) {
        let id = match (self.attached(conn), claim) {
            (Some(id), _) => id,
            (None, Some(claim)) => match self.confirm(&claim, caller.as_ref(), &message) {
                Ok(()) => claim.worker,
                Err(reason) => return self.refuse_claim(conn, &claim, caller.as_ref(), &message, reason),
            },
            (None, None) => return tracing::warn!("a process that is none of our workers speaks as one"),
        };
        if let (FromWorker::Online { .. }, Some(caller), false) =
            (&message, caller, self.workers.contains_key(&id))
        {
            self.adopt_caller(id, caller);
        }
        if let FromWorker::Online { suspended } = message {
            self.reunite(id, conn, suspended);
        }
        self.received(id, message);
    }

    /// Whether the kernel confirms a claim; if not, why.
    fn confirm(
        &self,
        claim: &Claim,
        caller: Option<&Caller>,
        message: &FromWorker,
    ) -> Result<(), &'static str> {
        let caller = caller.ok_or("its process is not visible from here")?;
        if let Some(worker) = self.workers.get(&claim.worker) {
            let same = worker.process() == Some(caller.process);
            return if same { Ok(()) } else { Err("that worker is another process") };
        }
        let socket = caller.socket.as_deref().and_then(|socket| self.socket_owner(socket));
        if !matches!(message, FromWorker::Online { .. }) {
            Err("it has not reported online")
        } else if !caller.own_user {
            Err("it runs as another user than the daemon")
        } else if claim.pid != Some(caller.process.pid) {
            Err("it says another pid than the kernel")
        } else if !caller.leads {
            Err("it leads no process group, so it is no worker but a child of one")
        } else if caller.worker != Some(claim.worker) {
            Err("its environment names another worker (NODESOCKD_WORKER_ID)")
        } else if socket != Some(claim.worker) {
            Err("its environment names another socket (NODESOCKD_SOCKET_PATH)")
        } else {
            Ok(())
        }
    }

    /// The worker that binds a socket of this name, by today's `socketFile` and former ones.
    pub(super) fn socket_owner(&self, socket: &str) -> Option<WorkerId> {
        let mut patterns = self.former_patterns.iter().chain([&self.config.socket_file]);
        patterns.find_map(|pattern| match pattern.matches(socket)? {
            Named::Socket(worker) => Some(worker),
            Named::Link(_) | Named::TemporaryLink => None,
        })
    }

    /// A worker that nobody knows is told to go, as 2.x does. One that is known may be behind a wrapper (`npm start`),
    /// whose process is the one that we know; that worker serves on.
    fn refuse_claim(
        &mut self,
        conn: ConnId,
        claim: &Claim,
        caller: Option<&Caller>,
        message: &FromWorker,
        reason: &str,
    ) {
        let (worker, pid) = (claim.worker, caller.map(|caller| caller.process.pid));
        tracing::warn!(worker = %worker.short(), pid, "a process speaks as a worker and is not believed: {reason}");
        if matches!(message, FromWorker::Online { .. }) && !self.workers.contains_key(&worker) {
            self.act(Action::Tell { worker, over: Some(conn), message: ToWorker::Shutdown });
        }
    }

    /// Adopts a worker that the kernel has confirmed: for the slot whose link names its socket; else it is drained and goes.
    fn adopt_caller(&mut self, id: WorkerId, caller: Caller) {
        let Caller { process, socket, link, .. } = caller;
        self.act(Action::Watch { worker: id, process });
        let mut owned = None;
        if let Some(link) = link.filter(|link| socket.as_ref() == Some(&link.socket)) {
            let slot = self.slot_mut(link.slot);
            if slot.owner.is_none() && slot.moving.is_none() {
                slot.link = Some(link.name);
                slot.target = Some(link.socket);
                owned = Some(link.slot);
            }
        }
        let record = WorkerRecord {
            id,
            process: Some(process),
            slot: owned,
            // It may have served, and connections may wait for it.
            stage: if owned.is_some() { RecordedStage::Online } else { RecordedStage::Draining },
            socket,
            listeners: Vec::new(),
            mute: false,
            new: false,
        };
        self.inherit_worker(Survivor { id, process }, Some(&record), owned, Fate::Stays);
    }
}
