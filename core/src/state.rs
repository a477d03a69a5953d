//! What outlives a daemon: the state file it keeps, and what the next one finds.
//!
//! The file is a journal of lines. The first line is a whole [`State`]; each line after it holds the [`Changes`] of one event.
//! So what is written for an event does not grow with the number of workers. A line counts once it ends with a newline: what a
//! daemon was writing when it died is as if it had not begun. When the changes outgrow the state, the file is replaced by a
//! new first line.
//!
//! A line is written before the actions that it speaks of are carried out (write-ahead), so it may promise a little more
//! than was done, never less. It is not synchronised to disk: it is worthless after a reboot, and what
//! the kernel has taken in survives the daemon's death. Where it contradicts the links, the links are right.

use std::path::PathBuf;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asker::Asker;
use crate::config::{MAX_WORKERS, SocketPattern, StopSignal};
use crate::expiry::Expiry;
use crate::history;
use crate::id::{Process, SlotIndex, WorkerId};
use crate::metrics::{Histogram, Tally, Traffic};
use crate::release::{Release, ReleaseLink};
use crate::time::Time;

/// The version of the file's format. Fields may be added under the same version; a reader skips those it does not know.
pub const VERSION: u32 = 1;

/// Content of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// [`VERSION`]
    pub version: u32,
    /// The boot of the machine in which it was written (`/proc/sys/kernel/random/boot_id`): known to the backend only,
    /// which fills it in and reads no file of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Workers ought to run; not so after `stop`.
    pub running: bool,
    /// How many slots are served.
    pub slots: u32,
    /// How many standbys there are.
    pub standby: u32,
    /// The app is suspended.
    pub suspended: bool,
    /// Since when, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionRecord>,
    /// The folder of links and sockets, if it is another one than `tmpDir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_dir: Option<PathBuf>,
    /// Every `socketFile` by which a link or a socket may be named. The configuration may say something else
    /// by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub socket_files: Vec<String>,
    /// Workers that have, or are about to get, a process.
    pub workers: Vec<WorkerRecord>,
    /// The daemon found no state file, and workers that can tell whether the app is suspended have not reported to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guessing: bool,
    /// The number of the generation in force; 0 if that is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: u32,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// A deploy in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploy: Option<DeployRecord>,
    /// A set of new workers that had not taken over yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutRecord>,
    /// Workers that are being replaced batch by batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<BatchesRecord>,
    /// Who leads, or may. A daemon that does not write it has told nobody to lead.
    #[serde(default, skip_serializing_if = "is_default")]
    pub leadership: LeadershipRecord,
    /// What is in progress, and what may not be in the history yet.
    #[serde(default, skip_serializing_if = "history::Ledger::is_empty")]
    pub history: history::Ledger,
    /// The process of the command of `options.onEvent`, if it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Process>,
    /// What is counted for good.
    #[serde(default, skip_serializing_if = "CountersRecord::is_empty")]
    pub counters: CountersRecord,
}

/// What is counted for good, in the state file and in a hand-off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CountersRecord {
    /// Processes of workers that have come into being.
    pub started: u64,
    /// Those that have ended, by reason.
    pub deaths: Tally,
    /// Links made again that somebody else had removed.
    pub links_repaired: u64,
    /// For how long slots were not served after a worker had failed.
    pub takeovers: Histogram,
    /// How long the app was suspended, without the suspension that lasts.
    pub suspended: Duration,
    /// Since when the app is suspended.
    pub suspended_since: Option<Time>,
    /// What workers have counted whose process is gone.
    pub gone: Traffic,
}

impl CountersRecord {
    /// Whether nothing was counted, or whoever wrote this does not count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who leads, or may, in the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadershipRecord {
    /// The term of the last word about it to any worker.
    pub term: u64,
    /// The worker that leads, or was about to be told so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<WorkerId>,
    /// That worker has confirmed that it leads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Workers that are not to lead any more and have not confirmed that they do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<WorkerId>,
}

