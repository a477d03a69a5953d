//! Which worker leads, and what workers are told of it.

use nodesockd_core::event::{ExitStatus, Failure};
use nodesockd_core::id::SlotIndex;
use nodesockd_core::wire::{DeployOptions, FromWorker, Request, StartOptions, ToWorker, WorkerState};
use nodesockd_core::{Action, Event};

use super::adoption::{adopt, follow, left, says};
use super::desk::{Desk, config, restart, suspended};
use super::handoff::upgraded;

impl Desk {
    /// All workers that were started are online, and can lead.
    fn able(keys: &str) -> Self {
        let mut desk = Self::new(keys);
        desk.all_able();
        desk
    }

    fn all_able(&mut self) {
        let rows = self.supervisor.status().workers;
        for worker in rows.iter().filter(|row| row.state == WorkerState::Running).map(|row| row.id) {
            let suspended = self.ready[&worker].1;
            let message = FromWorker::Online {
                pid: None,
                suspended,
                heartbeat: false,
                leads: Some(false),
                counts: None,
            };
            self.hear(Event::Received { worker, message });
        }
    }

    /// What workers were told of that: who, whether it leads, and the term.
    fn words(&mut self) -> Vec<(usize, bool, u64)> {
        let orders = std::mem::take(&mut self.orders);
        let word = |action: &Action| match action {
            Action::Tell { worker, message: ToWorker::Leader { leads, term }, .. } => {
                let nth = self.spawned.iter().position(|spawned| spawned == worker)?;
                Some((nth, *leads, *term))
            }
            _ => None,
        };
        orders.iter().filter_map(word).collect()
    }

    /// The words, without their terms.
    fn heard(&mut self) -> Vec<(usize, bool)> {
        self.words().into_iter().map(|(nth, leads, _)| (nth, leads)).collect()
    }

    /// Takes the words, and has the workers confirm them.
    fn confirm(&mut self) -> Vec<(usize, bool)> {
        let words = self.words();
        for (nth, leads, term) in &words {
            let message = FromWorker::Leader { leads: *leads, term: *term };
            self.hear(Event::Received { worker: self.worker(*nth), message });
        }
        words.into_iter().map(|(nth, leads, _)| (nth, leads)).collect()
    }

    fn dies(&mut self, nth: usize) {
        self.hear(Event::Exited { worker: self.worker(nth), status: ExitStatus::Signal(9) });
    }

    fn leaders(&self) -> Vec<usize> {
        let rows = self.supervisor.status().workers;
        let nth = |id| self.spawned.iter().position(|spawned| *spawned == id);
        rows.iter().filter(|row| row.leader).filter_map(|row| nth(row.id)).collect()
    }
}

fn reported(leads: bool) -> FromWorker {
    FromWorker::Online { pid: None, suspended: false, heartbeat: false, leads: Some(leads), counts: None }
}

const NOBODY: [(usize, bool); 0] = [];

#[test]
fn first_worker_that_serves_and_can_leads() {
    let mut desk = Desk::up("workers = 2");
    assert_eq!(desk.heard(), NOBODY);
    desk.hear(Event::Received { worker: desk.worker(1), message: reported(false) });
    assert_eq!((desk.confirm(), desk.leaders()), (vec![(1, true)], vec![1]));
    // One of a lower slot that comes later does not take its place.
    desk.hear(Event::Received { worker: desk.worker(0), message: reported(false) });
    assert_eq!(desk.heard(), NOBODY);
}

#[test]
fn next_one_leads_when_the_former_has_confirmed_its_end_and_not_before() {
    let mut desk = Desk::able("workers = 2");
    assert_eq!(desk.confirm(), [(0, true)]);
    desk.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_able();
    assert_eq!((desk.leaders(), desk.confirm()), (vec![], vec![(0, false)]));
    assert_eq!((desk.heard(), desk.leaders()), (vec![(2, true)], vec![2]));
}

#[test]
fn next_one_leads_when_the_former_is_collected() {
    let mut desk = Desk::able("workers = 2");
    desk.confirm();
    desk.leaves =
        |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. } | Action::Reap { .. });
    desk.ask("r", restart(StartOptions::default()));
    desk.all_able();
    assert_eq!(desk.heard(), [(0, false)]);
    desk.dies(0);
    // What is left of its process group has not been killed.
    assert_eq!(desk.heard(), NOBODY);
    desk.hear(Event::Reaped { worker: desk.worker(0) });
    assert_eq!(desk.heard(), [(2, true)]);
}

#[test]
fn nobody_leads_while_the_app_is_suspended() {
    let mut desk = Desk::able("workers = 2");
    desk.confirm();
    desk.ask("r", restart(suspended()));
    desk.all_able();
    assert_eq!(desk.confirm(), [(0, false)]);
    assert_eq!(desk.heard(), NOBODY);
    desk.ask("s", Request::Resume);
    assert_eq!(desk.heard(), [(2, true)]);
}

#[test]
fn worker_is_told_only_when_the_state_file_says_so() {
    let mut desk = Desk::new("");
    desk.leaves = |action| matches!(action, Action::Persist { .. });
    let done = desk.files.len();
    desk.all_able();
    assert_eq!((desk.heard(), desk.leaders()), (vec![], vec![]));
    assert_eq!(desk.state_file().and_then(|state| state.leadership.leader), Some(desk.worker(0)));
    // What was ordered before has to be written as well.
    for _ in done + 1..desk.files.len() {
        desk.hear(Event::Persisted { result: Ok(()) });
        assert_eq!(desk.heard(), NOBODY);
    }
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    assert_eq!(desk.heard(), NOBODY);
    desk.hear(Event::Persisted { result: Ok(()) });
    assert_eq!(desk.heard(), [(0, true)]);
}

