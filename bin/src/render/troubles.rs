//! What is wrong with an app, by its `status`: for `status --check`.

use nodesockd_core::text::escape;

use super::{because, suspension};
use crate::view::{StatusView, WorkerView};

/// Characters of a reason that are shown.
const REASON: usize = 200;

/// All that is wrong at `now` (milliseconds since the epoch).
#[must_use]
pub fn troubles(view: &StatusView, now: u64) -> Vec<String> {
    if view.workers.is_empty() && view.vacant.is_empty() {
        return vec!["no workers are running".to_owned()];
    }
    let vacant =
        view.vacant.iter().map(|slot| format!("{}{}", slot.words(), because(slot.reason.as_deref(), REASON)));
    let serving = view.workers.iter().filter_map(|worker| slot(worker, view.suspended));
    let standby = view.failing_standby.as_ref().map(|standby| {
        let missing = match standby.missing {
            1 => "a standby is missing".to_owned(),
            count => format!("{count} standbys are missing"),
        };
        format!("{missing}{}", because(standby.reason.as_deref(), REASON))
    });
    vacant.chain(serving).chain(standby).chain(held(view, now)).collect()
}

/// What is wrong with a worker that has a slot.
fn slot(worker: &WorkerView, suspended: bool) -> Option<String> {
    let slot = worker.idx?;
    match worker.state.as_str() {
        "online" => None,
        "suspended" if suspended => None,
        state => Some(format!("the worker of slot {slot} is {}", escape(state, REASON))),
    }
}

fn held(view: &StatusView, now: u64) -> Option<String> {
    let words = suspension(view, now)?;
    Some(format!("the app {words}; `nodesockd resume` lets requests through"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troubles_of(status: serde_json::Value, now: u64) -> Vec<String> {
        let mut status = status;
        for (key, value) in [("version", "3.0.0".into()), ("pid", 1.into()), ("startTs", 0.into())] {
            status[key] = value;
        }
        troubles(&serde_json::from_value(status).unwrap(), now)
    }

    fn worker(idx: u32, state: &str) -> serde_json::Value {
        serde_json::json!({ "id": "x", "idx": idx, "pid": 2, "state": state, "stateTs": 0 })
    }

    #[test]
    fn app_is_well_when_every_slot_is_served_by_a_worker_that_is_well() {
        let workers = serde_json::json!([worker(0, "online"), worker(1, "online")]);
        assert!(troubles_of(serde_json::json!({ "workers": workers }), 0).is_empty());
    }

    #[test]
    fn each_trouble_is_named() {
        let status = serde_json::json!({
            "workers": [worker(0, "broken")],
            "vacant": [
                { "idx": 1, "failures": 3, "reason": "it exited" },
                { "idx": 2, "failures": 0, "servedBy": "x" },
            ],
            "failingStandby": { "missing": 1, "failures": 2, "reason": "it threw" },
        });
        assert_eq!(
            troubles_of(status, 0),
            [
                "nobody serves slot 1: it exited",
                "slot 2 has no worker, another slot's serves it as well",
                "the worker of slot 0 is broken",
                "a standby is missing: it threw",
            ]
        );
        let nobody = serde_json::json!({ "workers": [] });
        assert_eq!(troubles_of(nobody, 0), ["no workers are running"]);
    }

    #[test]
    fn suspension_is_told_with_its_age() {
        let suspension = serde_json::json!({ "sinceTs": 0, "waiting": 1 });
        let workers = [worker(0, "suspended")];
        let status = serde_json::json!({ "workers": workers, "suspended": true, "suspension": suspension });
        let told = "the app has been suspended for 10 min; 1 request waits; `nodesockd resume` lets requests through";
        assert_eq!(troubles_of(status, 600_000), [told]);
    }
}