/// A worker in the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerRecord {
    /// Its name.
    pub id: WorkerId,
    /// Its process, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The process that speaks for it, if that is not its own: it was started by a wrapper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<Process>,
    /// The process id that it has said over its channel, if that is not its own: a wrapper has handed the channel on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_pid: Option<u32>,
    /// The slot it serves, or is to serve, or served; none for a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotIndex>,
    /// How far it has got.
    pub stage: RecordedStage,
    /// It is suspended, and its stage does not say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// The file name of the socket in `tmpDir` from which it accepts, if that was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// It did not bind that socket, but inherited it, and perhaps others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<String>,
    /// It was started as one that says nothing on its channel, and shows its readiness otherwise (`options.ready`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mute: bool,
    /// What its program finishes on; earlier daemons knew SIGTERM alone.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_signal: StopSignal,
    /// It belongs to the rollout.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// The number of its generation; 0 if that is not known.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: u32,
    /// What it had counted when somebody asked last.
    #[serde(default, skip_serializing_if = "Traffic::is_empty")]
    pub traffic: Traffic,
}

/// What is written to the state file at once: all of it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The file is replaced.
    Whole(Box<State>),
    /// A line is added.
    Changes(Box<Changes>),
}

/// What an event has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// All but the workers, the counters and the boot, if anything of that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<State>,
    /// Workers that are new, or have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerRecord>,
    /// Workers that are gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<WorkerId>,
    /// What is counted for good, if that has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<CountersRecord>,
}

impl Changes {
    /// Nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { daemon, workers, gone, counters } = self;
        daemon.is_none() && workers.is_empty() && gone.is_empty() && counters.is_none()
    }
}

/// How far a worker has got, as far as its next daemon has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedStage {
    /// It has not reported ready; started active.
    Booting,
    /// It has not reported ready; started suspended.
    BootingSuspended,
    /// It is ready.
    Online,
    /// It is ready and waits for `resume`.
    Suspended,
    /// It is ready and asks to be replaced.
    Broken,
    /// It is being retired and still accepts connections.
    Draining,
    /// It was told to go.
    Leaving,
}

impl RecordedStage {
    /// It has not reported ready.
    #[must_use]
    pub fn is_booting(self) -> bool {
        matches!(self, Self::Booting | Self::BootingSuspended)
    }

    /// It is on its way out.
    #[must_use]
    pub fn is_going(self) -> bool {
        matches!(self, Self::Draining | Self::Leaving)
    }
}

/// A rollout in the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// What it is, in the middle of a sentence.
    pub what: String,
    /// The other workers go when it is complete.
    pub replaces: bool,
    /// [`State::slots`] from then on.
    pub slots: u32,
    /// [`State::standby`] from then on.
    pub standby: u32,
    /// [`State::suspended`] from then on.
    pub suspended: bool,
    /// [`State::suspension`] from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionRecord>,
    /// [`State::generation`] from then on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: u32,
    /// [`State::release`] from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

/// An operation that replaces workers batch by batch, in the state file. [`State::generation`] is the one that its workers get
/// from the moment on at which the first batch has taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchesRecord {
    /// What it is, in the middle of a sentence.
    pub what: String,
    /// How many new workers there may be beside the full set.
    pub size: NonZeroU32,
    /// The number of the generation that was in force before.
    pub former: u32,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_release: Option<Release>,
    /// [`State::slots`] before.
    pub slots: u32,
    /// [`State::standby`] before.
    pub standby: u32,
    /// Why workers of the former generation are being started again, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
}

/// A suspension of the app, in the state file and in a hand-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspensionRecord {
    /// When it was asked for.
    pub since: Time,
    /// By whom, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Asker>,
    /// The release that served before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<Release>,
    /// How it ends if nobody ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// When that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Time>,
}

