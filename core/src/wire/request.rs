//! Requests to the daemon.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Json;
use crate::expiry::Expiry;

/// What a client, or for the last two a worker, can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `status`
    Status,
    /// `metrics`
    Metrics,
    /// `config`
    Config,
    /// `start-workers`
    Start(StartOptions),
    /// `restart-workers`
    Restart {
        /// How.
        options: StartOptions,
        /// The client's version, when it wants the daemon to be at least that.
        version: Option<String>,
    },
    /// `deploy`
    Deploy(DeployOptions),
    /// `attach-deploy`
    AttachDeploy {
        /// Stream what happens before the final reply.
        progress: bool,
    },
    /// `watch-events`: a stream of what happens, until the daemon quits or the client hangs up.
    WatchEvents,
    /// `resume-workers`
    Resume,
    /// `stop-workers`
    Stop,
    /// `set-worker-count`
    SetWorkers {
        /// Slots, at least 1.
        count: NonZeroU32,
    },
    /// `set-standby-count`
    SetStandby {
        /// Spare workers.
        count: u32,
    },
    /// `reload`
    Reload,
    /// `terminate`
    Terminate,
    /// `send-app-msg`
    SendMessage {
        /// The message's name.
        message: String,
        /// Its data.
        data: Option<Json>,
        /// A [selector](crate::selector); all workers in slots if there is none.
        workers: Option<String>,
    },
    /// `send-app-req`
    SendRequest {
        /// The request's name.
        request: String,
        /// Its data.
        data: Option<Json>,
        /// A [selector](crate::selector); all workers in slots if there is none.
        workers: Option<String>,
    },
}

/// Options of `start-workers` and `restart-workers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartOptions {
    /// Start them suspended.
    pub suspended: bool,
    /// Instead of `options.maxStartAttempts`.
    pub max_attempts: Option<NonZeroU32>,
    /// Stream [`Progress`](super::Progress) before the final reply.
    pub progress: bool,
    /// Wait for the operation in progress instead of failing with [`Code::Busy`](super::Code::Busy).
    pub wait: bool,
    /// Answer when the new workers serve, and not only when the old ones are gone. Not with `suspended`.
    #[serde(default)]
    pub until_swap: bool,
    /// How the suspension ends if nobody ends it. Only with `suspended`, and not with `start-workers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// Instead of `options.batch`. Not with `suspended`, unless it is 0.
    #[serde(default)]
    pub batch: Option<u32>,
}

/// For how long the new workers of a deploy are watched, unless the client says otherwise.
pub const DEFAULT_WATCH: Duration = Duration::from_secs(30);

/// For how long they are watched at most.
pub const LONGEST_WATCH: Duration = Duration::from_secs(24 * 3600);

/// Options of `deploy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployOptions {
    /// The folder of the new release, an absolute path; if there is none, what the working directory names.
    pub release: Option<PathBuf>,
    /// For how long the new workers are watched while the old ones are kept.
    pub watch: Duration,
    /// What each new worker has to answer while it is watched: the target of a GET.
    pub health: Option<String>,
    /// What has to run while nobody is active, after the old workers have gone and before the new ones begin.
    pub migration: Option<MigrationOptions>,
    /// Instead of `options.maxStartAttempts`.
    pub max_attempts: Option<NonZeroU32>,
    /// Stream what happens before the final reply.
    pub progress: bool,
    /// Instead of `options.batch`. Not with `migration`, unless it is 0.
    pub batch: Option<u32>,
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self {
            release: None,
            watch: DEFAULT_WATCH,
            health: None,
            migration: None,
            max_attempts: None,
            progress: false,
            batch: None,
        }
    }
}

/// The migration of a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationOptions {
    /// The command, for the shell.
    pub command: String,
    /// The command that undoes it, if there is one.
    pub revert: Option<String>,
    /// How long each of them may take; for ever if there is none.
    pub limit: Option<Duration>,
}

