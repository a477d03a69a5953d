//! Histories drawn from seeds.

use nodesockd_sim::{Stats, generate, run};

#[test]
fn a_seed_always_draws_and_plays_the_same_history() {
    let mut total = Stats::default();
    for seed in 0..40 {
        let (scenario, faults) = generate(seed);
        assert_eq!((&scenario, &faults), (&generate(seed).0, &generate(seed).1));
        let (once, again) = (run(&scenario, &faults), run(&scenario, &faults));
        assert_eq!((once.hash, &once.stats), (again.hash, &again.stats), "seed {seed}");
        total.add(&once.stats);
    }
    assert_eq!(total.requests.unexplained, 0, "{}", total.requests);
    assert!(total.faults.iter().count() > 20, "too few kinds of faults strike: {}", total.faults);
}
