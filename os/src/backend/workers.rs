//! The processes of workers that have not been collected, the ways to talk to them, and the tasks that see them end.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use nodesockd_core::Event;
use nodesockd_core::action::WorkerSignal;
use nodesockd_core::config::StopSignal;
use nodesockd_core::event::Dying;
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::state::{State, Survivor};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::peers::outbox::Outbox;
use crate::peers::session::{Fact, tell};
use crate::processes::children;
use crate::processes::first_signs;
use crate::processes::first_signs::Threads;
use crate::processes::moment::Moment;
use crate::processes::pidfd::Pidfd;
use crate::processes::servers::{self, Told};
use crate::processes::survivors;
use crate::processes::survivors::{LastLook, Places};
use crate::processes::worker_locks::WorkerLocks;

/// All workers whose processes have not been collected.
pub(super) struct Workers {
    table: BTreeMap<WorkerId, Watched>,
    /// By which the processes of a worker are known.
    pub locks: WorkerLocks,
    last_look: LastLook,
    facts: mpsc::Sender<Fact>,
}

/// A process that has not been collected.
pub(super) struct Worker {
    pub pid: Pid,
    pub process: Process,
    pub pidfd: Pidfd,
    /// It is a child of this process, not one that an earlier daemon left.
    pub child: bool,
    /// Its channel, if that was open when this program had hold of it first.
    pub outbox: Option<Outbox>,
    /// Its `NOTIFY_SOCKET`, if it has one.
    pub notices: Option<Arc<UnixDatagram>>,
}

/// A worker, and the tasks that see it end.
struct Watched {
    worker: Worker,
    exit: ExitWatch,
    /// The task that sees its end begin, once there is something to see it by.
    signs: Option<JoinHandle<()>>,
}

/// The task that reports a worker's exit.
struct ExitWatch {
    task: JoinHandle<()>,
    /// When the exit was noticed.
    noticed: Arc<OnceLock<Moment>>,
}

