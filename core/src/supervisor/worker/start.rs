//! How a worker was started: what stays with it, whatever the configuration says later.

use std::time::Duration;

use crate::config::{Output, Ready, StopSignal};
use crate::time::Time;

/// How a worker was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Start {
    /// When it was ordered.
    pub ordered: Time,
    pub suspended: bool,
    /// How it shows that it is ready.
    pub ready_by: Ready,
    /// What is asked for if that is by HTTP.
    pub ready_path: String,
    /// From its process's start until it must be ready.
    pub online_timeout: Duration,
    /// What its program finishes on.
    pub stop_signal: StopSignal,
    pub stderr: Output,
    /// The number of its generation; 0 if that is not known.
    pub generation: u32,
}
