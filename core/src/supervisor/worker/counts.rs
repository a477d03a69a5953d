//! What a worker counts: requests, and how late its event loop was.

use crate::handoff::CountsRecord;
use crate::metrics::{Level, Traffic};

/// What a worker has counted, as far as it has said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Counts {
    /// Whether it counts; `None`: it could not, whatever it was told.
    counting: Option<bool>,
    said: Traffic,
    /// What was told to others of that: it has to be in the state file.
    told: Traffic,
    level: Option<Level>,
    /// It is gone, and what it has said is counted elsewhere.
    kept: bool,
}

impl Counts {
    /// What a worker that outlived its daemon had said to that.
    pub fn remembered(traffic: Traffic) -> Self {
        Self { said: traffic.clone(), told: traffic, ..Self::default() }
    }

    /// It says whether it counts, or that it could not.
    pub fn reports(&mut self, counting: Option<bool>) {
        self.counting = counting;
    }

    /// Whether it has to be told that it is to count, or that it is not; it takes that for done.
    pub fn is_to_count(&mut self, wanted: bool) -> bool {
        let changes = self.counting.is_some_and(|counting| counting != wanted);
        if changes {
            self.counting = Some(wanted);
        }
        changes
    }

    /// It says what it has counted by now. Returns what is to be added to what those have counted that are gone.
    pub fn says(&mut self, traffic: &Traffic, level: Level) -> Option<Traffic> {
        let before = self.said.clone();
        self.said.rise_to(traffic);
        self.level = Some(level);
        self.kept.then(|| before.until(&self.said))
    }

    /// It is gone. Returns what it has counted, once.
    pub fn keep(&mut self) -> Option<Traffic> {
        let kept = std::mem::replace(&mut self.kept, true);
        (!kept).then(|| self.said.clone())
    }

    /// What it has counted, unless that is counted elsewhere.
    pub fn traffic(&self) -> Option<&Traffic> {
        (!self.kept).then_some(&self.said)
    }

    /// Others are told what it has said so far.
    pub fn tell(&mut self) {
        self.told.clone_from(&self.said);
    }

    /// What others were told.
    pub fn told(&self) -> &Traffic {
        &self.told
    }

    /// What it has at this moment, if it says that.
    pub fn level(&self) -> Option<Level> {
        self.level
    }
}

impl From<&Counts> for CountsRecord {
    fn from(counts: &Counts) -> Self {
        let Counts { counting, said, told, level, kept } = counts.clone();
        Self { counting, said, told, level, kept }
    }
}

impl From<CountsRecord> for Counts {
    fn from(record: CountsRecord) -> Self {
        let CountsRecord { counting, said, told, level, kept } = record;
        Self { counting, said, told, level, kept }
    }
}
