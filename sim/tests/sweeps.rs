//! Whatever is asked of the operating system fails once: in every named history, each call of each kind in its turn.

#![expect(clippy::print_stdout, reason = "says how many calls there were")]

use nodesockd_sim::{Call, CallFault, Errno, FaultPlan, Story, Trouble, run, stories};

/// How a call goes wrong: it fails, or takes longer than most time-outs.
const TROUBLES: [Trouble; 2] = [Trouble::Fails(Errno::Io), Trouble::Slow(2500)];

/// What goes wrong when this call does; `None`: there is no such call.
fn trouble(story: &Story, fault: CallFault) -> Option<Option<String>> {
    let faults = FaultPlan { calls: vec![fault], ..story.faults.clone() };
    let outcome = run(&story.scenario, &faults);
    let kind = match fault.trouble {
        Trouble::Fails(errno) => errno.to_string(),
        Trouble::Slow(_) => "slow call".to_owned(),
    };
    (outcome.stats.faults.of(&kind) > 0).then_some(outcome.violation)
}

#[test]
fn every_call_of_every_story_may_fail() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for mut story in stories() {
        for daemon_listens in [false, true] {
            story.scenario.settings.daemon_listens = daemon_listens;
            for (call, how) in Call::ALL.iter().flat_map(|call| TROUBLES.map(|how| (*call, how))) {
                for nth in 0.. {
                    let fault = CallFault { call, nth, trouble: how };
                    let Some(violation) = trouble(&story, fault) else { break };
                    tried += 1;
                    wrong.extend(violation.map(|what| {
                        format!("{}, daemon listens: {daemon_listens}, {fault:?}: {what}", story.name)
                    }));
                }
            }
        }
    }
    println!("{tried} calls tried");
    assert!(wrong.is_empty(), "{} of {tried} calls:\n{}", wrong.len(), wrong.join("\n"));
}
