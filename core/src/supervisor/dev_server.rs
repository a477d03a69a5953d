//! What the dev server is told: where it listens, the links it goes to, and what it answers while no worker can.

use crate::action::Action;
use crate::config::{DevAddress, Named};
use crate::id::SlotIndex;
use crate::page::{Page, State};
use crate::wire::FailedWorker;

use super::backoff::Backoff;
use super::goal::Life;
use super::pool::Pool;
use super::slot::Slot;
use super::worker::Worker;

/// The last orders given to the dev server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DevServer {
    told: Option<(DevAddress, Vec<String>)>,
    page: Option<Page>,
}

impl DevServer {
    /// A dev server that was told this by a predecessor.
    pub fn told(told: Option<(DevAddress, Vec<String>)>) -> Self {
        Self { told, page: None }
    }

    /// What it was told last.
    pub fn last(&self) -> Option<&(DevAddress, Vec<String>)> {
        self.told.as_ref()
    }

    /// Points the dev server, where there is one, at the links of the slots there ought to be.
    pub fn update(&mut self, pool: &mut Pool) {
        let address = pool.config.dev_server.filter(|_| pool.life == Life::Serving);
        if self.knows(pool, address) {
            return;
        }
        let link = |slot| pool.config.socket_file.link(SlotIndex(slot));
        self.told = address.map(|address| (address, (0..pool.desired.slots).map(link).collect()));
        let links = self.told.as_ref().map_or_else(Vec::new, |(_, links)| links.clone());
        pool.effects.order(Action::ServeDev { address, links });
    }

    /// Whether it was told to listen at `address`, and all links. This is asked after every event: no name is made for it.
    fn knows(&self, pool: &Pool, address: Option<DevAddress>) -> bool {
        let Some((told, links)) = &self.told else { return address.is_none() };
        let wanted = (0..pool.desired.slots).map(|slot| Some(Named::Link(SlotIndex(slot))));
        let pattern = &pool.config.socket_file;
        address == Some(*told) && links.iter().map(|link| pattern.matches(link)).eq(wanted)
    }

    /// Has the dev server answer with a page when no worker can, and when none is about to. `idle`: nothing is in progress
    /// that may bring workers.
    pub fn show(&mut self, pool: &mut Pool, idle: bool) {
        let page = self.page_now(pool, idle);
        if page != self.page {
            self.page.clone_from(&page);
            pool.effects.order(Action::ShowPage { page: page.map(Box::new) });
        }
    }

    fn page_now(&self, pool: &mut Pool, idle: bool) -> Option<Page> {
        if pool.life != Life::Serving || pool.config.dev_server.is_none() {
            return None;
        }
        let served = is_served(pool) && !defect!(PageWhileServed);
        if served {
            pool.last_failure = None;
        }
        if served || !idle {
            return None;
        }
        let state = if pool.desired.running { failing(pool)? } else { State::Stopped };
        let worker = match &pool.last_failure {
            None => None,
            Some(last) => match pool.sink.last_lines(last.worker.id) {
                // The page of before stays until it is known what to say.
                None => return self.page.clone(),
                Some(lines) => Some(FailedWorker { lines, ..last.worker.clone() }),
            },
        };
        Some(Page { app: pool.config.name.clone(), state, worker })
    }
}

/// Whether a worker serves a slot that ought to be served: its own one, or one of another slot, which there may be no more.
fn is_served(pool: &Pool) -> bool {
    let owned = pool.slots.unready() < usize::try_from(pool.desired.slots).unwrap_or(usize::MAX);
    let borrows = |slot| {
        let neighbour = pool.slots.get(SlotIndex(slot)).and_then(Slot::neighbour);
        neighbour.and_then(|id| pool.workers.get(id)).is_some_and(Worker::can_serve)
    };
    pool.desired.running && (owned || (0..pool.desired.slots).any(borrows))
}

/// How workers fail, if they do. Whoever asks waits for a worker that boots, unless one has failed at that; and for one that
/// follows at once one that had served.
fn failing(pool: &Pool) -> Option<State> {
    let last = pool.last_failure.as_ref()?;
    let row = last.worker.idx.and_then(|slot| pool.slots.get(slot)).map(Slot::worker_failures);
    let retry = row.and_then(Backoff::retry_at).filter(|at| *at > pool.now());
    let fails = !last.was_ready || retry.is_some();
    fails.then(|| State::Failing { failures: row.map_or(0, Backoff::failures), retry })
}
