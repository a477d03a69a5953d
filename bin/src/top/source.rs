//! Where the picture's facts come from: the daemon's `status`, and what the kernel knows of the workers' processes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodesockd_core::wire::Request;
use nodesockd_os::{AcceptQueues, Usage, usage};
use tokio::net::UnixStream;

use crate::client::{Client, connect};
use crate::exit::{Exit, Failure};
use crate::view::{self, ConfigView, StatusView, WorkerView};

/// So long a daemon may take to answer before the picture says that it does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// What there was to be seen at one moment.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub status: StatusView,
    /// Of each worker, in the order of `status`.
    pub figures: Vec<Figures>,
    /// Milliseconds since the epoch.
    pub now: u64,
}

/// What the kernel knows of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// Percent of one CPU since the look before.
    pub cpu: Option<f64>,
    /// Bytes in memory, with all that the worker has started.
    pub memory: Option<u64>,
    /// Connections that wait to be accepted.
    pub queue: Option<u32>,
}

/// Asks again and again.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    connection: Option<Connection>,
    queues: AcceptQueues,
    /// What the processes had used at the look before, and when that was.
    before: BTreeMap<u32, (Instant, Usage)>,
}

/// A conversation with a daemon.
#[derive(Debug)]
struct Connection {
    client: Client<UnixStream>,
    /// The path of the slots' links, with a placeholder for the slot.
    links: Option<String>,
}

impl Source {
    /// The daemon that `client` talks to, and whoever listens on `path` after it.
    pub async fn new(path: &Path, client: Client<UnixStream>) -> Self {
        let connection = Some(Connection::over(client).await);
        Self { path: path.to_owned(), connection, queues: AcceptQueues::default(), before: BTreeMap::new() }
    }

    /// Looks now.
    ///
    /// # Errors
    ///
    /// Nobody answers; the next look tries to connect again.
    pub async fn look(&mut self) -> Result<Look, Failure> {
        let asked = tokio::time::timeout(PATIENCE, self.ask()).await;
        let silent = || {
            Failure::new(Exit::TimeOut, format!("the daemon has not answered for {} s", PATIENCE.as_secs()))
        };
        let (status, links) =
            asked.unwrap_or_else(|_| Err(silent())).inspect_err(|_| self.connection = None)?;
        let figures = status.workers.iter().map(|worker| self.figures(worker, links.as_deref())).collect();
        self.before.retain(|pid, _| status.workers.iter().any(|worker| worker.pid == Some(*pid)));
        Ok(Look { status, figures, now: view::now() })
    }

    async fn ask(&mut self) -> Result<(StatusView, Option<String>), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::over(connect(&self.path).await?).await,
        };
        let status = connection.answer(&Request::Status).await?;
        let links = connection.links.clone();
        self.connection = Some(connection);
        Ok((status, links))
    }

    fn figures(&mut self, worker: &WorkerView, links: Option<&str>) -> Figures {
        let link = links.zip(worker.idx).map(|(links, slot)| links.replace(PLACEHOLDER, &slot.to_string()));
        let queue = link.and_then(|link| self.queues.length(Path::new(&link)));
        let Some((pid, used)) = worker.pid.and_then(|pid| Some((pid, usage(pid)?))) else {
            return Figures { queue, ..Figures::default() };
        };
        let now = Instant::now();
        let before = self.before.insert(pid, (now, used));
        let cpu =
            before.map(|(then, before)| share(used.cpu.saturating_sub(before.cpu), now.duration_since(then)));
        Figures { cpu, memory: Some(used.resident), queue }
    }
}

impl Connection {
    async fn over(client: Client<UnixStream>) -> Self {
        let mut new = Self { client, links: None };
        // A daemon of 2.x does not tell.
        let config: Result<ConfigView, Failure> = new.answer(&Request::Config).await;
        new.links = config.ok().and_then(|view| links(&view));
        new
    }

    async fn answer<T: serde::de::DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        view::read(&self.client.answer(request).await?)
    }
}

/// What stands for the slot in the paths of links.
const PLACEHOLDER: &str = "{worker}";

fn links(view: &ConfigView) -> Option<String> {
    let text = |key: &str| view.config.get(key)?.as_str();
    let path = Path::new(text("tmpDir")?).join(text("socketFile")?);
    Some(path.to_string_lossy().into_owned())
}

/// Percent of one CPU.
fn share(used: Duration, passed: Duration) -> f64 {
    if passed.is_zero() { 0.0 } else { used.as_secs_f64() / passed.as_secs_f64() * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_cpu_is_what_was_used_of_the_time_that_passed() {
        assert!((share(Duration::from_millis(500), Duration::from_secs(1)) - 50.0).abs() < 1e-9);
        assert!((share(Duration::from_secs(3), Duration::from_secs(2)) - 150.0).abs() < 1e-9);
        assert!(share(Duration::from_secs(1), Duration::ZERO).abs() < 1e-9);
    }
}
