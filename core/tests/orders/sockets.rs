//! Sockets that the daemon keeps (`options.listen = "daemon"`): what waits in one waits for whoever serves its slot next.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, Dying, ExitStatus, Failure};
use nodesockd_core::id::Process;
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{Request, StartOptions, ToWorker};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, config, is_spawn, set_workers};
use super::handoff::upgraded;

const DAEMON: &str = "[options]\nlisten = 'daemon'";

fn desk(keys: &str) -> Desk {
    let mut desk = Desk::up(&format!("{keys}\n{DAEMON}"));
    desk.orders.clear();
    desk
}

fn restart() -> Request {
    Request::Restart { options: StartOptions::default(), version: None }
}

/// What the workers that were started inherited.
fn inherited(desk: &Desk) -> Vec<Vec<String>> {
    let listeners = |action: &Action| match action {
        Action::Spawn(order) => Some(order.listeners.clone()),
        _ => None,
    };
    desk.orders.iter().filter_map(listeners).collect()
}

#[test]
fn a_worker_goes_at_once_since_its_successor_empties_the_queue() {
    let mut desk = desk("");
    desk.ask("r", restart());
    desk.all_online();
    let expected = ["start b", "link 0 to b", "tell b resume", "tell a shutdown", "reap a"];
    assert_eq!(desk.story(), expected);
}

#[test]
fn a_worker_without_a_successor_empties_the_queue_itself() {
    let mut scaled = desk("workers = 2");
    scaled.ask("w", set_workers(1));
    let expected = ["remove link 1", "look at b", "tell b shutdown", "reap b", "close 1"];
    assert_eq!(scaled.story(), expected);

    let mut quitting = desk("");
    quitting.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    let expected = ["remove link 0", "look at a", "tell a shutdown", "reap a", "close 0"];
    assert_eq!(quitting.story(), expected);

    let mut stopped = desk("");
    stopped.ask("s", Request::Stop);
    assert_eq!(stopped.story(), expected);
}

#[test]
fn a_stop_in_the_middle_of_a_swap_leaves_the_queue_to_the_worker_that_accepts() {
    let mut desk = desk("");
    desk.leaves = |action| matches!(action, Action::Publish { .. } | Action::Withdraw { .. });
    desk.ask("r", restart());
    desk.all_online();
    desk.ask("s", Request::Stop);
    desk.story();
    desk.published(0, 1, Ok(()));
    assert!(desk.story().contains(&"look at a".to_owned()));
}

#[test]
fn a_worker_that_is_resumed_is_told_which_descriptor_is_its_own() {
    let mut desk = Desk::up(&format!("workers = 2\nstandby = 1\n{DAEMON}"));
    desk.exit(desk.worker(1));
    let told = |action: &Action| match action {
        Action::Tell { worker, message: ToWorker::Resume { fd }, .. } => Some((*worker, *fd)),
        _ => None,
    };
    let told: Vec<_> = desk.orders.iter().filter_map(told).collect();
    let expected = [(0, Some(3)), (1, Some(3)), (2, Some(4))].map(|(nth, fd)| (desk.worker(nth), fd));
    assert_eq!(told, expected);
}

#[test]
fn a_socket_is_kept_while_its_slot_waits_for_a_worker() {
    let mut desk = Desk::new(&format!("standby = 1\n{DAEMON}"));
    desk.exit(desk.worker(0));
    desk.exit(desk.worker(2));
    desk.story();
    desk.pass(Duration::from_millis(99));
    assert_eq!(desk.story(), [""; 0]);
    desk.pass(Duration::from_millis(1));
    assert_eq!(desk.story(), ["start d"]);
}

