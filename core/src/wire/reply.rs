//! Replies to requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Json;
use super::news::{DeployNews, FailedWorker, Progress};
use super::status::{BatchStatus, Status};
use crate::id::WorkerId;
use crate::metrics::Metrics;
use crate::occurrence::Occurrence;
use crate::time::Time;

/// A reply, or one part of a stream of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// `data`.
    pub body: Option<Body>,
    /// Not empty: the request failed, for these reasons.
    pub errors: Vec<String>,
    /// What kind of failure it is, where that is one of the contract's.
    pub code: Option<Code>,
    /// Nothing follows. Always so when there are errors.
    pub done: bool,
}

impl Reply {
    /// The only, or last, reply.
    #[must_use]
    pub fn done(body: Option<Body>) -> Self {
        Self { body, errors: Vec::new(), code: None, done: true }
    }

    /// One of several.
    #[must_use]
    pub fn part(body: Body) -> Self {
        Self { body: Some(body), errors: Vec::new(), code: None, done: false }
    }

    /// The request failed.
    #[must_use]
    pub fn failed(code: Option<Code>, errors: Vec<String>) -> Self {
        Self { body: None, errors, code, done: true }
    }

    /// The line to send, with its newline. `wall` tells what a time is on the wall clock as it is set
    /// now: milliseconds since 1970-01-01T00:00Z.
    pub fn encode(&self, request: &str, wall: impl Fn(Time) -> u64) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Frame<'a> {
            r#type: &'static str,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<Json>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<Code>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            done: bool,
        }
        let mut line = Json::of(&Frame {
            r#type: "reply",
            request_id: request,
            data: self.body.as_ref().map(|body| body.json(wall)),
            errors: &self.errors,
            code: self.code,
            done: self.done,
        })
        .get()
        .to_owned();
        line.push('\n');
        line
    }
}

/// What a reply's `data` holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Of `status`.
    Status(Box<Status>),
    /// Of `metrics`.
    Metrics(Box<Metrics>),
    /// Of `config`: `{config, files}`, ready-made.
    Config(Json),
    /// Of `start-workers`, `restart-workers`, `terminate` and their like: the daemon that did it.
    Daemon {
        /// Its process id.
        pid: u32,
        /// It goes now, and the one that follows is to be asked for the restart.
        upgrading: bool,
        /// What it was before it upgraded itself for this request.
        upgraded_from: Option<String>,
    },
    /// Of `resume-workers`.
    Resumed {
        /// The daemon's process id.
        pid: u32,
        /// Workers that were told, and cannot confirm it: their library has no heartbeat.
        unconfirmed: Vec<WorkerId>,
    },
    /// On the way there, for clients that asked: `{progress: {…}}`.
    Progress(Progress),
    /// Of `send-app-req`: one worker's answer.
    Answer {
        /// The worker.
        id: WorkerId,
        /// Its process id.
        pid: u32,
        /// The application's own data.
        data: Option<Json>,
        /// Why there is none.
        errors: Vec<String>,
    },
    /// How a deploy goes on, for clients that asked: `{deploy: {…}}`.
    Deploy(DeployNews),
    /// Which batch of workers is being replaced from now on, for clients that asked: `{batch: {…}}`.
    Batch(BatchStatus),
    /// Which workers could not be started: `{failed: […]}`, beside `errors`.
    Failed(Vec<FailedWorker>),
    /// Of `watch-events`, at once: `{watching: {seq}}`, the number of the last occurrence before.
    Watching {
        /// How many there were under this daemon.
        seq: u64,
    },
    /// Of `watch-events`: `{event: {…}}`, what has happened.
    Occurred {
        /// Its number.
        seq: u64,
        /// What.
        occurrence: Box<Occurrence>,
    },
}

impl Body {
    fn json(&self, wall: impl Fn(Time) -> u64) -> Json {
        match self {
            Self::Config(json) => json.clone(),
            Self::Status(status) => Json::of(&status.json(wall)),
            Self::Metrics(metrics) => Json::of(metrics),
            Self::Daemon { pid, upgrading, upgraded_from } => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Daemon<'a> {
                    pid: u32,
                    #[serde(skip_serializing_if = "std::ops::Not::not")]
                    upgrading: bool,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    upgraded_from: Option<&'a str>,
                }
                let upgraded_from = upgraded_from.as_deref();
                Json::of(&Daemon { pid: *pid, upgrading: *upgrading, upgraded_from })
            }
            Self::Resumed { pid, unconfirmed } => {
                #[derive(Serialize)]
                struct Resumed<'a> {
                    pid: u32,
                    #[serde(skip_serializing_if = "<[_]>::is_empty")]
                    unconfirmed: &'a [WorkerId],
                }
                Json::of(&Resumed { pid: *pid, unconfirmed })
            }
            Self::Progress(progress) => Json::of(&json!({ "progress": progress })),
            Self::Deploy(news) => Json::of(&json!({ "deploy": news })),
            Self::Batch(batch) => Json::of(&json!({ "batch": batch })),
            Self::Failed(workers) => Json::of(&json!({ "failed": workers })),
            Self::Watching { seq } => Json::of(&json!({ "watching": { "seq": seq } })),
            Self::Occurred { seq, occurrence } => {
                Json::of(&BTreeMap::from([("event", occurrence.told(*seq, wall))]))
            }
            Self::Answer { id, pid, data, errors } => {
                #[derive(Serialize)]
                struct Answer<'a> {
                    id: &'a WorkerId,
                    pid: u32,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    data: Option<&'a Json>,
                    #[serde(skip_serializing_if = "<[_]>::is_empty")]
                    errors: &'a [String],
                }
                Json::of(&Answer { id, pid: *pid, data: data.as_ref(), errors })
            }
        }
    }
}

/// Kinds of failure that the command line turns into exit codes (docs/06-cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request makes no sense; exit code 2.
    Usage,
    /// The configuration is invalid; exit code 3.
    InvalidConfig,
    /// Another operation is in progress; exit code 5.
    Busy,
    /// Workers failed to start, the old ones still serve; exit code 6.
    StartFailed,
    /// A deploy was rolled back, the old workers serve again; exit code 7.
    RolledBack,
    /// A deploy failed after its workers had taken over, and was not rolled back; exit code 7.
    NotRolledBack,
    /// It took too long; exit code 8.
    TimeOut,
    /// The peer may not ask for that; exit code 9.
    NotPermitted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_that_says_no_more_than_it_must() {
        let line = |reply: Reply| reply.encode("1", |_| 0);
        assert_eq!(line(Reply::done(None)), "{\"type\":\"reply\",\"requestId\":\"1\",\"done\":true}\n");
        let body = Body::Daemon { pid: 7, upgrading: false, upgraded_from: None };
        assert_eq!(
            line(Reply::part(body)),
            "{\"type\":\"reply\",\"requestId\":\"1\",\"data\":{\"pid\":7}}\n"
        );
        let failed = Reply::failed(Some(Code::Busy), vec!["two\nlines".into()]);
        assert_eq!(
            line(failed),
            "{\"type\":\"reply\",\"requestId\":\"1\",\"errors\":[\"two\\nlines\"],\"code\":\"busy\",\"done\":true}\n"
        );
    }
}
