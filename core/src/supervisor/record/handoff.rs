//! Handing everything off to the program that replaces this one, and taking over from the one before.

use crate::action::Action;
use crate::config::{DevAddress, MetricsAddress, SocketPattern};
use crate::handoff::{DesiredRecord, Fixed, Handoff, RelayRecord, RestartRecord, VERSION};
use crate::history::Outcome;
use crate::id::WorkerId;
use crate::supervisor::announce::Announcements;
use crate::supervisor::goal::{Desired, Evidence, Suspension};
use crate::supervisor::hooks::Hooks;
use crate::supervisor::ledger::Ledger;
use crate::supervisor::operation::{Kind, Operations, Requester, begin};
use crate::supervisor::pace::Pace;
use crate::supervisor::pool::{Pool, boot, counting, health};
use crate::supervisor::requests::Relay;
use crate::supervisor::watchers::Watchers;
use crate::supervisor::worker::Worker;

use super::state_file::socket_files;

/// What the dev server was told last, and where metrics are served.
type Servers<Dev, Address> = (Option<Dev>, Option<Address>);

/// What a program needs that replaces this one, between any two orders.
pub(in crate::supervisor) fn hand_off(
    pool: &Pool,
    operations: &Operations,
    announcements: Option<&Announcements>,
    (dev_server, metrics_server): Servers<&(DevAddress, Vec<String>), &MetricsAddress>,
) -> Handoff {
    let Desired { running, slots, standby, suspension } = pool.desired.clone();
    let (queue, reload_wanted) = operations.waiting();
    let (watchers, seq) = pool.watchers.record();
    let relay = |relay: &Relay| {
        let Relay { origin, worker, pid } = relay.clone();
        RelayRecord { origin, worker, pid }
    };
    Handoff {
        version: VERSION,
        from: pool.daemon.version.clone(),
        fixed: Fixed::of(&pool.config),
        started: pool.started,
        desired: DesiredRecord {
            running,
            slots,
            standby,
            suspended: suspension.is_some(),
            suspension: suspension.as_ref().map(Into::into),
        },
        socket_files: socket_files(pool, operations),
        workers: handed_off(pool).map(|(id, worker)| (id, worker.into())).collect(),
        slots: pool.slots.iter().map(|(index, slot)| (index, slot.into())).collect(),
        listeners: pool.listeners.iter().map(|(name, listener)| (name.to_owned(), listener.into())).collect(),
        standby_backoff: (&pool.standby_failures).into(),
        strain: pool.pace.strain(),
        relays: pool.requests.relays().iter().map(|(id, of)| (id.clone(), relay(of))).collect(),
        open: pool.requests.all_open().cloned().collect(),
        askers: pool.requests.askers().map(|(to, asker)| (to.clone(), asker.clone())).collect(),
        queue,
        dev_server: dev_server.cloned(),
        metrics_server: metrics_server.cloned(),
        reload_wanted,
        guessing: pool.evidence.is_guesswork(),
        note: operations.note().map(str::to_owned),
        waiting: operations.waits_for_person().map(str::to_owned),
        announcements: announcements.map(Into::into),
        restart: operations.restart_after_upgrade(),
        retirements: operations.retirements(),
        generation: (&pool.generation).into(),
        leadership: (&pool.leadership).into(),
        history: pool.ledger.record(),
        last_deploy: pool.ledger.deploy_facts().cloned(),
        watchers,
        seq,
        hooks: pool.hooks.record(),
        counters: (&pool.counters).into(),
    }
}

/// The workers that are handed off. Those that wait for their turn to boot are wanted by the next program as well.
fn handed_off(pool: &Pool) -> impl Iterator<Item = (WorkerId, &Worker)> {
    pool.workers.iter().filter(|(_, worker)| !worker.is_waiting())
}