#[test]
fn all_workers_of_a_slot_inherit_the_same_socket_until_its_name_changes() {
    let mut desk = Desk::up(&format!("workers = 2\n{DAEMON}"));
    let first = inherited(&desk);
    desk.orders.clear();
    desk.ask("r", restart());
    desk.all_online();
    assert_eq!(inherited(&desk), first);
    desk.orders.clear();
    let worker = desk.worker(3);
    desk.exit(worker);
    assert_eq!(inherited(&desk), first[1..]);

    desk.all_online();
    desk.orders.clear();
    desk.config = config(&format!("workers = 2\nsocketFile = 'web.{{worker}}'\n{DAEMON}"));
    desk.ask("reload", Request::Reload);
    desk.all_online();
    assert!(inherited(&desk).iter().flatten().all(|socket| socket.starts_with("web.")));
    assert_eq!(desk.count(|action| matches!(action, Action::Unlisten { .. })), 2);
}

#[test]
fn a_dead_workers_link_stays_because_the_socket_keeps_what_comes() {
    let mut desk = desk("");
    let worker = desk.worker(0);
    desk.exit(worker);
    assert_eq!(desk.story(), ["start b", "reap a"]);
    let worker = desk.worker(1);
    desk.online(worker);
    assert_eq!(desk.story(), ["link 0 to b", "tell b resume"]);
}

