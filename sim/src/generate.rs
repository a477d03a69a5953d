//! Draws a scenario and its faults from a seed.
//!
//! Swarm testing: first it is drawn *which* kinds of things happen at all in a history, and how dense they are; so
//! there are histories with nothing but stopped workers, and histories with everything.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use fastrand::Rng;
use nodesockd_core::config::StopSignal;
use nodesockd_core::expiry::Ending;

use crate::daemon_death::DaemonDeath;
use crate::faults::{
    Call, CallFault, Errno, ExternalFault, ExternalFaultKind, FaultPlan, Trouble, WorkerFault,
};
use crate::scenario::{
    Act, Ask, Behaviour, Death, Errand, Finish, Hang, Load, Purpose, Readiness, Release, Scenario, Settings,
    Signal, Step,
};

/// A client that has read a link connects within this time, or may find that the worker has gone: a little less than an
/// accept queue must have been empty.
const LONGEST_GAP_MS: u64 = 45;

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
        let rng = &mut Rng::with_seed(seed.rotate_left(32));
        strain(rng, &mut faults);
        faults.first_signs = chance(rng, 75);
        haste(&mut Rng::with_seed(seed.rotate_left(16)), &mut scenario);
        releasing(&mut Rng::with_seed(seed.rotate_left(48)), &mut scenario, &mut faults);
        boots(&mut Rng::with_seed(seed.rotate_left(24)), &mut scenario.settings, &mut faults);
        disguise(&mut Rng::with_seed(seed.rotate_left(56)), &mut faults);
        clean(&mut Rng::with_seed(seed.rotate_left(40)), &mut faults);
        deploying(&mut Rng::with_seed(seed.rotate_left(8)), &mut scenario, &mut faults);
        hangs(&mut Rng::with_seed(seed.rotate_left(20)), &mut scenario, &mut faults);
        slots(&mut Rng::with_seed(seed.rotate_left(12)), &mut scenario);
        limits(&mut Rng::with_seed(seed.rotate_left(28)), &mut scenario, &mut faults);
        leading(&mut Rng::with_seed(seed.rotate_left(44)), &mut faults);
        migrating(&mut Rng::with_seed(seed.rotate_left(52)), &mut scenario, &mut faults);
        suspending(&mut Rng::with_seed(seed.rotate_left(36)), &mut scenario);
        batches(&mut Rng::with_seed(seed.rotate_left(60)), &mut scenario, &mut faults);
        sinking(&mut Rng::with_seed(seed.rotate_left(4)), &mut scenario, &mut faults);
        // All multiples of 4 by which `seed` can be rotated are taken, or the swarm's.
        checking(&mut Rng::with_seed((!seed).rotate_left(8)), &mut scenario, &mut faults);
        unrecorded(&mut Rng::with_seed(seed.rotate_left(35)), &mut faults);
        hooks(&mut Rng::with_seed(seed.rotate_left(37)), &mut scenario, &mut faults);
        logging(&mut Rng::with_seed(seed.rotate_left(39)), &mut scenario);
        counting(&mut Rng::with_seed(seed.rotate_left(38)), &mut scenario, &mut faults);
        stopping(&mut Rng::with_seed(seed.rotate_left(41)), &mut scenario);
        metrics_socket(&mut Rng::with_seed(seed.rotate_left(42)), &mut scenario, &mut faults);
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

/// In some histories nobody waits for old workers.
fn haste(rng: &mut Rng, scenario: &mut Scenario) {
    if !chance(rng, 30) {
        return;
    }
    scenario.settings.retiring = *pick(rng, &[1, 2, 3]);
    for step in &mut scenario.script {
        if let Act::Ask { ask: Ask::Restart { suspended: false, until_swap, .. }, .. } = &mut step.act {
            *until_swap = rng.bool();
        }
    }
}

