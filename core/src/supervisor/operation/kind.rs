//! Which operations there are.

use crate::history::What;

/// Which operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Kind {
    Start,
    Restart,
    /// Workers of the old release are started at the end of a suspension.
    Rollback,
    Deploy,
    SetWorkers,
    SetStandby,
    Reload,
    Upgrade,
    Resume,
    Stop,
    Quit,
}

impl Kind {
    /// The one of an earlier daemon that replaces workers and is called so.
    pub fn replacing(words: &str) -> Self {
        let all = [Self::Deploy, Self::Reload];
        all.into_iter().find(|kind| kind.words() == words).unwrap_or(Self::Restart)
    }

    /// In the middle of a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "a start",
            Self::Restart => "a restart",
            Self::Rollback => "the return to the old release at the end of a suspension",
            Self::Deploy => "a deploy",
            Self::SetWorkers => "a change of the number of workers",
            Self::SetStandby => "a change of the number of standbys",
            Self::Reload => "a reload",
            Self::Upgrade => "an upgrade",
            Self::Resume => "a resume",
            Self::Stop => "a stop",
            Self::Quit => "the shutdown of the daemon",
        }
    }

    /// Whoever asks for it says thereby whether the app is suspended from then on.
    pub fn decides_about_suspension(self) -> bool {
        match self {
            Self::Start
            | Self::Restart
            | Self::Rollback
            | Self::Deploy
            | Self::Resume
            | Self::Stop
            | Self::Quit => true,
            Self::SetWorkers | Self::SetStandby | Self::Reload | Self::Upgrade => false,
        }
    }

    /// In the history.
    pub fn what(self) -> What {
        match self {
            Self::Start => What::Start,
            Self::Restart => What::Restart,
            Self::Deploy => What::Deploy,
            Self::SetWorkers => What::SetWorkers,
            Self::SetStandby => What::SetStandby,
            Self::Reload => What::Reload,
            Self::Upgrade => What::Upgrade,
            Self::Resume => What::Resume,
            Self::Stop => What::Stop,
            Self::Quit => What::Terminate,
            Self::Rollback => What::Rollback,
        }
    }
}