impl Workers {
    pub fn new(ipc_file: &Path, facts: mpsc::Sender<Fact>) -> Self {
        let (table, last_look) = Default::default();
        Self { table, locks: WorkerLocks::beside(ipc_file), last_look, facts }
    }

    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.table.get(&id).map(|watched| &watched.worker)
    }

    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.table.iter().map(|(id, watched)| (*id, &watched.worker))
    }

    /// The worker, if its process is still this one.
    pub fn running(&self, id: WorkerId, process: Process) -> Option<&Worker> {
        self.get(id).filter(|worker| worker.process == process)
    }

    /// The channel to the worker, if that is its own.
    pub fn outbox(&self, id: WorkerId) -> Option<&Outbox> {
        self.get(id)?.outbox.as_ref()
    }

    /// Takes a worker in, and reports its exit from now on.
    pub fn add(&mut self, id: WorkerId, worker: Worker) {
        let exit = self.report_exit(id, &worker.pidfd);
        self.table.insert(id, Watched { worker, exit, signs: None });
    }

    fn report_exit(&self, worker: WorkerId, pidfd: &Pidfd) -> ExitWatch {
        let (pidfd, facts, noticed) = (pidfd.clone(), self.facts.clone(), Arc::new(OnceLock::new()));
        let moment = Arc::clone(&noticed);
        let task = tokio::spawn(async move {
            let status = pidfd.exited().await;
            let _ = moment.set(Moment::now());
            tell(&facts, || Fact::Event(Event::Exited { worker, status })).await;
        });
        ExitWatch { task, noticed }
    }

    /// Finds the workers that an earlier daemon left, and takes them in.
    pub fn find(&mut self, places: &Places<'_>, state: Option<&State>) -> Vec<Survivor> {
        let mut survivors = survivors::find(places, state, &self.locks);
        survivors.retain(|Survivor { id, process }| match self.take_hold(*id, *process) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!("worker {} is gone: {error}", id.short());
                false
            }
        });
        survivors
    }

    /// Watches a process that is no child of ours.
    pub fn take_hold(&mut self, id: WorkerId, process: Process) -> io::Result<()> {
        let (pid, pidfd) = survivors::open(process)?;
        self.add(id, Worker { pid, process, pidfd, child: false, outbox: None, notices: None });
        self.expect_first_signs(id);
        Ok(())
    }

    /// Looks out for the beginning of a worker's end. While it boots it may have no thread yet to see that by, so this is
    /// called whenever something is heard of it.
    pub fn expect_first_signs(&mut self, id: WorkerId) {
        let Some(watched) = self.table.get_mut(&id).filter(|watched| watched.signs.is_none()) else { return };
        let Some(threads) = Threads::of(watched.worker.pid) else { return };
        let (noticed, facts) = (Arc::clone(&watched.exit.noticed), self.facts.clone());
        watched.signs = Some(tokio::spawn(async move {
            if threads.process_goes().await {
                first_signs::report(id, Dying::GivesBackMemory, noticed, facts).await;
            }
        }));
    }

    /// Reports a core dump, if it is a worker's.
    pub fn dumps_core(&self, pid: u32) {
        let found = self.table.iter().find(|(_, watched)| watched.worker.process.pid == pid);
        if let Some((id, watched)) = found {
            let (noticed, facts) = (Arc::clone(&watched.exit.noticed), self.facts.clone());
            tokio::spawn(first_signs::report(*id, Dying::DumpsCore, noticed, facts));
        }
    }

    /// Sends the stop signal to those who serve the socket with this number, or else to the worker's own process. `inode`: `Some(None)`
    /// if it is not known who serves the socket.
    pub fn terminate(
        &self,
        worker: WorkerId,
        own: &Worker,
        inode: Option<Option<u64>>,
        signal: StopSignal,
        again: bool,
    ) -> Vec<Process> {
        let signal = servers::number(signal);
        let told = match inode {
            None => Told::Nobody { own: true },
            Some(None) => Told::Nobody { own: false },
            Some(Some(inode)) => servers::terminate(worker, own.process, inode, signal),
        };
        match told {
            Told::Servers(told) => self.report_ends(worker, told),
            Told::Nobody { own: accepts } => {
                if accepts || !again {
                    own.pidfd.signal(signal);
                }
                Vec::new()
            }
        }
    }

    /// Reports when the servers of a worker have ended. Returns these.
    fn report_ends(&self, worker: WorkerId, servers: Vec<(Process, Pidfd)>) -> Vec<Process> {
        let (servers, ends): (Vec<Process>, Vec<Pidfd>) = servers.into_iter().unzip();
        let facts = self.facts.clone();
        tokio::spawn(async move {
            for end in ends {
                end.gone().await;
            }
            let _ = facts.send(Fact::Event(Event::ServersEnded { worker })).await;
        });
        servers
    }

    pub fn signal(&mut self, worker: WorkerId, process: Process, signal: WorkerSignal) {
        let Some(found) = self.running(worker, process) else { return };
        match signal {
            WorkerSignal::Terminate => found.pidfd.signal(Signal::TERM),
            WorkerSignal::KillGroup => {
                // One that is no child of ours may be collected at any time; a child's number is its own until we do.
                if !found.child {
                    found.pidfd.signal(Signal::KILL);
                    self.last_look.kill_left_behind(worker, None, &self.locks);
                } else if let Err(error) = kill_process_group(found.pid, Signal::KILL) {
                    tracing::warn!("cannot kill the process group of worker {}: {error}", worker.short());
                }
            }
        }
    }

    /// Collects a process that has ended, after what it left behind was killed.
    pub async fn reap(&mut self, worker: WorkerId, process: Process) {
        let found = self.table.get(&worker).filter(|watched| watched.worker.process == process);
        let Some(found) = found else { return };
        let exited = found.exit.noticed.get().copied();
        if found.worker.child {
            children::kill_left_behind(worker, found.worker.pid, exited).await;
        } else {
            self.last_look.kill_left_behind(worker, exited, &self.locks);
        }
        self.locks.release(worker);
        if let Some(found) = self.table.remove(&worker) {
            found.collect();
        }
    }
}

impl Watched {
    fn collect(self) {
        let Self { worker, exit, signs } = self;
        {
            let mut workers = children::workers();
            worker.pidfd.collect();
            workers.remove(&worker.pid);
        }
        children::collect_orphans();
        exit.task.abort();
        signs.iter().for_each(JoinHandle::abort);
        // Whoever else still holds the other end is none of the worker's any more.
        if let Some(outbox) = &worker.outbox {
            outbox.close();
        }
    }
}
