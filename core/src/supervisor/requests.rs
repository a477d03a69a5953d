//! Open requests: every request gets exactly one final reply, or its peer is gone.
//!
//! Three kinds of replies go through here: answers to what was asked of the daemon, the progress of an operation for
//! those who want to watch it, and workers' answers to requests that the daemon passed on (*relays*).

use std::collections::{BTreeMap, BTreeSet};

use crate::action::Action;
use crate::asker::Asker;
use crate::id::{Peer, RequestRef, WorkerId};
use crate::wire::{Body, Code, Json, Progress, Reply, Stage};

use super::effects::Effects;

/// A worker does not get more requests than this before it has answered some.
const OPEN_PER_WORKER: usize = 1024;

/// All requests that wait for something.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// Requests that have not had their final reply, and who made each.
    open: BTreeMap<RequestRef, Option<Asker>>,
    /// Who is told how an operation proceeds.
    audience: Audience,
    /// Who is told what becomes of old workers that finish.
    watchers: BTreeMap<WorkerId, Vec<RequestRef>>,
    relays: BTreeMap<String, Relay>,
    relays_by_worker: BTreeMap<WorkerId, BTreeSet<String>>,
    relays_by_origin: BTreeMap<RequestRef, BTreeSet<String>>,
}

/// Who is told what of an operation's progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Audience {
    #[default]
    Nobody,
    /// These are told about the new workers of the operation.
    OfNewWorkers(Vec<RequestRef>),
    /// These are told about all workers.
    OfAllWorkers(Vec<RequestRef>),
}

/// A request that was passed on to a worker and is not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relay {
    pub origin: RequestRef,
    pub worker: WorkerId,
    pub pid: u32,
}

/// What a worker answered.
pub(super) type Answer = Option<(Option<Json>, Vec<String>)>;

impl Requests {
    /// Takes a request in. A peer that uses an id twice at the same time is refused; then this returns `false`.
    pub fn open(&mut self, effects: &mut Effects, to: &RequestRef, asker: Option<Asker>) -> bool {
        let fresh = !self.open.contains_key(to) || defect!(DuplicateRequestAccepted);
        if fresh {
            self.open.insert(to.clone(), asker);
        } else {
            let reply =
                Reply::failed(Some(Code::Usage), vec!["a request with this id is open already".into()]);
            effects.order(Action::Reply { to: to.clone(), reply });
        }
        fresh
    }

    /// Answers a request, unless it has had its final reply or its peer is gone.
    pub fn reply(&mut self, effects: &mut Effects, to: &RequestRef, reply: Reply) {
        let last = reply.done && !defect!(AnsweredTwice);
        let open = if last { self.open.remove(to).is_some() } else { self.open.contains_key(to) };
        if open {
            effects.order(Action::Reply { to: to.clone(), reply });
        }
    }

    /// All requests that have not had their final reply.
    pub fn all_open(&self) -> impl Iterator<Item = &RequestRef> {
        self.open.keys()
    }

    /// Who made an open request, if that is known.
    pub fn asker(&self, to: &RequestRef) -> Option<&Asker> {
        self.open.get(to)?.as_ref()
    }

    /// Who made each open request, where that is known.
    pub fn askers(&self) -> impl Iterator<Item = (&RequestRef, &Asker)> {
        self.open.iter().filter_map(|(to, asker)| Some((to, asker.as_ref()?)))
    }

    /// From now on these are told how the operation proceeds.
    pub fn tell_progress_to(&mut self, audience: Audience) {
        self.audience = audience;
    }

    /// From now on these are told what becomes of an old worker, too.
    pub fn watch(&mut self, worker: WorkerId, audience: &[RequestRef]) {
        add_missing(self.watchers.entry(worker).or_default(), audience);
    }

    /// Tells those who watch the operation how far a worker has got. `new`: the worker belongs to the new ones that have
    /// not taken over yet.
    pub fn progress(&mut self, effects: &mut Effects, new: bool, progress: &Progress) {
        let mut audience = match &self.audience {
            Audience::OfNewWorkers(audience) if new => audience.clone(),
            Audience::OfAllWorkers(audience) => audience.clone(),
            Audience::OfNewWorkers(_) | Audience::Nobody => Vec::new(),
        };
        if progress.stage == Stage::Gone {
            let watchers = self.watchers.remove(&progress.id).unwrap_or_default();
            add_missing(&mut audience, &watchers);
        } else if let Some(watchers) = self.watchers.get(&progress.id) {
            add_missing(&mut audience, watchers);
        }
        for to in audience {
            self.reply(effects, &to, Reply::part(Body::Progress(progress.clone())));
        }
    }