/// In some histories the symlink names another release and nobody restarts the workers yet, or old releases are removed.
fn releasing(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if chance(rng, 30) {
        for _ in 0..rng.u32(1..4) {
            let release = rng.usize(0..scenario.releases.len());
            let at_ms = rng.u64(0..scenario.length_ms);
            scenario.script.push(Step { at_ms, act: Act::Deploy { release } });
        }
        scenario.script.sort_by_key(|step| step.at_ms);
    }
    if chance(rng, 15) {
        for _ in 0..rng.u32(1..4) {
            let at_ms = rng.u64(0..faults.until_ms);
            faults.external.push(ExternalFault { at_ms, what: ExternalFaultKind::Prune });
        }
    }
}

/// In some histories releases are deployed by the daemon.
fn deploying(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if !chance(rng, 20) {
        return;
    }
    for _ in 0..rng.u32(1..5) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let release = chance(rng, 80).then(|| rng.usize(0..scenario.releases.len()));
        let watch_ms = *pick(rng, &[0, 300, 3000, 15_000]);
        let deploy = ask(rng, Ask::Deploy { release, watch_ms });
        scenario.script.push(Step { at_ms, act: deploy });
        if chance(rng, 20) {
            let at_ms = at_ms + rng.u64(0..5000);
            scenario.script.push(Step { at_ms, act: ask(rng, Ask::AttachDeploy) });
        }
        if chance(rng, 20) {
            let at_ms = at_ms + rng.u64(0..500);
            let (actions, down_ms) = (rng.u32(0..12), *pick(rng, &[0, 50, 500]));
            faults.deaths.push(DaemonDeath { at_ms, actions, down_ms, torn: false });
        }
    }
    scenario.script.sort_by_key(|step| step.at_ms);
    if chance(rng, 20) {
        let call = *pick(rng, &[Call::FindReleaseLink, Call::SwitchReleaseLink]);
        faults.calls.push(CallFault { call, nth: rng.u32(0..3), trouble: trouble(rng) });
    }
}

/// In some histories deploys have migrations, and what is left to a person is decided later.
fn migrating(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if !chance(rng, 15) {
        return;
    }
    for _ in 0..rng.u32(1..4) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let finishes = [Finish::Succeeds, Finish::Succeeds, Finish::Fails, Finish::IgnoresSigterm];
        let errand = |rng: &mut Rng, purpose| Errand {
            purpose,
            for_ms: *pick(rng, &[5, 300, 2000, 15_000]),
            finish: *pick(rng, &finishes),
        };
        let migrate = Ask::Migrate {
            release: rng.usize(0..scenario.releases.len()),
            watch_ms: *pick(rng, &[0, 0, 500, 5000]),
            migrate: errand(rng, Purpose::Migrate),
            revert: rng.bool().then(|| errand(rng, Purpose::Revert)),
            limit_ms: chance(rng, 30).then(|| rng.u64(1..3000)),
        };
        scenario.script.push(Step { at_ms, act: ask(rng, migrate) });
        if chance(rng, 50) {
            let at_ms = at_ms + rng.u64(500..20_000);
            let release = Some(rng.usize(0..scenario.releases.len()));
            let decisions =
                [Ask::Resume, Ask::RESTART, Ask::Deploy { release, watch_ms: 500 }, Ask::AttachDeploy];
            let decision = pick(rng, &decisions).clone();
            scenario.script.push(Step { at_ms, act: ask(rng, decision) });
        }
        if chance(rng, 25) {
            let at_ms = at_ms + rng.u64(0..3000);
            let (actions, down_ms) = (rng.u32(0..12), *pick(rng, &[0, 50, 500, 5000]));
            faults.deaths.push(DaemonDeath { at_ms, actions, down_ms, torn: false });
        }
    }
    scenario.script.sort_by_key(|step| step.at_ms);
    if chance(rng, 15) {
        let fault = CallFault { call: Call::RunCommand, nth: rng.u32(0..2), trouble: trouble(rng) };
        faults.calls.push(fault);
    }
}

