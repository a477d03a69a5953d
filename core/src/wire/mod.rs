//! The protocol: what travels on a worker's channel and on the IPC socket (docs/05-ipc.md).
//!
//! Both transports carry one JSON object a line, UTF-8. A *message* is `{type, data?}`, a *request*
//! `{type, id, data?}`, a *reply* `{type: "reply", requestId, data?, errors?, done?}`. A request is answered by any number
//! of replies without `done` and one final one: `done: true`, or `errors`.
//!
//! This module knows shapes only. Lines come from [`crate::frame::Decoder`]; who may say what is decided by
//! [`decode`]'s `from` argument.

mod decode;
mod news;
mod oversized;
mod reply;
mod request;
mod status;
mod suspension;
mod worker;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use decode::{Incoming, Rejection, Sender, decode};
pub use news::{DeployNews, DeployStep, FailedWorker, Progress, Stage};
pub use oversized::decode_oversized;
pub use reply::{Body, Code, Reply};
pub use request::{DEFAULT_WATCH, DeployOptions, LONGEST_WATCH, MigrationOptions, Request, StartOptions};
pub use status::{BatchStatus, FailingStandby, SlotFailures, Status, VacantSlot, WorkerState, WorkerStatus};
pub use suspension::SuspensionStatus;
pub use worker::{Claim, FromWorker, ToWorker};

/// A line longer than this many bytes is refused: see [`decode_oversized`].
pub const MAX_FRAME: usize = 1 << 20;

/// A request id longer than this many bytes is refused: ids are kept while a request is open.
pub const MAX_REQUEST_ID: usize = 128;

/// JSON that is passed on without being looked at: byte for byte what was sent, known to be valid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// `text`, if it is valid JSON.
    ///
    /// # Errors
    ///
    /// Says where the text stops being JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The JSON of `value`; `null` for what JSON cannot express.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn json_is_passed_on_byte_for_byte() {
        let json = |text| Json::parse(text).unwrap();
        assert_eq!(json("[1, 2]").get(), "[1, 2]");
        assert_ne!(json("[1, 2]"), json("[1,2]"));
    }
}
