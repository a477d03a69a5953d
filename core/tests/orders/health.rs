//! Workers that hang, standbys that give no sign of life, and workers that do not confirm `resume`.

use std::time::Duration;

use nodesockd_core::action::WorkerSignal;
use nodesockd_core::event::{ExitStatus, Vitals};
use nodesockd_core::id::WorkerId;
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{Body, Code, FromWorker, Request, ToWorker, WorkerState};
use nodesockd_core::{Action, Event};

use crate::adoption::{follow, says};
use crate::desk::{Desk, config, restart, suspended, with_heartbeat};
use crate::handoff::upgraded;
use crate::log::warnings;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(10);

impl Desk {
    /// All workers that were started have reported, and answer questions from now on.
    fn with_heartbeats(keys: &str) -> Self {
        let mut desk = Self::new(keys);
        let slots = desk.config.workers.get();
        for (nth, worker) in (0..).zip(desk.spawned.clone()) {
            desk.reports_with_heartbeat(worker, nth >= slots);
        }
        desk.orders.clear();
        desk
    }

    fn reports_with_heartbeat(&mut self, worker: WorkerId, suspended: bool) {
        let message = with_heartbeat(suspended);
        self.hear(Event::Received { worker, message });
    }

    /// The numbers of the questions that the worker was asked.
    fn pings(&self, of: WorkerId) -> Vec<u64> {
        let ping = |order: &Action| match order {
            Action::Tell { worker, message: ToWorker::Ping { seq }, .. } if *worker == of => Some(*seq),
            _ => None,
        };
        self.orders.iter().filter_map(ping).collect()
    }

    fn answers(&mut self, worker: WorkerId) {
        let Some(seq) = self.pings(worker).pop() else { panic!("it was not asked") };
        self.hear(Event::Received { worker, message: FromWorker::Pong { seq, inspected: false, held: 0 } });
    }

    fn is_terminated(&self, of: WorkerId) -> bool {
        self.orders.iter().any(terminates(of))
    }

    fn was_told(&self, of: WorkerId, what: &ToWorker) -> bool {
        self.orders.iter().any(
            |order| matches!(order, Action::Tell { worker, message, .. } if *worker == of && message == what),
        )
    }

    fn position(&self, what: impl Fn(&Action) -> bool) -> usize {
        let Some(position) = self.orders.iter().position(what) else { panic!("it was not ordered") };
        position
    }

    fn serves(&self, slot: usize) -> WorkerId {
        self.supervisor.status().workers[slot].id
    }
}

fn terminates(of: WorkerId) -> impl Fn(&Action) -> bool {
    move |order| matches!(order, Action::Terminate { worker, .. } if *worker == of)
}

fn publishes(of: WorkerId) -> impl Fn(&Action) -> bool {
    move |order| matches!(order, Action::Publish { worker, .. } if *worker == of)
}

#[test]
fn hung_worker_loses_its_link_first_and_is_ended_by_a_signal() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    let [hung, standby] = desk.spawned[..] else { panic!() };
    for _ in 0..3 {
        desk.pass(10 * SECOND);
        desk.answers(standby);
    }
    assert_eq!(desk.pings(hung), [1], "one question is enough");
    desk.pass(Duration::from_millis(300));
    assert_eq!(desk.supervisor.status().workers[0].state, WorkerState::Broken);
    let reason = desk.supervisor.status().workers[0].reason.clone().unwrap();
    assert!(reason.starts_with("it hangs: its event loop has not answered for 30."), "{reason}");
    assert!(!desk.is_terminated(hung), "it has its link until the standby has answered");
    desk.answers(standby);
    assert_eq!(desk.serves(0), standby);
    assert!(desk.position(publishes(standby)) < desk.position(terminates(hung)));
    assert!(desk.is_terminated(hung));
    assert!(!desk.was_told(hung, &ToWorker::Shutdown));
    let measured = desk.orders.iter().any(|order| matches!(order, Action::CountWaiting { .. }));
    assert!(!measured, "nothing is taken from its accept queue any more");
    desk.pass(5 * SECOND);
    let kill = |order: &Action| matches!(order, Action::Signal { worker, signal: WorkerSignal::KillGroup, .. } if *worker == hung);
    assert!(desk.orders.iter().any(kill));
}