/// In some histories workers are replaced in batches: many of them, or releases that cannot be told from the first ones.
fn batches(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if !chance(rng, 20) {
        return;
    }
    let (batch, workers) = (*pick(rng, &[1, 1, 2, 3]), rng.u32(2..9));
    let grows = rng.bool();
    for settings in std::iter::once(&mut scenario.settings).chain(edits(&mut scenario.script)) {
        settings.batch = batch;
        if grows {
            settings.workers = settings.workers.max(workers);
            settings.slots = if settings.slots > 0 { settings.slots.max(workers) } else { 0 };
        }
    }
    if grows {
        scenario.load.upstreams = scenario.load.upstreams.max(workers);
    }
    for _ in 0..rng.u32(1..4) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let release = Some(rng.usize(0..scenario.releases.len()));
        let watch_ms = *pick(rng, &[0, 0, 1000, 5000]);
        let asked = [Ask::RESTART, Ask::Deploy { release, watch_ms }];
        let asked = pick(rng, &asked).clone();
        scenario.script.push(Step { at_ms, act: ask(rng, asked) });
        if chance(rng, 40) {
            let nth = workers + rng.u32(0..2 * workers);
            let how = Death::Code(1);
            let behaviours = [
                Behaviour::Dies { after_ms: rng.u64(0..3000), how },
                Behaviour::NeverReports,
                Behaviour::Breaks { after_ms: rng.u64(0..3000) },
            ];
            faults.workers.push(WorkerFault { nth, behaviour: *pick(rng, &behaviours) });
        }
        if chance(rng, 20) {
            let at_ms = at_ms + rng.u64(0..5000);
            let (actions, down_ms) = (rng.u32(0..12), *pick(rng, &[0, 50, 500]));
            faults.deaths.push(DaemonDeath { at_ms, actions, down_ms, torn: false });
        }
    }
    scenario.script.sort_by_key(|step| step.at_ms);
}

/// In some histories the workers of a deploy have to answer a check, and some of them do so late, or not as they ought to.
fn checking(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    // Workers that share a socket cannot be checked.
    if scenario.settings.daemon_listens || !chance(rng, 15) {
        return;
    }
    for _ in 0..rng.u32(1..4) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let release = chance(rng, 80).then(|| rng.usize(0..scenario.releases.len()));
        let watch_ms = *pick(rng, &[300, 3000, 15_000]);
        scenario.script.push(Step { at_ms, act: ask(rng, Ask::DeployChecked { release, watch_ms }) });
    }
    scenario.script.sort_by_key(|step| step.at_ms);
    for _ in 0..rng.u32(0..4) {
        let behaviour = if rng.bool() {
            Behaviour::FailsChecks { after: rng.u32(0..4) }
        } else {
            Behaviour::ChecksLate { by_ms: *pick(rng, &[20, 900, 4000, 6000]) }
        };
        faults.workers.push(WorkerFault { nth: rng.u32(0..12), behaviour });
    }
}

/// In some histories the history cannot be written for a while.
fn unrecorded(rng: &mut Rng, faults: &mut FaultPlan) {
    if chance(rng, 10) {
        let (first, trouble) = (rng.u32(0..8), trouble(rng));
        for nth in first..first + rng.u32(1..6) {
            faults.calls.push(CallFault { call: Call::Record, nth, trouble });
        }
    }
}

/// In some histories a command is run for events, which may fail, hang, or not be there.
fn hooks(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if !chance(rng, 15) {
        return;
    }
    let times = [1, 200, 5_000, 60_000, 90_000];
    let hook_ms: Vec<u64> = (0..rng.u32(1..4)).map(|_| *pick(rng, &times)).collect();
    scenario.settings.hook_ms = hook_ms.clone();
    for settings in edits(&mut scenario.script) {
        settings.hook_ms = hook_ms.clone();
    }
    if chance(rng, 20) {
        faults.calls.push(CallFault { call: Call::RunHook, nth: rng.u32(0..3), trouble: trouble(rng) });
    }
}

