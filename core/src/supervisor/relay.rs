//! Messages and requests that the daemon passes on to workers.

use crate::id::{Peer, RequestRef, WorkerId};
use crate::selector::{Candidate, Selector};
use crate::wire::{Body, Code, Json, Reply, ToWorker};

use super::pool::Pool;
use super::requests::Relay;
use super::worker::Worker;

/// Why a worker gets nothing.
const UNREACHABLE: &str = "it has no channel to the daemon";

/// Passes a message on to the workers that `workers` selects; those in slots if it selects none.
pub(super) fn send_message(
    pool: &mut Pool,
    to: &RequestRef,
    message: &str,
    data: Option<Json>,
    workers: Option<String>,
) {
    let chosen = match choose(pool, to, workers) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(pool, to, refusal),
    };
    let mut errors = Vec::new();
    for Candidate { id, pid, .. } in chosen {
        if is_reachable(pool, id) {
            pool.tell(id, ToWorker::AppMessage { message: message.to_owned(), data: data.clone() });
        } else {
            errors.push(format!("worker {}, pid {pid}: {UNREACHABLE}", id.short()));
        }
    }
    let reply = if errors.is_empty() { Reply::done(None) } else { Reply::failed(None, errors) };
    pool.requests.reply(&mut pool.effects, to, reply);
}

/// Passes a request on to the workers that `workers` selects; their answers come back as parts of the reply.
pub(super) fn send_request(
    pool: &mut Pool,
    to: &RequestRef,
    request: &str,
    data: Option<Json>,
    workers: Option<String>,
) {
    let chosen = match choose(pool, to, workers) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(pool, to, refusal),
    };
    for Candidate { id: worker, pid, .. } in chosen {
        let unreachable = (!is_reachable(pool, worker)).then(|| UNREACHABLE.to_owned());
        if let Some(refusal) = unreachable.or_else(|| pool.requests.refusal(worker)) {
            let body = Body::Answer { id: worker, pid, data: None, errors: vec![refusal] };
            pool.requests.reply(&mut pool.effects, to, Reply::part(body));
            continue;
        }
        let id = pool.ids.request();
        pool.requests.relay(id.clone(), Relay { origin: to.clone(), worker, pid });
        pool.tell(worker, ToWorker::AppRequest { id, request: request.to_owned(), data: data.clone() });
    }
    pool.requests.finish_if_answered(&mut pool.effects, to);
}

fn is_reachable(pool: &Pool, id: WorkerId) -> bool {
    pool.workers.get(id).is_some_and(Worker::is_reachable)
}

/// Why nobody is chosen.
struct Refusal {
    code: Option<Code>,
    words: String,
}

fn refuse(pool: &mut Pool, to: &RequestRef, Refusal { code, words }: Refusal) {
    pool.requests.reply(&mut pool.effects, to, Reply::failed(code, vec![words]));
}

/// The workers that `selector` names, if it is one and names any; otherwise what the requester is told.
fn choose(pool: &Pool, to: &RequestRef, selector: Option<String>) -> Result<Vec<Candidate>, Refusal> {
    // An empty text names nobody; it comes from scripts whose variable is not set.
    let parsed = selector.as_deref().map_or_else(|| Ok(Selector::default()), Selector::parse);
    let text = selector.unwrap_or_default();
    let parsed = parsed.map_err(|words| Refusal { code: Some(Code::Usage), words })?;
    let chosen = candidates(pool, to, &parsed);
    if chosen.is_empty() {
        let words =
            if text.is_empty() { "no worker serves".into() } else { format!("no worker is `{text}`") };
        return Err(Refusal { code: None, words });
    }
    Ok(chosen)
}

fn candidates(pool: &Pool, to: &RequestRef, selector: &Selector) -> Vec<Candidate> {
    let sender = match to.peer {
        Peer::Worker(worker) => Some(worker),
        Peer::Client(conn) => pool.workers.connected(conn),
    };
    let candidate = |(id, worker): (WorkerId, &Worker)| {
        let process = worker.process()?;
        let slot = worker.slot().filter(|_| pool.owns_its_slot(id));
        Some(Candidate { id, slot, pid: process.pid })
    };
    let candidates = pool.workers.iter().filter_map(candidate);
    candidates.filter(|candidate| selector.chooses(*candidate, sender)).collect()
}