#[test]
fn a_standby_has_the_sockets_of_all_slots_that_are_to_be() {
    let mut desk = desk("standby = 1");
    desk.config = config(&format!("workers = 3\nstandby = 2\n{DAEMON}"));
    desk.ask("r", Request::Reload);
    desk.all_online();
    // Two for the new slots, one that is added, and one in place of the one that knows one socket only.
    let numbers: Vec<usize> = inherited(&desk).iter().map(Vec::len).collect();
    assert_eq!(numbers, [1, 1, 3, 3]);
    desk.all_online();
    assert_eq!(desk.supervisor.pending(), None);

    // None is given up when there are fewer slots.
    desk.orders.clear();
    desk.ask("w", set_workers(1));
    assert_eq!(inherited(&desk), Vec::<Vec<String>>::new());
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn a_socket_that_could_not_be_opened_is_opened_for_the_next_worker() {
    let mut desk = desk("");
    desk.leaves = |action| matches!(action, Action::Listen { .. } | Action::Spawn(_));
    desk.config = config(&format!("socketFile = 'web.{{worker}}'\n{DAEMON}"));
    let options = StartOptions { max_attempts: NonZeroU32::new(2), ..StartOptions::default() };
    desk.ask("r", Request::Restart { options, version: Some("3.0.0".into()) });
    let listen = desk.orders.iter().find(|action| matches!(action, Action::Listen { .. })).cloned();
    let Some(Action::Listen { slot, socket }) = listen else { panic!("{:?}", desk.orders) };
    desk.hear(Event::Listening { slot, socket, result: Err(Failure("EACCES".into())) });
    let worker = desk.worker(1);
    desk.story();
    desk.hear(Event::Spawned { worker, result: Err(Failure("no socket".into())) });
    assert_eq!(desk.story(), ["listen for 0", "start c", "remove socket of b"]);
}

#[test]
fn a_socket_that_cannot_be_removed_is_tried_again_and_given_up_at_the_end() {
    let mut desk = desk("workers = 2");
    desk.leaves = |action| matches!(action, Action::Unlisten { .. });
    desk.ask("w", set_workers(1));
    let close = desk.orders.iter().find(|action| matches!(action, Action::Unlisten { .. })).cloned();
    let Some(Action::Unlisten { slot, socket }) = close else { panic!("{:?}", desk.orders) };
    let failed = || Event::Unlistened { slot, socket: socket.clone(), result: Err(Failure("EROFS".into())) };
    let closings = |desk: &Desk| desk.count(|action| matches!(action, Action::Unlisten { .. }));
    desk.orders.clear();
    // The first failure is free.
    desk.hear(failed());
    assert_eq!(closings(&desk), 1);
    desk.hear(failed());
    desk.pass(Duration::from_millis(99));
    assert_eq!(closings(&desk), 1);
    let pending = desk.supervisor.pending().map(|pending| pending.to_string());
    assert_eq!(pending.as_deref(), Some("the socket of slot 1 has to be removed"));
    desk.pass(Duration::from_millis(1));
    assert_eq!(closings(&desk), 2);
    desk.hear(failed());

    // It does not keep the daemon for ever.
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    let quits = |desk: &Desk| desk.count(|action| *action == Action::Quit);
    let mut other = desk.orders.iter().find_map(|action| match action {
        Action::Unlisten { slot, socket: other } if *other != socket => {
            Some(Event::Unlistened { slot: *slot, socket: other.clone(), result: Ok(()) })
        }
        _ => None,
    });
    desk.hear(other.take().unwrap_or_else(|| panic!("{:?}", desk.orders)));
    assert_eq!(quits(&desk), 0);
    for _ in 3..5 {
        desk.pass(Duration::from_secs(1));
        desk.hear(failed());
    }
    assert_eq!(quits(&desk), 1);
    assert_eq!(closings(&desk), 5);
}

#[test]
fn a_worker_that_may_have_accepted_unasked_gets_its_time() {
    // It inherited the socket, and nothing tells it to wait.
    let late = |keys: &str| {
        let mut desk = Desk::new(&format!("[options]\nlisten = 'daemon'\n{keys}"));
        desk.story();
        desk.pass(Duration::from_secs(10));
        let first = desk.story();
        desk.pass(Duration::from_millis(5000));
        let second = desk.story();
        desk.pass(Duration::from_millis(10_000));
        let fits = |order: &String| order.ends_with("to a");
        [first, second, desk.story()].map(|orders| orders.into_iter().filter(fits).collect::<Vec<_>>())
    };
    let none = Vec::<String>::new;
    let (term, kill) = (vec!["SIGTERM to a".to_owned()], vec!["SIGKILL to a".to_owned()]);
    assert_eq!(late("ready = 'report'"), [term.clone(), kill.clone(), none()]);
    assert_eq!(late("ready = 'notify'"), [term, none(), kill]);
}

#[test]
fn one_that_was_ready_and_is_given_up_empties_the_queue_of_a_vacant_slot() {
    let given_up = |ready: &str| {
        let mut desk = Desk::up(&format!("workers = 2\n{DAEMON}\nready = '{ready}'"));
        // The link leads to the neighbour. What has come to the socket before waits there.
        desk.exit(desk.worker(0));
        desk.exit(desk.worker(2));
        let once = StartOptions { max_attempts: Some(NonZeroU32::MIN), ..StartOptions::default() };
        desk.ask("r", Request::Restart { options: once, version: None });
        desk.online(desk.worker(3));
        desk.story();
        desk.exit(desk.worker(4));
        desk.story()
    };
    assert_eq!(given_up("report"), ["tell d shutdown", "reap e", "reap d"]);
    assert_eq!(given_up("notify"), ["look at d", "reap e", "SIGTERM to d"]);
}

#[test]
fn one_that_was_created_too_late_is_killed_unless_it_may_have_accepted() {
    let late = |keys: &str| {
        let mut desk = Desk::new("");
        desk.config = config(keys);
        desk.leaves = |action| matches!(action, Action::Spawn(_));
        desk.all_online();
        desk.ask("r", Request::Reload);
        desk.pass(Duration::from_secs(3));
        desk.story();
        let worker = desk.worker(1);
        let process = Process { pid: 200, started: 1 };
        desk.hear(Event::Spawned { worker, result: Ok(process) });
        let story = desk.story();
        desk.hear(Event::Exited { worker, status: ExitStatus::Signal(15) });
        story
    };
    assert_eq!(late("[options]\nlisten = 'daemon'"), ["SIGKILL to b"]);
    assert_eq!(late("[options]\nready = 'notify'"), ["SIGKILL to b"]);
    assert_eq!(late("[options]\nlisten = 'daemon'\nready = 'notify'"), ["look at b", "SIGTERM to b"]);
}

#[test]
fn a_worker_that_is_being_started_with_a_removed_socket_is_looked_at_when_it_is_ready() {
    let mut desk = desk("");
    desk.leaves = is_spawn;
    desk.ask("r", restart());
    let (worker, socket) = (desk.worker(1), inherited(&desk)[0][0].clone());
    desk.sees(&socket, Sight::Nothing);
    desk.hear(Event::Spawned { worker, result: Ok(Process { pid: 102, started: 1 }) });
    let surveys = |desk: &Desk| desk.count(|action| *action == Action::Survey);
    let before = surveys(&desk);
    desk.online(worker);
    assert_eq!(surveys(&desk), before + 1, "its link would lead nowhere");
}

#[test]
fn a_socket_is_kept_while_its_slot_has_no_worker_at_all() {
    let mut alone = desk("");
    alone.exit(alone.worker(0));
    alone.exit(alone.worker(1));
    assert_eq!(alone.story(), ["start b", "reap a", "reap b"]);

    let mut served = desk("workers = 2");
    served.exit(served.worker(0));
    served.exit(served.worker(2));
    assert_eq!(served.story(), ["link 0 to b", "start c", "reap a", "reap c"]);
}

#[test]
fn a_socket_whose_queue_was_not_emptied_in_time_is_not_used_again() {
    let mut desk = Desk::up(&format!("workers = 2\n{DAEMON}"));
    let former = inherited(&desk);
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. } | Action::Tell { .. });
    desk.ask("fewer", set_workers(1));
    desk.pass(Duration::from_secs(30));
    desk.orders.clear();
    desk.ask("more", set_workers(2));
    let today = inherited(&desk);
    assert_eq!(desk.story(), ["listen for 1", "start c"]);
    assert_ne!(today[0], former[1], "a client that waits is turned away, and not kept for the next worker");
}

