//! Histories of the supervisor in which everything can happen that can.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Unstructured;
use nodesockd_core::Supervisor;
use nodesockd_core::backend::Backend;
use nodesockd_core::driver::{Driver, Step};
use nodesockd_core::id::BootId;
use nodesockd_core::notice::Manager;
use nodesockd_core::supervisor::{Daemon, Terminal};

use crate::input::Input;
use crate::world::World;

/// More steps than this without a choice: the supervisor runs in a circle.
const CIRCLE: u32 = 20_000;

/// Whatever workers, clients and the operating system do, and whatever fails: the invariants hold after each step; when
/// nothing fails any more everything comes to rest, with every request answered once; and in the end the daemon
/// quits and leaves nothing behind.
pub fn core_events(bytes: &[u8]) {
    let world = World::new(Input(Unstructured::new(bytes)));
    let daemon = daemon();
    let supervisor = Supervisor::new(world.config(), daemon, nodesockd_core::Time::from_nanos(1));
    let mut driver = Driver::new(supervisor, world);
    while !driver.backend().is_calm() {
        if step(&mut driver) == Step::Quit {
            return driver.backend().check_end();
        }
    }
    for count in 0.. {
        let pending = driver.supervisor().pending();
        assert!(count < CIRCLE, "it does not come to rest: {pending:?}");
        match step(&mut driver) {
            Step::Quit => return driver.backend().check_end(),
            Step::TimedOut if pending.is_none() => break,
            Step::TimedOut | Step::Heard(_) | Step::Performed(_) => {}
        }
    }
    driver.backend().check_answers();
    driver.backend().last_orders = true;
    for count in 0.. {
        assert!(count < CIRCLE, "it does not quit: {:?}", driver.supervisor().pending());
        if step(&mut driver) == Step::Quit {
            return driver.backend().check_end();
        }
    }
}

pub(crate) fn daemon() -> Daemon {
    let manager = Manager { watchdog: Some(Duration::from_secs(60)) };
    Daemon {
        version: "3.0.0".into(),
        pid: 1,
        boot: BootId(1),
        manager: Some(manager),
        release: None,
        stderr: Terminal::Yes,
    }
}

fn step(driver: &mut Driver<World<'_>>) -> Step {
    let step = at_once(driver.step());
    if let Some(handoff) = driver.backend().handed_over() {
        let (config, now) = (driver.backend().config(), driver.backend().now());
        let upgrades = driver.backend().upgrades;
        let daemon = Daemon {
            version: format!("99.0.{}", upgrades - 1),
            boot: BootId(1 + u128::from(upgrades)),
            ..daemon()
        };
        driver.succeed(Supervisor::take_over(config, daemon, handoff, now));
    }
    if let Err(violation) = driver.supervisor().check() {
        panic!("{violation}, after {step:?}");
    }
    step
}

/// The result of a future that has no reason to wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("this world does not wait"),
    }
}