/// In some histories workers count, and somebody looks again and again.
fn counting(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    if !chance(rng, 15) {
        return;
    }
    scenario.settings.metrics = chance(rng, 90);
    for settings in edits(&mut scenario.script) {
        settings.metrics = chance(rng, 80);
    }
    let mut looks: Vec<u64> = (0..rng.u32(2..12)).map(|_| rng.u64(0..scenario.length_ms)).collect();
    for death in &faults.deaths {
        looks.extend([
            death.at_ms.saturating_sub(rng.u64(1..2000)),
            death.at_ms + death.down_ms + rng.u64(1..1500),
        ]);
    }
    for at_ms in looks {
        scenario.script.push(Step { at_ms, act: ask(rng, Ask::Metrics) });
    }
    scenario.script.sort_by_key(|step| step.at_ms);
    if chance(rng, 10) {
        let nth = rng.u32(0..3);
        faults.calls.push(CallFault { call: Call::ServeMetrics, nth, trouble: trouble(rng) });
    }
}

/// In some histories metrics are served at a socket, and somebody removes that.
fn metrics_socket(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
    let counts = scenario.settings.metrics;
    if !counts || !chance(rng, 50) {
        return;
    }
    scenario.settings.metrics_socket = true;
    for settings in edits(&mut scenario.script) {
        settings.metrics_socket = chance(rng, 80);
    }
    for _ in 0..rng.u32(0..4) {
        let what = ExternalFaultKind::RemoveMetricsSocket;
        faults.external.push(ExternalFault { at_ms: rng.u64(0..faults.until_ms.max(1)), what });
    }
}

/// In some histories the machine is slow, or workers lie.
fn strain(rng: &mut Rng, plan: &mut FaultPlan) {
    if chance(rng, 15) {
        plan.cores = *pick(rng, &[1, 2]);
    }
    if chance(rng, 15) {
        plan.dying_ms = *pick(rng, &[1, 20, 300]);
    }
    if chance(rng, 10) {
        for _ in 0..rng.u32(1..4) {
            let after_ms = rng.u64(0..5000);
            let lie = *pick(rng, &[Behaviour::AnswersForOthers, Behaviour::ClaimsAnother { after_ms }]);
            plan.workers.push(WorkerFault { nth: rng.u32(0..20), behaviour: lie });
        }
    }
}

/// In some histories workers boot by turns, and in few of them the machine never becomes faster.
fn boots(rng: &mut Rng, settings: &mut Settings, plan: &mut FaultPlan) {
    if chance(rng, 25) {
        settings.boots = *pick(rng, &[1, 1, 2, 3]);
    }
    if chance(rng, 5) {
        plan.slow = *pick(rng, &[4, 30]);
    }
}

/// In some histories workers are started by wrappers, and start processes that take themselves for the worker.
fn disguise(rng: &mut Rng, plan: &mut FaultPlan) {
    if chance(rng, 10) {
        for nth in 0..rng.u32(1..20) {
            plan.workers.push(WorkerFault { nth, behaviour: Behaviour::Wrapped { lingers: rng.bool() } });
        }
    }
    if chance(rng, 5) {
        let behaviour = Behaviour::ChildClaims { after_ms: rng.u64(0..5000) };
        plan.workers.push(WorkerFault { nth: rng.u32(0..10), behaviour });
    }
}

/// In some histories somebody cleans up `tmpDir`.
fn clean(rng: &mut Rng, plan: &mut FaultPlan) {
    if !chance(rng, 10) {
        return;
    }
    for _ in 0..rng.u32(1..4) {
        let nth = rng.u32(0..8);
        let kinds = [
            ExternalFaultKind::Unlink { nth },
            ExternalFaultKind::Redirect { nth },
            ExternalFaultKind::RemoveOwn { nth },
            ExternalFaultKind::CleanUp,
        ];
        let what = *pick(rng, &kinds);
        plan.external.push(ExternalFault { at_ms: rng.u64(0..plan.until_ms.max(1)), what });
    }
    if chance(rng, 30) {
        plan.calls.push(CallFault { call: Call::Restore, nth: 0, trouble: trouble(rng) });
    }
}

