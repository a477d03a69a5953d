//! Planted defects: mistakes that people make, for the simulator to find.
//!
//! `defect!(Name)` is `false`. Only with the cargo feature `defects`, and only for the one defect that was
//! planted with `plant`, it is `true`: the code around it then decides wrongly, and the simulator has to notice. The feature
//! is for `sim/tests/planted`; a daemon is built without it.

/// Whether this defect is planted; always `false` without the feature `defects`.
macro_rules! defect {
    ($name:ident) => {
        $crate::defect::is_planted($crate::defect::Defect::$name)
    };
}

macro_rules! defects {
    ($(#[doc = $about:literal] $name:ident,)*) => {
        /// A mistake that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Defect {
            $(#[doc = $about] $name,)*
        }

        #[cfg(feature = "defects")]
        impl Defect {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the supervisor does wrong.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about.trim_ascii(),)*
                }
            }
        }
    };
}

defects! {
    /// Links are swapped before all workers are online.
    SwapBeforeAllOnline,
    /// An old worker is retired before the swap.
    RetireBeforeSwap,
    /// A failed restart keeps the new configuration.
    FailedRestartKeepsConfig,
    /// The workers of an abandoned restart stay.
    AbandonedWorkersStay,
    /// A replacement in a suspended app is not suspended.
    ReplacementNotSuspended,
    /// A worker that takes over in a suspended app is resumed.
    SuccessorResumedInSuspendedApp,
    /// A standby is resumed before the swap.
    StandbyResumedBeforeSwap,
    /// Two slots take the same standby.
    StandbyTakenTwice,
    /// Surplus standbys are leaked.
    SurplusStandbysStay,
    /// A slot gets a second worker while the first one boots.
    SecondWorkerWhileBooting,
    /// A link is removed before it is swapped.
    LinkRemovedBeforeSwap,
    /// The old link of a renamed slot is left.
    OldLinkLeft,
    /// A stop leaves the links.
    StopLeavesLinks,
    /// One slot too many is kept.
    SlotTooMany,
    /// The daemon quits before its workers are gone.
    QuitBeforeWorkersGone,
    /// A failed start is tried again at once.
    NoBackoff,
    /// A worker is told to shut down without being drained.
    NoDrain,
    /// A drain ends when the queue is first seen empty.
    DrainEndsAtFirstEmptyQueue,
    /// A queue that cannot be seen counts as empty.
    UnknownQueueCountsAsEmpty,
    /// SIGKILL follows SIGTERM at once.
    KillAtOnce,
    /// SIGKILL comes in the place of SIGTERM.
    KillInsteadOfTerminate,
    /// drainTimeout is ignored.
    DrainTimeoutIgnored,
    /// A process that nobody wants any more is not killed.
    UnwantedProcessStays,
    /// A broken worker is retired before its replacement serves.
    BrokenRetiredAtOnce,
    /// A pid is signalled after it was reaped.
    SignalAfterReap,
    /// A dead worker is not reaped.
    NoReap,
    /// The socket of a dead worker is left.
    SocketLeft,
    /// A request is answered twice.
    AnsweredTwice,
    /// A command that is pre-empted is never answered.
    PreemptedNotAnswered,
    /// A restart that waits is lost.
    QueuedRestartLost,
    /// A restart is complete before the old workers are gone.
    CompleteBeforeOldGone,
    /// A second restart is accepted while one is in progress.
    SecondRestartAccepted,
    /// A hand-off forgets that the app is suspended.
    HandoffForgetsSuspension,
    /// A hand-off loses the requests that wait for workers.
    HandoffLosesRelays,
    /// The daemon stays frozen when it could not hand off.
    StaysFrozen,
    /// A daemon that leaves its workers removes the state file.
    DetachRemovesState,
    /// A request to a worker that dies is never answered.
    RelayToDeadNotAnswered,
    /// The service manager is told ready while a slot is not served.
    ReadyTooEarly,
    /// The service manager is told that the daemon is alive half as often.
    AliveHalfAsOften,
    /// A hand-off forgets the workers.
    HandoffForgetsWorkers,
    /// A hand-off loses the commands that wait.
    HandoffLosesQueue,
    /// A hand-off forgets which sockets the daemon holds.
    HandoffForgetsListeners,
    /// A hand-off forgets who asked for it.
    HandoffForgetsAskers,
    /// The daemon hands off while facts still come.
    HandoffWithoutFreeze,
    /// The sockets of an earlier daemon are forgotten.
    AdoptionForgetsListeners,
}

/// Whether this defect is planted.
#[cfg(not(feature = "defects"))]
#[inline(always)]
pub(crate) const fn is_planted(_: Defect) -> bool {
    false
}

#[cfg(feature = "defects")]
pub(crate) use chosen::is_planted;
#[cfg(feature = "defects")]
pub use chosen::plant;

#[cfg(feature = "defects")]
mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Defect;

    /// The number of the defect; none has this one.
    const NONE: u8 = u8::MAX;

    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// Plants a defect, in this process and from now on.
    pub fn plant(defect: Defect) {
        PLANTED.store(defect as u8, Ordering::Relaxed);
    }

    /// Whether this defect is planted.
    pub(crate) fn is_planted(defect: Defect) -> bool {
        PLANTED.load(Ordering::Relaxed) == defect as u8
    }
}
