//! Histories drawn from seeds: the gate that every change has to pass. `cargo run --profile sim -p nodesockd-sim` goes deeper.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nodesockd_sim::catalogue::{CATALOGUE, OTHERS, SITUATIONS, Tried};
use nodesockd_sim::{Stats, generate, run};

const SEEDS: u64 = 3000;
/// One in so many seeds is played twice.
const TWICE: u64 = 10;

/// Plays all seeds, on as many threads as there are processors, or until something goes wrong; the figures, and that.
fn play() -> (Stats, Vec<String>) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut total, mut wrong) = (Stats::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return (total, wrong);
            }
            let (scenario, faults) = generate(seed);
            let outcome = run(&scenario, &faults);
            if let Some(violation) = &outcome.violation {
                wrong.push(format!("seed {seed}: {violation}"));
            }
            if seed.is_multiple_of(TWICE) {
                let again = run(&scenario, &faults);
                if (again.hash, &again.stats) != (outcome.hash, &outcome.stats) {
                    wrong.push(format!("seed {seed}: a second run took another course"));
                }
            }
            total.add(&outcome.stats);
            if !wrong.is_empty() {
                next.store(SEEDS, Ordering::Relaxed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .fold((Stats::default(), Vec::new()), |(mut total, mut wrong), (stats, more)| {
                total.add(&stats);
                wrong.extend(more);
                (total, wrong)
            })
    })
}

#[test]
fn thousands_of_histories_keep_every_promise_and_meet_every_fault() {
    let (total, wrong) = play();
    assert!(wrong.is_empty(), "replay with --seed N --trace:\n{}", wrong.join("\n"));

    let played = CATALOGUE.iter().filter_map(|fault| match fault.tried {
        Tried::Played(kinds) => Some((fault, kinds)),
        Tried::Elsewhere(_) => None,
    });
    for (fault, kinds) in played.clone() {
        for kind in kinds {
            assert!(total.faults.of(kind) > 0, "fault {}, {}: {kind} never struck", fault.number, fault.what);
        }
    }
    let listed: BTreeSet<&str> = played.flat_map(|(_, kinds)| kinds).chain(OTHERS).copied().collect();
    let counted: BTreeSet<&str> = total.faults.iter().map(|(kind, _)| kind).collect();
    assert_eq!(listed, counted, "the catalogue lists what strikes");

    let reached: BTreeSet<&str> = total.situations.iter().map(|(situation, _)| situation).collect();
    assert_eq!(
        SITUATIONS.iter().copied().collect::<BTreeSet<_>>(),
        reached,
        "the catalogue lists what comes about"
    );
}

#[test]
fn a_seed_always_draws_the_same_history() {
    for seed in 0..100 {
        assert_eq!(generate(seed), generate(seed), "seed {seed}");
    }
}
