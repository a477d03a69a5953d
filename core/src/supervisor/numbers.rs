//! What `metrics` answers.

use std::collections::BTreeMap;

use crate::history::{Outcome, What};
use crate::id::{SlotIndex, WorkerId};
use crate::metrics::{Lag, Metrics, Tally, Traffic, WorkerMetrics};

use super::counters::Death;
use super::pool::{Pool, counting};
use super::worker::Worker;

/// All numbers.
pub(super) fn metrics(pool: &Pool) -> Metrics {
    let (started, deaths, links_repaired, takeovers) = pool.counters.totals();
    let (operations, incidents) = pool.ledger.counted();
    let traffic = pool.workers.iter().filter_map(|(_, worker)| worker.counts().traffic());
    let wanted = if pool.is_serving() { pool.desired.slots } else { 0 };
    let suspended = pool.counters.suspended_until(pool.now());
    let unserved = (0..wanted).filter(|slot| !counting::is_served(pool, SlotIndex(*slot))).count();
    let link =
        |slot| pool.config.socket_dir.join(pool.config.socket_file.link(slot)).to_string_lossy().into_owned();
    Metrics {
        version: pool.daemon.version.clone(),
        pid: pool.daemon.pid,
        name: pool.config.name.clone(),
        generation: pool.generation.number,
        wanted,
        wanted_standbys: if pool.is_serving() { pool.desired.standby } else { 0 },
        suspended: pool.desired.is_suspended(),
        suspended_ms: u64::try_from(suspended.as_millis()).unwrap_or(u64::MAX),
        unserved: u32::try_from(unserved).unwrap_or(u32::MAX),
        started,
        deaths: with_zeros(deaths.clone(), Death::ALL.map(Death::name)),
        operations: with_all_operations(operations.clone()),
        incidents: with_zeros(incidents.clone(), What::INCIDENTS.map(What::name)),
        links_repaired,
        takeovers: takeovers.clone(),
        traffic: pool.counters.traffic(traffic),
        workers: pool.workers.iter().filter_map(row).collect(),
        links: (0..wanted).map(SlotIndex).map(|slot| (slot, link(slot))).collect(),
    }
}

/// A number that appears only with its first event has never risen, for whoever looks at how much it rises.
fn with_zeros<const N: usize>(mut tally: Tally, names: [&str; N]) -> Tally {
    for name in names {
        tally.entry(name.to_owned()).or_default();
    }
    tally
}

fn with_all_operations(mut operations: BTreeMap<String, Tally>) -> BTreeMap<String, Tally> {
    for what in What::OPERATIONS {
        let outcomes = operations.remove(what.name()).unwrap_or_default();
        let outcomes = if what == What::Deploy {
            with_zeros(outcomes, Outcome::ALL.map(Outcome::name))
        } else {
            with_zeros(outcomes, [Outcome::Done, Outcome::Failed].map(Outcome::name))
        };
        operations.insert(what.name().to_owned(), outcomes);
    }
    operations
}

fn row((id, worker): (WorkerId, &Worker)) -> Option<WorkerMetrics> {
    let counts = worker.counts();
    let traffic = counts.level().and(counts.traffic());
    Some(WorkerMetrics {
        id,
        pid: worker.process()?.pid,
        slot: worker.slot(),
        state: worker.wire_state(),
        generation: worker.start().generation,
        requests: traffic.map(Traffic::total),
        lag: traffic.map(|Traffic { lag, .. }| Lag { count: lag.count(), sum: lag.sum }),
        level: counts.level(),
    })
}
