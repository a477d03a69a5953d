//! Requests to the daemon.

use std::num::NonZeroU32;

use super::Json;

/// What a client, or for the last two a worker, can ask for.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `status`
    Status,
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Start them suspended.
    pub suspended: bool,
    /// Instead of `options.maxStartAttempts`.
    pub max_attempts: Option<NonZeroU32>,
    /// Stream [`Progress`](super::Progress) before the final reply.
    pub progress: bool,
    /// Wait for the operation in progress instead of failing with [`Code::Busy`](super::Code::Busy).
    pub wait: bool,
}
