//! What a daemon hands to the next program: the golden ones and all that is one edit, or a few, away from them.

use arbitrary::Unstructured;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::{Supervisor, Time};
use serde_json::Value;

use crate::events::daemon;
use crate::input::Input;
use crate::state::{FEW, SEPARATOR, listen};

/// More values than this show nothing new.
const MOST_EDITS: usize = 16;

/// A hand-off is refused, or read as it was written; and whatever it says, the program that takes it over goes on in peace,
/// and forgets no worker.
pub fn hand_off(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == SEPARATOR);
    let Ok(mut value) = serde_json::from_slice(parts.next().unwrap_or_default()) else { return };
    let mut input = Input(Unstructured::new(parts.next().unwrap_or_default()));
    for _ in 0..MOST_EDITS {
        if input.is_empty() {
            break;
        }
        let nth = usize::from(input.byte()) | usize::from(input.byte()) << 8;
        edit(&mut value, nth, &mut input);
    }
    let Ok(handoff) = serde_json::from_value::<Handoff>(value) else { return };
    let written = serde_json::to_value(&handoff).unwrap_or_default();
    assert_eq!(
        serde_json::from_value(written.clone()).ok().as_ref(),
        Some(&handoff),
        "read as it was written"
    );
    let most = ["slots", "standby"].map(|key| written["desired"][key].as_u64()).into_iter().max().flatten();
    if handoff.validate().is_err() || most.is_none_or(|most| most > FEW as u64) {
        return;
    }
    let config =
        crate::config::of_toml("tmpDir = '/run/app'\nscript = 'server.js'\nworkers = 2\nstandby = 1");
    let workers = written["workers"].as_object().map_or(0, serde_json::Map::len);
    let mut supervisor = Supervisor::take_over(config, daemon(), handoff, Time::from_nanos(1));
    assert!(supervisor.status().workers.len() >= workers, "a worker is forgotten");
    for _ in 0..FEW {
        listen(&mut supervisor);
        let Some((deadline, _)) = supervisor.poll_timeout() else { return };
        supervisor.handle_timeout(deadline);
    }
}

/// Changes the `nth` value, counted round and round.
fn edit(value: &mut Value, nth: usize, input: &mut Input<'_>) {
    let mut left = nth % count(value).max(1);
    change(value, &mut left, input);
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Returns whether the value was found.
fn change(value: &mut Value, left: &mut usize, input: &mut Input<'_>) -> bool {
    if *left == 0 {
        *value = match input.byte() % 6 {
            0 => Value::Null,
            1 => input.flag().into(),
            2 => (input.byte() % 8).into(),
            3 => u64::MAX.into(),
            4 => input.text().into(),
            _ => Value::Array(vec![value.clone(), value.clone()]),
        };
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, left, input)),
        Value::Object(fields) => fields.values_mut().any(|field| change(field, left, input)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