/// In some histories event loops stand still.
fn hangs(rng: &mut Rng, scenario: &mut Scenario, plan: &mut FaultPlan) {
    if !chance(rng, 20) {
        return;
    }
    scenario.settings.hang_timeout_ms = *pick(rng, &[Some(1000), Some(1000), Some(5000), Some(0), None]);
    if chance(rng, 70) {
        scenario.settings.dev_server = None;
    }
    for _ in 0..rng.u32(1..5) {
        let after_ms = rng.u64(0..10_000);
        let how = *pick(rng, &[Hang::Loops, Hang::Sleeps, Hang::Stopped]);
        let behaviour = Behaviour::Hangs { after_ms, how };
        plan.workers.push(WorkerFault { nth: rng.u32(0..8), behaviour });
    }
    if chance(rng, 30) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let suspend = Ask::Restart { suspended: true, attempts: None, wait: false, until_swap: false };
        scenario.script.push(Step { at_ms, act: ask(rng, suspend) });
        let at_ms = at_ms + rng.u64(500..8000);
        scenario.script.push(Step { at_ms, act: ask(rng, Ask::Resume) });
        scenario.script.sort_by_key(|step| step.at_ms);
    }
}

/// In some histories nobody comes back to end a suspension, or comes back late.
fn suspending(rng: &mut Rng, scenario: &mut Scenario) {
    if !chance(rng, 8) {
        return;
    }
    for _ in 0..rng.u32(1..4) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let release = rng.usize(0..scenario.releases.len());
        scenario.script.push(Step { at_ms, act: Act::Deploy { release } });
        let after_ms = *pick(rng, &[1, 500, 3000, 10_000]);
        let then = *pick(rng, &[Ending::Resume, Ending::Rollback]);
        scenario.script.push(Step { at_ms: at_ms + 1, act: ask(rng, Ask::Suspend { after_ms, then }) });
        if chance(rng, 40) {
            let at_ms = at_ms + rng.u64(1..12_000);
            scenario.script.push(Step { at_ms, act: ask(rng, Ask::Resume) });
        }
    }
    scenario.script.sort_by_key(|step| step.at_ms);
}

/// In some histories workers have limits, and come to them.
fn limits(rng: &mut Rng, scenario: &mut Scenario, plan: &mut FaultPlan) {
    if !chance(rng, 10) {
        return;
    }
    let age = *pick(rng, &[None, None, Some(30_000)]);
    for _ in 0..rng.u32(1..5) {
        let behaviour = Behaviour::Grows { after_ms: rng.u64(0..20_000) };
        plan.workers.push(WorkerFault { nth: rng.u32(0..8), behaviour });
    }
    (scenario.settings.limit_memory, scenario.settings.limit_age_ms) = (true, age);
    for settings in edits(&mut scenario.script) {
        (settings.limit_memory, settings.limit_age_ms) = (true, age);
    }
}

/// In some histories workers cannot lead, or do not stop when they are told to.
fn leading(rng: &mut Rng, plan: &mut FaultPlan) {
    if chance(rng, 15) {
        plan.unaware = *pick(rng, &[30, 60, 100]);
    }
    if chance(rng, 15) {
        for _ in 0..rng.u32(1..6) {
            let for_ms = *pick(rng, &[None, Some(20), Some(1000), Some(20_000)]);
            plan.workers.push(WorkerFault { nth: rng.u32(0..8), behaviour: Behaviour::LeadsOn { for_ms } });
        }
    }
}

/// In some histories workers' output is taken by a process, which may not be well.
fn sinking(rng: &mut Rng, scenario: &mut Scenario, plan: &mut FaultPlan) {
    if !chance(rng, 40) {
        return;
    }
    scenario.settings.sink = true;
    if !chance(rng, 50) {
        return;
    }
    plan.sink_delay_ms = *pick(rng, &[0, 0, 500, 5000, 15_000]);
    for _ in 0..rng.u32(0..4) {
        let what = *pick(rng, &[ExternalFaultKind::SinkDies, ExternalFaultKind::SinkHangs]);
        plan.external.push(ExternalFault { at_ms: rng.u64(0..plan.until_ms.max(1)), what });
    }
    if chance(rng, 30) {
        for nth in 0..rng.u32(1..4) {
            plan.calls.push(CallFault { call: Call::StartSink, nth, trouble: trouble(rng) });
        }
    }
}