impl Request {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Config => "config",
            Self::Start(_) => "start-workers",
            Self::Restart { .. } => "restart-workers",
            Self::Deploy(_) => "deploy",
            Self::AttachDeploy { .. } => "attach-deploy",
            Self::WatchEvents => "watch-events",
            Self::Resume => "resume-workers",
            Self::Stop => "stop-workers",
            Self::SetWorkers { .. } => "set-worker-count",
            Self::SetStandby { .. } => "set-standby-count",
            Self::Reload => "reload",
            Self::Terminate => "terminate",
            Self::SendMessage { .. } => "send-app-msg",
            Self::SendRequest { .. } => "send-app-req",
        }
    }

    /// Whether it may change what runs, or how.
    #[must_use]
    pub fn changes_something(&self) -> bool {
        match self {
            Self::Start(_)
            | Self::Restart { .. }
            | Self::Deploy(_)
            | Self::Resume
            | Self::Stop
            | Self::SetWorkers { .. }
            | Self::SetStandby { .. }
            | Self::Reload
            | Self::Terminate => true,
            Self::Status
            | Self::Metrics
            | Self::Config
            | Self::AttachDeploy { .. }
            | Self::WatchEvents
            | Self::SendMessage { .. }
            | Self::SendRequest { .. } => false,
        }
    }

    /// The line to send, with its newline; `id` is what the replies will name.
    #[must_use]
    pub fn encode(&self, id: &str) -> String {
        let name = self.name();
        match self {
            Self::Status
            | Self::Metrics
            | Self::Config
            | Self::WatchEvents
            | Self::Resume
            | Self::Stop
            | Self::Reload
            | Self::Terminate => frame(name, id, None::<()>),
            Self::Start(options) => frame(name, id, Some(options.data(None))),
            Self::Restart { options, version } => frame(name, id, Some(options.data(version.as_deref()))),
            Self::Deploy(options) => frame(name, id, Some(options.data())),
            Self::AttachDeploy { progress } => frame(name, id, Some(json!({ "progress": progress }))),
            Self::SetWorkers { count } => frame(name, id, Some(json!({ "count": count }))),
            Self::SetStandby { count } => frame(name, id, Some(json!({ "count": count }))),
            Self::SendMessage { message, data, workers } => {
                let app = App {
                    message: Some(message),
                    request: None,
                    data: data.as_ref(),
                    workers: workers.as_deref(),
                };
                frame(name, id, Some(app))
            }
            Self::SendRequest { request, data, workers } => {
                let app = App {
                    message: None,
                    request: Some(request),
                    data: data.as_ref(),
                    workers: workers.as_deref(),
                };
                frame(name, id, Some(app))
            }
        }
    }
}

impl DeployOptions {
    fn data(&self) -> Value {
        let mut data = Map::new();
        if let Some(release) = &self.release {
            data.insert("release".into(), json!(release.to_string_lossy()));
        }
        data.insert("watch".into(), json!(u64::try_from(self.watch.as_millis()).unwrap_or(u64::MAX)));
        if let Some(path) = &self.health {
            data.insert("health".into(), json!(path));
        }
        if let Some(MigrationOptions { command, revert, limit }) = &self.migration {
            data.insert("migrate".into(), json!(command));
            if let Some(revert) = revert {
                data.insert("revert".into(), json!(revert));
            }
            if let Some(limit) = limit {
                data.insert(
                    "migrateTimeout".into(),
                    json!(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
                );
            }
        }
        if let Some(attempts) = self.max_attempts {
            data.insert("maxAttempts".into(), json!(attempts));
        }
        if self.progress {
            data.insert("progress".into(), json!(true));
        }
        if let Some(batch) = self.batch {
            data.insert("batch".into(), json!(batch));
        }
        Value::Object(data)
    }
}

impl StartOptions {
    /// What is not at its default, as older daemons know only `suspended` and `maxAttempts`.
    fn data(&self, version: Option<&str>) -> Value {
        let mut data = Map::new();
        let flags = [
            ("suspended", self.suspended),
            ("progress", self.progress),
            ("wait", self.wait),
            ("untilSwap", self.until_swap),
        ];
        for (name, set) in flags {
            if set {
                data.insert(name.into(), json!(true));
            }
        }
        if let Some(attempts) = self.max_attempts {
            data.insert("maxAttempts".into(), json!(attempts));
        }
        if let Some(Expiry { after, then }) = self.expiry {
            data.insert("for".into(), json!(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)));
            data.insert("then".into(), json!(then.name()));
        }
        if let Some(batch) = self.batch {
            data.insert("batch".into(), json!(batch));
        }
        if let Some(version) = version {
            data.insert("version".into(), json!(version));
        }
        Value::Object(data)
    }
}

