//! Plays a scenario from start to end: safety at every step, liveness when the faults have stopped, and a clean end.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nodesockd_core::config::PatternError;
use nodesockd_core::driver::{Driver, Step};
use nodesockd_core::supervisor::Pending;
use nodesockd_core::{Action, Supervisor, Time};

use crate::alarm::Alarm;
use crate::daemon_death::{self, DaemonDeath};
use crate::faults::{FaultPlan, Tally};
use crate::leaderless::Leaderless;
use crate::ledger::Ledger;
use crate::scenario::{Ask, Scenario};
use crate::world::{World, ms};

/// So long after the faults have stopped, and after the last operation has ended, everything is as it ought to be. Twice the longest
/// chain of time-outs and back-offs that a default configuration allows.
const SETTLED_WITHIN: Duration = Duration::from_secs(300);
/// More steps than this without time passing: the supervisor runs in a circle.
const CIRCLE: u32 = 20_000;

/// How a run went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was done.
    pub stats: Stats,
    /// The first thing that went against the contract.
    pub violation: Option<String>,
    /// Equal for equal histories.
    pub hash: u64,
    /// The story, if it was asked for.
    pub trace: String,
}

/// Figures of one run, or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Steps of the driver.
    pub steps: u64,
    /// Actions that were carried out, words to the service manager left out.
    pub actions: u64,
    /// Facts the supervisor took in, completions and deadlines included.
    pub events: u64,
    /// Things that happened in the world.
    pub happened: u64,
    /// Virtual time, in ns.
    pub nanos: u64,
    /// Faults that struck.
    pub faults: Tally,
    /// Situations that came about.
    pub situations: Tally,
    /// Users' requests.
    pub requests: Ledger,
    /// How long nobody led.
    pub leaderless: Leaderless,
}

impl Stats {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.actions += other.actions;
        self.events += other.events;
        self.happened += other.happened;
        self.nanos += other.nanos;
        self.faults.add(&other.faults);
        self.situations.add(&other.situations);
        self.requests.add(&other.requests);
        self.leaderless.add(&other.leaderless);
    }
}

/// Plays a scenario; the outcome carries a trace.
#[must_use]
pub fn trace(scenario: &Scenario, faults: &FaultPlan) -> Outcome {
    play(scenario, faults, true)
}

/// Plays a scenario.
#[must_use]
pub fn run(scenario: &Scenario, faults: &FaultPlan) -> Outcome {
    play(scenario, faults, false)
}

fn play(scenario: &Scenario, faults: &FaultPlan, keep_trace: bool) -> Outcome {
    let mut run = match Run::new(scenario, faults, keep_trace) {
        Ok(run) => run,
        Err(error) => {
            return Outcome {
                stats: Stats::default(),
                violation: Some(format!("the scenario's `socketFile` {error}")),
                hash: 0,
                trace: String::new(),
            };
        }
    };
    let alarm = Alarm::default();
    if let Err(what) = alarm.listen(|| run.play()) {
        run.world().violated(what);
    }
    if let Some(words) = alarm.heard() {
        run.world().violated(format_args!("an error was logged: {words}"));
    }
    run.finish()
}

/// A supervisor in its world.
pub(crate) struct Run {
    pub driver: Driver<World>,
    stats: Stats,
    /// Steps since time passed last.
    still: u32,
    quit: bool,
    /// When the daemon dies, the next time first.
    pub deaths: VecDeque<DaemonDeath>,
    /// Actions since the next death could strike.
    pub spared: u32,
    /// Daemons before this one.
    pub lives: u32,
}

impl Run {
    /// The daemon is about to start.
    pub fn new(scenario: &Scenario, faults: &FaultPlan, keep_trace: bool) -> Result<Self, PatternError> {
        let (mut world, config) = World::new(scenario, faults, keep_trace)?;
        let daemon = daemon_death::daemon(scenario.jitter, 0, 0, 0, scenario.settings.sink);
        world.managed(daemon.manager.is_some());
        world.releases.ask();
        let supervisor = Supervisor::new(config, daemon, world.time());
        let mut deaths = faults.deaths.clone();
        deaths.sort();
        Ok(Self {
            driver: Driver::new(supervisor, world),
            stats: Stats::default(),
            still: 0,
            quit: false,
            deaths: deaths.into(),
            spared: 0,
            lives: 0,
        })
    }

    pub fn supervisor(&self) -> &Supervisor {
        self.driver.supervisor()
    }

    pub fn world(&mut self) -> &mut World {
        self.driver.backend()
    }

