//! Where metrics are served, and what becomes of that when it fails.

use std::time::Duration;

use nodesockd_core::config::MetricsAddress;
use nodesockd_core::event::{DaemonSignal, Failure};
use nodesockd_core::wire::Request;
use nodesockd_core::{Action, Event};

use super::desk::{Desk, config, up};
use super::handoff::upgraded;
use super::log::warnings;

/// Where metrics were ordered to be served, in words, since this was asked last.
fn ordered(desk: &mut Desk) -> Vec<String> {
    let orders = std::mem::take(&mut desk.orders);
    let address = |action| match action {
        Action::ServeMetrics { address } => Some(address.map_or("nowhere".into(), |at| at.to_string())),
        _ => None,
    };
    orders.into_iter().filter_map(address).collect()
}

fn serving(desk: &mut Desk, port: u16, result: Result<(), Failure>) {
    let address = MetricsAddress::tcp(&format!("127.0.0.1:{port}")).map(MetricsAddress::Tcp);
    desk.hear(Event::MetricsServing { address, result });
}

fn taken() -> Result<(), Failure> {
    Err(Failure("EADDRINUSE".into()))
}

fn reload(desk: &mut Desk, keys: &str) {
    desk.config = config(keys);
    desk.ask("r", Request::Reload);
}

#[test]
fn metrics_are_served_where_the_configuration_says_until_the_end() {
    let mut desk = Desk::up("metrics = '127.0.0.1:9464'");
    assert_eq!(ordered(&mut desk), ["127.0.0.1:9464"]);
    serving(&mut desk, 9464, Ok(()));
    reload(&mut desk, "metrics = '127.0.0.1:9464'");
    desk.pass(Duration::from_secs(3600));
    assert_eq!(ordered(&mut desk), [""; 0], "nothing has changed");
    reload(&mut desk, "metrics = '127.0.0.1:9465'");
    assert_eq!(ordered(&mut desk), ["127.0.0.1:9465"]);
    serving(&mut desk, 9465, Ok(()));
    desk.hear(Event::Signalled { signal: DaemonSignal::Terminate });
    assert_eq!(ordered(&mut desk), ["nowhere"]);
}

#[test]
fn what_cannot_be_served_is_tried_again_and_spoken_of_once() {
    let mut desk = Desk::up("metrics = '127.0.0.1:9464'");
    ordered(&mut desk);
    let said = warnings(|| {
        for _ in 0..3 {
            serving(&mut desk, 9464, taken());
            desk.pass(Duration::from_secs(60));
            assert_eq!(ordered(&mut desk), ["127.0.0.1:9464"]);
        }
        serving(&mut desk, 9464, Ok(()));
    });
    assert_eq!(said, ["WARN metrics are not served, everything else goes on: EADDRINUSE"]);
    desk.pass(Duration::from_secs(3600));
    assert_eq!(ordered(&mut desk), [""; 0], "they are served");
}

#[test]
fn another_address_is_tried_at_once_and_has_no_failures_yet() {
    let mut desk = Desk::up("metrics = '127.0.0.1:9464'");
    for _ in 0..5 {
        serving(&mut desk, 9464, taken());
        desk.pass(Duration::from_secs(60));
    }
    serving(&mut desk, 9464, taken());
    ordered(&mut desk);
    reload(&mut desk, "metrics = '127.0.0.1:9465'");
    assert_eq!(ordered(&mut desk), ["127.0.0.1:9465"]);
    let said = warnings(|| serving(&mut desk, 9465, taken()));
    assert_eq!(said.len(), 1, "{said:?}");
    desk.pass(Duration::ZERO);
    assert_eq!(ordered(&mut desk), ["127.0.0.1:9465"], "the first failure is free");
}

#[test]
fn where_metrics_are_not_served_any_more_nothing_is_tried_again() {
    let mut desk = up("metrics = '127.0.0.1:9464'");
    serving(&mut desk, 9464, taken());
    reload(&mut desk, "");
    ordered(&mut desk);
    serving(&mut desk, 9464, taken());
    desk.pass(Duration::from_secs(3600));
    assert_eq!(ordered(&mut desk), [""; 0]);
}

#[test]
fn the_next_program_serves_on_and_tries_again_at_once_what_has_failed() {
    for (result, again) in [(Ok(()), 0), (taken(), 1)] {
        let mut desk = up("metrics = '127.0.0.1:9464'");
        serving(&mut desk, 9464, result);
        assert_eq!(ordered(&mut upgraded(desk)).len(), again);
    }
}
