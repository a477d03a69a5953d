//! Links without a worker of their own lead to one that serves another slot.

use nodesockd_core::event::ExitStatus;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::{FoundLink, RecordedStage};
use nodesockd_core::survey::Sight;
use nodesockd_core::wire::{Code, FromWorker, Request, StartOptions};
use nodesockd_core::{Action, Event};

use crate::adoption::{adopt, follow, left, says};
use crate::desk::{Desk, NOTHING, restart, set_workers, suspended, up};
use crate::handoff::upgraded;

/// Which worker each link names, by the orders so far.
fn links(desk: &mut Desk, now: &mut Vec<(u32, char)>) -> String {
    for line in desk.story() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["link", slot, "to", worker] => {
                let slot = slot.parse().unwrap_or_default();
                now.retain(|(its, _)| *its != slot);
                now.push((slot, worker.chars().next().unwrap_or('?')));
            }
            ["remove", "link", slot] => now.retain(|(its, _)| its.to_string() != *slot),
            _ => {}
        }
    }
    now.sort_unstable();
    now.iter().map(|(_, worker)| worker).collect()
}

#[test]
fn neighbour_serves_behind_the_link_of_a_worker_that_died() {
    let mut desk = up("workers = 2");
    desk.exit(desk.worker(0));
    // The link first: to start a process takes longer.
    assert_eq!(desk.story()[..2], ["link 0 to b", "start c"]);
    let vacant = desk.supervisor.status().vacant;
    assert_eq!(vacant.iter().map(|slot| slot.served_by).collect::<Vec<_>>(), [Some(desk.worker(1))]);
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["link 0 to c"]);
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn neighbour_serves_for_a_worker_whose_socket_was_removed() {
    let mut desk = up("workers = 2");
    let socket = desk.config.socket_file.socket(desk.worker(0));
    desk.sees(&socket, Sight::Nothing);
    assert_eq!(desk.story()[..2], ["link 0 to b", "start c"]);
    desk.online(desk.worker(2));
    assert_eq!(desk.story()[0], "link 0 to c");
}

#[test]
fn without_another_worker_the_link_is_removed() {
    let mut desk = up("workers = 2");
    desk.exit(desk.worker(0));
    desk.story();
    desk.exit(desk.worker(1));
    let orders = desk.story();
    assert!(orders.contains(&"remove link 0".to_owned()) && orders.contains(&"remove link 1".to_owned()));
    // Whoever is ready first serves behind both.
    desk.online(desk.worker(3));
    assert_eq!(desk.story(), ["link 1 to d", "link 0 to d"]);
}

#[test]
fn links_are_spread_evenly_and_follow_the_number_of_workers() {
    let (mut desk, mut now) = (Desk::up("workers = 2\nslots = 8"), Vec::new());
    let count = |links: &str, worker: char| links.chars().filter(|its| *its == worker).count();
    let all = links(&mut desk, &mut now);
    assert_eq!((all.len(), count(&all, 'a'), count(&all, 'b')), (8, 4, 4));
    desk.ask("more", set_workers(4));
    desk.all_online();
    let end = desk.end("more").map(|(code, _)| code);
    let all = links(&mut desk, &mut now);
    let counts = ['a', 'b', 'c', 'd'].map(|worker| count(&all, worker));
    assert_eq!((end, counts), (Some(None), [2; 4]));
    desk.ask("fewer", set_workers(1));
    assert_eq!(desk.end("fewer").map(|(code, _)| code), Some(None));
    assert_eq!(links(&mut desk, &mut now), "aaaaaaaa");
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn links_are_not_spread_anew_for_each_worker_that_comes() {
    let mut desk = Desk::new("workers = 4\nslots = 8\n[options]\nboots = 4");
    let mut now = Vec::new();
    desk.online(desk.worker(0));
    assert_eq!(links(&mut desk, &mut now), "aaaaaaaa");
    desk.online(desk.worker(1));
    let count = |links: &str| ['a', 'b', 'c', 'd'].map(|worker| links.matches(worker).count());
    assert_eq!(count(&links(&mut desk, &mut now)), [4, 4, 0, 0]);
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["link 2 to c"]);
    now.retain(|(slot, _)| *slot != 2);
    now.push((2, 'c'));
    desk.pass(std::time::Duration::from_millis(100));
    let mut counts = count(&links(&mut desk, &mut now));
    counts.sort_unstable();
    assert_eq!(counts, [0, 2, 3, 3]);
    // There is nobody to wait for any more.
    desk.online(desk.worker(3));
    assert_eq!(count(&links(&mut desk, &mut now)), [2; 4]);
}

