//! What has happened, in a line.

use nodesockd_core::asker::Asker;
use nodesockd_core::timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{CYAN, RED, sentence, word};
use crate::out::Style;

/// An event, as far as a line of it says (docs/12-watching.md).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    time: String,
    duration_ms: Option<u64>,
    what: String,
    operation: Option<String>,
    outcome: Option<String>,
    thing: Option<String>,
    slot: Option<u32>,
    worker: Option<String>,
    pid: Option<u32>,
    generation: Option<u32>,
    waiting: Option<u32>,
    by: Option<Asker>,
    signal: Option<String>,
    reason: Option<String>,
    #[serde(flatten)]
    _others: serde_json::Map<String, Value>,
}

/// `03:12:04.567Z  worker-online  slot 0, 1a2b3, pid 4711`. The time is in UTC, and that of the end where something took time.
#[must_use]
pub fn event(view: &EventView, style: Style) -> String {
    let took = view.duration_ms.unwrap_or_default();
    let time = timestamp::parse(&view.time)
        .map_or(view.time.clone(), |began| timestamp::rfc3339(began.saturating_add(took)));
    let time = time.get(11..).unwrap_or(&time);
    let bad = view.outcome.as_ref().is_some_and(|outcome| outcome != "done");
    let alarming = ["crash-loop", "hang", "unhealthy", "limit", "worker-failed", "suspension-forgotten"];
    let paint = if bad || alarming.contains(&view.what.as_str()) { RED } else { CYAN };
    let short = |id: &String| word(id.get(id.len().saturating_sub(5)..).unwrap_or(id));
    let generation = view.generation.filter(|_| view.worker.is_none());
    let details = [
        view.operation.as_deref().map(word),
        view.outcome.as_deref().map(word),
        view.thing.as_deref().map(word),
        view.slot.map(|slot| format!("slot {slot}")),
        view.worker.as_ref().map(short),
        view.pid.map(|pid| format!("pid {pid}")),
        generation.map(|number| format!("generation {number}")),
        view.waiting.map(|count| format!("{count} requests wait")),
        view.by.as_ref().map(|by| format!("by {}", sentence(&by.to_string()))),
        view.signal.as_ref().map(|signal| format!("by {}", word(signal))),
        view.reason.as_deref().map(sentence),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    let what = format!("{:20}", word(&view.what));
    format!("{}  {}  {}", word(time), style.paint(paint, &what), details.join(", ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> String {
        event(&serde_json::from_str(json).unwrap(), Style::PLAIN)
    }

    #[test]
    fn times_beyond_any_calendar_are_times() {
        let late = r#"{"time":"2026-11-29T03:12:04.567Z","durationMs":18446744073709551615,"what":"stop"}"#;
        assert!(line(late).ends_with("stop"), "{}", line(late));
    }

    #[test]
    fn events_are_a_line_each() {
        let online = r#"{"v":1,"seq":1,"time":"2026-11-29T03:12:04.567Z","what":"worker-online","worker":"bccdfd9c-96a1-4897-8716-f8bb6d2ba6df","slot":0,"pid":4711,"generation":3}"#;
        assert_eq!(line(online), "03:12:04.567Z  worker-online         slot 0, ba6df, pid 4711");
        let failed = r#"{"v":1,"seq":2,"time":"2026-11-29T03:12:05.000Z","what":"deploy","number":7,"durationMs":5,"outcome":"rolled-back","generation":4,"by":{"pid":7,"uid":0},"reason":"no\nway"}"#;
        assert_eq!(
            line(failed),
            "03:12:05.005Z  deploy                rolled-back, generation 4, by process 7 of user 0, no\\nway"
        );
    }
}
