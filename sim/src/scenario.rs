//! What is played: a daemon's configuration, the code its workers run, what its operators and its users do.
//!
//! Plain data: a scenario can be printed, kept in a file, shrunk and replayed. What goes *wrong* stands beside it, in
//! the [`FaultPlan`](crate::FaultPlan).

mod act;
mod ask;
mod errand;
mod release;
mod settings;

use std::path::Path;

use nodesockd_core::config::StopSignal;
use serde::{Deserialize, Serialize};

pub use act::{Act, Signal, Step};
pub use ask::Ask;
pub(crate) use ask::CHECKED;
pub use errand::{Errand, Finish, Purpose};
pub use release::{Behaviour, Death, Hang, Release};
pub use settings::{MAY_HAVE, Readiness, Settings};
pub(crate) use settings::{METRICS_SOCKET, TMP_DIR};

/// A history to be played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// The configuration that the daemon starts with.
    pub settings: Settings,
    /// The code that can be deployed; the first one is in place at the start.
    pub releases: Vec<Release>,
    /// What operators do, by time.
    pub script: Vec<Step>,
    /// What users do.
    pub load: Load,
    /// File names that an earlier daemon, or somebody else, left in `tmpDir`.
    pub leftovers: Vec<String>,
    /// When script and load end, in ms.
    pub length_ms: u64,
    /// Draws all that nobody decides: latencies, the moments of requests.
    pub jitter: u64,
}

impl Scenario {
    /// The signal on which the program of a worker finishes what it has begun.
    pub(crate) fn finishes_on(&self, argv: &[String]) -> StopSignal {
        let edited = self.script.iter().filter_map(|step| match &step.act {
            Act::Edit(settings) => Some(&**settings),
            Act::Ask { .. }
            | Act::WorkerAsks { .. }
            | Act::Signal(_)
            | Act::Deploy { .. }
            | Act::EditBadly => None,
        });
        let mut all = std::iter::once(&self.settings).chain(edited);
        // Its folder is that of a release.
        let name = |path: &str| Path::new(path).file_name().map(ToOwned::to_owned);
        let runs = |settings: &&Settings| argv.iter().any(|word| name(word) == name(&settings.script));
        all.find(runs).map_or(StopSignal::Term, |its| its.stop_signal)
    }

    /// Somebody ends a daemon, or has it upgraded.
    pub(crate) fn ends_daemons(&self) -> bool {
        self.script.iter().any(|step| match &step.act {
            Act::Ask { ask, .. } | Act::WorkerAsks { ask, .. } => {
                matches!(ask, Ask::Upgrade { .. } | Ask::Terminate)
            }
            Act::Signal(signal) => !matches!(signal, Signal::Hup | Signal::Usr1),
            Act::Deploy { .. } | Act::Edit(_) | Act::EditBadly => false,
        })
    }
}

/// Users, as nginx passes their requests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// How many send requests at the same time, each one after the other.
    pub users: u32,
    /// The longest pause between one's requests, in ms.
    pub pause_ms: u64,
    /// The upstream servers that nginx lists: slots 0..n.
    pub upstreams: u32,
    /// Percentage of requests that are POSTs, which nginx never sends twice.
    pub posts: u32,
    /// nginx keeps idle connections to workers for so long, in ms; not at all if `None`.
    pub keep_alive_ms: Option<u64>,
    /// The longest time between reading a link and connecting to what it names, in ms.
    pub gap_ms: u64,
    /// Connections a worker's listening socket can hold unaccepted.
    pub backlog: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { users: 2, pause_ms: 50, upstreams: 2, posts: 50, keep_alive_ms: None, gap_ms: 0, backlog: 511 }
    }
}
