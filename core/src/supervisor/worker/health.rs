//! Whether a ready worker still works. By its heartbeat: the daemon asks (`ping`), and the worker's event loop answers
//! (`pong`). A worker that has none is judged by its accept queue: something waits there, and nothing is taken.
//!
//! ```text
//! Rests ─→ Silent: asked ─→ doubted ─→ judged ─→ Hangs
//!   ↑___________________________________│ it answers, or takes what waits
//! ```
//!
//! Most of the time nothing is asked. When half of the time is over in which an answer should have come, the process is
//! looked at for the first time, at its end for the second: what it did in between tells a loop from sleep. Then what
//! its channel holds is read once more. A daemon that was late itself judges nobody: it gives the worker its time again.

use std::time::Duration;

use crate::event::Vitals;
use crate::time::Time;

use crate::supervisor::timer::Timer;

use super::silence::{BUSY, LATE, Silence, Todo};

/// The longest time from one question to the next.
const EVERY: Duration = Duration::from_secs(10);
/// The longest time from one look at an accept queue to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A sign of life for which a standby was asked counts for so long.
const FRESH: Duration = Duration::from_millis(100);
/// How long a standby may take to answer before it is passed over. On a busy machine a healthy one may need some of it.
const ANSWER: Duration = Duration::from_secs(1);
/// How long after a look a standby without a heartbeat is looked at again, if it was stopped.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A standby that does not answer when it is needed has this long where `health.hangTimeout` is off.
const UNLIMITED: Duration = Duration::from_secs(30);

/// What is known of a worker's health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Health {
    /// It answers questions.
    heartbeat: bool,
    /// A debugger may stop it at any time.
    inspected: bool,
    /// Its last sign of life.
    heard: Option<Time>,
    /// The number of the last question.
    seq: u64,
    /// When that was asked, if it is not answered.
    open: Option<Time>,
    watch: Watch,
    sign: Sign,
    /// The question whose answer shows that it has read `resume`.
    resume: Option<u64>,
}

/// How closely it is watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Watch {
    #[default]
    Off,
    /// The next question is asked then.
    Rests { ask: Time },
    /// A question is open.
    Silent(Silence),
    /// It hangs, for this reason. Only an answer changes that, or a report.
    Hangs { reason: String },
}

/// Whether a standby has shown that it can be promoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Sign {
    #[default]
    Unasked,
    Asked {
        until: Time,
    },
    Given {
        at: Time,
    },
    Missing {
        since: Time,
    },
}

/// Whether a standby may be promoted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Answer {
    /// It has just given a sign of life.
    Given,
    /// It has to be asked.
    Unasked,
    /// It was asked.
    Awaited,
    /// It does not answer.
    Missing,
}

impl Health {
    /// One that has said whether it answers questions.
    pub fn reports(&mut self, now: Time, heartbeat: bool) {
        if heartbeat && (!self.heartbeat || self.hang().is_some()) {
            // Its accept queue was watched so far, which says nothing of what it is asked from now on. One that hung does so no more.
            self.watch = Watch::Off;
        }
        if self.heard.is_none() {
            // It was waited for, and can be asked now.
            self.sign = Sign::Unasked;
        }
        self.heartbeat = heartbeat;
        self.heard = Some(now);
    }

    /// What a predecessor in the same process knew of it.
    pub fn restored(heartbeat: bool, seq: u64, unconfirmed: bool) -> Self {
        Self { heartbeat, seq, resume: unconfirmed.then_some(seq), ..Self::default() }
    }

