//! The daemon's own death: between any two of its actions, with another daemon to follow.
//!
//! An action that was carried out and whose completion nobody heard looks the same from outside as one whose completion
//! was heard and not acted upon. So there are as many points to die at as there are actions, and one more.

use std::time::Duration;

use nodesockd_core::id::BootId;
use nodesockd_core::notice::Manager;
use nodesockd_core::supervisor::{Daemon, Terminal};
use nodesockd_core::{Supervisor, Time};
use serde::{Deserialize, Serialize};

use crate::runner::Run;
use crate::world::{DAEMON_PID, ms, releases, version};

/// The daemon dies, and another one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DaemonDeath {
    /// Not before, in ms.
    pub at_ms: u64,
    /// When it has carried out so many more actions.
    pub actions: u32,
    /// So long there is none, in ms.
    pub down_ms: u64,
    /// It dies while it swaps a link, and leaves the temporary one.
    pub torn: bool,
}

impl DaemonDeath {
    fn begins(&self) -> Time {
        Time::ZERO + ms(self.at_ms)
    }

    /// A daemon that waits is woken at `until`, or earlier to die.
    pub(crate) fn horizon(&self, now: Time, until: Time) -> Time {
        if self.begins() > now { until.min(self.begins()) } else { until }
    }
}

/// How long it may take a daemon to say that it is alive, where its manager minds.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(20);

/// The n-th daemon of a history, from 0, as the program of that version. One in eight has no manager that listens.
pub(crate) fn daemon(jitter: u64, life: u32, program: u32, release: usize, sink: bool) -> Daemon {
    let low = u64::from(program) << 40 | u64::from(0x5eed + (life << 16));
    Daemon {
        version: version(program),
        pid: DAEMON_PID + life,
        boot: BootId(u128::from(jitter) << 64 | u128::from(low)),
        manager: (!jitter.is_multiple_of(8)).then_some(Manager { watchdog: Some(WATCHDOG) }),
        release: Some(releases::release(release)),
        stderr: if sink { Terminal::No } else { Terminal::Yes },
    }
}

impl Run {
    /// The daemon dies if it is time to.
    pub(crate) fn die_if_due(&mut self) -> Result<(), String> {
        let Some(death) = self.deaths.front().copied() else { return Ok(()) };
        if self.world().time() < death.begins() || self.spared < death.actions {
            return Ok(());
        }
        self.deaths.pop_front();
        self.spared = 0;
        self.lives += 1;
        self.die(death)
    }

    /// It has carried out an action.
    pub(crate) fn survived(&mut self) {
        let due = self.deaths.front().copied();
        let begun = due.is_some_and(|death| self.world().time() >= death.begins());
        self.spared += u32::from(begun);
    }

    fn die(&mut self, death: DaemonDeath) -> Result<(), String> {
        let busy = self.driver.supervisor().status().operation.is_some();
        let world = self.world();
        world.daemon_dies(busy, death.torn);
        world.elapse(ms(death.down_ms));
        self.follow()
    }

    /// The daemon has quit without its workers, for another one to follow.
    pub(crate) fn leave(&mut self) -> Result<(), String> {
        self.lives += 1;
        let world = self.world();
        world.daemon_leaves();
        let down = world.restarted_within();
        world.elapse(down);
        self.follow()?;
        self.world().ask_again();
        Ok(())
    }

    /// The daemon's process goes on with a newer program, if it has handed off.
    pub(crate) fn take_over_if_handed(&mut self) -> Result<(), String> {
        let life = self.lives;
        let world = self.world();
        let Some(handoff) = world.handed_over() else { return Ok(()) };
        let config = world.configuration().map_err(|error| error.to_string())?;
        let daemon =
            daemon(world.jitter(), life, world.upgrades.version, world.releases.current(), world.has_sink());
        let supervisor = Supervisor::take_over(config, daemon, handoff, world.time());
        self.driver.succeed(supervisor);
        Ok(())
    }

    fn follow(&mut self) -> Result<(), String> {
        let life = self.lives;
        let world = self.world();
        let config = world.configuration().map_err(|error| error.to_string())?;
        let left = world.inherit(&config);
        if left.state.is_none() {
            world.releases.ask();
        }
        let daemon =
            daemon(world.jitter(), life, world.upgrades.version, world.releases.current(), world.has_sink());
        world.managed(daemon.manager.is_some());
        let supervisor = Supervisor::adopt(config, daemon, left, world.time());
        supervisor.check().map_err(|violation| format!("after adoption, {violation}"))?;
        self.driver.succeed(supervisor);
        Ok(())
    }
}