#[test]
fn worker_is_retired_only_when_no_link_names_it() {
    let mut desk = up("workers = 1\nslots = 3");
    desk.ask("r", restart(StartOptions::default()));
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(2), .. });
    desk.online(desk.worker(1));
    let before = desk.story();
    assert!(before.contains(&"link 1 to b".to_owned()), "{before:?}");
    assert!(!before.iter().any(|order| order == "look at a"), "{before:?}");
    assert_eq!(desk.record(0).stage, RecordedStage::Draining, "the next daemon knows that it is to go");
    desk.published(2, 1, Ok(()));
    assert_eq!(desk.story()[0], "look at a");
}

#[test]
fn link_that_cannot_be_led_elsewhere_keeps_its_worker_until_it_can() {
    let mut desk = up("workers = 1\nslots = 2");
    desk.ask("r", restart(StartOptions::default()));
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    desk.online(desk.worker(1));
    desk.published(1, 1, Err("ENOSPC"));
    desk.published(1, 1, Err("ENOSPC"));
    assert!(!desk.story().iter().any(|order| order == "look at a" || order == "remove link 1"));
    desk.leaves = |_| false;
    desk.pass(std::time::Duration::from_millis(100));
    let orders = desk.story();
    assert_eq!(orders[..2], ["link 1 to b", "look at a"]);
}

#[test]
fn no_link_is_led_to_a_worker_of_a_rollout_before_the_swap() {
    let mut desk = up("workers = 2\nslots = 4");
    desk.ask("r", restart(suspended()));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(0));
    let orders = desk.story();
    let links: Vec<&String> = orders.iter().filter(|order| order.starts_with("link")).collect();
    assert!(!links.is_empty() && links.iter().all(|link| link.ends_with("to b")), "{orders:?}");
}

#[test]
fn daemon_keeps_a_slot_s_own_socket_while_a_neighbour_serves() {
    let mut desk = up("workers = 2\n[options]\nlisten = 'daemon'");
    desk.exit(desk.worker(0));
    let orders = desk.story();
    assert!(
        orders.contains(&"link 0 to b".to_owned()) && !orders.contains(&"close 0".to_owned()),
        "{orders:?}"
    );
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["link 0 to c", "tell c resume"]);
    assert_eq!(desk.supervisor.pending(), None);
}

#[test]
fn more_workers_than_links_are_refused_in_words() {
    let mut desk = up("workers = 2\nslots = 3");
    desk.ask("w", set_workers(4));
    let words = "4 workers are more than there are links for nginx (3, key `slots`); raise `slots`, add the links to nginx, and reload both";
    assert_eq!(desk.end("w"), Some((Some(Code::Usage), words.to_owned())));
    desk.ask("fits", set_workers(3));
    desk.all_online();
    assert_eq!(desk.end("fits"), Some((None, String::new())));
}

#[test]
fn stop_removes_all_links() {
    let mut desk = up("workers = 1\nslots = 3");
    desk.ask("s", Request::Stop);
    let orders = desk.story();
    let removed = orders.iter().filter(|order| order.starts_with("remove link")).count();
    assert_eq!((removed, desk.supervisor.pending()), (3, None));
}

#[test]
fn neighbours_are_known_to_the_next_program() {
    let desk = up("workers = 1\nslots = 2");
    let worker = desk.worker(0);
    let mut next = upgraded(desk);
    assert!(!next.story().iter().any(|order| order.starts_with("link")), "nothing is led elsewhere");
    next.hear(Event::Exited { worker, status: ExitStatus::Code(1) });
    assert!(next.story().contains(&"remove link 1".to_owned()));
}