/// A deploy in the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployRecord {
    /// The symlink that it has switched, or was about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<ReleaseLink>,
    /// Its workers had taken over: [`State::generation`] is the one in force, and workers of others go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapped: bool,
    /// It was being undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
    /// How far its migration had got, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationStage>,
    /// The process of the migration, or of what undoes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Process>,
    /// It has ended such that a person has to decide; why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
}

/// How far a migration has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationStage {
    /// It has not begun.
    Ahead,
    /// It runs, or is about to.
    Runs,
    /// It has succeeded, and workers were resumed.
    Done,
    /// It is being undone.
    Reverts,
    /// The deploy goes back to the old release.
    Back,
}

/// What a daemon finds when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The last state that an earlier daemon of this boot of the machine wrote.
    pub state: Option<State>,
    /// Workers that are alive.
    pub survivors: Vec<Survivor>,
    /// Links that name sockets, by the `socketFile` of today and by those of [`State::socket_files`].
    pub links: Vec<FoundLink>,
    /// The command of a deploy that runs, if by [`State::deploy`] there may be one.
    pub command: Option<Process>,
    /// The last entries of the history, oldest first; at least [`TAIL`](history::TAIL) of them, if there are so many.
    pub history: Vec<history::Line>,
}

/// A link that an earlier daemon left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundLink {
    /// The slot it is for.
    pub slot: SlotIndex,
    /// Its file name in `tmpDir`.
    pub name: String,
    /// The file name of the socket in `tmpDir` that it names.
    pub socket: String,
}

/// A worker of an earlier daemon that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivor {
    /// Its name: from the state file, its lock, or its own environment.
    pub id: WorkerId,
    /// Its process.
    pub process: Process,
}

impl State {
    /// Reads the file's content. A last line that is not complete is left out.
    ///
    /// # Errors
    ///
    /// Says what is wrong. The daemon then goes by the links alone.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let first = lines.next().ok_or("it has no complete line")?;
        let mut state: Self = serde_json::from_str(first).map_err(|error| error.to_string())?;
        if state.version != VERSION {
            return Err(format!("its version is {}", state.version));
        }
        let changes: Result<Vec<Changes>, _> = lines.map(serde_json::from_str).collect();
        state.apply(changes.map_err(|error| error.to_string())?);
        let rollout = state.rollout.iter().flat_map(|rollout| [rollout.slots, rollout.standby]);
        let batches = state.batches.iter().flat_map(|batches| [batches.slots, batches.standby]);
        let most = rollout.chain(batches).chain([state.slots, state.standby]).max().unwrap_or(0);
        if most > MAX_WORKERS { Err(format!("it wants {most} workers")) } else { Ok(state) }
    }

    /// What the file says after `entry` has been written to it.
    #[must_use]
    pub fn after(before: Option<Self>, entry: Entry) -> Option<Self> {
        match (before, entry) {
            (_, Entry::Whole(state)) => Some(*state),
            (None, Entry::Changes(_)) => None,
            (Some(mut state), Entry::Changes(changes)) => {
                state.apply([*changes]);
                Some(state)
            }
        }
    }

    fn apply(&mut self, all: impl IntoIterator<Item = Changes>) {
        let workers = std::mem::take(&mut self.workers).into_iter();
        let mut workers: BTreeMap<WorkerId, WorkerRecord> =
            workers.map(|record| (record.id, record)).collect();
        for Changes { daemon, workers: changed, gone, counters } in all {
            let counters = counters.unwrap_or_else(|| std::mem::take(&mut self.counters));
            if let Some(daemon) = daemon {
                *self = Self { boot_id: self.boot_id.take(), ..daemon };
            }
            self.counters = counters;
            for id in gone {
                workers.remove(&id);
            }
            workers.extend(changed.into_iter().map(|record| (record.id, record)));
        }
        self.workers = workers.into_values().collect();
    }

    /// The file's first line.
    #[must_use]
    pub fn encode(&self) -> String {
        line(self)
    }

    /// Every `socketFile` there was that is not `now`.
    pub fn former_patterns(&self, now: &SocketPattern) -> impl Iterator<Item = SocketPattern> {
        let patterns = self.socket_files.iter().filter_map(|name| SocketPattern::parse(name).ok());
        patterns.filter(move |pattern| pattern != now)
    }

    /// The record of a worker.
    #[must_use]
    pub fn worker(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.workers.iter().find(|record| record.id == id)
    }
}

