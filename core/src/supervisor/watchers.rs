//! Those who are told what happens, as it happens.
//!
//! Whoever reads too slowly is cut off by the backend, which buffers a fixed number of bytes for each connection. The numbers of what
//! is told show what was missed.

use crate::id::{Peer, RequestRef};
use crate::occurrence::Occurrence;
use crate::wire::{Body, Reply};

use super::effects::Effects;
use super::requests::Requests;

/// Who watches, and how much there was to tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers {
    requests: Vec<RequestRef>,
    /// How many occurrences there were.
    seq: u64,
}

impl Watchers {
    /// From now on this one is told what happens.
    pub fn add(&mut self, requests: &mut Requests, effects: &mut Effects, to: RequestRef) {
        requests.reply(effects, &to, Reply::part(Body::Watching { seq: self.seq }));
        self.requests.push(to);
    }

    /// Something has happened.
    pub fn tell(&mut self, requests: &mut Requests, effects: &mut Effects, occurrence: &Occurrence) -> u64 {
        self.seq += 1;
        for to in &self.requests {
            let body = Body::Occurred { seq: self.seq, occurrence: Box::new(occurrence.clone()) };
            requests.reply(effects, to, Reply::part(body));
        }
        self.seq
    }

    /// Nothing more will happen.
    pub fn end(&mut self, requests: &mut Requests, effects: &mut Effects) {
        for to in self.requests.drain(..) {
            requests.reply(effects, &to, Reply::done(None));
        }
    }

    /// Forgets that `peer` watches.
    pub fn forget(&mut self, peer: Peer) {
        self.requests.retain(|to| to.peer != peer);
    }

    pub fn has(&self, to: &RequestRef) -> bool {
        self.requests.contains(to)
    }

    /// For a hand-off: who watches, and how much there was to tell.
    pub fn record(&self) -> (Vec<RequestRef>, u64) {
        (self.requests.clone(), self.seq)
    }

    /// What was handed off.
    pub fn taken_over(requests: Vec<RequestRef>, seq: u64) -> Self {
        Self { requests, seq }
    }
}
