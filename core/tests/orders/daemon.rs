//! The daemon itself: its signals, its state file, its dev server.

use std::num::NonZeroU32;
use std::time::Duration;

use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::wire::Request;
use nodesockd_core::{Action, Event};

use super::desk::{Desk, is_kill};

#[test]
fn the_second_sigint_kills_and_nothing_else_does() {
    let quit = |signals: &[DaemonSignal]| {
        let mut desk = Desk::up("workers = 2");
        // Their queues are never seen empty.
        desk.orders.clear();
        for signal in signals {
            desk.supervisor.handle_event(desk.now, Event::Signalled { signal: *signal });
        }
        desk.obey();
        desk.count(is_kill)
    };
    let (int, term) = (DaemonSignal::Interrupt, DaemonSignal::Terminate);
    assert_eq!(quit(&[int]), 0);
    assert_eq!(quit(&[term, term]), 0);
    assert_eq!(quit(&[term, int]), 0);
    assert_eq!(quit(&[int, term]), 0);
    assert_eq!(quit(&[int, int]), 2);
    assert_eq!(quit(&[term, int, int]), 2);
    assert_eq!(quit(&[int, term, int]), 2);
}

#[test]
fn the_dev_server_stands_before_all_slots_until_the_end() {
    let mut desk = Desk::up("devServer = 8000");
    desk.ask("two", Request::SetWorkers { count: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN) });
    desk.all_online();
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    let served = |action: &Action| match action {
        Action::ServeDev { port, links } => Some((*port, links.join(" "))),
        _ => None,
    };
    let served: Vec<_> = desk.orders.iter().filter_map(served).collect();
    let at = |links: &str| (Some(8000), links.to_owned());
    assert_eq!(served, [at("app.0.sock"), at("app.0.sock app.1.sock"), (None, String::new())]);

    let without = Desk::up("");
    assert_eq!(without.count(|action| matches!(action, Action::ServeDev { .. })), 0);
}

#[test]
fn a_state_file_that_cannot_be_written_is_tried_again() {
    let mut desk = Desk::up("");
    let written = |desk: &Desk| desk.count(|action| matches!(action, Action::Persist { .. }));
    desk.pass(Duration::from_secs(60));
    let before = written(&desk);
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.hear(Event::Persisted { result: Err(Failure("ENOSPC".into())) });
    desk.pass(Duration::from_millis(99));
    assert_eq!(written(&desk), before + 1, "the first failure is free");
    desk.pass(Duration::from_millis(1));
    assert_eq!(written(&desk), before + 2);
    desk.hear(Event::Persisted { result: Ok(()) });
    desk.pass(Duration::from_secs(60));
    assert_eq!(written(&desk), before + 2);
}