    fn play(&mut self) -> Result<(), String> {
        while !self.quit && !self.world().scenario_over() {
            self.advance(ms(500))?;
        }
        self.settle()?;
        if !self.quit && self.world().waits_for_resume() {
            self.world().ask(0, &Ask::Resume, false, None);
            self.settle()?;
        }
        let deadline = self.world().time() + SETTLED_WITHIN;
        let mut asked = None;
        while !self.quit {
            // A daemon that died before it had quit has a successor, which knows nothing of that.
            if asked.replace(self.lives) != Some(self.lives) {
                self.world().ask(0, &Ask::Terminate, false, None);
            }
            self.advance(ms(500))?;
            if self.world().time() >= deadline {
                return Err(format!("the daemon has not quit: {}", self.unrest()));
            }
        }
        let mut remains = self.world().remains();
        remains.extend(self.world().unrecorded_at_end());
        remains.extend(self.world().unanswered().into_iter().map(|request| format!("no reply to {request}")));
        if remains.is_empty() {
            Ok(())
        } else {
            Err(format!("the daemon has quit, but {}", remains.join(", ")))
        }
    }

    /// Waits until everything is as it ought to be. Operations that wait for each other have their time one after the other.
    pub fn settle(&mut self) -> Result<(), String> {
        let mut deadline = self.world().time() + SETTLED_WITHIN;
        let mut ended = self.world().operations_ended();
        loop {
            self.advance(ms(500))?;
            if self.quit {
                return Ok(());
            }
            let before = std::mem::replace(&mut ended, self.world().operations_ended());
            if ended != before {
                deadline = self.world().time() + SETTLED_WITHIN;
            }
            if self.unrest().is_empty() {
                self.world().settled();
                return Ok(());
            }
            if self.world().time() >= deadline {
                return Err(format!(
                    "not settled {} s after the faults: {}",
                    SETTLED_WITHIN.as_secs(),
                    self.unrest()
                ));
            }
        }
    }

    /// What is not as it ought to be, by the supervisor's own account and by the world's.
    fn unrest(&mut self) -> String {
        let mute = self.world().has_mute_workers();
        let pending = match self.driver.supervisor().pending() {
            Some(Pending::Requests(_)) if mute => None,
            pending => pending.map(|pending| pending.to_string()),
        };
        let config = self.driver.supervisor().config().clone();
        let (status, metrics) = (self.driver.supervisor().status(), self.driver.supervisor().metrics());
        let world = self.world();
        world.check_metrics(&metrics);
        let flight = world.ledger.in_flight();
        let mut wrong: Vec<String> = pending.into_iter().collect();
        wrong.extend(world.unsettled());
        wrong.extend(world.misfits(&status));
        wrong.extend(world.mislogged(&config, &status));
        if flight > 0 && !world.waits_for_resume() {
            wrong.push(format!("{flight} of the users' requests wait"));
        }
        wrong.join(", ")
    }

    /// Lets so much time pass.
    fn advance(&mut self, duration: Duration) -> Result<(), String> {
        let until = self.world().time() + duration;
        while !self.quit && self.world().time() < until {
            let now = self.world().time();
            self.world().horizon = self.deaths.front().map_or(until, |death| death.horizon(now, until));
            self.die_if_due()?;
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let before = self.world().time();
        let step = now(self.driver.step()).ok_or("a call of the simulated backend waits")?;
        self.stats.steps += 1;
        match step {
            Step::Quit if self.supervisor().has_detached() => self.leave()?,
            Step::Quit => self.quit = true,
            Step::Heard(_) | Step::TimedOut => self.stats.events += 1,
            // Words to the service manager change nothing: to die after them is to die before the next action.
            Step::Performed(Action::Notify(_)) => {}
            Step::Performed(action) => {
                self.stats.actions += 1;
                self.stats.events += u64::from(completes(&action));
                self.survived();
                self.take_over_if_handed()?;
            }
        }
        self.driver.supervisor().check().map_err(|violation| violation.to_string())?;
        if let Some(violation) = self.world().violation() {
            return Err(violation.to_owned());
        }
        self.still = if self.world().time() > before { 0 } else { self.still + 1 };
        if self.still > CIRCLE {
            return Err(format!("{CIRCLE} steps and no time has passed"));
        }
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        let world = self.driver.backend();
        let end = world.time();
        let account = world.ledger.to_string();
        world.trace.line(end, "users", account);
        self.stats.happened = world.happened();
        self.stats.nanos = end.since(Time::ZERO).as_nanos() as u64;
        self.stats.faults = world.tally.clone();
        self.stats.situations = world.marks.clone();
        self.stats.requests = world.ledger.clone();
        self.stats.leaderless = world.leaderless_times();
        Outcome {
            violation: world.violation().map(str::to_owned),
            hash: world.trace.hash(),
            trace: world.trace.render(),
            stats: self.stats,
        }
    }
}

/// Whether a completion is fed back for this action.
fn completes(action: &Action) -> bool {
    !matches!(
        action,
        Action::Tell { .. }
            | Action::Probe { .. }
            | Action::Signal { .. }
            | Action::WatchCommand { .. }
            | Action::SignalCommand { .. }
            | Action::WatchHook { .. }
            | Action::KillHook { .. }
            | Action::Reply { .. }
            | Action::Preflight { .. }
            | Action::Freeze
            | Action::Thaw
            | Action::HandOff { .. }
            | Action::Quit
    )
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
