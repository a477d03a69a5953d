//! Draws how workers are replaced: deploys and what belongs to them, batches, suspensions. Each function has a generator of its own.

use fastrand::Rng;
use nodesockd_core::expiry::Ending;

use super::draw::{chance, pick};
use super::habits::{ask, edits};
use super::misbehaviour::trouble;
use crate::daemon_death::DaemonDeath;
use crate::faults::{Call, CallFault, ExternalFault, ExternalFaultKind, FaultPlan, WorkerFault};
use crate::scenario::{Act, Ask, Behaviour, Death, Errand, Finish, Purpose, Scenario, Step};

/// In some histories nobody waits for old workers.
pub(super) fn haste(rng: &mut Rng, scenario: &mut Scenario) {
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
pub(super) fn releasing(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
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
pub(super) fn deploying(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
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
pub(super) fn migrating(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
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
pub(super) fn batches(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
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
pub(super) fn checking(rng: &mut Rng, scenario: &mut Scenario, faults: &mut FaultPlan) {
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

/// In some histories nobody comes back to end a suspension, or comes back late.
pub(super) fn suspending(rng: &mut Rng, scenario: &mut Scenario) {
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
