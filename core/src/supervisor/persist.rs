//! Writing the state file, so that the next daemon knows what this one was about.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::action::Action;
use crate::event::Failure;
use crate::id::WorkerId;
use crate::state::{RecordedStage, RolloutRecord, State, VERSION, WorkerRecord};
use crate::wire::ToWorker;

use super::worker::{self, Worker};
use super::{Life, Supervisor};

impl Supervisor {
    /// Orders the state file to be replaced if its content has changed, before the actions from `mark` on, which are
    /// what has changed it. A daemon that has quit leaves no file, unless it leaves its workers as well.
    pub(super) fn persist(&mut self, mark: usize) {
        let gone =
            self.life == Life::Quit { detached: false } || self.has_quit() && defect!(DetachRemovesState);
        let state = (!gone).then(|| self.state());
        let again = self.persist_backoff.retry_at.is_some_and(|at| at <= self.now);
        if state != self.persisted || again {
            self.persist_backoff.tried();
            self.persisted.clone_from(&state);
            self.actions.insert(mark, Action::Persist { state: state.map(Box::new) });
        }
    }

    /// The file was replaced, or not; then that is tried again, after a while or at the next change.
    pub(super) fn state_persisted(&mut self, result: Result<(), Failure>) {
        let failing = self.persist_backoff.failures > 0;
        match &result {
            Ok(()) => self.persist_backoff.succeeded(),
            Err(failure) => self.persist_backoff.failed(self.now, Duration::ZERO, &failure.0),
        }
        match result {
            Err(failure) if !failing => {
                tracing::warn!(
                    "cannot write the state file; a daemon that follows this one will know less: {failure}"
                );
            }
            Ok(()) if failing => tracing::info!("the state file is written again"),
            Ok(()) | Err(_) => {}
        }
    }

    /// Every `socketFile` by which a link or a socket may be named.
    pub(super) fn socket_files(&self) -> Vec<String> {
        let rollout = self.rollout().map(|(_, rollout)| &rollout.config.socket_file);
        let all = self.former_patterns.iter().chain([&self.config.socket_file]).chain(rollout);
        let names: BTreeSet<String> = all.map(ToString::to_string).collect();
        names.into_iter().collect()
    }

    fn state(&self) -> State {
        // Suspended until it has been told: nobody may take one for active that waits for ever.
        let untold: BTreeSet<WorkerId> = self.actions.iter().filter_map(resumes).collect();
        State {
            version: VERSION,
            boot_id: None,
            running: self.desired.running,
            slots: self.desired.slots,
            standby: self.desired.standby,
            suspended: self.desired.suspended,
            socket_dir: self.config.separate_socket_dir(),
            socket_files: self.socket_files(),
            workers: self
                .workers
                .iter()
                .filter_map(|(id, worker)| record(*id, worker, untold.contains(id)))
                .collect(),
            rollout: self.rollout().map(|(kind, rollout)| RolloutRecord {
                what: kind.words().to_owned(),
                replaces: rollout.replaces,
                slots: rollout.desired.slots,
                standby: rollout.desired.standby,
                suspended: rollout.desired.suspended,
            }),
        }
    }
}

/// The worker that an order resumes.
fn resumes(action: &Action) -> Option<WorkerId> {
    if let Action::Tell { worker, message: ToWorker::Resume { .. }, .. } = action {
        Some(*worker)
    } else {
        None
    }
}

/// What there is to know about a worker that is alive, or is about to be.
fn record(id: WorkerId, worker: &Worker, untold: bool) -> Option<WorkerRecord> {
    let stage = match &worker.state {
        worker::State::Spawning { .. } | worker::State::Booting { .. } if worker.started_suspended => {
            RecordedStage::BootingSuspended
        }
        worker::State::Spawning { .. } | worker::State::Booting { .. } => RecordedStage::Booting,
        worker::State::Ready { broken: true, .. } => RecordedStage::Broken,
        worker::State::Ready { suspended, .. } if *suspended || untold => RecordedStage::Suspended,
        worker::State::Ready { .. } => RecordedStage::Online,
        worker::State::Draining(_) => RecordedStage::Draining,
        worker::State::Unwanted
        | worker::State::ShuttingDown { .. }
        | worker::State::Terminating { .. }
        | worker::State::Killed { .. } => RecordedStage::Leaving,
        worker::State::Exited | worker::State::Reaped { .. } => return None,
    };
    Some(WorkerRecord {
        id,
        process: worker.process(),
        slot: worker.slot(),
        stage,
        socket: worker.socket.clone(),
        listeners: worker.listeners.clone(),
        mute: !worker.speaks,
        new: worker.in_rollout,
    })
}