impl Changes {
    /// The line that is added to the file.
    #[must_use]
    pub fn encode(&self) -> String {
        line(self)
    }
}

/// What a record that does not say it stands for.
pub(crate) fn is_default<T: PartialEq + Default>(value: &T) -> bool {
    *value == T::default()
}

fn line(of: &impl Serialize) -> String {
    let mut text = crate::wire::Json::of(of).get().to_owned();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    fn record(id: WorkerId, slot: u32) -> WorkerRecord {
        WorkerRecord {
            id,
            process: None,
            slot: Some(SlotIndex(slot)),
            stage: RecordedStage::Online,
            suspended: false,
            socket: None,
            listeners: Vec::new(),
            mute: false,
            stop_signal: StopSignal::Term,
            speaker: None,
            said_pid: None,
            new: false,
            generation: 1,
            traffic: Traffic::default(),
        }
    }

    /// A journal, and what it says after each of its lines.
    fn journal() -> (String, Vec<State>) {
        let mut ids = Ids::new(BootId(1));
        let (a, b) = (ids.worker(), ids.worker());
        let empty = r#"{"version":1,"bootId":"boot","running":true,"slots":1,"standby":0,"suspended":false,"workers":[]}"#;
        let first = State { workers: vec![record(a, 0)], ..State::parse(&format!("{empty}\n")).unwrap() };
        let daemon = State { boot_id: None, slots: 2, workers: Vec::new(), ..first.clone() };
        let changes = [
            Changes { daemon: Some(daemon), workers: vec![record(b, 1)], ..Changes::default() },
            Changes { workers: vec![record(b, 0)], gone: vec![a], ..Changes::default() },
        ];
        let mut text = first.encode();
        let mut states = vec![first];
        for changes in changes {
            text.push_str(&changes.encode());
            let before = states.last().cloned();
            states.extend(State::after(before, Entry::Changes(Box::new(changes))));
        }
        (text, states)
    }

    #[test]
    fn journal_says_what_its_lines_add_up_to() {
        let (text, states) = journal();
        assert_eq!(State::parse(&text).as_ref(), Ok(&states[2]));
        assert_eq!((states[2].slots, states[2].workers.len()), (2, 1));
        assert_eq!(states[2].boot_id.as_deref(), Some("boot"));
    }

    #[test]
    fn journal_that_is_torn_anywhere_says_what_it_said_before_the_torn_line() {
        let (text, states) = journal();
        for end in 0..=text.len() {
            let complete = text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count();
            let read = State::parse(&text[..end]).ok();
            let expected = complete.checked_sub(1).map(|last| &states[last]);
            assert_eq!(read.as_ref(), expected, "torn after {end} bytes");
        }
    }

    #[test]
    fn damaged_files_are_refused_and_unknown_fields_skipped() {
        let state = |version: u32, slots: u64| {
            format!(
                r#"{{"version":{version},"running":true,"slots":{slots},"standby":0,"suspended":false,"workers":[],"later":1}}"#
            ) + "\n"
        };
        assert!(State::parse(&state(1, 4)).is_ok_and(|state| state.slots == 4));
        assert!(State::parse(&state(1, 4096)).is_ok());
        for damaged in [state(2, 4), state(1, 4097), state(1, 1 << 40), "{\n".to_owned()] {
            assert!(State::parse(&damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn what_is_written_is_one_line_that_is_read_again() {
        let text = r#"{"version":1,"running":true,"slots":2,"standby":0,"suspended":true,"workers":[]}"#;
        let state = State::parse(&format!("{text}\n")).unwrap();
        assert_eq!(state.encode(), format!("{text}\n"));
    }
}
