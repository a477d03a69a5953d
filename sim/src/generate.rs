//! Draws a scenario and its faults from a seed.
//!
//! Swarm testing: first it is drawn *which* kinds of things happen at all in a history, and how dense they are; so
//! there are histories with nothing but stopped workers, and histories with everything.

mod additions;
mod app;
mod deploys;
mod draw;
mod habits;
mod misbehaviour;

use fastrand::Rng;

use crate::daemon_death::DaemonDeath;
use crate::faults::{Call, CallFault, ExternalFault, ExternalFaultKind, FaultPlan, WorkerFault};
use crate::scenario::{Act, Ask, Scenario, Settings, Signal, Step};

use app::{leftovers, load, releases, settings};
use draw::{chance, pick, swarm};
use habits::{HABITS, Habit, ask, deed, edit};
use misbehaviour::{MISBEHAVIOURS, Misbehaviour, behaviour, trouble};

/// The scenario and the faults of `seed`.
#[must_use]
pub fn generate(seed: u64) -> (Scenario, FaultPlan) {
    Swarm::of(seed).history(seed)
}

/// What happens at all in a history, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swarm {
    /// In ms.
    length_ms: u64,
    /// What operators do, and how often they do something.
    habits: Vec<Habit>,
    deeds: u32,
    /// How workers misbehave, and the percentage of them that do.
    misbehaviours: Vec<Misbehaviour>,
    misbehaving: u32,
    /// Methods of the backend that go wrong, and the percentage of their calls that do.
    calls: Vec<(Call, u32)>,
    /// Blows from outside.
    external: u32,
    /// Files that somebody removes.
    removals: u32,
    /// Deaths of the daemon.
    deaths: u32,
}

impl Swarm {
    /// The swarm of `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let calls = swarm(rng, &Call::FIRST);
        Self {
            length_ms: *pick(rng, &[5_000, 20_000, 60_000]),
            habits: swarm(rng, &HABITS),
            deeds: *pick(rng, &[1, 4, 12, 40]),
            misbehaviours: swarm(rng, &MISBEHAVIOURS),
            misbehaving: *pick(rng, &[5, 20, 60]),
            calls: calls.into_iter().map(|call| (call, *pick(rng, &[2, 10, 50]))).collect(),
            external: *pick(rng, &[0, 0, 1, 5]),
            removals: if chance(rng, 5) { rng.u32(1..4) } else { 0 },
            deaths: if chance(rng, 12) { *pick(rng, &[1, 1, 2, 5]) } else { 0 },
        }
    }

    /// The history of `seed` in which happens what this swarm allows.
    #[must_use]
    pub fn history(&self, seed: u64) -> (Scenario, FaultPlan) {
        // Not what drew the swarm: a swarm's histories have nothing else in common.
        let rng = &mut Rng::with_seed(!seed);
        let settings = settings(rng);
        let releases = releases(rng);
        let script = self.script(rng, &settings, releases.len());
        let mut faults = self.faults(rng);
        let load = load(rng, &settings);
        let leftovers = leftovers(rng);
        let length_ms = self.length_ms;
        let mut scenario =
            Scenario { settings, releases, script, load, leftovers, length_ms, jitter: rng.u64(..) };
        self.deaths(rng, &mut scenario, &mut faults);
        additions::draw(seed, &mut scenario, &mut faults);
        (scenario, faults)
    }

    /// In few histories the daemon itself dies, or leaves its workers to another one.
    fn deaths(&self, rng: &mut Rng, scenario: &mut Scenario, plan: &mut FaultPlan) {
        if self.deaths == 0 && !scenario.settings.respawn {
            return;
        }
        for _ in 0..self.deaths {
            plan.deaths.push(DaemonDeath {
                at_ms: rng.u64(0..plan.until_ms),
                actions: rng.u32(0..12),
                down_ms: *pick(rng, &[0, 1, 50, 500, 20_000]),
                torn: chance(rng, 20),
            });
        }
        for death in &plan.deaths {
            // Its successor may be given another configuration.
            if chance(rng, 30) {
                scenario.script.push(Step { at_ms: death.at_ms, act: edit(rng, &scenario.settings) });
            }
        }
        scenario.script.sort_by_key(|step| step.at_ms);
        plan.strangers = *pick(rng, &[0, 0, 30, 100]);
    }

    fn script(&self, rng: &mut Rng, settings: &Settings, releases: usize) -> Vec<Step> {
        let length_ms = self.length_ms;
        let mut steps = Vec::new();
        if !self.habits.is_empty() {
            for _ in 0..self.deeds {
                let at_ms = rng.u64(0..length_ms);
                let habit = *pick(rng, &self.habits);
                steps.extend(deed(rng, habit, settings, releases).into_iter().map(|act| Step { at_ms, act }));
            }
        }
        if chance(rng, 10) {
            let act = if rng.bool() { Act::Signal(Signal::Term) } else { ask(rng, Ask::Terminate) };
            steps.push(Step { at_ms: rng.u64(0..length_ms), act });
        }
        if chance(rng, 4) {
            let at_ms = rng.u64(0..length_ms);
            steps.push(Step { at_ms, act: Act::Signal(Signal::Int) });
            steps.push(Step { at_ms: at_ms + rng.u64(0..2000), act: Act::Signal(Signal::Int) });
        }
        steps.sort_by_key(|step| step.at_ms);
        steps
    }

    fn faults(&self, rng: &mut Rng) -> FaultPlan {
        let mut plan = FaultPlan {
            until_ms: self.length_ms * 3 / 4,
            exit_delay_ms: *pick(rng, &[0, 0, 1, 100]),
            ..FaultPlan::default()
        };
        for nth in 0..60 {
            if !self.misbehaviours.is_empty() && chance(rng, self.misbehaving) {
                plan.workers.push(WorkerFault { nth, behaviour: behaviour(rng, &self.misbehaviours) });
            }
        }
        for (call, percent) in &self.calls {
            for nth in 0..40 {
                if chance(rng, *percent) {
                    plan.calls.push(CallFault { call: *call, nth, trouble: trouble(rng) });
                }
            }
        }
        for _ in 0..self.external {
            let nth = rng.u32(0..8);
            let for_ms = rng.u64(1..15_000);
            let what = *pick(
                rng,
                &[
                    ExternalFaultKind::Kill { nth },
                    ExternalFaultKind::Kill { nth },
                    ExternalFaultKind::Stop { nth, for_ms },
                    ExternalFaultKind::KillAll,
                ],
            );
            plan.external.push(ExternalFault { at_ms: rng.u64(0..plan.until_ms), what });
        }
        for _ in 0..self.removals {
            let what = ExternalFaultKind::Unlink { nth: rng.u32(0..8) };
            plan.external.push(ExternalFault { at_ms: rng.u64(0..plan.until_ms), what });
        }
        plan
    }
}
