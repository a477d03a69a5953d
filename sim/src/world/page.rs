//! The page of the dev server: it is shown while no worker can answer, and only then.

use nodesockd_core::page::{Page, State};

use super::files::Entry;
use super::process::Proc;
use super::{Worker, World};

impl World {
    pub fn show_page(&mut self, page: Option<&Page>) {
        let name = page.map(Page::name);
        let words = name.as_deref().unwrap_or("nothing");
        self.trace.line(self.agenda.now(), "daemon", format_args!("the dev server shows {words}"));
        match page.map(|page| page.state) {
            Some(State::Failing { .. }) => self.marks.count("the dev server shows why workers fail"),
            Some(State::Stopped) => self.marks.count("the dev server shows that the app is stopped"),
            None => {}
        }
        self.page = page.cloned();
    }

    /// The daemon has done what there was to do: nobody is told that workers fail whom a worker would answer. Of a stopped app, a link
    /// that could not be removed may still lead to a worker that has to go.
    pub(super) fn check_page(&mut self) {
        let Some(Page { state: State::Failing { .. }, .. }) = &self.page else { return };
        // The link of a slot that there is no more leads somewhere until it can be removed.
        let mut wanted = self.oracle.slots.iter().filter(|(slot, _)| slot.0 < self.oracle.floor());
        let serving = wanted.find_map(|(slot, its)| {
            let named = self.files.follow(&its.link);
            let ours = self.files.target(&its.link).filter(|to| self.files.get(to) == Some(&Entry::Ours));
            // A standby may accept from the daemon's socket before it is promoted.
            let accepts = |worker: Worker, process: &Proc| {
                let holds = its.worker == Some(worker);
                Some(worker) == named || holds && ours.is_some_and(|socket| process.serves_from(socket))
            };
            let mut serve = self.processes.iter().filter(|(_, process)| answers(process));
            serve.find(|(worker, process)| accepts(*worker, process)).map(|(worker, _)| (*slot, worker))
        });
        if let Some((slot, worker)) = serving {
            self.violated(format_args!("the dev server shows a page although {worker} serves slot {slot}"));
        }
    }

    /// All is quiet: what is wrong with what the dev server shows.
    pub(super) fn mispaged(&self) -> Option<String> {
        let shown = self.page.as_ref().map(|page| page.state);
        match (self.oracle.wanted, shown) {
            (true, Some(_)) => Some("the dev server shows a page although workers serve".to_owned()),
            (false, None) if self.dev_server.is_some() && !self.oracle.quitting && self.served() == 0 => {
                Some("the dev server does not show that the app is stopped".to_owned())
            }
            (true, None) | (false, _) => None,
        }
    }
}

/// It is ready and well, as far as the daemon knows. A standby that accepts before it is told has its sign of life to give first.
fn answers(process: &Proc) -> bool {
    let known = &process.known;
    let well = process.alive() && known.online && !known.is_known_to_end();
    let turns = process.stands_still.is_none_or(|still| still.until.is_some());
    well && turns && !process.asked_to_go() && !process.ignores_suspension()
}
