//! What the daemon and its workers say to each other.

use serde::Serialize;
use serde_json::json;

use super::Json;
use crate::id::WorkerId;
use crate::metrics::{Level, Traffic};

/// Who a worker on the control socket says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub worker: WorkerId,
    /// Its process id, if it says one.
    pub pid: Option<u32>,
}

/// A message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum FromWorker {
    /// `online`: it listens and is ready to serve, or suspended.
    Online {
        /// The process id that it says. It is another one than the worker's own where a wrapper has handed the channel on.
        pid: Option<u32>,
        /// It waits for `resume` before it does anything.
        suspended: bool,
        /// It answers [`ToWorker::Ping`] from its event loop.
        heartbeat: bool,
        /// Whether it leads, as far as it knows; `None`: it does not understand [`ToWorker::Leader`] and
        /// [`ToWorker::Slot`], and is not told either.
        leads: Option<bool>,
        /// Whether it counts requests; `None`: it does not understand [`ToWorker::Count`], and is not told either.
        counts: Option<bool>,
    },
    /// `counted`: what it has counted since it started.
    Counted {
        /// Totals, which never fall.
        traffic: Box<Traffic>,
        /// What it has at this moment.
        level: Level,
    },
    /// `broken`: it wants to be replaced.
    Broken {
        /// Why, in its own words; not to be trusted on a terminal.
        reason: Option<String>,
    },
    /// `reply`: an answer, or a part of it, to an `app-req`.
    Reply {
        /// The id we gave the request.
        request: String,
        /// There is an answer in it. What only marks the end of a stream has neither data nor errors.
        answers: bool,
        /// `data.data` of the reply: the application's own.
        data: Option<Json>,
        /// Why there is no answer.
        errors: Vec<String>,
        /// Whether it is the last part.
        done: bool,
    },
    /// `pong`: its event loop turns.
    Pong {
        /// The number of the `ping` that it answers.
        seq: u64,
        /// A debugger may stop it at any time.
        inspected: bool,
        /// How many requests it holds until it is resumed.
        held: u32,
    },
    /// `leader`: by the last [`ToWorker::Leader`] that it has heeded, it leads or does not. If not, all that it did as the
    /// leader is done.
    Leader {
        /// It leads.
        leads: bool,
        /// The term of that word.
        term: u64,
    },
    /// `process.send(message, handle)` in Node, which sends nothing more until it is acknowledged.
    NodeHandle,
}

impl FromWorker {
    /// The report of a worker that says no more than it has to: it answers no questions, and understands neither who leads nor to
    /// count.
    #[must_use]
    pub fn online(suspended: bool) -> Self {
        Self::Online { pid: None, suspended, heartbeat: false, leads: None, counts: None }
    }
}

/// A message to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// `resume`: no longer suspended.
    Resume {
        /// The descriptor of the listening socket it is to accept from, if it inherited that.
        fd: Option<u32>,
    },
    /// `set-name`: what to show in the process title.
    SetName {
        /// The new `name`.
        name: String,
    },
    /// `detach`: the daemon is about to go without its workers; the next one is to be found at this control socket.
    Detach {
        /// Its absolute path.
        ipc_path: String,
    },
    /// `shutdown`: finish what was begun, then exit.
    Shutdown,
    /// `ping`: to be answered by [`FromWorker::Pong`] as soon as the event loop turns.
    Ping {
        /// Counts the questions to this worker.
        seq: u64,
    },
    /// `slot`: it serves this slot from now on.
    Slot {
        /// Which.
        slot: u32,
    },
    /// `leader`: it leads from now on, or does not any more; answered by [`FromWorker::Leader`].
    Leader {
        /// It leads.
        leads: bool,
        /// Only grows: the worker heeds no word of a lower term than it has heard.
        term: u64,
    },
    /// `count`: count requests and say so with [`FromWorker::Counted`], or do not any more.
    Count {
        /// Count.
        on: bool,
    },
    /// `app-msg`
    AppMessage {
        /// The message's name.
        message: String,
        /// Its data.
        data: Option<Json>,
    },
    /// `app-req`
    AppRequest {
        /// The id by which the reply will name it.
        id: String,
        /// The request's name.
        request: String,
        /// Its data.
        data: Option<Json>,
    },
    /// Answers [`FromWorker::NodeHandle`]; the handle itself is closed.
    NodeHandleAck,
}

impl ToWorker {
    /// The line to send, with its newline.
    #[must_use]
    pub fn encode(&self) -> String {
        #[derive(Serialize)]
        struct App<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            request: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a Json>,
        }
        #[derive(Serialize)]
        struct Frame<'a> {
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
            data: App<'a>,
        }
        let mut line = match self {
            Self::Resume { fd: None } => json!({"type": "resume"}).to_string(),
            Self::Resume { fd: Some(fd) } => json!({"type": "resume", "data": {"fd": fd}}).to_string(),
            Self::SetName { name } => json!({"type": "set-name", "data": {"name": name}}).to_string(),
            Self::Detach { ipc_path } => json!({"type": "detach", "data": {"ipcPath": ipc_path}}).to_string(),
            Self::Shutdown => json!({"type": "shutdown"}).to_string(),
            Self::Ping { seq } => json!({"type": "ping", "data": {"seq": seq}}).to_string(),
            Self::Slot { slot } => json!({"type": "slot", "data": {"slot": slot}}).to_string(),
            Self::Leader { leads, term } => {
                json!({"type": "leader", "data": {"leader": leads, "term": term}}).to_string()
            }
            Self::Count { on } => json!({"type": "count", "data": {"on": on}}).to_string(),
            Self::NodeHandleAck => json!({"cmd": "NODE_HANDLE_ACK"}).to_string(),
            Self::AppMessage { message, data } => {
                let data = App { message: Some(message), request: None, data: data.as_ref() };
                Json::of(&Frame { r#type: "app-msg", id: None, data }).get().to_owned()
            }
            Self::AppRequest { id, request, data } => {
                let data = App { message: None, request: Some(request), data: data.as_ref() };
                Json::of(&Frame { r#type: "app-req", id: Some(id), data }).get().to_owned()
            }
        };
        line.push('\n');
        line
    }
}
