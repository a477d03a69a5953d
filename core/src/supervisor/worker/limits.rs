//! When a worker that is well is looked at: it may have reached a limit.

use crate::supervisor::timer::Timer;
use crate::time::Time;

/// The next looks at a worker. Not handed on: a daemon works them out from its own configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Looks {
    /// When it is too old.
    pub age: Option<Time>,
    /// When its memory is measured.
    pub memory: Option<Time>,
}

impl Looks {
    pub fn next(self) -> Option<(Time, Timer)> {
        let age = self.age.map(|at| (at, Timer::Age));
        let memory = self.memory.map(|at| (at, Timer::Memory));
        age.into_iter().chain(memory).min()
    }
}
