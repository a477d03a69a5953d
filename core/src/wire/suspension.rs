//! What `status` says of a suspension.

use serde_json::{Map, Value, json};

use crate::asker::Asker;
use crate::expiry::Ending;
use crate::id::SlotIndex;
use crate::time::Time;

/// The suspension of the app, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspensionStatus {
    /// When it was asked for.
    pub since: Time,
    /// By whom, if that is known.
    pub by: Option<Asker>,
    /// How many connections and requests wait for its end, as far as that is known; counted every 5 s.
    pub waiting: u32,
    /// Slots whose accept queue is full: the kernel refuses further connections.
    pub full: Vec<SlotIndex>,
    /// When it ends by itself, and what is done then.
    pub ends: Option<(Time, Ending)>,
}

impl SuspensionStatus {
    pub(super) fn json(&self, wall: impl Fn(Time) -> u64) -> Value {
        let mut row = Map::new();
        row.insert("sinceTs".into(), json!(wall(self.since)));
        if let Some(by) = &self.by {
            row.insert("by".into(), json!(by));
        }
        row.insert("waiting".into(), json!(self.waiting));
        if !self.full.is_empty() {
            row.insert("full".into(), json!(self.full));
        }
        if let Some((at, then)) = self.ends {
            row.insert("endsTs".into(), json!(wall(at)));
            row.insert("then".into(), json!(then.name()));
        }
        Value::Object(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_a_suspension_is_left_out() {
        let at = |millis: u64| Time::from_nanos(millis * 1_000_000);
        let wall = |time: Time| time.as_nanos() / 1_000_000;
        let status = SuspensionStatus { since: at(2), by: None, waiting: 3, full: Vec::new(), ends: None };
        assert_eq!(status.json(wall), json!({ "sinceTs": 2, "waiting": 3 }));
        let by = Asker { pid: Some(7), ..Asker::default() };
        let whole = SuspensionStatus {
            by: Some(by),
            full: vec![SlotIndex(1)],
            ends: Some((at(9), Ending::Rollback)),
            ..status
        };
        assert_eq!(
            whole.json(wall),
            json!({ "sinceTs": 2, "by": { "pid": 7 }, "waiting": 3, "full": [1], "endsTs": 9, "then": "rollback" })
        );
    }
}