#[test]
fn worker_without_heartbeat_and_worker_under_development_are_not_asked() {
    for (keys, heartbeat) in
        [("workers = 1", false), ("devServer = true", true), ("[health]\nhangTimeout = 0", true)]
    {
        let mut desk = Desk::new(keys);
        let worker = desk.spawned[0];
        let message =
            FromWorker::Online { pid: None, suspended: false, heartbeat, leads: None, counts: None };
        desk.hear(Event::Received { worker, message });
        // With the dev server, workers' stderr is taken in.
        desk.hear(Event::SinkReady { version: "3.0.0".into() });
        desk.orders.clear();
        desk.pass(100 * SECOND);
        assert_eq!(desk.orders, [], "{keys}");
    }
}

#[test]
fn reload_that_begins_development_ends_the_watch_over_workers() {
    let mut desk = Desk::with_heartbeats("");
    let worker = desk.spawned[0];
    desk.config = config("devServer = 8000");
    desk.ask("r", Request::Reload);
    assert_eq!(desk.spawned.len(), 1, "the worker stays");
    desk.pass(100 * SECOND);
    assert_eq!(desk.pings(worker), [0; 0]);
    desk.config = config("");
    desk.ask("s", Request::Reload);
    desk.pass(10 * SECOND);
    assert_eq!(desk.pings(worker).len(), 1);
}

#[test]
fn reload_says_how_long_a_worker_may_be_silent_that_is_silent_already() {
    let mut desk = Desk::with_heartbeats("[health]\nhangTimeout = 600000");
    let worker = desk.spawned[0];
    desk.pass(60 * SECOND);
    assert_eq!(desk.supervisor.status().workers[0].state, WorkerState::Online);
    desk.config = config("[health]\nhangTimeout = 70000");
    desk.ask("r", Request::Reload);
    desk.pass(30 * SECOND);
    let reason = desk
        .supervisor
        .status()
        .workers
        .iter()
        .find(|row| row.id == worker)
        .and_then(|row| row.reason.clone());
    assert!(reason.as_ref().is_some_and(|reason| reason.contains("hangTimeout = 70000")), "{reason:?}");
}

#[test]
fn worker_has_two_thirds_of_its_time_from_the_question_on() {
    let reloaded = |before: &str, pause: Duration, after: &str| {
        let mut desk = Desk::with_heartbeats(&format!("[health]\nhangTimeout = {before}"));
        desk.pass(pause);
        desk.config = config(&format!("[health]\nhangTimeout = {after}"));
        desk.ask("r", Request::Reload);
        desk
    };
    let late = || {
        let mut desk = Desk::with_heartbeats("[health]\nhangTimeout = 3000");
        desk.pass(SECOND - MOMENT);
        desk.now = desk.now + 50 * MOMENT;
        desk
    };
    let held_up = || {
        let mut desk = Desk::with_heartbeats("[health]\nhangTimeout = 3000");
        desk.pass(SECOND);
        desk.now = desk.now + SECOND + 40 * MOMENT;
        desk
    };
    for (case, mut desk) in [
        ("the daemon is late", late()),
        ("what was ordered before the question takes long", held_up()),
        ("nobody was asked before", reloaded("0", 100 * SECOND, "3000")),
        ("it was asked less often", reloaded("60000", 9 * SECOND, "3000")),
        ("its question is open", reloaded("60000", 10 * SECOND + MOMENT, "3000")),
    ] {
        let worker = desk.spawned[0];
        while desk.pings(worker).is_empty() {
            desk.pass(MOMENT);
        }
        desk.pass(2 * SECOND);
        assert_eq!(desk.supervisor.status().workers[0].state, WorkerState::Online, "{case}");
        desk.pass(SECOND);
        assert_eq!(desk.supervisor.status().workers[0].state, WorkerState::Broken, "{case}");
    }
}

#[test]
fn worker_is_asked_further_questions_after_an_upgrade() {
    let mut desk = Desk::with_heartbeats("");
    let worker = desk.spawned[0];
    desk.pass(10 * SECOND);
    desk.answers(worker);
    assert_eq!(desk.pings(worker), [1]);
    let mut next = upgraded(desk);
    next.pass(11 * SECOND);
    assert_eq!(next.pings(worker), [2]);
}

