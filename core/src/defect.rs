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
    /// The old workers are not kept while a deploy is watched.
    OldWorkersNotKept,
    /// The new workers of a deploy are not watched.
    NewWorkersNotWatched,
    /// The symlink of a deploy that is given up stays.
    ReleaseLinkStays,
    /// A batch does not wait until the old workers of the one before are gone.
    BatchNotWaitedFor,
    /// A failing batch leaves earlier ones as they are.
    EarlierBatchesStay,
    /// The state file does not say that a deploy is in progress.
    StateForgetsDeploy,
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
    /// A worker that hangs is not replaced.
    HangIgnored,
    /// A worker that has too much memory is not replaced.
    LimitIgnored,
    /// A standby is promoted without a sign of life.
    StandbyPromotedUnasked,
    /// `resume` is answered before workers have confirmed it.
    ResumeNotConfirmed,
    /// Surplus standbys are leaked.
    SurplusStandbysStay,
    /// A slot gets a second worker while the first one boots.
    SecondWorkerWhileBooting,
    /// More workers boot at a time than may.
    BootsUnbounded,
    /// Workers that are killed although they work are started anew as fast as before.
    PaceStays,
    /// A worker is retired while links of other slots name it.
    RetiredWithGuests,
    /// The link of a slot without a worker is removed although others can serve.
    VacantLinksWithdrawn,
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
    /// A worker that dies slowly keeps its link until it is gone.
    SlowDeathWaitedFor,
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
    /// Replacements run what the configuration names when they are started.
    ReplacementRunsNewestRelease,
    /// The state file forgets the release.
    StateForgetsRelease,
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
    /// The process group gets SIGKILL where SIGTERM was due.
    KillInPlaceOfSigterm,
    /// SIGTERM goes to the wrapper in front of a worker, not to who serves.
    SigtermToWrapper,
    /// A worker gets the stop signal of the configuration in force, whatever its program finishes on.
    StopSignalOfOthers,
    /// The state file does not tell what a worker's program finishes on.
    StateForgetsStopSignal,
    /// A worker that hears only signals gets SIGKILL as soon as others get SIGTERM.
    NoGraceForMute,
    /// A worker is not told to shut down before it gets SIGTERM.
    ShutdownNotTold,
    /// A worker that ignores SIGTERM is left alone.
    NoSigkill,
    /// onlineTimeout is ignored.
    OnlineTimeoutIgnored,
    /// A request is accepted although one with its id is open.
    DuplicateRequestAccepted,
    /// Any process is believed to be the worker that it claims to be.
    ClaimBelieved,
    /// Any process that a worker has started may speak for it.
    DescendantBelieved,
    /// A restart is committed although a link could not be swapped.
    SwapFailureIgnored,
    /// A restart starts workers that fail again and again.
    AttemptsNotCounted,
    /// A worker may serve that came up active in a suspended app.
    UnsuspendedAccepted,
    /// `resume` is answered, but no worker is told.
    ResumeTellsNobody,
    /// A daemon that adopts workers takes a suspended app for active.
    AdoptionForgetsSuspension,
    /// A daemon that adopts workers does not know which links there are.
    AdoptionForgetsLinks,
    /// A worker that was told to go gets its place back from the next daemon.
    LeavingAdoptedAsHolder,
    /// A worker that reports to the next daemon is resumed in a suspended app.
    ReunionResumes,
    /// A worker that reports to the next daemon is not told that it has to go.
    ReunionForgetsShutdown,
    /// The state file does not say that the app is suspended.
    StateForgetsSuspension,
    /// A hand-off loses the requests that are open.
    HandoffLosesRequests,
    /// A hand-off forgets which worker serves which slot.
    HandoffForgetsSlots,
    /// A hand-off forgets what the service manager was told.
    HandoffForgetsAnnouncements,
    /// A daemon that leaves its workers tells them to go.
    DetachShutsDown,
    /// A suspended worker stays that cannot be told anything any more.
    OutOfReachStays,
    /// A worker goes at once, as if another one accepted from its socket.
    QueueTakenForShared,
    /// The service manager is not told that the daemon is stopping.
    StoppingNotTold,
    /// A worker that is resumed is not told which socket is its own.
    ResumeNamesNoSocket,
    /// A worker that a link has named goes without being drained.
    NamedNotNoted,
    /// A link that somebody removes is not made again.
    LostLinkIgnored,
    /// A worker stays whose socket somebody has removed.
    LostSocketIgnored,
    /// The daemon's own files are not made again.
    LostFilesIgnored,
    /// A socket of metrics that somebody removes is not missed.
    LostMetricsSocketIgnored,
    /// A migration that fails counts as one that succeeds.
    MigrationFailureIgnored,
    /// Workers are active while a migration runs.
    MigratesActive,
    /// A deploy that can neither be finished nor undone does not say that it waits for a person.
    StuckDeploySilent,
    /// A suspension that nobody ends lasts for ever, whatever was asked for.
    SuspensionNeverExpires,
    /// A daemon that follows one that died during a migration does not know of that.
    MigrationForgotten,
    /// A worker that fails the check of a deploy counts as one that is fit.
    DeployCheckIgnored,
    /// A worker that passes the check of a deploy counts as one that fails it.
    DeployCheckMisread,
    /// Failures of workers are not counted.
    FailuresNotCounted,
    /// A worker is told to lead before the former leader has confirmed that it does not any more.
    LeaderToldTooEarly,
    /// A daemon that adopts workers does not know who leads.
    AdoptionForgetsLeader,
    /// The state file does not say who leads.
    StateForgetsLeader,
    /// A hand-off forgets who leads.
    HandoffForgetsLeader,
    /// A suspended worker may lead.
    SuspendedLeads,
    /// An answer waits for the last lines of a worker however long that takes.
    LastLinesAwaited,
    /// An answer does not wait for the last lines of a worker.
    LastLinesForgotten,
    /// The sink is not told of other settings of the log.
    LogNotDirected,
    /// The sink is not told which slot a worker serves.
    OutputNotLabelled,
    /// The sink of an earlier version stays.
    SinkNotUpgraded,
    /// An operation that is called off has no entry in the history.
    EndNotRecorded,
    /// A daemon writes an entry again that the one before it has written.
    EntryWrittenTwice,
    /// An operation that was interrupted by the daemon's death has no entry in the history.
    InterruptionForgotten,
    /// A hand-off forgets what is in progress for the history.
    HandoffForgetsHistory,
    /// The command for events is not ended when it takes too long.
    HookNeverEnded,
    /// Commands for events run at the same time.
    HooksAtOnce,
    /// A daemon that adopts workers does not know that a command for events runs.
    HookForgotten,
    /// The death of a worker is not counted.
    DeathNotCounted,
    /// What a worker has counted is forgotten when it is gone.
    TrafficOfTheDeadForgotten,
    /// What was told of workers' counts is not in the state file.
    ToldCountsNotRecorded,
    /// The state file does not say what was counted.
    StateForgetsCounters,
    /// A hand-off forgets what was counted.
    HandoffForgetsCounters,
    /// The dev server answers with a page when one worker fails, although others serve.
    PageWhileServed,
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
