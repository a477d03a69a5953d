//! What a worker is for.

use crate::id::SlotIndex;

/// A place that a worker can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::supervisor) enum Place {
    Slot(SlotIndex),
    Standby,
}

/// What a worker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Role {
    /// It is a new worker of the rollout in progress, and is to have this place once all of them are ready.
    Joining(Place),
    /// It has this place, or comes to have it.
    Holding(Place),
    /// It had this place, and is kept without a link while a deploy is watched: it may have to take the place again.
    Kept(Place),
    /// It is on its way out; `from` is the slot it had.
    Retired { from: Option<SlotIndex> },
}

impl Role {
    pub fn place(self) -> Option<Place> {
        match self {
            Self::Joining(place) | Self::Holding(place) | Self::Kept(place) => Some(place),
            Self::Retired { .. } => None,
        }
    }

    /// The slot it is for, or was.
    pub fn slot(self) -> Option<SlotIndex> {
        match self {
            Self::Joining(Place::Slot(slot))
            | Self::Holding(Place::Slot(slot))
            | Self::Kept(Place::Slot(slot)) => Some(slot),
            Self::Joining(Place::Standby) | Self::Holding(Place::Standby) | Self::Kept(Place::Standby) => {
                None
            }
            Self::Retired { from } => from,
        }
    }

    /// The same, for another place. Whoever takes a place is not kept any more, nor retired.
    pub fn at(self, place: Place) -> Self {
        match self {
            Self::Joining(_) => Self::Joining(place),
            Self::Holding(_) | Self::Kept(_) | Self::Retired { .. } => Self::Holding(place),
        }
    }

    /// The rollout that brought the worker is over, well or badly.
    pub fn joined(self) -> Self {
        match self {
            Self::Joining(place) => Self::Holding(place),
            Self::Holding(_) | Self::Kept(_) | Self::Retired { .. } => self,
        }
    }

    /// Others have the worker's place, and the worker is kept in case that they fail.
    pub fn set_aside(self) -> Self {
        match self {
            Self::Holding(place) => Self::Kept(place),
            Self::Joining(_) | Self::Kept(_) | Self::Retired { .. } => self,
        }
    }

    /// The worker has its place again.
    pub fn back(self) -> Self {
        match self {
            Self::Kept(place) => Self::Holding(place),
            Self::Joining(_) | Self::Holding(_) | Self::Retired { .. } => self,
        }
    }
}
