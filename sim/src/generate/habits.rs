//! Draws what operators do.

use std::num::NonZeroU32;

use fastrand::Rng;

use super::app::listening;
use super::draw::{chance, pick};
use crate::scenario::{Act, Ask, Settings, Signal, Step};

/// Kinds of things that operators do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    Restart,
    Suspend,
    Resume,
    Stop,
    Scale,
    Reload,
    Signal,
    Talk,
    Look,
    Upgrade,
}

pub(super) const HABITS: [Habit; 10] = [
    Habit::Restart,
    Habit::Suspend,
    Habit::Resume,
    Habit::Stop,
    Habit::Scale,
    Habit::Reload,
    Habit::Signal,
    Habit::Talk,
    Habit::Look,
    Habit::Upgrade,
];

pub(super) fn deed(rng: &mut Rng, habit: Habit, settings: &Settings, releases: usize) -> Vec<Act> {
    let attempts = if chance(rng, 30) { NonZeroU32::new(rng.u32(1..4)) } else { None };
    let wait = chance(rng, 30);
    match habit {
        Habit::Restart => {
            let deploy = Act::Deploy { release: rng.usize(0..releases) };
            let restart = ask(rng, Ask::Restart { suspended: false, attempts, wait, until_swap: false });
            if rng.bool() { vec![deploy, restart] } else { vec![restart] }
        }
        Habit::Suspend => vec![ask(rng, Ask::Restart { suspended: true, attempts, wait, until_swap: false })],
        Habit::Upgrade => {
            let suspended = chance(rng, 20);
            vec![ask(rng, Ask::Upgrade { suspended })]
        }
        Habit::Resume => vec![ask(rng, Ask::Resume)],
        Habit::Stop => {
            let suspended = chance(rng, 30);
            let what = if rng.bool() { Ask::Stop } else { Ask::Start { suspended, attempts } };
            vec![ask(rng, what)]
        }
        Habit::Scale => {
            let count = NonZeroU32::new(rng.u32(1..6)).unwrap_or(NonZeroU32::MIN);
            let standby = rng.u32(0..3);
            let what = if rng.bool() { Ask::SetWorkers(count) } else { Ask::SetStandby(standby) };
            vec![ask(rng, what)]
        }
        Habit::Reload => {
            let edit = edit(rng, settings);
            let reload = if rng.bool() { ask(rng, Ask::Reload) } else { Act::Signal(Signal::Hup) };
            vec![edit, reload]
        }
        Habit::Signal => {
            let signal = *pick(rng, &[Signal::Hup, Signal::Usr1, Signal::Usr2]);
            vec![Act::Signal(signal); rng.usize(1..6)]
        }
        Habit::Talk => {
            let selectors = ["0", "!0", "0-1", "$5000", "self", "nonsense", "99"];
            let workers = rng.bool().then(|| (*pick(rng, &selectors)).to_owned());
            let what = if rng.bool() { Ask::Message { workers } } else { Ask::Request { workers } };
            if rng.bool() {
                vec![ask(rng, what)]
            } else {
                vec![Act::WorkerAsks { nth: rng.u32(0..8), ask: what }]
            }
        }
        Habit::Look => {
            let what = if rng.bool() { Ask::Status } else { Ask::Config };
            vec![ask(rng, what)]
        }
    }
}

pub(super) fn ask(rng: &mut Rng, ask: Ask) -> Act {
    Act::Ask {
        client: rng.u32(0..3),
        ask,
        twice: chance(rng, 5),
        hang_up_ms: chance(rng, 10).then(|| rng.u64(0..3000)),
    }
}

pub(super) fn edit(rng: &mut Rng, settings: &Settings) -> Act {
    let mut new = settings.clone();
    match rng.u32(0..8) {
        0 => return Act::EditBadly,
        1 => new.workers = rng.u32(1..6),
        2 => new.standby = rng.u32(0..3),
        3 => new.script = format!("/srv/app/server{}.js", rng.u32(0..3)),
        4 => new.shutdown_timeout_ms = *pick(rng, &[100, 3000]),
        5 => listening(rng, &mut new),
        6 => new.name = format!("app{}", rng.u32(0..3)),
        _ => new.socket_file = (*pick(rng, &["app.{worker}.sock", "web-{worker}"])).to_owned(),
    }
    Act::Edit(Box::new(new))
}

/// The settings that the configuration gets in the course of a script.
pub(super) fn edits(script: &mut [Step]) -> impl Iterator<Item = &mut Settings> {
    script
        .iter_mut()
        .filter_map(|step| if let Act::Edit(settings) = &mut step.act { Some(&mut **settings) } else { None })
}