/// What is said of a worker that does not answer, by what the kernel tells of it twice.
fn hangs(before: (char, u64), after: (char, u64)) -> String {
    let mut desk = Desk::with_heartbeats("");
    desk.leaves = |action| matches!(action, Action::Examine { .. });
    let worker = desk.spawned[0];
    let mut told = [before, after].into_iter();
    for _ in 0..400 {
        desk.pass(Duration::from_millis(100));
        let asked = desk.orders.iter().any(|order| matches!(order, Action::Examine { .. }));
        desk.orders.retain(|order| !matches!(order, Action::Examine { .. }));
        let next = if asked { told.next() } else { None };
        if let Some((state, cpu)) = next {
            let vitals = Vitals { state, cpu: Duration::from_secs(cpu), waits_in: None, traced: false };
            desk.hear(Event::Examined { worker, result: Ok(vitals) });
        }
    }
    let status = desk.supervisor.status();
    status.workers.iter().find_map(|row| row.reason.clone()).unwrap_or_default()
}

#[test]
fn worker_that_hangs_loops_or_sleeps() {
    for (before, after, does) in [
        (('R', 0), ('R', 0), "it loops"),
        (('S', 0), ('R', 100), "it loops"),
        (('R', 0), ('S', 0), "it sleeps"),
        (('S', 0), ('R', 0), "it sleeps"),
        (('S', 0), ('S', 8), "it loops"),
        (('S', 0), ('S', 4), "it sleeps"),
        (('S', 0), ('T', 0), "it is stopped (SIGSTOP)"),
    ] {
        let words = hangs(before, after);
        assert!(words.contains(does), "{before:?}, {after:?}: {words}");
    }
}

#[test]
fn worker_without_heartbeat_is_replaced_when_nothing_is_taken_from_its_queue() {
    let mut desk = Desk::up("[health]\nhangTimeout = 5000");
    let hung = desk.spawned[0];
    let lists = |order: &Action| matches!(order, Action::ListQueue { worker, .. } if *worker == hung);
    desk.leaves = |action| matches!(action, Action::ListQueue { .. });
    desk.pass(SECOND);
    assert_eq!(desk.orders.iter().filter(|order| lists(order)).count(), 1);
    for _ in 0..7 {
        desk.hear(Event::QueueListed { worker: hung, result: Ok(vec![7, 8]) });
        desk.pass(SECOND);
    }
    let reason = desk.supervisor.status().workers[0].reason.clone().unwrap();
    assert!(
        reason.starts_with("it hangs: requests wait, and nothing was taken from its accept queue"),
        "{reason}"
    );
    let new = desk.spawned[1];
    desk.online(new);
    assert_eq!(desk.serves(0), new);
    assert!(desk.position(publishes(new)) < desk.position(terminates(hung)));
    assert!(!desk.was_told(hung, &ToWorker::Shutdown));
}

#[test]
fn queue_of_a_suspended_worker_may_wait() {
    let mut desk = Desk::up("[health]\nhangTimeout = 5000");
    desk.ask("1", restart(suspended()));
    let new = desk.spawned[1];
    desk.hear(Event::Received { worker: new, message: FromWorker::online(true) });
    desk.pass(20 * SECOND);
    desk.orders.clear();
    desk.pass(20 * SECOND);
    let counts = |order: &Action| matches!(order, Action::CountWaiting { .. });
    assert!(desk.orders.iter().all(counts), "{:?}", desk.orders);
    desk.ask("2", Request::Resume);
    desk.pass(SECOND);
    assert!(
        desk.orders.iter().any(|order| matches!(order, Action::ListQueue { worker, .. } if *worker == new))
    );
}

#[test]
fn standbys_are_asked_together_and_the_first_to_answer_is_promoted() {
    let mut desk = Desk::with_heartbeats("standby = 2");
    let [crashed, silent, standby] = desk.spawned[..] else { panic!() };
    desk.pass(SECOND);
    desk.hear(Event::Exited { worker: crashed, status: ExitStatus::Signal(9) });
    assert_eq!((desk.pings(silent).len(), desk.pings(standby).len()), (1, 1));
    assert!(!desk.orders.iter().any(|order| matches!(order, Action::Publish { .. })), "nobody has answered");
    assert_eq!(desk.spawned.len(), 3, "nobody is started while an answer may come");
    desk.answers(standby);
    assert_eq!(desk.serves(0), standby);
    assert!(desk.was_told(standby, &ToWorker::Resume { fd: None }));
}

