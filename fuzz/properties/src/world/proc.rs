//! A worker's process.

use nodesockd_core::event::{Event, ExitStatus};
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::wire::FromWorker;

#[derive(Debug)]
pub(super) struct Proc {
    pub process: Process,
    pub stage: Stage,
    pub suspended: bool,
    pub online: bool,
    pub channel: bool,
    /// It was told to go.
    pub leaving: bool,
    /// Application requests it has not answered.
    pub requests: Vec<String>,
    /// The last question that it has not answered.
    pub pings: Option<u64>,
    /// It was told to lead, and has not confirmed that it does not any more.
    pub leads: bool,
    /// What it was told last about that, and has not answered.
    pub leadership: Option<(bool, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Running,
    Exited,
    Reaped,
}

impl Proc {
    pub fn exits(&mut self, worker: WorkerId, status: ExitStatus) -> Option<Event> {
        self.stage = Stage::Exited;
        self.channel = false;
        Some(Event::Exited { worker, status })
    }

    pub fn reports(&mut self, worker: WorkerId, suspended: bool) -> Option<Event> {
        self.online = true;
        self.says(
            worker,
            FromWorker::Online {
                pid: None,
                suspended,
                heartbeat: true,
                leads: Some(self.leads),
                counts: None,
            },
        )
    }

    pub fn answers(&mut self, worker: WorkerId) -> Option<Event> {
        if let Some(seq) = self.pings.take() {
            return self.says(worker, FromWorker::Pong { seq, inspected: false, held: 0 });
        }
        if let Some((leads, term)) = self.leadership.take() {
            self.leads = leads;
            return self.says(worker, FromWorker::Leader { leads, term });
        }
        let request = self.requests.pop().unwrap_or_else(|| "nobody's".into());
        self.says(
            worker,
            FromWorker::Reply { request, answers: true, data: None, errors: Vec::new(), done: true },
        )
    }

    pub fn says(&mut self, worker: WorkerId, message: FromWorker) -> Option<Event> {
        Some(Event::Received { worker, message })
    }
}
