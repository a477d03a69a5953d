//! What the dev server is told: where it listens, and the links it goes to.

use crate::action::Action;
use crate::config::DevAddress;
use crate::id::SlotIndex;

use super::goal::Life;
use super::pool::Pool;

/// The last order given to the dev server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DevServer {
    told: Option<(DevAddress, Vec<String>)>,
}

impl DevServer {
    /// A dev server that was told this by a predecessor.
    pub fn told(told: Option<(DevAddress, Vec<String>)>) -> Self {
        Self { told }
    }

    /// What it was told last.
    pub fn last(&self) -> Option<&(DevAddress, Vec<String>)> {
        self.told.as_ref()
    }

    /// Points the dev server, where there is one, at the links of the slots there ought to be.
    pub fn update(&mut self, pool: &mut Pool) {
        let wanted = pool.config.dev_server.filter(|_| pool.life == Life::Serving).map(|address| {
            let link = |slot| pool.config.socket_file.link(SlotIndex(slot));
            (address, (0..pool.desired.slots).map(link).collect::<Vec<_>>())
        });
        if wanted == self.told {
            return;
        }
        self.told.clone_from(&wanted);
        let (address, links) = wanted.map_or((None, Vec::new()), |(address, links)| (Some(address), links));
        pool.effects.order(Action::ServeDev { address, links });
    }
}
