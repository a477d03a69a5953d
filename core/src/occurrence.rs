//! What the daemon tells those who watch it, as it happens: `nodesockd events`, and the command of `options.onEvent`.
//!
//! Each is a JSON object. An operation that has ended, and what went wrong by itself, is the line that the history gets
//! ([`Line`](crate::history::Line)); the others have the same names for the same things. The fields are described in `docs/12-watching.md`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::asker::Asker;
use crate::history::{Entry, Outcome, Underway, VERSION, What};
use crate::id::{SlotIndex, WorkerId};
use crate::text::escape;
use crate::time::Time;
use crate::timestamp::rfc3339;
use crate::wire::{Json, Stage};

/// A reason is cut to this many characters.
const REASON: usize = 2000;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occurrence {
    /// `begun`: an operation begins.
    Begun(Underway),
    /// What is in the history, or about to be.
    Entry(Entry),
    /// `worker-starting`, `worker-online`, …
    Worker(WorkerNews),
    /// `suspension-forgotten`: the app has been suspended for long.
    SuspensionForgotten(LongSuspension),
    /// `repaired`: what somebody had removed or replaced is there again.
    Repaired(Repair),
}

/// How far a worker has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerNews {
    /// When.
    pub at: Time,
    /// How far.
    pub stage: Stage,
    /// Which worker.
    pub worker: WorkerId,
    /// The slot that it is for; none for a standby.
    pub slot: Option<SlotIndex>,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// Its generation, if that is known.
    pub generation: Option<u32>,
    /// Why, or what there is to add.
    pub reason: Option<String>,
}

/// A suspension that somebody may have forgotten (`options.suspendWarning`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongSuspension {
    /// When it was said.
    pub at: Time,
    /// Since when it lasts.
    pub since: Time,
    /// Who has asked for it, if that is known.
    pub by: Option<Asker>,
    /// How many requests wait, as far as that is known.
    pub waiting: u32,
}

/// Something that is there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// When it was there.
    pub at: Time,
    /// What: `link`, `folder`, `lock`, `control-socket`, `metrics-socket`.
    pub thing: String,
    /// The slot whose link it is.
    pub slot: Option<SlotIndex>,
}

impl Occurrence {
    /// Its name, in `what`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Entry(entry) => entry.facts.what.name(),
            Self::Worker(news) => match news.stage {
                Stage::Starting => "worker-starting",
                Stage::Online => "worker-online",
                Stage::Serving => "worker-serving",
                Stage::Standby => "worker-standby",
                Stage::Failed => "worker-failed",
                Stage::Draining => "worker-draining",
                Stage::Gone => "worker-gone",
            },
            Self::SuspensionForgotten(_) => "suspension-forgotten",
            Self::Repaired(_) => "repaired",
        }
    }

    /// Somebody has to know: the command of `options.onEvent` is run.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        match self {
            Self::Entry(Entry { facts, .. }) => match facts.what {
                What::CrashLoop | What::Hang | What::Unhealthy | What::Limit | What::Rollback => true,
                What::Deploy => facts.outcome.is_some_and(|outcome| outcome != Outcome::Done),
                What::DaemonStart
                | What::Start
                | What::Restart
                | What::SetWorkers
                | What::SetStandby
                | What::Reload
                | What::Upgrade
                | What::Resume
                | What::Stop
                | What::Terminate => false,
            },
            Self::SuspensionForgotten(_) | Self::Repaired(_) => true,
            Self::Begun(_) | Self::Worker(_) => false,
        }
    }

    fn fields(&self, wall: &impl Fn(Time) -> u64) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut head = |at: Time| {
            fields.insert("v".into(), json!(VERSION));
            fields.insert("time".into(), json!(rfc3339(wall(at))));
            fields.insert("what".into(), json!(self.name()));
        };
        match self {
            Self::Entry(entry) => return object(&entry.line(wall)),
            Self::Begun(Underway { began, facts }) => {
                head(*began);
                let rest = object(facts);
                fields.insert("operation".into(), json!(facts.what.name()));
                fields.extend(rest.into_iter().filter(|(key, _)| key != "what"));
            }
            Self::Worker(WorkerNews { at, stage: _, worker, slot, pid, generation, reason }) => {
                head(*at);
                fields.insert("worker".into(), json!(worker));
                put(&mut fields, "slot", slot.as_ref());
                put(&mut fields, "pid", pid.as_ref());
                put(&mut fields, "generation", generation.as_ref());
                let reason = reason.as_ref().map(|reason| escape(reason, REASON));
                put(&mut fields, "reason", reason.as_ref());
            }
            Self::SuspensionForgotten(LongSuspension { at, since, by, waiting }) => {
                head(*at);
                fields.insert("since".into(), json!(rfc3339(wall(*since))));
                put(&mut fields, "by", by.as_ref());
                fields.insert("waiting".into(), json!(waiting));
            }
            Self::Repaired(Repair { at, thing, slot }) => {
                head(*at);
                fields.insert("thing".into(), json!(thing));
                put(&mut fields, "slot", slot.as_ref());
            }
        }
        fields
    }

    /// As those who watch are told. `seq` counts what this daemon tells. `wall` tells what a time is on the wall clock as it is set now:
    /// milliseconds since 1970-01-01T00:00Z.
    #[must_use]
    pub fn told(&self, seq: u64, wall: impl Fn(Time) -> u64) -> Json {
        let mut fields = self.fields(&wall);
        fields.insert("seq".into(), json!(seq));
        Json::of(&Value::Object(fields))
    }
}

fn put(fields: &mut Map<String, Value>, key: &str, value: Option<&impl Serialize>) {
    if let Some(value) = value {
        fields.insert(key.into(), json!(value));
    }
}

fn object(of: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Cause, Facts};
    use crate::id::{BootId, Ids};

    fn told(occurrence: &Occurrence) -> String {
        occurrence.told(7, |time| time.as_nanos() / 1_000_000).get().to_owned()
    }

    #[test]
    fn an_entry_is_told_as_the_history_has_it() {
        let facts = Facts::of(3, What::Hang, Cause::default()).because(Some("slow"));
        let entry = Entry { began: Time::ZERO, ended: Time::ZERO, facts };
        let line: Value = serde_json::from_str(&entry.encode(|_| 0)).unwrap();
        let mut told: Value = serde_json::from_str(&told(&Occurrence::Entry(entry))).unwrap();
        assert_eq!(told.as_object_mut().unwrap().remove("seq"), Some(json!(7)));
        assert_eq!(told, line);
    }

    #[test]
    fn what_begins_says_which_operation_it_is() {
        let facts = Facts::of(3, What::Restart, Cause { by: None, signal: Some("SIGHUP".into()) });
        let told = told(&Occurrence::Begun(Underway { began: Time::ZERO, facts }));
        let expected = r#"{"number":3,"operation":"restart","seq":7,"signal":"SIGHUP","time":"1970-01-01T00:00:00.000Z","v":1,"what":"begun"}"#;
        assert_eq!(sorted(&told), sorted(expected));
    }

    #[test]
    fn words_of_a_worker_are_made_safe() {
        let news = WorkerNews {
            at: Time::ZERO,
            stage: Stage::Failed,
            worker: Ids::new(BootId(1)).worker(),
            slot: Some(SlotIndex(2)),
            pid: None,
            generation: Some(1),
            reason: Some("\u{1b}[2J".into()),
        };
        let told = told(&Occurrence::Worker(news));
        assert!(!told.contains("\\u001b"), "{told}");
        assert!(told.contains(r#""what":"worker-failed""#) && told.contains(r#""slot":2"#), "{told}");
    }

    fn sorted(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }
}