#[test]
fn a_spare_slots_link_that_somebody_has_removed_is_made_again() {
    let mut desk = up("workers = 1\nslots = 2");
    let link = desk.config.socket_file.link(SlotIndex(1));
    desk.sees(&link, Sight::Nothing);
    assert_eq!(desk.story(), ["link 1 to a"]);
    assert_eq!(desk.supervisor.status().spare, [(SlotIndex(1), Some(desk.worker(0)))]);
}

#[test]
fn a_worker_that_is_to_go_serves_for_others_if_it_is_the_last_that_can() {
    let mut desk = up("workers = 2\nslots = 4");
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.ask("w", set_workers(1));
    assert_eq!(desk.story(), ["link 1 to a", "link 2 to a"]);
    desk.exit(desk.worker(0));
    assert_eq!(desk.story()[..3], ["link 0 to b", "start c", "link 3 to b"]);
}

#[test]
fn links_of_spare_slots_stay_while_the_socket_that_they_name_keeps_what_comes() {
    let daemon = "workers = 1\nslots = 2\n[options]\nlisten = 'daemon'";
    let mut desk = up(daemon);
    desk.exit(desk.worker(0));
    desk.exit(desk.worker(1));
    assert_eq!(desk.story(), ["start b", "reap a", "reap b"]);
    desk.pass(std::time::Duration::from_secs(1));
    desk.online(desk.worker(2));
    assert_eq!(desk.story(), ["start c", "link 0 to c", "tell c resume"]);

    // The socket of an earlier daemon does, if a standby takes that over.
    let before = up(&format!("standby = 1\n{daemon}"));
    let mut desk = follow(&before, |_| {});
    says(&mut desk, 0, FromWorker::online(false));
    says(&mut desk, 1, FromWorker::online(true));
    desk.story();
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.exit(desk.worker(0));
    assert_eq!(desk.story(), ["reap a", "link 0 to b"]);
    desk.published(0, 1, Ok(()));
    assert_eq!(desk.story(), ["tell b resume", "listen for 0", "start c"]);
}

#[test]
fn links_to_a_removed_socket_do_not_wait_for_a_worker_that_has_inherited_it() {
    let mut desk = up("workers = 2\nslots = 3\n[options]\nlisten = 'daemon'");
    let socket = desk.socket(0);
    desk.exit(desk.worker(1));
    desk.exit(desk.worker(0));
    desk.story();
    desk.sees(&socket, Sight::Nothing);
    let orders = desk.story();
    assert!((0..3).all(|slot| orders.contains(&format!("remove link {slot}"))), "{orders:?}");
}

#[test]
fn no_link_is_led_to_a_worker_whose_socket_was_removed() {
    let mut desk = up("standby = 2");
    desk.leaves = |action| matches!(action, Action::Examine { .. });
    let socket = desk.config.socket_file.socket(desk.worker(0));
    desk.sees(&socket, Sight::Nothing);
    assert_eq!(desk.story(), NOTHING, "the standbys have to give a sign of life first");
}

#[test]
fn link_that_an_earlier_daemon_has_led_to_a_neighbour_stays() {
    // Nobody serves the second slot, or its worker is dead. The link of the first one is gone.
    for (keys, orders) in [("slots = 2", &["link 0 to a"][..]), ("workers = 2", &["link 0 to a", "start c"])]
    {
        let before = up(keys);
        let mut left = left(&before);
        let socket = left.links[0].socket.clone();
        let name = before.config.socket_file.link(SlotIndex(1));
        left.links = vec![FoundLink { slot: SlotIndex(1), name, socket }];
        left.survivors.truncate(1);
        assert_eq!(adopt(&before, &before.config, left).story(), orders, "{keys}");
    }
}