    pub fn has_heartbeat(&self) -> bool {
        self.heartbeat
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Why it counts as hung, if it does.
    pub fn hang(&self) -> Option<&str> {
        if let Watch::Hangs { reason } = &self.watch { Some(reason) } else { None }
    }

    /// It has not confirmed that it was resumed.
    pub fn owes_confirmation(&self) -> bool {
        self.resume.is_some()
    }

    /// The next thing that happens by itself, and when.
    pub fn deadline(&self) -> Option<(Time, Timer)> {
        let watch = match &self.watch {
            Watch::Off | Watch::Hangs { .. } => None,
            Watch::Rests { ask } => Some(*ask),
            Watch::Silent(silence) => Some(silence.due()),
        };
        let watch = watch.map(|at| (at, Timer::Heartbeat));
        let sign = if let Sign::Asked { until } = self.sign { Some((until, Timer::Sign)) } else { None };
        [watch, sign].into_iter().flatten().min()
    }

    /// It is watched from now on, if `limit` says how long it may be silent. One that is watched already stays so.
    pub fn watch(&mut self, now: Time, limit: Option<Duration>) {
        match (limit, &self.watch) {
            (Some(limit), Watch::Off) => self.watch = self.rests(now, limit),
            (None, Watch::Rests { .. }) => self.watch = Watch::Off,
            (Some(_) | None, Watch::Off | Watch::Rests { .. } | Watch::Silent(_) | Watch::Hangs { .. }) => {}
        }
    }

    /// The configuration says otherwise how long it may be silent.
    pub fn limit_changes(&mut self, now: Time, limit: Option<Duration>) {
        if let Watch::Silent(silence) = &mut self.watch {
            match limit {
                Some(limit) => silence.may_last(now, limit),
                None => self.watch = Watch::Off,
            }
        }
    }

    fn rests(&self, now: Time, limit: Duration) -> Watch {
        Watch::Rests { ask: next_round(now, limit, if self.heartbeat { EVERY } else { LOOK_EVERY }) }
    }

    /// It cannot be asked for now. What it was asked last, it may never have heard.
    pub fn out_of_reach(&mut self) {
        self.open = None;
        self.sign = Sign::Unasked;
        if self.heartbeat && self.hang().is_none() {
            self.watch = Watch::Off;
        }
    }

    /// Since when it may have stood still: one that is not asked again and again has had no reason to answer, nor has one
    /// that ought to have been asked a while ago.
    fn silent_since(&self, now: Time) -> Time {
        let asked_in_time = matches!(self.watch, Watch::Rests { ask } if now.since(ask) <= LATE);
        self.heard.filter(|_| asked_in_time).unwrap_or(now)
    }

    /// Asks a question, unless one is open. `limit`: how long it may be silent, if that matters.
    fn ask(&mut self, now: Time, limit: Option<Duration>) -> Todo {
        if let Some(limit) = limit
            && !matches!(self.watch, Watch::Silent(_) | Watch::Hangs { .. })
        {
            self.watch = Watch::Silent(Silence::begin(now, self.silent_since(now), limit));
        }
        if self.open.is_some() {
            return Todo::Nothing;
        }
        self.seq += 1;
        self.open = Some(now);
        Todo::Ask(self.seq)
    }

    /// A deadline of its watch has passed.
    pub fn due(&mut self, now: Time, limit: Option<Duration>) -> Todo {
        match &mut self.watch {
            Watch::Rests { ask } if *ask <= now => {
                let Some(limit) = limit else {
                    self.watch = Watch::Off;
                    return Todo::Nothing;
                };
                if !self.heartbeat {
                    self.watch = self.rests(now, limit);
                    return Todo::List;
                }
                self.ask(now, Some(limit))
            }
            Watch::Silent(silence) if silence.due() <= now => silence.goes_on(now, self.inspected),
            Watch::Off | Watch::Rests { .. } | Watch::Silent(_) | Watch::Hangs { .. } => Todo::Nothing,
        }
    }

    /// These connections wait in its accept queue, the first ones first; `None`: nobody knows.
    pub fn listed(&mut self, now: Time, waiting: Option<Vec<u64>>, limit: Option<Duration>) {
        if self.heartbeat || matches!(self.watch, Watch::Off | Watch::Hangs { .. }) {
            return;
        }
        let waiting = waiting.unwrap_or_default();
        if let Watch::Silent(silence) = &self.watch
            && silence.is_confirmed_by(&waiting)
        {
            return;
        }
        self.watch = match limit {
            None => Watch::Off,
            Some(limit) if waiting.is_empty() => self.rests(now, limit),
            Some(limit) => Watch::Silent(Silence::queue(now, limit, waiting)),
        };
    }

    /// Whether what waits in its accept queue is asked for, too, when its process is looked at.
    pub fn is_watched_by_queue(&self) -> bool {
        !self.heartbeat && matches!(self.watch, Watch::Silent(_))
    }

    /// It hangs.
    pub fn hangs(&mut self, reason: &str) {
        self.watch = Watch::Hangs { reason: reason.to_owned() };
    }

    /// Its process was looked at.
    pub fn examined(&mut self, now: Time, vitals: Option<Vitals>) {
        let stopped = vitals.as_ref().is_some_and(|vitals| matches!(vitals.state, 'T' | 't' | 'Z' | 'X'));
        if let Watch::Silent(silence) = &mut self.watch {
            silence.examined(now, vitals);
        }
        if !self.heartbeat && matches!(self.sign, Sign::Asked { .. }) {
            // What cannot be seen is not held against it.
            if stopped {
                self.sign = Sign::Missing { since: now };
            } else {
                self.sign = Sign::Given { at: now };
            }
        }
    }

    /// It answered a question. Returns whether it counted as hung.
    pub fn answers(&mut self, now: Time, seq: u64, inspected: bool, limit: Option<Duration>) -> bool {
        if seq != self.seq || self.open.is_none() {
            return false;
        }
        self.inspected = inspected;
        self.heard = Some(now);
        self.open = None;
        // What it has said before it was needed, it may have said just before it hung.
        self.sign = if self.sign == Sign::Unasked { Sign::Unasked } else { Sign::Given { at: now } };
        if self.resume.is_some_and(|resume| resume <= seq) {
            self.resume = None;
        }
        let hung = self.hang().is_some();
        self.watch = limit.map_or(Watch::Off, |limit| self.rests(now, limit));
        hung
    }

    // A standby that is needed.

    /// Whether it may be promoted.
    pub fn answer(&self, now: Time) -> Answer {
        match self.sign {
            Sign::Unasked if defect!(StandbyPromotedUnasked) => Answer::Given,
            Sign::Given { at } if now.since(at) <= FRESH => Answer::Given,
            Sign::Unasked | Sign::Given { .. } => Answer::Unasked,
            Sign::Asked { .. } => Answer::Awaited,
            Sign::Missing { since } if !self.heartbeat && now.since(since) >= LOOK_AGAIN => Answer::Unasked,
            Sign::Missing { .. } => Answer::Missing,
        }
    }

    /// It has to give a sign of life, because it is needed.
    pub fn is_needed(&mut self, now: Time, limit: Option<Duration>) -> Todo {
        let asked = self.open.unwrap_or(now);
        self.sign = Sign::Asked { until: (asked + ANSWER).max(now) };
        if !self.heartbeat {
            return Todo::Look;
        }
        self.ask(now, Some(limit.unwrap_or(UNLIMITED)))
    }

    /// It has to report, because it is needed: until then it can be asked nothing.
    pub fn has_to_report(&mut self, now: Time) {
        self.sign = Sign::Asked { until: now + ANSWER };
    }

    /// It has not answered although it is needed.
    pub fn misses(&mut self, now: Time) {
        match self.sign {
            Sign::Asked { until } if now.since(until) > BUSY => {
                self.sign = Sign::Asked { until: now + ANSWER }
            }
            Sign::Asked { until } if until <= now => self.sign = Sign::Missing { since: now },
            Sign::Unasked | Sign::Asked { .. } | Sign::Given { .. } | Sign::Missing { .. } => {}
        }
    }

    // `resume`.

    /// It says that it is not suspended: what it was told last over another channel, it has heard.
    pub fn has_resumed(&mut self) {
        self.resume = None;
    }

    /// It is being told to resume: it has to confirm that. Returns the question that follows.
    pub fn is_resumed(&mut self, now: Time, limit: Option<Duration>) -> Option<u64> {
        if !self.heartbeat {
            return None;
        }
        // An answer to a question that is open would say nothing about what comes after it.
        self.open = None;
        match self.ask(now, limit) {
            Todo::Ask(seq) => {
                self.resume = Some(seq);
                Some(seq)
            }
            Todo::Nothing | Todo::List | Todo::Look | Todo::Replace(_) => None,
        }
    }
}

/// Workers are asked at the same moments, so that the daemon wakes up once for all of them.
fn next_round(now: Time, limit: Duration, every: Duration) -> Time {
    let every = every.min(limit / 3).max(Duration::from_millis(1));
    let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
    Time::from_nanos((now.as_nanos() / every + 1).saturating_mul(every))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn vitals(state: char, cpu_ms: u64) -> Vitals {
        let waits_in = Some("do_epoll_wait".to_owned());
        Vitals { state, cpu: Duration::from_millis(cpu_ms), waits_in, traced: false }
    }

    fn watched() -> Health {
        let mut health = Health::default();
        health.reports(at(2000), true);
        health.watch(at(2000), Some(LIMIT));
        health
    }

    /// Goes on to the next deadline, and finds the process in this state.
    fn next(health: &mut Health, found: &Vitals) -> (Time, Todo) {
        let (now, _) = health.deadline().unwrap();
        let todo = health.due(now, Some(LIMIT));
        if todo == Todo::Look {
            health.examined(now, Some(found.clone()));
        }
        (now, todo)
    }

    fn verdict(first: &Vitals, second: &Vitals) -> String {
        let mut health = watched();
        assert_eq!(next(&mut health, first), (at(10_000), Todo::Ask(1)));
        assert_eq!(next(&mut health, first), (at(21_000), Todo::Look));
        assert_eq!(next(&mut health, second), (at(32_000), Todo::Look));
        let (now, Todo::Replace(reason)) = next(&mut health, second) else { panic!("no verdict") };
        assert_eq!(now, at(32_250));
        reason
    }

    #[test]
    fn verdict_tells_a_loop_from_sleep_and_from_a_stop() {
        let begin = "it hangs: its event loop has not answered for 30.2 s (health.hangTimeout = 30000); ";
        let said = |first, second| verdict(&first, &second).strip_prefix(begin).map(str::to_owned).unwrap();
        assert_eq!(
            said(vitals('R', 0), vitals('R', 10_500)),
            "it loops: state R, 10.5 s of CPU in the last 11.0 s"
        );
        let sleeps = "it sleeps in `do_epoll_wait`: state S, 0.1 s of CPU in the last 11.0 s";
        assert_eq!(said(vitals('S', 7), vitals('S', 107)), sleeps);
        assert_eq!(said(vitals('T', 7), vitals('T', 7)), "it is stopped (SIGSTOP)");
    }

    #[test]
    fn answer_begins_the_next_round_and_others_do_not() {
        let mut health = watched();
        next(&mut health, &vitals('S', 0));
        assert!(!health.answers(at(10_001), 7, false, Some(LIMIT)));
        assert_eq!(health.deadline(), Some((at(21_000), Timer::Heartbeat)));
        health.answers(at(10_001), 1, false, Some(LIMIT));
        assert_eq!(health.deadline(), Some((at(20_000), Timer::Heartbeat)));
    }

    #[test]
    fn worker_that_may_be_silent_for_a_short_time_is_asked_more_often() {
        let mut health = Health::default();
        health.reports(at(2000), true);
        health.watch(at(2000), Some(Duration::from_secs(6)));
        assert_eq!(health.deadline(), Some((at(4000), Timer::Heartbeat)));
    }

    #[test]
    fn worker_whose_deadline_was_put_off_meanwhile_is_left_alone() {
        let mut health = watched();
        assert_eq!(health.due(at(9_999), Some(LIMIT)), Todo::Nothing);
        next(&mut health, &vitals('S', 0));
        assert_eq!(health.due(at(20_999), Some(LIMIT)), Todo::Nothing);
        assert_eq!(next(&mut health, &vitals('S', 0)), (at(21_000), Todo::Look));
    }

    #[test]
    fn daemon_that_was_late_gives_the_worker_its_time_again() {
        let mut health = watched();
        assert_eq!(health.due(at(70_000), Some(LIMIT)), Todo::Ask(1));
        assert_eq!(health.deadline(), Some((at(85_000), Timer::Heartbeat)));
        assert_eq!(health.due(at(200_000), Some(LIMIT)), Todo::Nothing);
        assert_eq!(health.deadline(), Some((at(215_000), Timer::Heartbeat)));
    }

    #[test]
    fn worker_under_a_debugger_is_not_judged() {
        let mut health = watched();
        let traced = Vitals { traced: true, ..vitals('t', 0) };
        for _ in 0..3 {
            next(&mut health, &traced);
        }
        assert_eq!(next(&mut health, &traced), (at(32_250), Todo::Nothing));
        let mut health = watched();
        next(&mut health, &traced);
        health.answers(at(10_001), 1, true, Some(LIMIT));
        next(&mut health, &vitals('S', 0));
        for _ in 0..10 {
            assert_eq!(next(&mut health, &vitals('S', 0)).1, Todo::Nothing);
        }
    }

    #[test]
    fn standby_has_to_answer_a_question_that_was_put_to_it() {
        let mut health = watched();
        assert_eq!(health.answer(at(2000)), Answer::Unasked, "it may have hung since it reported");
        assert_eq!(health.is_needed(at(5000), Some(LIMIT)), Todo::Ask(1));
        assert_eq!(health.answer(at(5000)), Answer::Awaited);
        // Its process may live while its event loop does not turn; and it has its time.
        health.examined(at(5500), Some(vitals('S', 0)));
        health.misses(at(5999));
        assert_eq!(health.answer(at(5999)), Answer::Awaited);
        health.misses(at(6000) + BUSY);
        assert_eq!(health.answer(at(6050)), Answer::Missing);
        health.answers(at(7000), 1, false, Some(LIMIT));
        assert_eq!(health.answer(at(7000)), Answer::Given);
        // Where nobody is watched, one that is needed is.
        let mut health = Health::default();
        health.reports(at(0), true);
        health.watch(at(0), None);
        assert_eq!(health.deadline(), None);
        health.is_needed(at(5000), None);
        health.misses(at(6000));
        assert_eq!(health.deadline(), Some((at(20_000), Timer::Heartbeat)));
        health.answers(at(6000), 1, false, None);
        assert_eq!(health.deadline(), None);
    }

    #[test]
    fn standby_without_heartbeat_must_not_be_stopped() {
        let mut health = Health::default();
        assert_eq!(health.is_needed(at(0), None), Todo::Look);
        health.examined(at(0), Some(vitals('T', 0)));
        assert_eq!(health.answer(at(999)), Answer::Missing);
        assert_eq!(health.answer(at(1000)), Answer::Unasked);
        health.is_needed(at(1000), None);
        health.examined(at(1000), Some(vitals('S', 0)));
        assert_eq!(health.answer(at(1000)), Answer::Given);
    }

    #[test]
    fn worker_without_heartbeat_hangs_when_nothing_is_taken_from_its_queue() {
        let mut health = Health::default();
        health.watch(at(500), Some(LIMIT));
        let look = |health: &mut Health, waiting: &[u64]| {
            let (now, _) = health.deadline().unwrap();
            let todo = health.due(now, Some(LIMIT));
            health.examined(now, Some(vitals('S', 0)));
            health.listed(now, Some(waiting.to_vec()), Some(LIMIT));
            (now, todo)
        };
        // Nothing waits; then something that is taken, although more comes.
        assert_eq!(look(&mut health, &[]), (at(1000), Todo::List));
        assert_eq!(look(&mut health, &[1, 2]), (at(2000), Todo::List));
        assert_eq!(look(&mut health, &[2, 3, 4]), (at(17_000), Todo::Look));
        // Of this, nothing is taken.
        assert_eq!(look(&mut health, &[2, 3, 4]), (at(32_000), Todo::Look));
        assert_eq!(look(&mut health, &[0, 3, 4, 5]), (at(47_000), Todo::Look));
        let (now, Todo::Replace(reason)) = look(&mut health, &[]) else { panic!("no verdict") };
        assert_eq!(now, at(47_250));
        let begin = "it hangs: requests wait, and nothing was taken from its accept queue for 30.2 s";
        assert!(reason.starts_with(begin), "{reason}");
        // A queue that nobody can see says nothing.
        let mut health = Health::default();
        health.watch(at(500), Some(LIMIT));
        look(&mut health, &[1]);
        health.listed(at(1001), None, Some(LIMIT));
        assert_eq!(health.deadline(), Some((at(2000), Timer::Heartbeat)));
    }

    #[test]
    fn resume_is_confirmed_by_the_answer_to_what_was_asked_after_it() {
        let mut health = watched();
        next(&mut health, &vitals('S', 0));
        assert_eq!(health.is_resumed(at(10_000), Some(LIMIT)), Some(2));
        assert!(!health.answers(at(10_001), 1, false, Some(LIMIT)));
        assert!(health.owes_confirmation());
        health.answers(at(10_002), 2, false, Some(LIMIT));
        assert!(!health.owes_confirmation());
    }
}