/// In some histories workers' output is logged, and the settings of that are changed.
fn logging(rng: &mut Rng, scenario: &mut Scenario) {
    if !chance(rng, 25) {
        return;
    }
    scenario.settings.log = rng.u32(0..3);
    let mut log = scenario.settings.log;
    for settings in edits(&mut scenario.script) {
        if chance(rng, 50) {
            log = rng.u32(0..3);
        }
        settings.log = log;
    }
}

/// In some histories programs finish on other signals than SIGTERM, each on its own, and one is followed by another.
fn stopping(rng: &mut Rng, scenario: &mut Scenario) {
    if !chance(rng, 20) {
        return;
    }
    if chance(rng, 60) {
        let at_ms = rng.u64(0..scenario.length_ms);
        let script = format!("/srv/app/server{}.js", rng.u32(0..3));
        let other = Settings { script, ..scenario.settings.clone() };
        scenario.script.push(Step { at_ms, act: Act::Edit(Box::new(other)) });
        scenario.script.push(Step { at_ms: at_ms + 1, act: ask(rng, Ask::Reload) });
        scenario.script.sort_by_key(|step| step.at_ms);
    }
    let mut signals = BTreeMap::new();
    for settings in std::iter::once(&mut scenario.settings).chain(edits(&mut scenario.script)) {
        let all = [StopSignal::Term, StopSignal::Quit, StopSignal::Usr2, StopSignal::Winch];
        settings.stop_signal = *signals.entry(settings.script.clone()).or_insert_with(|| *pick(rng, &all));
    }
}

/// In some histories nginx lists more links than there are workers.
fn slots(rng: &mut Rng, scenario: &mut Scenario) {
    if !chance(rng, 25) {
        return;
    }
    let slots = scenario.settings.workers + rng.u32(0..4);
    scenario.settings.slots = slots;
    scenario.load.upstreams = slots;
    for settings in edits(&mut scenario.script) {
        if chance(rng, 80) {
            settings.slots = slots;
        }
    }
}

fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(0..choices.len())]
}

fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

/// A subset of `all`: often small, sometimes everything.
fn swarm<T: Copy>(rng: &mut Rng, all: &[T]) -> Vec<T> {
    let percent = *pick(rng, &[0, 10, 30, 60, 100]);
    all.iter().copied().filter(|_| chance(rng, percent)).collect()
}

fn settings(rng: &mut Rng) -> Settings {
    let mut settings = Settings {
        workers: *pick(rng, &[1, 1, 2, 2, 3, 4]),
        standby: *pick(rng, &[0, 0, 1, 2]),
        absolute_links: rng.bool(),
        dev_server: rng.bool().then_some(8000),
        max_start_attempts: *pick(rng, &[1, 1, 2, 3]),
        ..Settings::default()
    };
    listening(rng, &mut settings);
    if rng.bool() {
        settings.online_timeout_ms = *pick(rng, &[200, 1000]);
        settings.drain_timeout_ms = *pick(rng, &[0, 100, 1000]);
        settings.shutdown_timeout_ms = *pick(rng, &[100, 500, 2000]);
        settings.spawn_timeout_ms = *pick(rng, &[20, 500]);
    }
    settings.respawn = chance(rng, 30);
    settings
}

/// Who listens, and how workers show that they are ready.
fn listening(rng: &mut Rng, settings: &mut Settings) {
    settings.daemon_listens = rng.bool();
    let all = [Readiness::Report, Readiness::Notify, Readiness::Listen, Readiness::Http];
    // What answers on a shared socket says nothing about one worker; a configuration that relies on it is refused.
    let possible = if settings.daemon_listens { &all[..2] } else { &all };
    settings.ready = if chance(rng, 70) { Readiness::Report } else { *pick(rng, possible) };
}

fn releases(rng: &mut Rng) -> Vec<Release> {
    let mut releases = vec![good(rng)];
    for _ in 0..rng.u32(0..3) {
        let mut release = good(rng);
        if chance(rng, 40) {
            let behaviour = behaviour(rng, &MISBEHAVIOURS);
            release.defects.push(behaviour);
        }
        releases.push(release);
    }
    releases
}

fn good(rng: &mut Rng) -> Release {
    Release { boot_ms: *pick(rng, &[5, 40, 150]), service_ms: *pick(rng, &[1, 5, 40]), defects: Vec::new() }
}

