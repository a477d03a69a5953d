//! How a command ends: exit codes, and failures with words for people.

use std::fmt;
use std::process::ExitCode;

use nodesockd_core::wire::Code;

/// The exit codes (docs/06-cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or already so.
    Done = 0,
    /// Something unexpected.
    Unexpected = 1,
    /// Wrong usage.
    Usage = 2,
    /// The configuration is invalid.
    InvalidConfig = 3,
    /// The daemon cannot be reached.
    Unreachable = 4,
    /// Another operation is in progress.
    Busy = 5,
    /// Workers failed to start, the old ones still serve.
    StartFailed = 6,
    /// A deploy failed after its workers had taken over. Most often it was rolled back, and the old workers serve again.
    RolledBack = 7,
    /// It took too long.
    TimeOut = 8,
    /// Not permitted.
    NotPermitted = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Usage => Self::Usage,
            Code::InvalidConfig => Self::InvalidConfig,
            Code::Busy => Self::Busy,
            Code::StartFailed => Self::StartFailed,
            Code::RolledBack | Code::NotRolledBack => Self::RolledBack,
            Code::TimeOut => Self::TimeOut,
            Code::NotPermitted => Self::NotPermitted,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and why; one paragraph each. May hold several lines, but nothing unescaped from outside.
    pub messages: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Failure {
    /// A failure with one message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, messages: vec![message.into()], help: None }
    }

    /// The same, with something to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("\n"))
    }
}
