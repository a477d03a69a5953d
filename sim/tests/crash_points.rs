//! The daemon dies at every point of every named history, and another one follows: nobody notices but the operators
//! whose commands it was busy with.

#![expect(clippy::print_stdout, reason = "says how many points there were")]

use nodesockd_sim::{DaemonDeath, FaultPlan, Story, run, stories};

/// How it dies: how long there is no daemon, whether a swap is torn, and the percentage of workers that speak to no
/// other daemon than their first.
const MANNERS: [(u64, bool, u32); 3] = [(0, false, 0), (250, true, 0), (40, false, 100)];

fn dying(story: &Story, actions: u32, (down_ms, torn, strangers): (u64, bool, u32)) -> FaultPlan {
    let death = DaemonDeath { at_ms: 0, actions, down_ms, torn };
    FaultPlan { deaths: vec![death], strangers, ..story.faults.clone() }
}

/// What goes wrong when the daemon dies so, if anything does.
fn trouble(story: &Story, faults: &FaultPlan) -> Option<String> {
    let outcome = run(&story.scenario, faults);
    let deaths = outcome.stats.faults.of("daemon dies");
    outcome.violation.or_else(|| (deaths != 1).then(|| format!("the daemon died {deaths} times")))
}

#[test]
fn every_point_of_every_story_is_survived() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    let listening = |mut story: Story| {
        story.scenario.settings.daemon_listens = true;
        story
    };
    for story in stories().into_iter().chain(stories().into_iter().map(listening)) {
        for manner in MANNERS {
            // Workers that speak to no other daemon have no heartbeat either: they are not pinged.
            let undisturbed = FaultPlan { strangers: manner.2, ..story.faults.clone() };
            let actions = run(&story.scenario, &undisturbed).stats.actions;
            let actions = u32::try_from(actions).expect("a short story");
            for point in 0..=actions {
                tried += 1;
                if let Some(what) = trouble(&story, &dying(&story, point, manner)) {
                    wrong.push(format!(
                        "{}, daemon listens: {}, {manner:?}, after {point} of {actions} actions: {what}",
                        story.name, story.scenario.settings.daemon_listens
                    ));
                }
            }
        }
    }
    println!("{tried} points tried");
    assert!(wrong.is_empty(), "{} of {tried} points:\n{}", wrong.len(), wrong.join("\n"));
}
