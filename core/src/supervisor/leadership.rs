//! Who leads the app's workers: one at a time, and at no time two.
//!
//! ```text
//! nobody ─→ Chosen ─→ Told ─→ Confirmed        Suspected ─→ Untold ─→ Told ─→ forgotten
//!   ↑    (written down)  └──── it may not any longer ─────────┘                  │
//!   └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A worker is chosen only when nobody else may lead: whoever did has confirmed that it does not any more, or is dead. The
//! choice is written to the state file before the worker is told, and stays there until the worker has confirmed the end. So
//! whoever may lead is always known to the daemon that follows, whenever this one dies.
//!
//! Each word to a worker has a *term*, which only grows. A worker heeds no word of a lower term than it has heard: one that waits
//! unread in the channel of a dead daemon has no effect after a later word over another connection.

use std::collections::BTreeMap;

use crate::handoff::{FormerRecord, LeadershipRecord as HandoffRecord, ReignRecord};
use crate::id::{SlotIndex, WorkerId};
use crate::state::LeadershipRecord;
use crate::time::Time;

/// Who leads, who may still, and who could.
#[derive(Debug, Clone, Default)]
pub(super) struct Leadership {
    /// The term of the last word.
    term: u64,
    reign: Option<Reign>,
    /// Workers that may lead, and are not to any more.
    former: BTreeMap<WorkerId, Former>,
    /// Workers that could lead, by the slots that they serve.
    candidates: BTreeMap<SlotIndex, WorkerId>,
}

/// The worker that leads, or is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reign {
    pub worker: WorkerId,
    pub step: Step,
}

/// How far the worker has got that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is being written down, and has been told nothing.
    Chosen,
    /// It was told, or may have been by an earlier daemon.
    Told,
    /// It has confirmed that it leads.
    Confirmed,
}

/// How far a worker has got that is not to lead any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    /// An earlier daemon may have told it to lead. Whether it understands such words shows when it reports.
    Suspected,
    /// It has to be told.
    Untold,
    /// It was told, and has not confirmed it.
    Told { term: u64 },
}

impl Leadership {
    /// What a dead daemon has written down. `named`: whether the link of a worker's own slot names it. One that no link names
    /// may have been told that it does not lead any more, by a daemon that could not write that down.
    pub fn adopted(record: &LeadershipRecord, named: impl Fn(WorkerId) -> bool) -> Self {
        let LeadershipRecord { term, leader, confirmed, former } = record;
        let step = |worker| if *confirmed && named(worker) { Step::Confirmed } else { Step::Told };
        Self {
            term: *term,
            reign: leader.map(|worker| Reign { worker, step: step(worker) }),
            former: former.iter().map(|id| (*id, Former::Suspected)).collect(),
            candidates: BTreeMap::new(),
        }
    }

    /// Any of these workers may lead: nobody knows.
    pub fn suspects(&mut self, workers: impl IntoIterator<Item = WorkerId>) {
        self.former.extend(workers.into_iter().map(|id| (id, Former::Suspected)));
    }

    /// What the next daemon has to know.
    pub fn record(&self) -> LeadershipRecord {
        LeadershipRecord {
            term: self.term,
            leader: self.reign.map(|reign| reign.worker),
            confirmed: self.reign.is_some_and(|reign| reign.step == Step::Confirmed),
            former: self.former.keys().copied().collect(),
        }
    }

    /// The worker that leads, or is about to.
    pub fn reign(&self) -> Option<Reign> {
        self.reign
    }

    /// Whether the worker was told that it leads.
    pub fn leads(&self, id: WorkerId) -> bool {
        self.reign.is_some_and(|reign| reign.worker == id && reign.step != Step::Chosen)
    }

    /// Whether the worker may lead, and has not confirmed that it does.
    pub fn is_in_doubt(&self, id: WorkerId) -> bool {
        self.former.contains_key(&id)
            || self.reign.is_some_and(|reign| reign.worker == id && reign.step == Step::Told)
    }

    /// Everybody who leads, is about to, or may still.
    pub fn concerned(&self) -> Vec<WorkerId> {
        self.reign.map(|reign| reign.worker).into_iter().chain(self.former.keys().copied()).collect()
    }

    /// Workers that have to be told that they do not lead any more.
    pub fn untold(&self) -> Vec<WorkerId> {
        let untold = self.former.iter().filter(|(_, former)| **former == Former::Untold);
        untold.map(|(id, _)| *id).collect()
    }

    /// Who could lead because it serves `slot`.
    pub fn set_candidate(&mut self, slot: SlotIndex, worker: Option<WorkerId>) {
        match worker {
            Some(worker) => self.candidates.insert(slot, worker),
            None => self.candidates.remove(&slot),
        };
    }

    /// Who is to lead next, and the slot that it serves: the lowest one. `None` while another worker may lead.
    pub fn next(&self) -> Option<(SlotIndex, WorkerId)> {
        let free = self.former.is_empty() || defect!(LeaderToldTooEarly);
        let first = self.candidates.first_key_value().filter(|_| free && self.reign.is_none());
        first.map(|(slot, worker)| (*slot, *worker))
    }

