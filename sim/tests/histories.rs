//! Histories drawn by proptest: by the same generator as from seeds, and shrunk as those in files are.

use nodesockd_sim::{Act, Ask, History, Shrinking, Swarm, run};
use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Any history: first what happens in it at all is drawn, then the history.
#[derive(Debug, Clone, Copy)]
struct Histories;

impl Strategy for Histories {
    type Tree = Tree;
    type Value = History;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let swarm = Swarm::of(runner.rng().next_u64());
        let (scenario, faults) = swarm.history(runner.rng().next_u64());
        let history = History { found: String::new(), scenario, faults };
        Ok(Tree { shrinking: Shrinking::of(&history), smallest: history.clone(), current: history })
    }
}

/// A history on its way to a smaller one.
#[derive(Debug)]
struct Tree {
    shrinking: Shrinking,
    /// The smallest one that failed.
    smallest: History,
    current: History,
}

impl Tree {
    fn go_on(&mut self) -> bool {
        let next = self.shrinking.next();
        let found = next.is_some();
        self.current = next.unwrap_or_else(|| self.smallest.clone());
        found
    }
}

impl ValueTree for Tree {
    type Value = History;

    fn current(&self) -> History {
        self.current.clone()
    }

    fn simplify(&mut self) -> bool {
        if self.current != self.smallest {
            self.shrinking.keep();
            self.smallest.clone_from(&self.current);
        }
        self.go_on()
    }

    fn complicate(&mut self) -> bool {
        self.go_on()
    }
}

/// The same histories in each run, so that a change is blamed only for what it did; PROPTEST_RNG_SEED draws others. What fails
/// is kept as a file that says what happened.
fn config() -> Config {
    let from_environment = Config::default();
    let rng_seed = match from_environment.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    Config { failure_persistence: None, rng_seed, ..from_environment }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_promise_is_kept(history in Histories) {
        let outcome = run(&history.scenario, &history.faults);
        prop_assert!(
            outcome.violation.is_none(),
            "{}; keep it in sim/regressions:\n{}",
            outcome.violation.unwrap_or_default(),
            serde_json::to_string_pretty(&history).unwrap_or_default()
        );
    }
}

#[test]
fn what_fails_is_made_small() {
    let restarts = |history: &History| {
        let restarts = |act: &Act| matches!(act, Act::Ask { ask: Ask::Restart { .. }, .. });
        history.scenario.script.iter().filter(|step| restarts(&step.act)).count()
    };
    let config = Config { cases: 1000, ..config() };
    let found = TestRunner::new(config).run(&Histories, |history| {
        prop_assert!(restarts(&history) < 2);
        Ok(())
    });
    let Err(TestError::Fail(_, small)) = found else { panic!("{found:?}") };
    assert_eq!((small.scenario.script.len(), restarts(&small)), (2, 2));
    assert!(small.faults.workers.is_empty() && small.faults.calls.is_empty());
}
