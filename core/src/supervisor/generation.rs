//! Generations: the workers that one start, restart or reload has brought up.

use crate::handoff::GenerationRecord;
use crate::release::Release;

/// What the workers of a generation have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// The release that was named when the generation was ordered; `None` if it could not be looked up. Then workers run
    /// what the configuration names when they are started.
    pub release: Option<Release>,
}

impl Generation {
    /// The one that follows those up to `number`, of a release.
    pub fn after(number: u32, release: Option<Release>) -> Self {
        Self { number: number.saturating_add(1), release }
    }
}

impl From<&Generation> for GenerationRecord {
    fn from(generation: &Generation) -> Self {
        let Generation { number, release } = generation.clone();
        Self { number, release }
    }
}

impl From<GenerationRecord> for Generation {
    fn from(record: GenerationRecord) -> Self {
        let GenerationRecord { number, release } = record;
        Self { number, release }
    }
}