#[test]
fn daemon_that_follows_knows_who_leads_and_tells_it_again() {
    let mut before = Desk::able("workers = 2");
    before.confirm();
    let mut desk = follow(&before, |_| {});
    assert_eq!((desk.heard(), desk.leaders()), (vec![], vec![0]));
    says(&mut desk, 1, reported(false));
    assert_eq!(desk.heard(), NOBODY);
    says(&mut desk, 0, reported(true));
    assert_eq!(desk.heard(), [(0, true)]);

    // It was told that it does not lead any more, and its word was lost.
    before.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    before.ask("r", restart(StartOptions::default()));
    before.all_able();
    let mut desk = follow(&before, |_| {});
    desk.leaves = before.leaves;
    for nth in 2..4 {
        says(&mut desk, nth, reported(false));
    }
    assert_eq!(desk.heard(), NOBODY);
    says(&mut desk, 0, reported(false));
    let Some((0, false, term)) = desk.words().pop() else { panic!("it was not told") };
    says(&mut desk, 0, FromWorker::Leader { leads: false, term: term - 1 });
    assert_eq!(desk.heard(), NOBODY);
    says(&mut desk, 0, FromWorker::Leader { leads: false, term });
    assert_eq!(desk.heard(), [(2, true)]);
}

#[test]
fn without_a_state_file_every_worker_may_lead() {
    let mut before = Desk::able("workers = 2");
    before.confirm();
    // Workers may be able to lead although the configuration does not say so.
    for keys in ["workers = 2", "workers = 2\n[options]\nready = 'http'"] {
        let mut desk = adopt(&before, &config(keys), {
            let mut left = left(&before);
            left.state = None;
            left
        });
        says(&mut desk, 1, reported(false));
        assert_eq!(desk.confirm_over_connections(), [(1, false)], "{keys}");
        says(&mut desk, 0, reported(true));
        assert_eq!(desk.confirm_over_connections(), [(0, false)], "{keys}");
        assert_eq!(desk.heard(), [(0, true)], "{keys}");
    }
}

impl Desk {
    /// As [`confirm`](Self::confirm), by workers that are connected to the control socket.
    fn confirm_over_connections(&mut self) -> Vec<(usize, bool)> {
        let words = self.words();
        for (nth, leads, term) in &words {
            says(self, *nth, FromWorker::Leader { leads: *leads, term: *term });
        }
        words.into_iter().map(|(nth, leads, _)| (nth, leads)).collect()
    }
}

#[test]
fn worker_that_may_lead_and_does_not_report_is_replaced() {
    let mut before = Desk::able("");
    before.heard();
    let mut desk = follow(&before, |_| {});
    desk.pass(std::time::Duration::from_secs(11));
    assert!(desk.story().contains(&"start b".to_owned()));
    // One that had confirmed that it leads goes on.
    let mut before = Desk::able("");
    before.confirm();
    let mut desk = follow(&before, |_| {});
    desk.pass(std::time::Duration::from_secs(11));
    assert!(!desk.story().contains(&"start b".to_owned()));
    assert_eq!(desk.leaders(), [0]);
}

#[test]
fn newer_program_goes_on_where_the_former_was() {
    let mut desk = Desk::able("workers = 2");
    desk.confirm();
    let mut newer = upgraded(desk);
    assert_eq!(newer.leaders(), [0]);
    newer.leaves = |action| matches!(action, Action::Tell { message: ToWorker::Shutdown, .. });
    newer.ask("s", restart(StartOptions::default()));
    newer.all_able();
    assert_eq!(newer.heard(), [(0, false)]);
}

#[test]
fn promoted_standby_is_told_its_slot() {
    let mut desk = Desk::able("standby = 1");
    desk.story();
    desk.dies(0);
    assert!(desk.story().contains(&"tell b slot".to_owned()));
    assert_eq!(desk.record(1).slot, Some(SlotIndex(0)));
}

#[test]
fn worker_learns_its_slot_when_it_is_started() {
    let desk = Desk::new("workers = 2\nstandby = 1");
    let slot = |action: &Action| match action {
        Action::Spawn(order) => {
            order.overrides.iter().find(|(name, _)| name == "NODESOCKD_SLOT").map(|(_, value)| value.clone())
        }
        _ => None,
    };
    let slots: Vec<String> = desk.orders.iter().filter_map(slot).collect();
    assert_eq!(slots, ["0", "1", ""]);
}

#[test]
fn a_worker_that_is_to_go_leads_no_more_although_a_link_still_names_it() {
    let mut desk = Desk::able("workers = 1\nslots = 2");
    assert_eq!(desk.confirm(), [(0, true)]);
    desk.ask("r", restart(StartOptions::default()));
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    desk.all_able();
    assert_eq!(desk.confirm(), [(0, false)]);
    assert_eq!(desk.confirm(), [(1, true)]);
}

#[test]
fn a_worker_that_cannot_be_told_goes_on_to_lead_when_a_deploy_goes_back_to_it() {
    let mut desk = Desk::able("workers = 2");
    assert_eq!(desk.confirm(), [(0, true)]);
    desk.hear(Event::ChannelClosed { worker: desk.worker(0) });
    desk.pass(std::time::Duration::from_secs(1));
    desk.ask("d", Request::Deploy(DeployOptions::default()));
    desk.all_able();
    assert_eq!(desk.heard(), NOBODY, "the old worker leads still");
    desk.breaks(2);
    assert_eq!((desk.heard(), desk.leaders()), (vec![], vec![0]));
}