    /// Forgets everything that `peer` waits for.
    pub fn forget(&mut self, peer: Peer) {
        let first = RequestRef { peer, id: String::new() };
        let theirs = |to: &&RequestRef| to.peer == peer;
        let open = self.open.range(&first..).map(|(to, _)| to);
        let open: Vec<RequestRef> = open.take_while(theirs).cloned().collect();
        for to in &open {
            self.open.remove(to);
        }
        let origins = self.relays_by_origin.range(&first..).map(|(origin, _)| origin);
        let origins: Vec<RequestRef> = origins.take_while(theirs).cloned().collect();
        for origin in &origins {
            for id in self.relays_by_origin.get(origin).cloned().unwrap_or_default() {
                self.remove_relay(&id);
            }
        }
    }

    /// Whether the worker may be asked, or has enough to answer already.
    pub fn refusal(&self, worker: WorkerId) -> Option<String> {
        let open = self.relays_by_worker.get(&worker).map_or(0, BTreeSet::len);
        (open >= OPEN_PER_WORKER).then(|| format!("it has not answered {OPEN_PER_WORKER} earlier requests"))
    }

    /// A request is passed on to a worker under the id `id`.
    pub fn relay(&mut self, id: String, relay: Relay) {
        self.relays_by_worker.entry(relay.worker).or_default().insert(id.clone());
        self.relays_by_origin.entry(relay.origin.clone()).or_default().insert(id.clone());
        self.relays.insert(id, relay);
    }

    /// A worker answered, or ended its answers. An answer counts only if the request was put to that worker.
    pub fn answered(
        &mut self,
        effects: &mut Effects,
        worker: WorkerId,
        request: &str,
        answer: Answer,
        done: bool,
    ) {
        let Some(relay) = self.relays.get(request).filter(|relay| relay.worker == worker).cloned() else {
            return tracing::debug!(worker = %worker.short(), "an answer to a request that nobody waits for");
        };
        if done {
            self.remove_relay(request);
        }
        if let Some((data, errors)) = answer {
            let body = Body::Answer { id: worker, pid: relay.pid, data, errors };
            self.reply(effects, &relay.origin, Reply::part(body));
        }
        self.finish_if_answered(effects, &relay.origin);
    }

    /// A worker will not answer any more, because `reason`, and does not wait for answers.
    pub fn worker_is_gone(&mut self, effects: &mut Effects, worker: WorkerId, reason: &str) {
        for id in self.relays_by_worker.get(&worker).cloned().unwrap_or_default() {
            if let Some(Relay { origin, pid, .. }) = self.remove_relay(&id) {
                let errors = vec![format!("the worker did not answer: {reason}")];
                self.reply(
                    effects,
                    &origin,
                    Reply::part(Body::Answer { id: worker, pid, data: None, errors }),
                );
                if !defect!(RelayToDeadNotAnswered) {
                    self.finish_if_answered(effects, &origin);
                }
            }
        }
        self.forget(Peer::Worker(worker));
    }

    /// Ends a request once no worker's answer is missing.
    pub fn finish_if_answered(&mut self, effects: &mut Effects, origin: &RequestRef) {
        if !self.waits_for_workers(origin) {
            self.reply(effects, origin, Reply::done(None));
        }
    }

    /// Whether the request waits for a worker.
    pub fn waits_for_workers(&self, origin: &RequestRef) -> bool {
        self.relays_by_origin.contains_key(origin)
    }

    /// Requests that workers have not answered, by the id under which they were passed on.
    pub fn relays(&self) -> &BTreeMap<String, Relay> {
        &self.relays
    }

    /// Goes on with the requests of a predecessor.
    pub fn restore(
        &mut self,
        open: BTreeSet<RequestRef>,
        askers: Vec<(RequestRef, Asker)>,
        relays: impl IntoIterator<Item = (String, Relay)>,
    ) {
        self.open = open.into_iter().map(|to| (to, None)).collect();
        for (to, asker) in askers {
            self.open.entry(to).and_modify(|of| *of = Some(asker));
        }
        for (id, relay) in relays {
            self.relay(id, relay);
        }
    }

    fn remove_relay(&mut self, id: &str) -> Option<Relay> {
        let relay = self.relays.remove(id)?;
        remove_from(&mut self.relays_by_worker, &relay.worker, id);
        remove_from(&mut self.relays_by_origin, &relay.origin, id);
        Some(relay)
    }
}

fn add_missing(to: &mut Vec<RequestRef>, all: &[RequestRef]) {
    for one in all {
        if !to.contains(one) {
            to.push(one.clone());
        }
    }
}

fn remove_from<K: Ord>(index: &mut BTreeMap<K, BTreeSet<String>>, key: &K, id: &str) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
