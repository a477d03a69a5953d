//! What the daemon sees of `tmpDir`, and makes again of its own.

use std::collections::BTreeMap;

use nodesockd_core::event::Failure;
use nodesockd_core::survey::{Own, Sight, Survey};

use super::{Entry, World};

impl World {
    /// Looks at everything.
    pub fn survey(&mut self) -> Survey {
        let names: Vec<String> = self.files.iter().map(|(name, _)| name.to_owned()).collect();
        let entries = names.into_iter().map(|name| (name.clone(), self.sight(&name))).collect();
        Survey { entries, complete: true, lost: BTreeMap::new() }
    }

    /// Makes something of the daemon's own again.
    pub fn restore(&mut self, what: Own) -> Result<(), Failure> {
        self.trace.line(self.agenda.now(), "daemon", format_args!("make the {} again", what.words()));
        Ok(())
    }

    /// What a name names now.
    fn sight(&self, name: &str) -> Sight {
        match self.files.get(name) {
            None => Sight::Nothing,
            Some(Entry::Socket(_) | Entry::Ours) => Sight::Socket,
            Some(Entry::Plain) => Sight::Other,
            Some(Entry::Link(target)) => Sight::Link(self.files.target(name).unwrap_or(target).to_owned()),
        }
    }
}
