//! Draws settings and faults, each kind by a generator of its own: what is added leaves histories as they are in which it does not happen.

use std::collections::BTreeMap;

use fastrand::Rng;
use nodesockd_core::config::StopSignal;

use super::deploys::{batches, checking, deploying, haste, migrating, releasing, suspending};
use super::draw::{chance, pick};
use super::habits::{ask, edits};
use super::misbehaviour::trouble;
use crate::faults::{Call, CallFault, ExternalFault, ExternalFaultKind, FaultPlan, WorkerFault};
use crate::scenario::{Act, Ask, Behaviour, Hang, Scenario, Settings, Step};

/// On some machines workers boot so many times slower than elsewhere.
const VERY_SLOW: u32 = 30;

/// Draws what was added to the simulator since its histories are kept. What comes next is drawn last.
pub(super) fn draw(seed: u64, scenario: &mut Scenario, faults: &mut FaultPlan) {
    let rng = &mut Rng::with_seed(seed.rotate_left(32));
    strain(rng, faults);
    faults.first_signs = chance(rng, 75);
    haste(&mut Rng::with_seed(seed.rotate_left(16)), scenario);
    releasing(&mut Rng::with_seed(seed.rotate_left(48)), scenario, faults);
    boots(&mut Rng::with_seed(seed.rotate_left(24)), &mut scenario.settings, faults);
    disguise(&mut Rng::with_seed(seed.rotate_left(56)), faults);
    clean(&mut Rng::with_seed(seed.rotate_left(40)), faults);
    deploying(&mut Rng::with_seed(seed.rotate_left(8)), scenario, faults);
    hangs(&mut Rng::with_seed(seed.rotate_left(20)), scenario, faults);
    slots(&mut Rng::with_seed(seed.rotate_left(12)), scenario);
    limits(&mut Rng::with_seed(seed.rotate_left(28)), scenario, faults);
    leading(&mut Rng::with_seed(seed.rotate_left(44)), faults);
    migrating(&mut Rng::with_seed(seed.rotate_left(52)), scenario, faults);
    suspending(&mut Rng::with_seed(seed.rotate_left(36)), scenario);
    batches(&mut Rng::with_seed(seed.rotate_left(60)), scenario, faults);
    sinking(&mut Rng::with_seed(seed.rotate_left(4)), scenario, faults);
    // All multiples of 4 by which `seed` can be rotated are taken, or the swarm's.
    checking(&mut Rng::with_seed((!seed).rotate_left(8)), scenario, faults);
    unrecorded(&mut Rng::with_seed(seed.rotate_left(35)), faults);
    hooks(&mut Rng::with_seed(seed.rotate_left(37)), scenario, faults);
    logging(&mut Rng::with_seed(seed.rotate_left(39)), scenario);
    counting(&mut Rng::with_seed(seed.rotate_left(38)), scenario, faults);
    stopping(&mut Rng::with_seed(seed.rotate_left(41)), scenario);
    metrics_socket(&mut Rng::with_seed(seed.rotate_left(42)), scenario, faults);
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
        plan.slow = *pick(rng, &[4, VERY_SLOW]);
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

/// In some histories workers have limits, and come to them. Where every boot takes seconds, eight workers in turn would reach that age
/// sooner than they can be replaced one at a time.
fn limits(rng: &mut Rng, scenario: &mut Scenario, plan: &mut FaultPlan) {
    if !chance(rng, 10) {
        return;
    }
    let age = (*pick(rng, &[None, None, Some(30_000)])).filter(|_| plan.slow < VERY_SLOW);
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