#[test]
fn removed_link_of_a_broken_worker_is_made_again_while_a_standby_is_asked() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    let [broken, standby] = desk.spawned[..] else { panic!() };
    desk.pass(SECOND);
    let message = FromWorker::Broken { reason: None };
    desk.hear(Event::Received { worker: broken, message });
    assert_eq!(desk.pings(standby).len(), 1);
    desk.sees("app.0.sock", Sight::Nothing);
    assert!(
        desk.orders.iter().any(publishes(broken)),
        "the broken worker serves until the standby has answered"
    );
    desk.answers(standby);
    assert_eq!(desk.serves(0), standby);
}

#[test]
fn slot_gets_a_new_worker_when_no_standby_answers() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    let [crashed, silent] = desk.spawned[..] else { panic!() };
    desk.pass(SECOND);
    desk.hear(Event::Exited { worker: crashed, status: ExitStatus::Signal(9) });
    desk.pass(Duration::from_millis(999));
    assert_eq!(desk.spawned.len(), 2);
    desk.pass(MOMENT);
    let [.., new] = desk.spawned[..] else { panic!() };
    assert_ne!(new, silent);
    desk.reports_with_heartbeat(new, false);
    assert_eq!(desk.serves(0), new);
    desk.pass(60 * SECOND);
    assert!(desk.is_terminated(silent), "a standby that hangs is replaced");
}

#[test]
fn standby_that_answers_late_is_promoted_then() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    let [crashed, late] = desk.spawned[..] else { panic!() };
    desk.pass(SECOND);
    desk.hear(Event::Exited { worker: crashed, status: ExitStatus::Signal(9) });
    desk.pass(2 * SECOND);
    desk.answers(late);
    assert_eq!(desk.serves(0), late);
}

#[test]
fn resume_waits_for_the_word_of_each_worker() {
    let mut desk = Desk::with_heartbeats("workers = 2");
    desk.ask("1", restart(suspended()));
    let new = desk.spawned[2..].to_vec();
    new.iter().for_each(|worker| desk.reports_with_heartbeat(*worker, true));
    desk.pass(SECOND);
    desk.orders.clear();
    assert!(desk.ask("2", Request::Resume).is_empty(), "nobody has confirmed");
    assert!(new.iter().all(|worker| desk.was_told(*worker, &ToWorker::Resume { fd: None })));
    desk.answers(new[0]);
    assert!(desk.replies("2").is_empty());
    desk.answers(new[1]);
    let body = Some(Body::Resumed { pid: 1, unconfirmed: Vec::new() });
    assert_eq!(desk.replies("2").pop().map(|reply| reply.body), Some(body));
}

#[test]
fn resume_names_who_did_not_confirm() {
    let mut desk = Desk::with_heartbeats("workers = 2");
    desk.ask("1", restart(suspended()));
    let new = desk.spawned[2..].to_vec();
    desk.reports_with_heartbeat(new[0], true);
    // One of 2.x.
    desk.online(new[1]);
    desk.pass(SECOND);
    desk.ask("2", Request::Resume);
    // Whoever asks meanwhile is told the same.
    desk.ask("3", Request::Resume);
    desk.pass(5 * SECOND);
    for id in ["2", "3"] {
        let reply = desk.replies(id).pop().unwrap();
        assert_eq!((reply.code, reply.errors.len()), (Some(Code::TimeOut), 1));
        assert!(reply.errors[0].contains(&new[0].short()) && reply.errors[0].contains("has not confirmed"));
    }
    assert!(!desk.supervisor.status().suspended, "the app is resumed all the same");
    // Whoever asks again is not told that all is well before it is.
    assert!(desk.ask("4", Request::Resume).is_empty());
    desk.answers(new[0]);
    assert_eq!(desk.replies("4").pop().map(|reply| reply.errors), Some(Vec::new()));
}