fn load(rng: &mut Rng, settings: &Settings) -> Load {
    Load {
        users: *pick(rng, &[1, 2, 4]),
        pause_ms: *pick(rng, &[10, 50, 400]),
        upstreams: settings.workers,
        posts: *pick(rng, &[0, 50, 100]),
        keep_alive_ms: *pick(rng, &[None, Some(50), Some(2000), Some(60_000)]),
        gap_ms: *pick(rng, &[0, 0, 1, LONGEST_GAP_MS]),
        backlog: *pick(rng, &[1, 511, 511, 511]),
    }
}

fn leftovers(rng: &mut Rng) -> Vec<String> {
    let all = [
        "app.0.sock",
        "app.7.sock",
        ".app.1.sock.new",
        "app.11111111-1111-4111-8111-111111111111.sock",
        "README",
        "other.0.sock",
    ];
    swarm(rng, &all).into_iter().map(str::to_owned).collect()
}

/// Kinds of things that operators do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Restart,
    Suspend,
    Resume,
    Stop,
    Scale,
    Reload,
    Signal,
    Talk,
    Look,
    Upgrade,
}

const HABITS: [Habit; 10] = [
    Habit::Restart,
    Habit::Suspend,
    Habit::Resume,
    Habit::Stop,
    Habit::Scale,
    Habit::Reload,
    Habit::Signal,
    Habit::Talk,
    Habit::Look,
    Habit::Upgrade,
];

fn deed(rng: &mut Rng, habit: Habit, settings: &Settings, releases: usize) -> Vec<Act> {
    let attempts = if chance(rng, 30) { NonZeroU32::new(rng.u32(1..4)) } else { None };
    let wait = chance(rng, 30);
    match habit {
        Habit::Restart => {
            let deploy = Act::Deploy { release: rng.usize(0..releases) };
            let restart = ask(rng, Ask::Restart { suspended: false, attempts, wait, until_swap: false });
            if rng.bool() { vec![deploy, restart] } else { vec![restart] }
        }
        Habit::Suspend => vec![ask(rng, Ask::Restart { suspended: true, attempts, wait, until_swap: false })],
        Habit::Upgrade => {
            let suspended = chance(rng, 20);
            vec![ask(rng, Ask::Upgrade { suspended })]
        }
        Habit::Resume => vec![ask(rng, Ask::Resume)],
        Habit::Stop => {
            let suspended = chance(rng, 30);
            let what = if rng.bool() { Ask::Stop } else { Ask::Start { suspended, attempts } };
            vec![ask(rng, what)]
        }
        Habit::Scale => {
            let count = NonZeroU32::new(rng.u32(1..6)).unwrap_or(NonZeroU32::MIN);
            let standby = rng.u32(0..3);
            let what = if rng.bool() { Ask::SetWorkers(count) } else { Ask::SetStandby(standby) };
            vec![ask(rng, what)]
        }
        Habit::Reload => {
            let edit = edit(rng, settings);
            let reload = if rng.bool() { ask(rng, Ask::Reload) } else { Act::Signal(Signal::Hup) };
            vec![edit, reload]
        }
        Habit::Signal => {
            let signal = *pick(rng, &[Signal::Hup, Signal::Usr1, Signal::Usr2]);
            vec![Act::Signal(signal); rng.usize(1..6)]
        }
        Habit::Talk => {
            let selectors = ["0", "!0", "0-1", "$5000", "self", "nonsense", "99"];
            let workers = rng.bool().then(|| (*pick(rng, &selectors)).to_owned());
            let what = if rng.bool() { Ask::Message { workers } } else { Ask::Request { workers } };
            if rng.bool() {
                vec![ask(rng, what)]
            } else {
                vec![Act::WorkerAsks { nth: rng.u32(0..8), ask: what }]
            }
        }
        Habit::Look => {
            let what = if rng.bool() { Ask::Status } else { Ask::Config };
            vec![ask(rng, what)]
        }
    }
}

