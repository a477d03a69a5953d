//! The small scope, exhaustively: two workers, two generations and whatever a daemon is asked meanwhile, in every order
//! of events up to a bounded depth.
//!
//! Histories from seeds are samples of a large world. Here the world is so small that all of it can be seen: time passes
//! only up to the next deadline, calls take none, and what differs in nothing is looked at once.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "says how much was seen, and stops where that is wrong"
)]

mod small_world;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread;

use small_world::{Allowance, Move, SmallWorld};

/// What may be asked and go wrong, and up to how many events after the first workers are online: a little of it deep, all
/// of it less so.
const SCOPES: [(Allowance, usize); 5] = [
    (Allowance { asks: 2, ..NOTHING }, 9),
    (Allowance { asks: 1, exits: 2, ..NOTHING }, 7),
    (Allowance { asks: 1, deaths: 1, ..NOTHING }, 9),
    (Allowance { asks: 1, breaks: 1, swaps: 1, ..NOTHING }, 7),
    (Allowance { asks: 2, exits: 2, breaks: 1, swaps: 1, deaths: 1 }, 3),
];

const NOTHING: Allowance = Allowance { asks: 0, exits: 0, breaks: 0, swaps: 0, deaths: 0 };

/// How a world came about, and what it is then.
type Seen = (Vec<Move>, SmallWorld);

#[test]
fn every_order_of_events_keeps_the_invariants_and_comes_to_rest() {
    for (allowance, depth) in SCOPES {
        let mut seen = BTreeSet::new();
        let mut worlds: Vec<Seen> = vec![(Vec::new(), SmallWorld::begin(allowance))];
        for _ in 0..depth {
            worlds = followers(worlds);
            worlds.retain(|(_, world)| seen.insert(digest(world)));
        }
        each(&worlds, |(moves, world)| {
            world.clone().rest().unwrap_or_else(|wrong| panic!("{wrong}, at last, after {moves:?}"));
        });
        println!("{} worlds, {} of them after {depth} events: {allowance:?}", seen.len(), worlds.len());
    }
}

/// All worlds that one event makes of these.
fn followers(worlds: Vec<Seen>) -> Vec<Seen> {
    each(&worlds, |(moves, world)| {
        let follow = |next: Move| {
            let mut world = world.clone();
            let moves: Vec<Move> = moves.iter().copied().chain([next]).collect();
            world.play(next).unwrap_or_else(|wrong| panic!("{wrong}, after {moves:?}"));
            (moves, world)
        };
        world.moves().into_iter().map(follow).collect::<Vec<_>>()
    })
    .into_iter()
    .flatten()
    .collect()
}

/// What `look` makes of each, on all processors.
fn each<T: Sync, R: Send>(all: &[T], look: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = all.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let shares: Vec<_> = all
            .chunks(share)
            .map(|share| scope.spawn(|| share.iter().map(&look).collect::<Vec<_>>()))
            .collect();
        let join = |share: thread::ScopedJoinHandle<'_, Vec<R>>| {
            share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        shares.into_iter().flat_map(join).collect()
    })
}

/// Equal for worlds that differ in nothing.
fn digest(world: &SmallWorld) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{world:?}").hash(&mut hasher);
    hasher.finish()
}
