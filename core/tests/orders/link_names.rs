//! Which names a daemon gives to links that one before it has given others.

use nodesockd_core::Action;
use nodesockd_core::id::SlotIndex;
use nodesockd_core::state::FoundLink;
use nodesockd_core::wire::Request;

use super::adoption::{adopt, leaving, left};
use super::desk::{Desk, config};

/// The links whose removal was ordered, by name.
fn removed_links(desk: &Desk) -> Vec<&str> {
    desk.orders
        .iter()
        .filter_map(
            |action| if let Action::Withdraw { link, .. } = action { Some(link.as_str()) } else { None },
        )
        .collect()
}

#[test]
fn links_get_the_names_of_today() {
    let before = Desk::up("workers = 2");
    let today = config("workers = 2\nsocketFile = 'web.{worker}'");
    let mut desk = adopt(&before, &today, left(&before));
    let swept = |action: &Action| match action {
        Action::Sweep { pattern } => Some(pattern.to_string()),
        _ => None,
    };
    let swept: Vec<String> = desk.orders.iter().filter_map(swept).collect();
    assert_eq!(swept, ["app.{worker}.sock", "web.{worker}"]);
    assert_eq!(desk.story(), ["link 0 to a", "link 1 to b", "remove link 0", "remove link 1"]);

    // The last daemon had come half the way.
    let mut left = left(&before);
    let again = |link: &FoundLink| FoundLink { name: today.socket_file.link(link.slot), ..link.clone() };
    let new: Vec<FoundLink> = left.links.iter().take(1).map(again).collect();
    left.links.extend(new);
    let mut desk = adopt(&before, &today, left);
    assert_eq!(removed_links(&desk), ["app.0.sock", "app.1.sock"]);
    assert_eq!(desk.story(), ["remove link 0", "link 1 to b", "remove link 1"]);
}

#[test]
fn links_of_another_name_are_removed_when_a_reload_is_finished() {
    let mut before = Desk::up("workers = 2");
    let today = config("workers = 2\nsocketFile = 'web.{worker}'");
    before.config = today.clone();
    before.leaves = |action| matches!(action, Action::Publish { slot: SlotIndex(1), .. });
    before.ask("r", Request::Reload);
    before.all_online();
    let mut left = left(&before);
    let link = |slot: u32, name: &str, nth: usize| FoundLink {
        slot: SlotIndex(slot),
        name: name.into(),
        socket: before.socket(nth),
    };
    left.links = vec![link(0, "web.0", 2), link(0, "app.0.sock", 0), link(1, "app.1.sock", 1)];
    let desk = adopt(&before, &today, left);
    assert_eq!(removed_links(&desk), ["app.0.sock", "app.1.sock"]);
}

#[test]
fn each_former_name_of_links_is_remembered_once() {
    let mut desk = Desk::up("");
    for name in ["web.{worker}", "app.{worker}.sock", "web.{worker}", "app.{worker}.sock"] {
        desk.config = config(&format!("socketFile = '{name}'"));
        desk.ask(name, Request::Reload);
        desk.all_online();
    }
    assert_eq!(desk.state_file().unwrap().socket_files, ["app.{worker}.sock", "web.{worker}"]);
}

#[test]
fn a_link_by_the_name_of_today_is_led_to_the_worker_of_another_name_in_one_step() {
    let before = leaving("");
    // The last daemon was about to give the links another name, and is to keep this one.
    let today = config("socketFile = 'web.{worker}'");
    let mut left = left(&before);
    let socket = before.socket(0);
    let name = today.socket_file.link(SlotIndex(0));
    left.links.push(FoundLink { slot: SlotIndex(0), name: name.clone(), socket });
    let desk = adopt(&before, &today, left);
    let links = |action: &Action| match action {
        Action::Publish { link, .. } => Some(format!("swap {link}")),
        Action::Withdraw { link, .. } => Some(format!("remove {link}")),
        _ => None,
    };
    let links: Vec<String> = desk.orders.iter().filter_map(links).collect();
    assert_eq!(links, [format!("swap {name}"), "remove app.0.sock".to_owned()]);
}
