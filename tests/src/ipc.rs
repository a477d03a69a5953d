//! The protocol's client side, written a second time: what the daemon says is judged by other eyes than its own.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::Process;
use crate::wait;

/// A connection to the control socket.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<UnixStream>,
    requests: u32,
}

/// The end of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// What came before it, of a stream.
    pub parts: Vec<Value>,
    /// Its data.
    pub data: Value,
    /// Why there is none.
    pub errors: Vec<String>,
    /// What kind of failure that is.
    pub code: Option<String>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// See `connect(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(wait::limit()))?;
        Ok(Self { reader: BufReader::new(stream), requests: 0 })
    }

    /// The socket itself.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    /// Sends bytes, whatever they are.
    ///
    /// # Errors
    ///
    /// When the daemon has closed the connection.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// The next line, as JSON; `None` when the daemon has closed the connection.
    ///
    /// # Panics
    ///
    /// When no line comes, or one that is not JSON.
    pub fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the daemon says nothing"),
            Err(_) => None,
        }
    }

    /// Sends a request, and does not wait for its answer. Returns its id.
    ///
    /// # Errors
    ///
    /// When the daemon has closed the connection.
    pub fn ask(&mut self, kind: &str, data: &Value) -> io::Result<String> {
        self.requests += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", self.requests);
        self.send(format!("{}\n", json!({ "type": kind, "id": id, "data": data })).as_bytes())?;
        Ok(id)
    }

    /// Waits for the end of the answer to `id`; `None` when the connection ends before.
    pub fn answer(&mut self, id: &str) -> Option<Reply> {
        let mut reply = Reply::default();
        loop {
            let mut frame = self.receive()?;
            if frame["requestId"] != id {
                continue;
            }
            let data = frame["data"].take();
            let errors = serde_json::from_value(frame["errors"].take()).unwrap_or(Vec::new());
            if frame["done"] == true || !errors.is_empty() {
                let code = frame["code"].as_str().map(str::to_owned);
                return Some(Reply { data, errors, code, ..reply });
            }
            reply.parts.push(data);
        }
    }

    /// Sends a request and waits for the end of its answer.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn request(&mut self, kind: &str, data: &Value) -> Reply {
        let id = self.ask(kind, data).expect("the daemon reads");
        self.answer(&id).unwrap_or_else(|| panic!("`{kind}` was not answered"))
    }

    /// What the daemon says of itself; `None` when the connection ends before that.
    pub fn status(&mut self) -> Option<Status> {
        let id = self.ask("status", &Value::Null).ok()?;
        let reply = self.answer(&id)?;
        Some(serde_json::from_value(reply.data).expect("a status"))
    }
}

/// What a daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its pid.
    pub pid: u32,
    /// The app's name.
    pub name: String,
    /// Milliseconds since the epoch.
    pub start_ts: u64,
    /// Its workers.
    pub workers: Vec<Worker>,
    /// The app is suspended.
    pub suspended: bool,
    /// Slots that nobody serves.
    #[serde(default)]
    pub vacant: Vec<Vacant>,
    /// Slots beyond the number of workers.
    #[serde(default)]
    pub spare: Vec<Spare>,
    /// Standbys that are missing because they fail.
    pub failing_standby: Option<FailingStandby>,
    /// What has failed in the slots there are.
    #[serde(default)]
    pub failures: Vec<Failures>,
    /// What is in progress.
    pub operation: Option<String>,
    /// What there is to know of an earlier daemon.
    #[serde(default)]
    pub note: Option<String>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Its UUID.
    pub id: String,
    /// Its slot.
    pub idx: Option<u32>,
    /// Its pid.
    pub pid: Option<u32>,
    /// Its state.
    pub state: String,
    /// Milliseconds since the epoch.
    pub state_ts: u64,
    /// It is a spare.
    #[serde(default)]
    pub standby: bool,
    /// It is kept while a deploy is watched.
    #[serde(default)]
    pub kept: bool,
}

impl Worker {
    /// Its process.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[must_use]
    pub fn process(&self) -> Process {
        self.pid.and_then(Process::of).unwrap_or_else(|| panic!("no process: {self:?}"))
    }
}

/// A slot that nobody serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vacant {
    /// Which.
    pub idx: u32,
    /// How often in a row a worker of it has failed.
    pub failures: u32,
    /// When the next is started, in milliseconds since the epoch.
    pub retry_ts: Option<u64>,
    /// How the last one failed.
    pub reason: Option<String>,
    /// The worker of another slot that serves it.
    #[serde(default)]
    pub served_by: Option<String>,
}

/// A slot beyond the number of workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spare {
    /// Which.
    pub idx: u32,
    /// The worker of another slot that serves it.
    pub served_by: Option<String>,
}

/// Standbys that are missing because they fail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailingStandby {
    /// How many are missing.
    pub missing: u32,
    /// How often in a row one has failed.
    pub failures: u32,
    /// How the last one failed.
    pub reason: String,
}

/// What has failed in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// Which.
    pub idx: u32,
    /// How many of its workers.
    pub count: u64,
    /// How the last one failed.
    pub reason: String,
}

impl Status {
    /// Whether workers are there, all of them ready, every slot served and nothing in progress.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        // After the death of a daemon, a worker in a slot may still have to be resumed.
        let serving = if self.suspended { "suspended" } else { "online" };
        let ready = |worker: &Worker| match worker.state.as_str() {
            state if worker.standby => matches!(state, "online" | "suspended"),
            state => state == serving && worker.idx.is_some(),
        };
        self.operation.is_none()
            && self.vacant.is_empty()
            && !self.workers.is_empty()
            && self.workers.iter().all(ready)
    }

    /// The worker that serves a slot.
    ///
    /// # Panics
    ///
    /// When none does.
    #[must_use]
    pub fn slot(&self, slot: u32) -> &Worker {
        self.workers
            .iter()
            .find(|worker| worker.idx == Some(slot))
            .unwrap_or_else(|| panic!("nobody serves slot {slot}: {self:#?}"))
    }

    /// The standbys.
    #[must_use]
    pub fn standbys(&self) -> Vec<&Worker> {
        self.workers.iter().filter(|worker| worker.standby).collect()
    }

    /// The pids of all workers, sorted.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.workers.iter().filter_map(|worker| worker.pid).collect();
        pids.sort_unstable();
        pids
    }
}