/// Goes on where another program has handed off. The restart that the upgrade was for begins.
pub(in crate::supervisor) fn take_over(
    pool: &mut Pool,
    operations: &mut Operations,
    announcements: &mut Option<Announcements>,
    left: Handoff,
) -> Servers<(DevAddress, Vec<String>), MetricsAddress> {
    tracing::info!("upgraded from {} to {}", left.from, pool.daemon.version);
    let Handoff {
        version: _,
        from,
        fixed: _,
        started,
        desired: DesiredRecord { running, slots: wanted, standby, suspended, suspension },
        socket_files,
        workers,
        slots,
        listeners,
        standby_backoff,
        strain,
        relays,
        open,
        askers,
        queue,
        dev_server,
        metrics_server,
        reload_wanted,
        guessing,
        note,
        waiting,
        announcements: announced,
        restart,
        retirements,
        generation,
        leadership,
        history,
        last_deploy,
        watchers,
        seq,
        hooks,
        counters,
    } = left;
    let patterns = socket_files.iter().filter_map(|name| SocketPattern::parse(name).ok());
    pool.former_patterns = patterns.filter(|pattern| *pattern != pool.config.socket_file).collect();
    pool.started = started;
    let suspension = Suspension::recorded(suspended, suspension, pool.now())
        .filter(|_| !defect!(HandoffForgetsSuspension));
    pool.desired = Desired { running, slots: wanted, standby, suspension };
    for (id, worker) in workers.into_iter().filter(|_| !defect!(HandoffForgetsWorkers)) {
        pool.workers.insert(id, worker.into());
    }
    for (index, slot) in slots.into_iter().filter(|_| !defect!(HandoffForgetsSlots)) {
        pool.slots.change(index, |to| *to = slot.into());
    }
    for (socket, listener) in listeners.into_iter().filter(|_| !defect!(HandoffForgetsListeners)) {
        pool.listeners.restore(socket, listener.into());
    }
    if generation.number > 0 {
        pool.generation = generation.into();
    }
    if !defect!(HandoffForgetsLeader) {
        pool.leadership = leadership.into();
    }
    pool.standby_failures = standby_backoff.into();
    pool.pace = Pace::of(strain);
    let relays = relays.into_iter().filter(|_| !defect!(HandoffLosesRelays));
    pool.requests.restore(
        if defect!(HandoffLosesRequests) { Default::default() } else { open },
        askers,
        relays.map(|(id, RelayRecord { origin, worker, pid })| (id, Relay { origin, worker, pid })),
    );
    let queue = if defect!(HandoffLosesQueue) { Vec::new() } else { queue };
    operations.restore(&mut pool.requests, queue, reload_wanted, retirements);
    operations.set_note(note);
    operations.go_on_waiting(waiting, None);
    pool.evidence = if guessing { Evidence::Awaited } else { Evidence::Record };
    let announced = announced.filter(|_| !defect!(HandoffForgetsAnnouncements));
    if let (Some(announcements), Some(announced)) = (announcements, announced) {
        *announcements = announced.into();
    }
    pool.hooks = Hooks::taken_over(hooks, pool.effects.now());
    if let Some(process) = pool.hooks.process() {
        pool.effects.order(Action::WatchHook { process });
    }
    pool.watchers =
        Watchers::taken_over(if defect!(HandoffLosesRequests) { Vec::new() } else { watchers }, seq);
    pool.ledger = Ledger::taken_over(
        if defect!(HandoffForgetsHistory) { Default::default() } else { history },
        last_deploy,
    );
    if pool.ledger.underway().is_some() {
        let words = format!("from {from} to {}", pool.daemon.version);
        pool.ended(Outcome::Done, Some(&words));
    }
    pool.counters = if defect!(HandoffForgetsCounters) { Default::default() } else { counters.into() };
    counting::begin(pool);
    boot::look_again(pool);
    health::begin_all(pool);
    health::ask_for_confirmations(pool);
    match restart {
        Some(RestartRecord { askers, options }) => {
            let askers = askers.into_iter().filter(|_| !defect!(HandoffForgetsAskers));
            let requesters =
                askers.map(|asker| Requester { upgraded_from: Some(from.clone()), ..asker.into() }).collect();
            let config = pool.config.clone();
            begin::apply(pool, operations, Kind::Restart, requesters, Some(options), config);
        }
        None => begin::next(pool, operations),
    }
    (dev_server, metrics_server)
}
