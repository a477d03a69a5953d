//! Which operations there are.

use crate::handoff::KindRecord;

/// Which operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Kind {
    Start,
    Restart,
    SetWorkers,
    SetStandby,
    Reload,
    Upgrade,
    Stop,
    Quit,
}

impl Kind {
    /// In the middle of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "a start",
            Self::Restart => "a restart",
            Self::SetWorkers => "a change of the number of workers",
            Self::SetStandby => "a change of the number of standbys",
            Self::Reload => "a reload",
            Self::Upgrade => "an upgrade",
            Self::Stop => "a stop",
            Self::Quit => "the daemon's own end",
        }
    }
}

impl From<Kind> for KindRecord {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Start => Self::Start,
            Kind::Restart => Self::Restart,
            Kind::SetWorkers => Self::SetWorkers,
            Kind::SetStandby => Self::SetStandby,
            Kind::Reload => Self::Reload,
            Kind::Upgrade => Self::Upgrade,
            Kind::Stop => Self::Stop,
            Kind::Quit => Self::Quit,
        }
    }
}

impl From<KindRecord> for Kind {
    fn from(record: KindRecord) -> Self {
        match record {
            KindRecord::Start => Self::Start,
            KindRecord::Restart => Self::Restart,
            KindRecord::SetWorkers => Self::SetWorkers,
            KindRecord::SetStandby => Self::SetStandby,
            KindRecord::Reload => Self::Reload,
            KindRecord::Upgrade => Self::Upgrade,
            KindRecord::Stop => Self::Stop,
            KindRecord::Quit => Self::Quit,
        }
    }
}
