//! The history: what was done, and what went wrong, for whoever asks the next morning.
//!
//! The file (`<ipcFile>.history`) has a [`Line`] of JSON for each [`Entry`], the oldest first. An entry is made when something
//! has ended, and a daemon that follows a dead one makes the entry of what that one had begun. So each operation that began has
//! one entry, as long as the file can be written. The fields are described in `docs/05-ipc.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asker::Asker;
use crate::id::SlotIndex;
use crate::metrics::Tally;
use crate::text::escape;
use crate::time::Time;
use crate::timestamp::rfc3339;
use crate::wire::{Code, Json};

/// The version of a line's format. Fields may be added under the same version; a reader skips those it does not know.
pub const VERSION: u32 = 1;

/// Bytes that the file may have. When a line would make it longer, the older half of its lines is dropped.
pub const LARGEST: u64 = 512 * 1024;

/// How many lines at the end of the file a daemon that starts has to know.
pub const TAIL: usize = 64;

/// A reason is cut to this many characters.
const REASON: usize = 2000;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The daemon started, and took over the workers that there were.
    DaemonStart,
    /// `start`
    Start,
    /// `restart`
    Restart,
    /// `deploy`
    Deploy,
    /// `set-workers`
    SetWorkers,
    /// `set-standby`
    SetStandby,
    /// `reload`, or SIGHUP
    Reload,
    /// The daemon became a newer version: `restart --upgrade`, or SIGUSR2.
    Upgrade,
    /// `resume`
    Resume,
    /// A suspension has lasted too long: the former release is started again.
    Rollback,
    /// `stop`
    Stop,
    /// The end of the daemon: `terminate`, SIGTERM or SIGINT.
    Terminate,
    /// Workers of a slot, or standbys, fail again and again.
    CrashLoop,
    /// A worker gave no sign of life (`health.hangTimeout`), and is replaced.
    Hang,
    /// A worker did not answer `health.path` as it has to, and is replaced.
    Unhealthy,
    /// A worker has reached a limit (`limits.age`, `limits.memory`), and is replaced.
    Limit,
}

impl What {
    /// Operations, each of which has an outcome.
    pub const OPERATIONS: [Self; 11] = [
        Self::Start,
        Self::Restart,
        Self::Deploy,
        Self::SetWorkers,
        Self::SetStandby,
        Self::Reload,
        Self::Upgrade,
        Self::Resume,
        Self::Rollback,
        Self::Stop,
        Self::Terminate,
    ];

    /// What only happens.
    pub const INCIDENTS: [Self; 5] =
        [Self::DaemonStart, Self::CrashLoop, Self::Hang, Self::Unhealthy, Self::Limit];

    /// As it is in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DaemonStart => "daemon-start",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Deploy => "deploy",
            Self::SetWorkers => "set-workers",
            Self::SetStandby => "set-standby",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Stop => "stop",
            Self::Terminate => "terminate",
            Self::CrashLoop => "crash-loop",
            Self::Hang => "hang",
            Self::Unhealthy => "unhealthy",
            Self::Limit => "limit",
        }
    }
}

/// How an operation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it was meant to.
    Done,
    /// Nothing has changed: workers could not be started, the configuration is invalid, …
    Failed,
    /// It could not begin.
    Refused,
    /// The old release serves again.
    RolledBack,
    /// The new workers had taken over, and this could not be undone.
    NotRolledBack,
    /// Something else came before its end: a stop, the daemon's end.
    CalledOff,
    /// The daemon died meanwhile.
    Interrupted,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Refused,
        Self::RolledBack,
        Self::NotRolledBack,
        Self::CalledOff,
        Self::Interrupted,
    ];

    /// As it is in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
            Self::NotRolledBack => "not-rolled-back",
            Self::CalledOff => "called-off",
            Self::Interrupted => "interrupted",
        }
    }

    /// In the middle of a sentence, and as people read it in a table.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::RolledBack => "rolled back",
            Self::NotRolledBack => "not rolled back",
            Self::CalledOff => "called off",
            Self::Interrupted => "interrupted",
        }
    }

    /// The code with which a deploy that has ended like this is answered.
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Done | Self::Interrupted => None,
            Self::Failed => Some(Code::StartFailed),
            Self::Refused => Some(Code::Usage),
            Self::RolledBack => Some(Code::RolledBack),
            Self::NotRolledBack => Some(Code::NotRolledBack),
            Self::CalledOff => Some(Code::Busy),
        }
    }
}

/// Who, or what, something was done for. Neither is known of what the daemon does by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
    /// The signal that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
}

/// All of an entry but its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Counted from 1, on and on under all daemons of this control socket. Given when it begins, so that the entries of what
    /// takes long come after those of what began later.
    pub number: u64,
    /// What it is.
    pub what: What,
    /// Whom it was for.
    #[serde(flatten)]
    pub cause: Cause,
    /// The generation that it brought up, or was about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The release of that generation: its real folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The slot that it is about; none for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotIndex>,
    /// How many requests waited when it ended a suspension, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u32>,
    /// How it ended; none for what only happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, or what there is to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that has ended, or happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was ordered.
    pub began: Time,
    /// When its result was there: for a restart, when the new workers had taken over.
    pub ended: Time,
    /// All else.
    #[serde(flatten)]
    pub facts: Facts,
}

