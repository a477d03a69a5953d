//! Draws of which all others are made.

use fastrand::Rng;

pub(super) fn pick<'a, T>(rng: &mut Rng, choices: &'a [T]) -> &'a T {
    &choices[rng.usize(0..choices.len())]
}

pub(super) fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

/// A subset of `all`: often small, sometimes everything.
pub(super) fn swarm<T: Copy>(rng: &mut Rng, all: &[T]) -> Vec<T> {
    let percent = *pick(rng, &[0, 10, 30, 60, 100]);
    all.iter().copied().filter(|_| chance(rng, percent)).collect()
}
