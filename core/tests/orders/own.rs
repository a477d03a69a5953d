//! What the daemon keeps for itself, and makes again when others have removed it.

use std::time::Duration;

use nodesockd_core::event::Failure;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::survey::{Own, Sight, Survey};
use nodesockd_core::wire::{Body, Request};
use nodesockd_core::{Action, Event};

use super::desk::{Desk, up};
use super::log::warnings;

/// A survey finds these missing.
fn lose(desk: &mut Desk, lost: &[Own]) {
    let lost = lost.iter().map(|own| (*own, format!("/run/{}", own.thing()).into())).collect();
    desk.hear(Event::Surveyed(Survey { lost, ..Survey::default() }));
}

/// What was ordered to be made again within `time`.
fn made(desk: &mut Desk, time: Duration) -> Vec<Own> {
    desk.orders.clear();
    desk.pass(time);
    let what = |action: &Action| if let Action::Restore { what } = action { Some(*what) } else { None };
    desk.orders.iter().filter_map(what).collect()
}

#[test]
fn what_is_gone_is_named_and_made_again() {
    for own in [Own::Lock, Own::ControlSocket, Own::MetricsSocket] {
        let mut desk = up("");
        let (what, path) = (own.thing().replace('-', " "), format!("/run/{}", own.thing()));
        let lines = warnings(|| lose(&mut desk, &[own]));
        let said = format!(
            "WARN the {what} `{path}` is gone, perhaps by a cleaner of temporary files; it is made again"
        );
        assert_eq!(lines, [said]);
        assert_eq!(desk.count(|action| *action == Action::Restore { what: own }), 1);
        desk.ask("w", Request::WatchEvents);
        desk.hear(Event::Restored { what: own, result: Ok(()) });
        let told = desk.replies("w").into_iter().filter_map(|reply| match reply.body {
            Some(Body::Occurred { occurrence, .. }) => Some(occurrence.name()),
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), ["repaired"]);
        assert_eq!(made(&mut desk, Duration::from_secs(3600)), []);
    }
}

#[test]
fn nothing_is_made_in_a_folder_that_is_not_there() {
    let mut desk = up("");
    lose(&mut desk, &[Own::Folder, Own::Lock]);
    assert_eq!(made(&mut desk, Duration::from_secs(1)), [Own::Folder]);
    assert_eq!(desk.supervisor.poll_timeout(), None, "the daemon waits for the folder only");
    desk.hear(Event::Restored { what: Own::Folder, result: Ok(()) });
    assert!(desk.orders.contains(&Action::Restore { what: Own::Lock }));
}

#[test]
fn what_cannot_be_made_again_is_tried_on_and_spoken_of_once() {
    let mut desk = up("");
    lose(&mut desk, &[Own::Lock]);
    let lines = warnings(|| {
        for _ in 0..3 {
            desk.hear(Event::Restored { what: Own::Lock, result: Err(Failure("EACCES".into())) });
            assert_eq!(made(&mut desk, Duration::from_secs(60)), [Own::Lock]);
        }
    });
    assert_eq!(lines, ["WARN cannot make the lock again, will try on: EACCES"]);
}

#[test]
fn what_a_complete_look_does_not_find_is_gone() {
    for (daemon, found, orders) in [
        ("", "socket", vec!["link 0 to a"]),
        ("", "link", vec!["start b"]),
        ("[options]\nlisten = 'daemon'", "link", vec!["listen for 0", "start b"]),
    ] {
        let mut desk = up(daemon);
        let socket = desk.socket(0);
        let sight = match found {
            "socket" => (socket, Sight::Socket),
            _ => (desk.config.socket_file.link(SlotIndex(0)), Sight::Link(socket)),
        };
        let entries = [sight].into();
        desk.hear(Event::Surveyed(Survey { complete: true, entries, ..Survey::default() }));
        assert_eq!(desk.story(), orders, "only the {found} is there");
    }
}

#[test]
fn what_has_come_by_another_order_is_not_made_again() {
    let mut desk = up("metrics = 'metrics.sock'");
    lose(&mut desk, &[Own::MetricsSocket]);
    let address = desk.config.metrics.clone();
    desk.hear(Event::MetricsServing { address, result: Ok(()) });
    desk.hear(Event::Restored { what: Own::MetricsSocket, result: Err(Failure("EEXIST".into())) });
    assert_eq!(made(&mut desk, Duration::from_secs(60)), []);
}
