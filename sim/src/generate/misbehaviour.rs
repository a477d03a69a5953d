//! Draws what goes wrong with workers, and with calls of the backend.

use fastrand::Rng;

use super::draw::{chance, pick};
use crate::faults::{Errno, Trouble};
use crate::scenario::{Behaviour, Death};

/// Kinds of misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misbehaviour {
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

pub(super) const MISBEHAVIOURS: [Misbehaviour; 15] = [
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

pub(super) fn behaviour(rng: &mut Rng, misbehaviours: &[Misbehaviour]) -> Behaviour {
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

pub(super) fn trouble(rng: &mut Rng) -> Trouble {
    if chance(rng, 80) { Trouble::Fails(*pick(rng, &Errno::ALL)) } else { Trouble::Slow(rng.u64(1..3000)) }
}