#[test]
fn a_socket_that_a_link_named_for_a_worker_that_never_runs_is_not_used_again() {
    let mut desk = desk("workers = 2");
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    let suspended = StartOptions { suspended: true, ..StartOptions::default() };
    desk.ask("r", Request::Restart { options: suspended, version: None });
    desk.all_online();
    desk.published(0, 2, Ok(()));
    desk.published(1, 3, Err("ENOSPC"));
    desk.published(0, 0, Ok(()));
    desk.story();
    desk.ask("again", restart());
    assert_eq!(desk.story(), ["listen for 0", "start e", "start f"]);
}

#[test]
fn a_worker_that_boots_and_may_accept_unasked_is_not_waited_for_if_others_answer() {
    for ready in ["notify", "report"] {
        let mut desk = Desk::up(&format!("workers = 2\n{DAEMON}\nready = '{ready}'"));
        desk.ask("r", restart());
        desk.story();
        desk.exit(desk.worker(3));
        let story = desk.story();
        assert!(story.contains(&"SIGTERM to c".to_owned()), "{story:?}");
        assert!(!story.contains(&"look at c".to_owned()), "{story:?}");
    }
}

#[test]
fn a_standby_that_boots_is_not_asked_to_shut_down() {
    let mut desk = Desk::new(&format!("standby = 1\n{DAEMON}"));
    desk.online(desk.worker(0));
    desk.story();
    desk.ask("s", Request::SetStandby { count: 0 });
    assert_eq!(desk.story(), ["SIGTERM to b"]);
}

#[test]
fn sockets_are_still_the_daemons_after_an_upgrade() {
    let desk = desk("");
    let mut next = upgraded(desk);
    next.ask("r", restart());
    assert_eq!(next.story(), ["start b"]);
}

#[test]
fn whoever_waits_is_turned_away_although_the_worker_dies_slowly() {
    let mut desk = desk("workers = 2\nstandby = 1");
    desk.leaves = |action| matches!(action, Action::MeasureQueue { .. });
    desk.ask("w", set_workers(1));
    desk.story();
    let worker = desk.worker(1);
    desk.hear(Event::Dying { worker, cause: Dying::DumpsCore });
    desk.hear(Event::Exited { worker, status: ExitStatus::Signal(11) });
    let story = desk.story();
    assert!(story.contains(&"tell c shutdown".to_owned()), "{story:?}");
}