#[test]
fn resume_waits_after_an_upgrade_for_the_word_that_was_owed_before() {
    let mut desk = Desk::with_heartbeats("");
    desk.ask("1", restart(suspended()));
    let new = desk.spawned[1];
    desk.reports_with_heartbeat(new, true);
    desk.ask("2", Request::Resume);
    desk.pass(5 * SECOND);
    assert_eq!(desk.end("2").map(|(code, _)| code), Some(Some(Code::TimeOut)));
    let mut next = upgraded(desk);
    assert!(next.ask("3", Request::Resume).is_empty());
    next.answers(new);
    assert_eq!(next.end("3"), Some((None, String::new())));
}

#[test]
fn resume_tells_who_cannot_confirm() {
    let mut desk = Desk::up("workers = 1");
    desk.ask("1", restart(suspended()));
    let new = desk.spawned[1];
    desk.online(new);
    let reply = desk.ask("2", Request::Resume).pop().unwrap();
    assert_eq!(reply.body, Some(Body::Resumed { pid: 1, unconfirmed: vec![new] }));
}

#[test]
fn worker_that_fails_its_checks_is_replaced_as_a_broken_one() {
    let mut desk = Desk::up("[health]\npath = '/fit'\nfailures = 2");
    let unfit = desk.spawned[0];
    let asked = |order: &Action| matches!(order, Action::Probe { path, .. } if path == "/fit");
    for _ in 0..2 {
        desk.orders.clear();
        desk.pass(10 * SECOND);
        assert_eq!(desk.orders.iter().filter(|order| asked(order)).count(), 1);
        desk.hear(Event::Probed { worker: unfit, result: Ok(503) });
    }
    let row = desk.supervisor.status().workers[0].clone();
    let reason = "GET /fit failed 2 times in a row (health.path): it was answered with 503";
    assert_eq!((row.state, row.reason.as_deref()), (WorkerState::Broken, Some(reason)));
    let new = desk.spawned[1];
    desk.online(new);
    assert_eq!(desk.serves(0), new);
    assert!(!desk.is_terminated(unfit), "it is drained and told to shut down");
}

#[test]
fn only_active_workers_are_checked() {
    let mut desk = Desk::new("health.path = '/fit'\noptions.onlineTimeout = 60000");
    let checked = |desk: &mut Desk| {
        desk.orders.clear();
        desk.pass(10 * SECOND);
        desk.count(|order| matches!(order, Action::Probe { path, .. } if path == "/fit")) > 0
    };
    assert!(!checked(&mut desk), "it is booting");
    desk.online(desk.worker(0));
    assert!(checked(&mut desk));
    desk.ask("r", restart(suspended()));
    desk.online(desk.worker(1));
    assert!(!checked(&mut desk), "it is suspended");
    desk.ask("q", Request::Resume);
    assert!(checked(&mut desk));
}

#[test]
fn a_standby_that_gives_no_sign_of_life_is_spoken_of() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    desk.pass(SECOND);
    let lines = warnings(|| {
        desk.exit(desk.worker(0));
        desk.pass(2 * SECOND);
    });
    let line = "WARN standby gives no sign of life and is not promoted";
    assert!(lines.iter().any(|said| said.starts_with(line)), "{lines:?}");
}

#[test]
fn a_standby_is_asked_again_only_when_the_link_may_be_swapped() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    desk.pass(SECOND);
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.exit(desk.worker(0));
    let standby = desk.worker(1);
    desk.answers(standby);
    for failures in 1..5 {
        desk.pass(SECOND);
        desk.orders.clear();
        desk.published(0, 1, Err("EMFILE"));
        // After the first failure the link is tried again at once; later the answer would be too old by then.
        assert_eq!(desk.pings(standby).is_empty(), failures > 1);
        desk.pass(20 * SECOND);
        desk.answers(standby);
    }
}

#[test]
fn a_sign_of_life_counts_for_a_moment_only() {
    let mut desk = Desk::with_heartbeats("standby = 2");
    let [first, second, third] = desk.spawned[..] else { panic!() };
    desk.pass(SECOND);
    desk.exit(first);
    desk.answers(third);
    desk.answers(second);
    desk.pass(Duration::from_millis(200));
    desk.orders.clear();
    desk.exit(third);
    assert_eq!(desk.pings(second).len(), 1, "it may have begun to hang since");
    assert!(!desk.orders.iter().any(publishes(second)));
    desk.answers(second);
    assert_eq!(desk.serves(0), second);
}