fn ask(rng: &mut Rng, ask: Ask) -> Act {
    Act::Ask {
        client: rng.u32(0..3),
        ask,
        twice: chance(rng, 5),
        hang_up_ms: chance(rng, 10).then(|| rng.u64(0..3000)),
    }
}

fn edit(rng: &mut Rng, settings: &Settings) -> Act {
    let mut new = settings.clone();
    match rng.u32(0..8) {
        0 => return Act::EditBadly,
        1 => new.workers = rng.u32(1..6),
        2 => new.standby = rng.u32(0..3),
        3 => new.script = format!("/srv/app/server{}.js", rng.u32(0..3)),
        4 => new.shutdown_timeout_ms = *pick(rng, &[100, 3000]),
        5 => listening(rng, &mut new),
        6 => new.name = format!("app{}", rng.u32(0..3)),
        _ => new.socket_file = (*pick(rng, &["app.{worker}.sock", "web-{worker}"])).to_owned(),
    }
    Act::Edit(Box::new(new))
}

/// The settings that the configuration gets in the course of a script.
fn edits(script: &mut [Step]) -> impl Iterator<Item = &mut Settings> {
    script
        .iter_mut()
        .filter_map(|step| if let Act::Edit(settings) = &mut step.act { Some(&mut **settings) } else { None })
}

/// Kinds of misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misbehaviour {
    NeverReports,
    Late,
    Twice,
    Unsuspended,
    DiesBooting,
    Dies,
    DiesServing,
    IgnoresShutdown,
    IgnoresSigterm,
    Breaks,
    ClosesChannel,
    Forks,
    Babbles,
    Mute,
    Stops,
}

const MISBEHAVIOURS: [Misbehaviour; 15] = [
    Misbehaviour::NeverReports,
    Misbehaviour::Late,
    Misbehaviour::Twice,
    Misbehaviour::Unsuspended,
    Misbehaviour::DiesBooting,
    Misbehaviour::Dies,
    Misbehaviour::DiesServing,
    Misbehaviour::IgnoresShutdown,
    Misbehaviour::IgnoresSigterm,
    Misbehaviour::Breaks,
    Misbehaviour::ClosesChannel,
    Misbehaviour::Forks,
    Misbehaviour::Babbles,
    Misbehaviour::Mute,
    Misbehaviour::Stops,
];

fn behaviour(rng: &mut Rng, misbehaviours: &[Misbehaviour]) -> Behaviour {
    let how = *pick(rng, &[Death::Code(0), Death::Code(1), Death::Signal(9), Death::Signal(11)]);
    match pick(rng, misbehaviours) {
        Misbehaviour::NeverReports => Behaviour::NeverReports,
        Misbehaviour::Late => Behaviour::ReportsLate { by_ms: *pick(rng, &[100, 900, 11_000]) },
        Misbehaviour::Twice => Behaviour::ReportsTwice,
        Misbehaviour::Unsuspended => Behaviour::ReportsUnsuspended,
        Misbehaviour::DiesBooting => Behaviour::Dies { after_ms: rng.u64(0..5), how },
        Misbehaviour::Dies => Behaviour::Dies { after_ms: rng.u64(0..10_000), how },
        Misbehaviour::DiesServing => Behaviour::DiesServing { requests: rng.u32(1..50), how },
        Misbehaviour::IgnoresShutdown => Behaviour::IgnoresShutdown,
        Misbehaviour::IgnoresSigterm => Behaviour::IgnoresSigterm,
        Misbehaviour::Breaks => Behaviour::Breaks { after_ms: rng.u64(0..5000) },
        Misbehaviour::ClosesChannel => Behaviour::ClosesChannel { after_ms: rng.u64(0..5000) },
        Misbehaviour::Forks => Behaviour::Forks { escapes: rng.bool() },
        Misbehaviour::Babbles => Behaviour::Babbles,
        Misbehaviour::Mute => Behaviour::Mute,
        Misbehaviour::Stops => Behaviour::Stops { after_ms: rng.u64(0..3000), for_ms: rng.u64(1..20_000) },
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    if chance(rng, 80) { Trouble::Fails(*pick(rng, &Errno::ALL)) } else { Trouble::Slow(rng.u64(1..3000)) }
}