/// An entry in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// [`VERSION`]
    pub v: u32,
    /// When it was ordered, or happened (RFC 3339).
    pub time: String,
    /// How long it took, in ms; none for what only happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// All else.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What a daemon has to hand on that makes entries: in the state file and in a hand-off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The number of the last entry that was begun.
    pub last: u64,
    /// What is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underway: Option<Underway>,
    /// Entries that may not be in the file yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwritten: Vec<Entry>,
    /// How many operations there were, by what they were and by their outcome.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub operations: BTreeMap<String, Tally>,
    /// How often something has happened that is no operation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub incidents: Tally,
}

/// What is in progress: the beginning of its entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Underway {
    /// When it was ordered.
    pub began: Time,
    /// What is known by now.
    #[serde(flatten)]
    pub facts: Facts,
}

impl Ledger {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Facts {
    /// Something of which no more is known than what it is.
    #[must_use]
    pub fn of(number: u64, what: What, cause: Cause) -> Self {
        Self {
            number,
            what,
            cause,
            generation: None,
            release: None,
            slot: None,
            held: None,
            outcome: None,
            reason: None,
        }
    }

    /// The reason, made safe to print and cut to what fits into a line of the file.
    #[must_use]
    pub fn because(self, reason: Option<&str>) -> Self {
        Self { reason: reason.map(|reason| escape(reason, REASON)), ..self }
    }
}

impl Entry {
    /// The line of the file, with its newline. `wall` tells what a time is on the wall clock as it is set now: milliseconds
    /// since 1970-01-01T00:00Z.
    #[must_use]
    pub fn encode(&self, wall: impl Fn(Time) -> u64) -> String {
        let mut line = Json::of(&self.line(wall)).get().to_owned();
        line.push('\n');
        line
    }

    /// The entry as the file has it.
    #[must_use]
    pub fn line(&self, wall: impl Fn(Time) -> u64) -> Line {
        let took = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Line {
            v: VERSION,
            time: rfc3339(wall(self.began)),
            duration_ms: self.facts.outcome.map(|_| took(self.ended.since(self.began))),
            facts: self.facts.clone(),
        }
    }
}

/// The lines of a file, the oldest first, and how many were of no use: torn, damaged, or of a later version.
#[must_use]
pub fn parse(text: &str) -> (Vec<Line>, usize) {
    let mut useless = 0;
    let mut lines: Vec<Line> = Vec::new();
    for text in text.lines().filter(|line| !line.trim().is_empty()) {
        match parse_line(text) {
            Some(line) => lines.push(line),
            None => useless += 1,
        }
    }
    (lines, useless)
}

/// A line of a file; `None` if it is torn, damaged, or of a later version.
#[must_use]
pub fn parse_line(text: &str) -> Option<Line> {
    serde_json::from_str(text).ok().filter(|line: &Line| line.v == VERSION)
}

/// What is kept of a file that has become too long: the newer half of its lines, as far as these are whole.
#[must_use]
pub fn newer_half(text: &str) -> &str {
    // The middle may be within a letter; the end of a line is not.
    let middle = text.len() / 2;
    let end = text.bytes().skip(middle).position(|byte| byte == b'\n');
    end.and_then(|end| text.get(middle + end + 1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> Entry {
        let by = Asker { pid: Some(4711), uid: Some(1000), ..Asker::default() };
        let facts = Facts::of(number, What::Restart, Cause { by: Some(by), signal: None });
        let facts = Facts { outcome: Some(Outcome::Failed), generation: Some(3), ..facts };
        let facts = facts.because(Some("it\nexited"));
        Entry { began: Time::from_nanos(1_000_000), ended: Time::from_nanos(13_000_000), facts }
    }

    fn wall(time: Time) -> u64 {
        time.as_nanos() / 1_000_000
    }

    #[test]
    fn entry_is_a_line_that_is_read_again() {
        let text = entry(7).encode(wall);
        let expected = r#"{"v":1,"time":"1970-01-01T00:00:00.001Z","durationMs":12,"number":7,"what":"restart","by":{"pid":4711,"uid":1000},"generation":3,"outcome":"failed","reason":"it\\nexited"}"#;
        assert_eq!(text, format!("{expected}\n"));
        assert_eq!(parse(&text), (vec![entry(7).line(wall)], 0));
    }

    #[test]
    fn names_are_those_of_the_file() {
        for what in What::OPERATIONS.into_iter().chain(What::INCIDENTS) {
            assert_eq!(serde_json::to_string(&what).unwrap(), format!("\"{}\"", what.name()));
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.name()));
            assert_eq!(outcome.words(), outcome.name().replace('-', " "));
        }
    }

    #[test]
    fn lines_of_no_use_are_counted() {
        let text = format!("{}{{\"v\":1,\n\n{{\"v\":2}}\n{}", entry(1).encode(wall), entry(2).encode(wall));
        let torn = format!("{text}{}", &entry(3).encode(wall)[..40]);
        let (lines, useless) = parse(&torn);
        assert_eq!((lines.len(), useless), (2, 3));
    }

    #[test]
    fn newer_half_has_whole_lines_only() {
        let text: String = (0..100).map(|number| format!("line é {number}\n")).collect();
        let half = newer_half(&text);
        assert!(half.len() <= text.len() / 2 && half.len() > text.len() / 2 - 20, "{}", half.len());
        assert!(half.starts_with("line é ") && half.ends_with("line é 99\n"));
        assert_eq!(newer_half("no end"), "");
        // The middle may be within a letter.
        assert_eq!(newer_half("abé\ncd"), "cd");
    }
}