#[derive(Serialize)]
struct App<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<&'a str>,
}

fn frame(r#type: &'static str, id: &str, data: Option<impl Serialize>) -> String {
    #[derive(Serialize)]
    struct Frame<'a, T> {
        r#type: &'static str,
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<T>,
    }
    let mut line = Json::of(&Frame { r#type, id, data }).get().to_owned();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expiry::Ending;
    use crate::wire::{Incoming, Sender, decode};

    const WAITING: StartOptions = StartOptions {
        suspended: false,
        max_attempts: None,
        progress: false,
        wait: true,
        until_swap: false,
        expiry: None,
        batch: None,
    };

    #[test]
    fn what_a_client_encodes_the_daemon_decodes() {
        let data = Some(Json::parse(r#"{"n": 1.0}"#).unwrap());
        let options =
            StartOptions { suspended: true, max_attempts: NonZeroU32::new(3), progress: true, ..WAITING };
        let expiry = Some(Expiry { after: Duration::from_secs(600), then: Ending::Rollback });
        let expiring = StartOptions { expiry, ..options.clone() };
        let requests = [
            Request::Status,
            Request::Config,
            Request::Metrics,
            Request::Start(StartOptions::default()),
            Request::Start(options.clone()),
            Request::Restart { options: StartOptions::default(), version: None },
            Request::Restart { options: expiring, version: None },
            Request::Restart { options, version: Some("3.0.0".into()) },
            Request::Restart { options: StartOptions { until_swap: true, ..WAITING }, version: None },
            Request::Restart { options: StartOptions { batch: Some(0), ..WAITING }, version: None },
            Request::Deploy(DeployOptions::default()),
            Request::Deploy(DeployOptions { batch: Some(2), ..DeployOptions::default() }),
            Request::Deploy(DeployOptions {
                release: Some("/srv/releases/2".into()),
                watch: Duration::from_millis(1),
                health: Some("/health?of=all".into()),
                migration: Some(MigrationOptions {
                    command: "npm run migrate".into(),
                    revert: Some("npm run revert".into()),
                    limit: Some(Duration::from_secs(120)),
                }),
                max_attempts: NonZeroU32::new(2),
                progress: true,
                batch: None,
            }),
            Request::AttachDeploy { progress: true },
            Request::WatchEvents,
            Request::Resume,
            Request::Stop,
            Request::SetWorkers { count: NonZeroU32::MIN },
            Request::SetStandby { count: 0 },
            Request::Reload,
            Request::Terminate,
            Request::SendMessage { message: "hello".into(), data: data.clone(), workers: Some("1-".into()) },
            Request::SendMessage { message: "hello".into(), data: None, workers: None },
            Request::SendRequest { request: "ask".into(), data, workers: Some("!0".into()) },
        ];
        for request in requests {
            let line = request.encode("an-id");
            let decoded = decode(line.trim_end(), Sender::Client);
            let only_asks = matches!(
                request,
                Request::Status
                    | Request::Metrics
                    | Request::Config
                    | Request::AttachDeploy { .. }
                    | Request::WatchEvents
                    | Request::SendMessage { .. }
                    | Request::SendRequest { .. }
            );
            assert_eq!(request.changes_something(), !only_asks, "{line}");
            assert_eq!(decoded, Ok(Incoming::Request { id: "an-id".into(), request }), "{line}");
        }
    }
}
