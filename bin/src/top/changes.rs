//! What has happened between two looks, in words: the lines below the picture, and all that is printed where there is no terminal.

use std::collections::BTreeMap;

use crate::render::{sentence, word};
use crate::view::{StatusView, WorkerView, short};

/// All that differs from `before` to `after`, a line each.
pub(super) fn changes(before: &StatusView, after: &StatusView) -> Vec<String> {
    let mut lines = Vec::new();
    if before.pid != after.pid || before.start_ts != after.start_ts {
        lines.push(format!("another daemon answers: version {}, pid {}", word(&after.version), after.pid));
    } else if before.version != after.version {
        lines.push(format!("the daemon is version {} now", word(&after.version)));
    }
    if before.suspended != after.suspended {
        let what = if after.suspended { "the app is suspended: requests wait" } else { "the app is resumed" };
        lines.push(what.to_owned());
    }
    if before.generation != after.generation
        && let Some(number) = after.generation
    {
        let release = after
            .release
            .as_deref()
            .map_or_else(String::new, |release| format!(", runs {}", sentence(release)));
        lines.push(format!("generation {number} is in force{release}"));
    }
    match (&before.operation, &after.operation) {
        (before, Some(what)) if before.as_ref() != Some(what) => {
            lines.push(format!("begun: {}", sentence(what)))
        }
        (Some(what), None) => lines.push(format!("over: {}", sentence(what))),
        (None, None) | (_, Some(_)) => {}
    }
    if let Some(note) = after.note.as_ref().filter(|note| before.note.as_ref() != Some(*note)) {
        lines.push(sentence(note));
    }
    let known: BTreeMap<&str, &WorkerView> = by_id(before);
    lines.extend(
        after.workers.iter().filter_map(|worker| moved(known.get(worker.id.as_str()).copied(), worker)),
    );
    let stays = by_id(after);
    let gone = before.workers.iter().filter(|worker| !stays.contains_key(worker.id.as_str()));
    lines.extend(gone.map(|worker| format!("{} is gone", name(worker))));
    for slot in &after.failures {
        let count = before.failures.iter().find(|old| old.idx == slot.idx).map_or(0, |old| old.count);
        if slot.count > count {
            lines.push(format!("slot {}: a worker had to be replaced: {}", slot.idx, sentence(&slot.reason)));
        }
    }
    lines
}

fn by_id(view: &StatusView) -> BTreeMap<&str, &WorkerView> {
    view.workers.iter().map(|worker| (worker.id.as_str(), worker)).collect()
}

/// What has become of a worker; `before` is nothing if there was none of its name.
fn moved(before: Option<&WorkerView>, worker: &WorkerView) -> Option<String> {
    let name = name(worker);
    match before {
        None => Some(format!("{name} is there: {}", word(&worker.state))),
        Some(before) if before.state != worker.state => Some(format!("{name} is {}", word(&worker.state))),
        Some(before) if before.idx != worker.idx => {
            let slot = worker.idx?;
            Some(format!("slot {slot}: {} takes it over", call(worker)))
        }
        Some(_) => None,
    }
}

fn call(worker: &WorkerView) -> String {
    let pid = worker.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    format!("worker {}{pid}", word(short(&worker.id)))
}

fn name(worker: &WorkerView) -> String {
    let place = match worker.idx {
        Some(slot) => format!("slot {slot}: "),
        None if worker.standby => "standby: ".to_owned(),
        None => String::new(),
    };
    format!("{place}{}", call(worker))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(value: serde_json::Value) -> StatusView {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_happened_is_said_once_and_in_order() {
        let worker = |id: &str, state: &str, slot: Option<u32>| json!({ "id": id, "pid": 7, "state": state, "stateTs": 0, "idx": slot, "standby": slot.is_none() });
        let before = view(json!({
            "version": "3.0.0", "pid": 1, "startTs": 0, "generation": 1,
            "workers": [worker("aaaaa", "online", Some(0)), worker("bbbbb", "suspended", None)],
        }));
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        let after = view(json!({
            "version": "3.0.1", "pid": 1, "startTs": 0, "generation": 2, "release": "/srv/2", "suspended": true,
            "operation": "restart",
            "workers": [worker("bbbbb", "suspended", Some(0)), worker("ccccc", "running", None)],
            "failures": [{ "idx": 0, "count": 1, "lastTs": 5, "reason": "it exited with status 1" }],
        }));
        assert_eq!(
            changes(&before, &after),
            [
                "the daemon is version 3.0.1 now",
                "the app is suspended: requests wait",
                "generation 2 is in force, runs /srv/2",
                "begun: restart",
                "slot 0: worker bbbbb (pid 7) takes it over",
                "standby: worker ccccc (pid 7) is there: running",
                "slot 0: worker aaaaa (pid 7) is gone",
                "slot 0: a worker had to be replaced: it exited with status 1",
            ]
        );
    }
}