#[test]
fn a_standby_has_its_time_again_when_the_daemon_was_too_busy_to_hear_it() {
    let mut desk = Desk::with_heartbeats("standby = 1");
    desk.pass(SECOND);
    desk.exit(desk.worker(0));
    desk.now = desk.now + 5 * SECOND;
    desk.pass(Duration::ZERO);
    assert_eq!(desk.spawned.len(), 2, "its answer may have come meanwhile");
    desk.pass(SECOND + MOMENT);
    assert_eq!(desk.spawned.len(), 3);
}

#[test]
fn worker_that_takes_what_waits_is_not_replaced_although_more_comes() {
    let mut desk = Desk::up("[health]\nhangTimeout = 5000");
    desk.leaves = |action| matches!(action, Action::ListQueue { .. });
    let worker = desk.spawned[0];
    for next in 0..20 {
        desk.orders.clear();
        desk.pass(SECOND);
        if desk.orders.iter().any(desk.leaves) {
            desk.hear(Event::QueueListed { worker, result: Ok(vec![next, next + 1]) });
        }
    }
    assert_eq!((desk.spawned.len(), desk.supervisor.status().workers[0].reason.clone()), (1, None));
}

#[test]
fn worker_without_heartbeat_is_watched_although_its_channel_is_closed() {
    let mut desk = Desk::up("[options]\nready = 'notify'\n[health]\nhangTimeout = 5000");
    desk.pass(SECOND);
    desk.hear(Event::ChannelClosed { worker: desk.worker(0) });
    desk.orders.clear();
    desk.pass(3 * SECOND);
    assert!(desk.orders.iter().any(|order| matches!(order, Action::ListQueue { .. })));
}

/// The worker reports over a connection, and answers whatever it is asked there.
fn stays_well(mut desk: Desk) {
    let message = with_heartbeat(false);
    says(&mut desk, 0, message);
    for _ in 0..60 {
        desk.orders.clear();
        desk.pass(SECOND);
        for seq in desk.pings(desk.worker(0)) {
            says(&mut desk, 0, FromWorker::Pong { seq, inspected: false, held: 0 });
        }
    }
    assert_eq!((desk.spawned.len(), desk.supervisor.status().workers[0].reason.clone()), (1, None));
}

#[test]
fn worker_is_asked_anew_over_another_channel() {
    let mut desk = Desk::with_heartbeats("");
    let worker = desk.spawned[0];
    desk.pass(11 * SECOND);
    assert_eq!(desk.pings(worker), [1]);
    // It may never have heard that.
    desk.hear(Event::ChannelClosed { worker });
    stays_well(desk);
}

#[test]
fn worker_that_reports_to_the_next_daemon_is_asked_and_not_judged_by_its_queue() {
    let before = Desk::up("[health]\nhangTimeout = 5000");
    let mut desk = follow(&before, |_| ());
    let worker = desk.worker(0);
    desk.leaves = |action| matches!(action, Action::ListQueue { .. });
    desk.pass(SECOND);
    desk.hear(Event::QueueListed { worker, result: Ok(vec![7, 8]) });
    stays_well(desk);
}

#[test]
fn report_is_no_answer() {
    let mut desk = Desk::with_heartbeats("");
    let worker = desk.spawned[0];
    desk.pass(25 * SECOND);
    desk.reports_with_heartbeat(worker, false);
    desk.pass(8 * SECOND);
    assert_eq!(desk.supervisor.status().workers[0].state, WorkerState::Broken);
}

#[test]
fn a_worker_confirms_that_it_was_resumed_by_what_it_reports_over_another_channel() {
    let mut desk = Desk::new("[health]\nhangTimeout = 0");
    desk.reports_with_heartbeat(desk.worker(0), false);
    desk.ask("1", restart(suspended()));
    let new = desk.worker(1);
    desk.reports_with_heartbeat(new, true);
    desk.ask("2", Request::Resume);
    desk.hear(Event::ChannelClosed { worker: new });
    says(&mut desk, 1, with_heartbeat(false));
    assert_eq!(desk.end("2"), Some((None, String::new())));
}