    /// The worker is the next to lead.
    pub fn choose(&mut self, now: Time, worker: WorkerId) {
        self.next_term(now);
        self.reign = Some(Reign { worker, step: Step::Chosen });
    }

    /// The state file says who was chosen. Returns whom to tell that it leads, and the term.
    pub fn recorded(&mut self) -> Option<(WorkerId, u64)> {
        let reign = self.reign.as_mut().filter(|reign| reign.step == Step::Chosen)?;
        reign.step = Step::Told;
        Some((reign.worker, self.term))
    }

    /// The worker that leads is told so again. Returns the term.
    pub fn repeats(&mut self, now: Time) -> u64 {
        if let Some(reign) = &mut self.reign {
            reign.step = Step::Told;
        }
        self.next_term(now)
    }

    /// The worker that leads is not to lead any more. One that was told nothing is forgotten.
    pub fn ends(&mut self) {
        if let Some(Reign { worker, step: Step::Told | Step::Confirmed }) = self.reign.take() {
            self.former.insert(worker, Former::Untold);
        }
    }

    /// A worker is told that it does not lead any more. Returns the term.
    pub fn told_off(&mut self, now: Time, id: WorkerId) -> u64 {
        let term = self.next_term(now);
        self.former.insert(id, Former::Told { term });
        term
    }

    /// The worker is dead. Returns whether it led, or may have.
    pub fn is_gone(&mut self, id: WorkerId) -> bool {
        let led = self.reign.take_if(|reign| reign.worker == id);
        self.former.remove(&id).is_some() || led.is_some_and(|reign| reign.step != Step::Chosen)
    }

    /// A worker answered by the last word that it has heard. Returns whether it has thereby confirmed that it does not lead.
    pub fn answers(&mut self, id: WorkerId, leads: bool, term: u64) -> bool {
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.worker == id && term >= self.term)
            && reign.step == Step::Told
            && leads
        {
            reign.step = Step::Confirmed;
        }
        let told = self.former.get(&id).copied();
        let confirms = !leads && matches!(told, Some(Former::Told { term: told }) if told <= term);
        if confirms {
            self.former.remove(&id);
        }
        confirms
    }

    /// A worker has reported, and may not have heard what it was told before. `leads`: what it believes, if it understands
    /// such words at all.
    pub fn reports(&mut self, id: WorkerId, leads: Option<bool>) {
        let rules = self.reign.is_some_and(|reign| reign.worker == id);
        match (self.former.get(&id), leads) {
            (Some(Former::Suspected), None) => {
                self.former.remove(&id);
            }
            (Some(_), Some(_)) => {
                self.former.insert(id, Former::Untold);
            }
            (None, Some(true)) if !rules => {
                tracing::warn!(
                    worker = %id.short(),
                    "worker says that it leads, which this daemon has not told it; it is told that it does not"
                );
                self.former.insert(id, Former::Untold);
            }
            (Some(Former::Untold | Former::Told { .. }) | None, None) | (None, Some(_)) => {}
        }
    }

    /// A word to a worker has a higher term than all before it, by this daemon and by earlier ones.
    fn next_term(&mut self, now: Time) -> u64 {
        self.term = (self.term + 1).max(now.as_nanos() / 1_000_000);
        self.term
    }
}

impl From<&Leadership> for HandoffRecord {
    fn from(leadership: &Leadership) -> Self {
        // Who could lead follows from the slots and their workers.
        let Leadership { term, reign, former, candidates: _ } = leadership;
        let reign = reign.map(|Reign { worker, step }| match step {
            Step::Chosen => ReignRecord::Chosen(worker),
            Step::Told => ReignRecord::Told(worker),
            Step::Confirmed => ReignRecord::Confirmed(worker),
        });
        let former_record = |former: &Former| match former {
            Former::Suspected => FormerRecord::Suspected,
            Former::Untold => FormerRecord::Untold,
            Former::Told { term } => FormerRecord::Told { term: *term },
        };
        let former = former.iter().map(|(id, former)| (*id, former_record(former))).collect();
        Self { term: *term, reign, former }
    }
}