#[test]
fn links_of_spare_slots_stay_with_an_active_worker_while_no_suspended_one_can_serve() {
    let mut before = up("slots = 2");
    before.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    before.ask("r", restart(suspended()));
    before.all_online();
    // The daemon and the new worker died between the links.
    let mut left = left(&before);
    assert_eq!(left.links[0].socket, before.socket(1));
    let name = before.config.socket_file.link(SlotIndex(1));
    left.links.push(FoundLink { slot: SlotIndex(1), name, socket: before.socket(0) });
    left.survivors.truncate(1);
    let mut desk = adopt(&before, &before.config, left);
    assert_eq!(desk.story(), ["start c"]);
    desk.all_online();
    assert_eq!(desk.story()[..2], ["link 0 to c", "link 1 to c"]);
}

#[test]
fn links_leave_a_broken_worker_and_are_spread_over_the_others() {
    let (mut desk, mut now) = (Desk::up("workers = 3\nslots = 5"), Vec::new());
    links(&mut desk, &mut now);
    let moment = std::time::Duration::from_millis(200);
    let guests = |desk: &mut Desk, now: &mut Vec<_>| {
        desk.pass(moment);
        links(desk, now).split_off(3)
    };
    assert!(guests(&mut desk, &mut now).contains('a'));
    desk.breaks(0);
    assert!(!guests(&mut desk, &mut now).contains('a'));
    // The others go on being spread meanwhile.
    desk.exit(desk.worker(1));
    assert_eq!(guests(&mut desk, &mut now), "cc");
    desk.online(desk.worker(4));
    let mut spread: Vec<char> = guests(&mut desk, &mut now).chars().collect();
    spread.sort_unstable();
    assert_eq!(spread, ['c', 'e']);
}

#[test]
fn a_link_that_cannot_be_spread_is_waited_for_in_peace() {
    let mut desk = up("workers = 1\nslots = 4");
    desk.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(2 | 3), .. });
    desk.ask("more", set_workers(2));
    desk.online(desk.worker(1));
    let step = std::time::Duration::from_millis(100);
    for _ in 0..2 {
        // The first failure is free.
        while let Some(slot) = desk.story().iter().find_map(|line| match line.as_str() {
            "link 2 to b" => Some(2),
            "link 3 to b" => Some(3),
            _ => None,
        }) {
            desk.published(slot, 1, Err("ENOSPC"));
        }
        desk.stand_still(step);
    }
    // Links may be spread again, and these cannot be moved yet.
    let next = desk.supervisor.poll_timeout().map(|(at, _)| at);
    assert_eq!((desk.story(), next), (Vec::new(), Some(desk.now + step)));
}

#[test]
fn worker_that_is_to_go_stays_while_the_link_of_a_dead_worker_names_its_socket() {
    let mut desk = up("workers = 2\n[options]\nlisten = 'daemon'");
    // Both slots have lost workers, and wait before they start the next one.
    desk.exit(desk.worker(0));
    desk.online(desk.worker(2));
    desk.exit(desk.worker(2));
    desk.pass(std::time::Duration::from_secs(1));
    desk.online(desk.worker(3));
    desk.exit(desk.worker(1));
    desk.exit(desk.worker(4));
    // The second link of a restart cannot be swapped, and the first one not back at once.
    desk.leaves = |action| matches!(action, Action::Publish { .. });
    desk.ask("r", restart(StartOptions::default()));
    let (old, new, other, full) = (3, 5, 6, Err("ENOSPC"));
    desk.online(desk.worker(new));
    desk.online(desk.worker(other));
    desk.published(0, new, Ok(()));
    desk.published(1, other, full);
    desk.published(0, old, full);
    desk.published(0, old, Ok(()));
    // The new worker is to go, and the link of the second slot cannot be led to the old one.
    desk.published(1, new, Ok(()));
    desk.published(1, old, full);
    desk.published(1, old, full);
    desk.leaves = |_| false;
    desk.exit(desk.worker(old));
    desk.pass(std::time::Duration::from_millis(120));
    desk.story();
    desk.online(desk.worker(7));
    let orders = ["link 1 to h", "tell h resume", "link 0 to h", "look at f", "tell f shutdown", "reap f"];
    assert_eq!(desk.story(), orders);
}
