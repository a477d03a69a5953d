//! Messages and requests that the daemon passes on to workers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Peer, RequestRef, WorkerId};
use crate::selector::{Candidate, Selector};
use crate::wire::{Body, Code, Json, Reply, ToWorker};

use super::Supervisor;
use super::worker::Worker;

/// A worker does not get more requests than this before it has answered some.
const OPEN_PER_WORKER: usize = 1024;

/// Why a worker gets nothing.
const UNREACHABLE: &str = "it has no channel to the daemon";

/// Requests that workers have not answered yet, by the id we gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Relays(BTreeMap<String, Relay>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Relay {
    origin: RequestRef,
    worker: WorkerId,
    pid: u32,
}

impl Relays {
    pub fn forget(&mut self, peer: Peer) {
        self.0.retain(|_, relay| relay.origin.peer != peer);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `origin` waits for a worker.
    pub fn waits(&self, origin: &RequestRef) -> bool {
        self.0.values().any(|relay| relay.origin == *origin)
    }
}

impl Supervisor {
    pub(super) fn send_message(
        &mut self,
        to: &RequestRef,
        message: &str,
        data: Option<Json>,
        workers: Option<String>,
    ) {
        let Some(chosen) = self.choose(to, workers) else { return };
        let mut errors = Vec::new();
        for Candidate { id, pid, .. } in chosen {
            if self.is_reachable(id) {
                let message = ToWorker::AppMessage { message: message.to_owned(), data: data.clone() };
                self.tell(id, message);
            } else {
                errors.push(format!("worker {}, pid {pid}: {UNREACHABLE}", id.short()));
            }
        }
        self.reply(to, if errors.is_empty() { Reply::done(None) } else { Reply::failed(None, errors) });
    }

    pub(super) fn send_request(
        &mut self,
        to: &RequestRef,
        request: &str,
        data: Option<Json>,
        workers: Option<String>,
    ) {
        let Some(chosen) = self.choose(to, workers) else { return };
        for Candidate { id: worker, pid, .. } in chosen {
            let open = self.relays.0.values().filter(|relay| relay.worker == worker).count();
            let refusal = if !self.is_reachable(worker) {
                Some(UNREACHABLE.to_owned())
            } else if open >= OPEN_PER_WORKER {
                Some(format!("it has not answered {OPEN_PER_WORKER} earlier requests"))
            } else {
                None
            };
            if let Some(refusal) = refusal {
                self.reply(
                    to,
                    Reply::part(Body::Answer { id: worker, pid, data: None, errors: vec![refusal] }),
                );
                continue;
            }
            let id = self.ids.request();
            self.relays.0.insert(id.clone(), Relay { origin: to.clone(), worker, pid });
            let message = ToWorker::AppRequest { id, request: request.to_owned(), data: data.clone() };
            self.tell(worker, message);
        }
        self.finish_if_answered(to);
    }

    fn is_reachable(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(Worker::is_reachable)
    }

    /// The workers that `selector` names, if it is one and names any.
    fn choose(&mut self, to: &RequestRef, selector: Option<String>) -> Option<Vec<Candidate>> {
        // An empty text names nobody; it comes from scripts whose variable is not set.
        let parsed = selector.as_deref().map_or_else(|| Ok(Selector::default()), Selector::parse);
        let text = selector.unwrap_or_default();
        let selector = match parsed {
            Ok(selector) => selector,
            Err(error) => {
                self.reply(to, Reply::failed(Some(Code::Usage), vec![error]));
                return None;
            }
        };
        let sender = match to.peer {
            Peer::Worker(worker) => Some(worker),
            Peer::Client(conn) => self.attached(conn),
        };
        let chosen: Vec<Candidate> = self
            .workers
            .iter()
            .filter_map(|(id, worker)| {
                let slot =
                    worker.slot().filter(|slot| self.owner(*slot).is_some_and(|(owner, _)| owner == *id));
                worker.process().map(|process| Candidate { id: *id, slot, pid: process.pid })
            })
            .filter(|candidate| selector.chooses(*candidate, sender))
            .collect();
        if chosen.is_empty() {
            let words =
                if text.is_empty() { "no worker serves".into() } else { format!("no worker is `{text}`") };
            self.reply(to, Reply::failed(None, vec![words]));
            return None;
        }
        Some(chosen)
    }

    /// A worker answered, or ended its answers. What it says counts only for requests that were put to it.
    pub(super) fn answered(
        &mut self,
        worker: WorkerId,
        request: &str,
        answer: Option<(Option<Json>, Vec<String>)>,
        done: bool,
    ) {
        let Some(relay) = self.relays.0.get(request).filter(|relay| relay.worker == worker).cloned() else {
            tracing::debug!(worker = %worker.short(), "an answer to a request that nobody waits for");
            return;
        };
        if done {
            self.relays.0.remove(request);
        }
        if let Some((data, errors)) = answer {
            self.reply(&relay.origin, Reply::part(Body::Answer { id: worker, pid: relay.pid, data, errors }));
        }
        self.finish_if_answered(&relay.origin);
    }

    /// A worker will not answer any more, because `reason`.
    pub(super) fn fail_relays_of(&mut self, worker: WorkerId, reason: &str) {
        let lost: Vec<String> = self
            .relays
            .0
            .iter()
            .filter(|(_, relay)| relay.worker == worker)
            .map(|(id, _)| id.clone())
            .collect();
        for id in lost {
            if let Some(Relay { origin, pid, .. }) = self.relays.0.remove(&id) {
                let errors = vec![format!("the worker did not answer: {reason}")];
                self.reply(&origin, Reply::part(Body::Answer { id: worker, pid, data: None, errors }));
                if !defect!(RelayToDeadNotAnswered) {
                    self.finish_if_answered(&origin);
                }
            }
        }
        self.forget(Peer::Worker(worker));
    }

    fn finish_if_answered(&mut self, origin: &RequestRef) {
        if !self.relays.waits(origin) {
            self.reply(origin, Reply::done(None));
        }
    }
}
