//! Draws the app, its users, and what was there before.

use fastrand::Rng;

use super::draw::{chance, pick, swarm};
use super::misbehaviour::{MISBEHAVIOURS, behaviour};
use crate::scenario::{Load, Readiness, Release, Settings};

/// A client that has read a link connects within this time, or may find that the worker has gone: a little less than an
/// accept queue must have been empty.
const LONGEST_GAP_MS: u64 = 45;

pub(super) fn settings(rng: &mut Rng) -> Settings {
    let mut settings = Settings {
        workers: *pick(rng, &[1, 1, 2, 2, 3, 4]),
        standby: *pick(rng, &[0, 0, 1, 2]),
        absolute_links: rng.bool(),
        dev_server: rng.bool().then_some(8000),
        max_start_attempts: *pick(rng, &[1, 1, 2, 3]),
        ..Settings::default()
    };
    listening(rng, &mut settings);
    if rng.bool() {
        settings.online_timeout_ms = *pick(rng, &[200, 1000]);
        settings.drain_timeout_ms = *pick(rng, &[0, 100, 1000]);
        settings.shutdown_timeout_ms = *pick(rng, &[100, 500, 2000]);
        settings.spawn_timeout_ms = *pick(rng, &[20, 500]);
    }
    settings.respawn = chance(rng, 30);
    settings
}

/// Who listens, and how workers show that they are ready.
pub(super) fn listening(rng: &mut Rng, settings: &mut Settings) {
    settings.daemon_listens = rng.bool();
    let all = [Readiness::Report, Readiness::Notify, Readiness::Listen, Readiness::Http];
    // What answers on a shared socket says nothing about one worker; a configuration that relies on it is refused.
    let possible = if settings.daemon_listens { &all[..2] } else { &all };
    settings.ready = if chance(rng, 70) { Readiness::Report } else { *pick(rng, possible) };
}

pub(super) fn releases(rng: &mut Rng) -> Vec<Release> {
    let mut releases = vec![good(rng)];
    for _ in 0..rng.u32(0..3) {
        let mut release = good(rng);
        if chance(rng, 40) {
            let behaviour = behaviour(rng, &MISBEHAVIOURS);
            release.defects.push(behaviour);
        }
        releases.push(release);
    }
    releases
}

fn good(rng: &mut Rng) -> Release {
    Release { boot_ms: *pick(rng, &[5, 40, 150]), service_ms: *pick(rng, &[1, 5, 40]), defects: Vec::new() }
}

pub(super) fn load(rng: &mut Rng, settings: &Settings) -> Load {
    Load {
        users: *pick(rng, &[1, 2, 4]),
        pause_ms: *pick(rng, &[10, 50, 400]),
        upstreams: settings.workers,
        posts: *pick(rng, &[0, 50, 100]),
        keep_alive_ms: *pick(rng, &[None, Some(50), Some(2000), Some(60_000)]),
        gap_ms: *pick(rng, &[0, 0, 1, LONGEST_GAP_MS]),
        backlog: *pick(rng, &[1, 511, 511, 511]),
    }
}

pub(super) fn leftovers(rng: &mut Rng) -> Vec<String> {
    let all = [
        "app.0.sock",
        "app.7.sock",
        ".app.1.sock.new",
        "app.11111111-1111-4111-8111-111111111111.sock",
        "README",
        "other.0.sock",
    ];
    swarm(rng, &all).into_iter().map(str::to_owned).collect()
}