impl From<HandoffRecord> for Leadership {
    fn from(record: HandoffRecord) -> Self {
        let HandoffRecord { term, reign, former } = record;
        let reign = reign.map(|reign| match reign {
            ReignRecord::Chosen(worker) => Reign { worker, step: Step::Chosen },
            ReignRecord::Told(worker) => Reign { worker, step: Step::Told },
            ReignRecord::Confirmed(worker) => Reign { worker, step: Step::Confirmed },
        });
        let former_of = |former: FormerRecord| match former {
            FormerRecord::Suspected => Former::Suspected,
            FormerRecord::Untold => Former::Untold,
            FormerRecord::Told { term } => Former::Told { term },
        };
        let former = former.into_iter().map(|(id, former)| (id, former_of(former))).collect();
        Self { term, reign, former, candidates: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    fn workers() -> [WorkerId; 2] {
        let mut ids = Ids::new(BootId(1));
        [ids.worker(), ids.worker()]
    }

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn chosen(leadership: &mut Leadership, ms: u64) -> Option<WorkerId> {
        let (_, worker) = leadership.next()?;
        leadership.choose(at(ms), worker);
        Some(worker)
    }

    /// The first of two workers leads, and has confirmed it.
    fn led() -> (Leadership, [WorkerId; 2]) {
        let ids = workers();
        let mut leadership = Leadership::default();
        leadership.set_candidate(SlotIndex(1), Some(ids[1]));
        leadership.set_candidate(SlotIndex(0), Some(ids[0]));
        assert_eq!(chosen(&mut leadership, 5), Some(ids[0]));
        assert!(!leadership.leads(ids[0]));
        assert_eq!(leadership.recorded(), Some((ids[0], 5)));
        assert!(leadership.leads(ids[0]) && leadership.is_in_doubt(ids[0]));
        assert!(!leadership.answers(ids[0], true, 5));
        assert!(leadership.record().confirmed && !leadership.is_in_doubt(ids[0]));
        (leadership, ids)
    }

    #[test]
    fn next_one_is_chosen_when_the_former_has_confirmed_its_last_word() {
        let (mut leadership, [a, b]) = led();
        leadership.set_candidate(SlotIndex(0), None);
        leadership.ends();
        assert_eq!(chosen(&mut leadership, 6), None);
        assert_eq!(leadership.told_off(at(6), a), 6);
        for (leads, term) in [(true, 6), (false, 5)] {
            assert!(!leadership.answers(a, leads, term));
            assert_eq!(chosen(&mut leadership, 6), None);
        }
        assert!(leadership.answers(a, false, 6));
        assert_eq!(chosen(&mut leadership, 6), Some(b));
        assert_eq!(leadership.recorded(), Some((b, 7)));
    }

    #[test]
    fn next_one_is_chosen_when_the_former_is_dead() {
        let (mut leadership, [a, b]) = led();
        leadership.ends();
        leadership.set_candidate(SlotIndex(0), None);
        assert!(leadership.is_gone(a));
        assert_eq!(chosen(&mut leadership, 6), Some(b));
        // Nothing was told yet.
        assert!(!leadership.is_gone(b));

        let (mut leadership, [a, b]) = led();
        assert!(!leadership.is_gone(b) && leadership.leads(a));
        assert!(leadership.is_gone(a) && !leadership.leads(a));
    }

    #[test]
    fn who_leads_confirms_it_by_an_answer_to_the_last_word() {
        let (mut leadership, [a, b]) = led();
        assert_eq!(leadership.repeats(at(9)), 9);
        for (id, term) in [(a, 8), (b, 9)] {
            leadership.answers(id, true, term);
            assert!(leadership.is_in_doubt(a), "{term}");
        }
        leadership.answers(a, true, 9);
        assert!(!leadership.is_in_doubt(a));
    }

    #[test]
    fn daemon_that_follows_knows_all_who_may_lead() {
        let (mut leadership, [a, b]) = led();
        leadership.set_candidate(SlotIndex(0), None);
        leadership.ends();
        let mut next = Leadership::adopted(&leadership.record(), |_| true);
        next.set_candidate(SlotIndex(1), Some(b));
        assert_eq!((next.concerned(), chosen(&mut next, 9)), (vec![a], None));
        next.reports(a, Some(false));
        assert_eq!(next.untold(), [a]);
        assert_eq!(next.told_off(at(9), a), 9);
        assert!(next.answers(a, false, 9));
        // It is told before the choice is confirmed: the next daemon takes it for told.
        chosen(&mut next, 9);
        let mut third = Leadership::adopted(&next.record(), |_| true);
        assert!(third.leads(b) && third.is_in_doubt(b));
        assert_eq!(third.repeats(at(9)), 11);
    }

    #[test]
    fn leader_that_no_link_names_may_have_been_told_off() {
        let (leadership, [a, _]) = led();
        assert!(!Leadership::adopted(&leadership.record(), |id| id == a).is_in_doubt(a));
        assert!(Leadership::adopted(&leadership.record(), |_| false).is_in_doubt(a));
    }

    #[test]
    fn suspects_count_until_they_show_that_they_do_not_understand_or_confirm() {
        let [a, b] = workers();
        let mut leadership = Leadership::default();
        leadership.suspects([a, b]);
        leadership.set_candidate(SlotIndex(0), Some(a));
        leadership.reports(a, Some(false));
        assert_eq!(leadership.untold(), [a]);
        let term = leadership.told_off(at(1), a);
        leadership.answers(a, false, term);
        assert_eq!(chosen(&mut leadership, 1), None);
        leadership.reports(b, None);
        assert_eq!(chosen(&mut leadership, 1), Some(a));
    }

    #[test]
    fn worker_that_leads_by_its_own_word_alone_is_told_off() {
        let (mut leadership, [a, b]) = led();
        leadership.reports(a, Some(true));
        leadership.reports(b, Some(false));
        assert_eq!(leadership.untold(), []);
        leadership.reports(b, Some(true));
        assert_eq!(leadership.untold(), [b]);
        assert!(leadership.leads(a));
    }
}
