//! How long no worker led while workers served that could have.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What kept the daemon from having another worker lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hindrance {
    /// Nothing.
    Nothing,
    /// The worker that had led was dead, and the daemon did not know it yet.
    Exit,
    /// Calls of the backend took long, or failed: the state file could not be written, for instance.
    Calls,
    /// The worker that led, had led, or was about to, stood still, took long to die, or did not stop doing what it did.
    Leader,
    /// There was no daemon, or the next one had not heard of the worker that led, or of those that could.
    Daemon,
}

impl Hindrance {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "undisturbed",
            Self::Exit => "its death is noticed late",
            Self::Calls => "calls fail or are slow",
            Self::Leader => "the leader stands still",
            Self::Daemon => "no daemon",
        }
    }
}

/// The times without a leader, of one history or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leaderless {
    /// In which a worker served that could lead.
    served: Duration,
    /// In which such a worker served and nobody led.
    total: Duration,
    /// The longest at a time, by what was in the way.
    longest: BTreeMap<Hindrance, Duration>,
}

impl Leaderless {
    /// Time has passed in which workers served that could lead. `led`: one did.
    pub(crate) fn passes(&mut self, time: Duration, led: bool) {
        self.served += time;
        if !led {
            self.total += time;
        }
    }

    /// Nobody led for so long.
    pub(crate) fn ends(&mut self, time: Duration, hindrance: Hindrance) {
        let longest = self.longest.entry(hindrance).or_default();
        *longest = time.max(*longest);
    }

    /// The longest time without a leader when this was in the way.
    #[must_use]
    pub fn longest(&self, hindrance: Hindrance) -> Duration {
        self.longest.get(&hindrance).copied().unwrap_or_default()
    }

    /// Adds another history's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.served += other.served;
        self.total += other.total;
        for (hindrance, time) in &other.longest {
            self.ends(*time, *hindrance);
        }
    }
}

impl fmt::Display for Leaderless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.total.as_secs_f64() / self.served.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
        write!(f, "{share:.3} % of the time")?;
        for (hindrance, time) in &self.longest {
            write!(f, ", {} at most {:.1} ms", hindrance.name(), time.as_secs_f64() * 1000.0)?;
        }
        Ok(())
    }
}
