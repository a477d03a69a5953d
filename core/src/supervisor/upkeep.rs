//! What the daemon keeps for itself and others may remove: its folder, its lock, its sockets. Each is made again; the
//! folder a moment later, because whoever removes one often makes another one of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::Action;
use crate::event::Failure;
use crate::survey::{Own, Survey};
use crate::time::Time;

use super::backoff::Backoff;
use super::effects::Effects;
use super::timer::Timer;

/// A folder that was removed is left to whoever may be making another one for so long.
const OTHERS_FIRST: Duration = Duration::from_millis(50);

/// How often the folders are looked at where the kernel does not tell what changes in them.
const SURVEYS: Duration = Duration::from_secs(10);

/// What is missing, and what is done about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Upkeep {
    repairs: BTreeMap<Own, Repair>,
    surveys: Surveys,
}

/// Something that is missing.
#[derive(Debug, Clone)]
struct Repair {
    /// When it is to be made again; `None` while that is under way.
    due: Option<Time>,
    failures: Backoff,
}

/// Whether the folders have to be looked at every now and then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Surveys {
    /// The kernel tells what changes.
    #[default]
    Spared,
    Due(Time),
    UnderWay,
}

impl Upkeep {
    /// What is missing of the daemon's own, by a survey. The state file is not made again here.
    pub fn surveyed(&mut self, now: Time, survey: &Survey) {
        if survey.complete {
            self.repairs.retain(|own, _| survey.lost.contains_key(own));
            if self.surveys == Surveys::UnderWay {
                self.surveys = Surveys::Due(now + SURVEYS);
            }
        }
        let ignored = |own: Own| match own {
            Own::State => true,
            Own::MetricsSocket => defect!(LostFilesIgnored) || defect!(LostMetricsSocketIgnored),
            Own::Folder | Own::Lock | Own::ControlSocket => defect!(LostFilesIgnored),
        };
        for (own, path) in survey.lost.iter().filter(|(own, _)| !ignored(**own)) {
            self.repairs.entry(*own).or_insert_with(|| {
                let (what, path) = (own.words(), path.display());
                tracing::warn!(
                    "the {what} `{path}` is gone, perhaps by a cleaner of temporary files; it is made again"
                );
                let wait = if *own == Own::Folder { OTHERS_FIRST } else { Duration::ZERO };
                Repair { due: Some(now + wait), failures: Backoff::default() }
            });
        }
    }

    /// The kernel does not tell what changes in the folders.
    pub fn unwatched(&mut self, now: Time, failure: &Failure) {
        let every = SURVEYS.as_secs();
        tracing::warn!(
            "what others remove from the daemon's folders is noticed within {every} s only: {failure}"
        );
        if self.surveys == Surveys::Spared {
            self.surveys = Surveys::Due(now + SURVEYS);
        }
    }

    /// Orders what is due. Without its folder nothing can be made.
    pub fn order(&mut self, effects: &mut Effects) {
        let now = effects.now();
        if matches!(self.surveys, Surveys::Due(at) if at <= now) {
            self.surveys = Surveys::UnderWay;
            effects.order(Action::Survey);
        }
        for (what, repair) in &mut self.repairs {
            if repair.due.is_some_and(|at| at <= now) {
                repair.due = None;
                effects.order(Action::Restore { what: *what });
            }
            if *what == Own::Folder {
                return;
            }
        }
    }

    /// Something was made again, or could not be. Returns whether it is there again.
    pub fn restored(&mut self, now: Time, what: Own, result: Result<(), Failure>) -> bool {
        match (self.repairs.get_mut(&what), result) {
            // Another order has made it meanwhile.
            (None, _) => false,
            (Some(_), Ok(())) => {
                self.repairs.remove(&what);
                tracing::info!("the {} is there again", what.words());
                true
            }
            (Some(repair), Err(failure)) => {
                repair.failures.failed(now, Duration::ZERO, &failure.0);
                // What fails once fails again at once.
                let due = if repair.failures.failures() == 1 { Some(now + OTHERS_FIRST) } else { None };
                repair.due = due.or(repair.failures.retry_at());
                if repair.failures.failures() == 1 {
                    tracing::warn!("cannot make the {} again, will try on: {failure}", what.words());
                }
                false
            }
        }
    }

    /// Something is there, or not needed any more, by another order.
    pub fn is_done(&mut self, what: Own) {
        self.repairs.remove(&what);
    }

    /// When something is done next.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        let survey = if let Surveys::Due(at) = self.surveys { Some((at, Timer::Survey)) } else { None };
        let blocked = self.repairs.contains_key(&Own::Folder);
        let repairs = self.repairs.iter().filter(|(what, _)| !blocked || **what == Own::Folder);
        let repairs = repairs.filter_map(|(_, repair)| repair.due).map(|at| (at, Timer::Repair));
        repairs.chain(survey).min()
    }
}
