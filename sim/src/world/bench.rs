//! The simulated backend without a history: tests hold it against the real one, call by call.

use nodesockd_core::Time;
use nodesockd_core::backend::Backend;
use nodesockd_core::config::PatternError;

use super::{Entry, World};
use crate::faults::{Call, CallFault, Errno, FaultPlan, Trouble, WorkerFault};
use crate::scenario::{Behaviour, Load, METRICS_SOCKET, Release, Scenario, Settings};

/// What somebody else has put into `tmpDir`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left<'a> {
    /// A symlink to this.
    Link(&'a str),
    /// A socket on which nobody listens.
    Socket,
    /// Neither of them.
    Plain,
}

/// The backend, and what can be done to its world and seen of it from outside.
pub trait Bench: Backend {
    /// The worker that is spawned next deviates like that from one that boots, serves and goes when told.
    fn deviate(&mut self, behaviour: Behaviour);

    /// The next call of that method fails.
    fn fail(&mut self, call: Call);

    /// Puts a file into `tmpDir`.
    fn put(&mut self, name: &str, left: Left<'_>);

    /// Takes a file out of it.
    fn take(&mut self, name: &str);

    /// Whether there is a file of that name.
    fn holds(&self, name: &str) -> bool;

    /// What a link says, word for word.
    fn target(&self, link: &str) -> Option<String>;

    /// Connects to the socket that a link names; the connection waits to be accepted. False if nobody listens.
    fn connect(&mut self, link: &str) -> bool;
}

/// A world with one good release, in which nobody does anything.
///
/// # Errors
///
/// See [`PatternError`].
pub fn bench(settings: Settings) -> Result<impl Bench, PatternError> {
    let quiet = Load { users: 0, ..Load::default() };
    let scenario = Scenario {
        settings,
        releases: vec![Release::good()],
        script: Vec::new(),
        load: quiet,
        leftovers: Vec::new(),
        length_ms: u64::MAX / 1_000_000,
        jitter: 1,
    };
    let faults = FaultPlan { until_ms: scenario.length_ms, ..FaultPlan::default() };
    let (mut world, _) = World::new(&scenario, &faults, false)?;
    world.horizon = Time::from_nanos(u64::MAX);
    Ok(world)
}

impl Bench for World {
    fn deviate(&mut self, behaviour: Behaviour) {
        let nth = u32::try_from(self.processes.iter().count()).unwrap_or(u32::MAX);
        self.faults.workers.push(WorkerFault { nth, behaviour });
    }

    fn fail(&mut self, call: Call) {
        let nth = self.calls.get(&call).copied().unwrap_or_default();
        self.faults.calls.push(CallFault { call, nth, trouble: Trouble::Fails(Errno::Io) });
    }

    fn put(&mut self, name: &str, left: Left<'_>) {
        let entry = match left {
            Left::Link(target) => Entry::Link(target.to_owned()),
            Left::Socket => Entry::Socket(None),
            Left::Plain => Entry::Plain,
        };
        self.files.put(name, entry);
    }

    fn take(&mut self, name: &str) {
        if name == METRICS_SOCKET {
            return self.remove_metrics_socket();
        }
        self.files.remove(name);
        self.stirred(&[name.to_owned()], false);
    }

    fn holds(&self, name: &str) -> bool {
        self.files.get(name).is_some()
    }

    fn target(&self, link: &str) -> Option<String> {
        match self.files.get(link)? {
            Entry::Link(target) => Some(target.clone()),
            Entry::Socket(_) | Entry::Ours | Entry::Plain => None,
        }
    }

    fn connect(&mut self, link: &str) -> bool {
        let worker = self.files.follow(link);
        let process = worker.and_then(|worker| self.processes.get_mut(worker));
        let Some(queue) = process.and_then(|process| process.traffic.queue.as_mut()) else { return false };
        // No user's.
        let number = u64::MAX - 1 - queue.len() as u64;
        queue.push_back(number);
        true
    }
}
