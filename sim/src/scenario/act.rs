//! What operators do.

use super::ask::Ask;
use super::settings::Settings;
use nodesockd_core::event::DaemonSignal;
use serde::{Deserialize, Serialize};

/// Something an operator does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in ms.
    pub at_ms: u64,
    /// What.
    pub act: Act,
}

/// What operators can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// A client makes a request.
    Ask {
        /// Which client.
        client: u32,
        /// What for.
        ask: Ask,
        /// It sends the request twice, with the same id.
        twice: bool,
        /// It hangs up so long after, in ms.
        hang_up_ms: Option<u64>,
    },
    /// The n-th live worker, modulo their number, makes a request.
    WorkerAsks {
        /// Which.
        nth: u32,
        /// What for; workers may only send messages and requests to each other.
        ask: Ask,
    },
    /// The daemon gets a signal.
    Signal(Signal),
    /// Workers spawned from now on run this release.
    Deploy {
        /// Index in [`Scenario::releases`](super::Scenario::releases).
        release: usize,
    },
    /// The configuration file is changed.
    Edit(Box<Settings>),
    /// The configuration file is ruined.
    EditBadly,
}

/// Signals to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

impl From<Signal> for DaemonSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => Self::Terminate,
            Signal::Int => Self::Interrupt,
            Signal::Hup => Self::Hangup,
            Signal::Usr1 => Self::User1,
            Signal::Usr2 => Self::User2,
        }
    }
}
