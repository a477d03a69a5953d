//! Where the picture's facts come from: the daemon's `status`, and what the kernel knows of the workers' processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodesockd_core::metrics::{Lag, Metrics, WorkerMetrics};
use nodesockd_core::wire::Request;
use nodesockd_os::{AcceptQueues, Usage, usage};
use tokio::net::UnixStream;

use crate::client::{Client, connect};
use crate::exit::{Exit, Failure};
use crate::view::{self, ConfigView, StatusView, WorkerView};

/// A worker says once a second what it has counted, if that is something new. So long it may be late with that.
const LATE: Duration = Duration::from_millis(2500);

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

/// What the kernel knows of a worker, and what it counts by itself if `metrics` is set.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// Percent of one CPU since the look before.
    pub cpu: Option<f64>,
    /// Bytes in memory, with all that the worker has started.
    pub memory: Option<u64>,
    /// Connections that wait to be accepted.
    pub queue: Option<u32>,
    /// Requests that were answered each second since the look before.
    pub rate: Option<f64>,
    /// Requests that are not answered yet.
    pub in_flight: Option<u64>,
    /// How late its event loop was since the look before, in ms.
    pub lag: Option<f64>,
}

/// Asks again and again.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    connection: Option<Connection>,
    queues: AcceptQueues,
    /// What the processes had used at the look before, and when that was.
    before: BTreeMap<u32, (Instant, Usage)>,
    /// What they had counted.
    counted: BTreeMap<u32, Said>,
}

/// What a worker has said last that it had counted.
#[derive(Debug, Clone, Copy)]
struct Said {
    counted: Counted,
    /// When that was new.
    at: Instant,
    rate: Option<f64>,
    lag: Option<f64>,
}

/// What a worker has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    requests: u64,
    lag: Lag,
    in_flight: u64,
}

/// A conversation with a daemon.
#[derive(Debug)]
struct Connection {
    client: Client<UnixStream>,
    /// The path of the slots' links, with a placeholder for the slot.
    links: Option<String>,
    /// The daemon tells what is counted; one of an earlier version does not.
    counts: bool,
}

impl Source {
    /// The daemon that `client` talks to, and whoever listens on `path` after it.
    pub async fn new(path: &Path, client: Client<UnixStream>) -> Self {
        let connection = Some(Connection::over(client).await);
        let (before, counted) = (BTreeMap::new(), BTreeMap::new());
        Self { path: path.to_owned(), connection, queues: AcceptQueues::default(), before, counted }
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
        let (status, metrics, links) =
            asked.unwrap_or_else(|_| Err(silent())).inspect_err(|_| self.connection = None)?;
        let said: BTreeMap<u32, Counted> = metrics.workers.iter().filter_map(counted).collect();
        let figures =
            status.workers.iter().map(|worker| self.figures(worker, &said, links.as_deref())).collect();
        let there: BTreeSet<u32> = status.workers.iter().filter_map(|worker| worker.pid).collect();
        self.before.retain(|pid, _| there.contains(pid));
        self.counted.retain(|pid, _| there.contains(pid));
        Ok(Look { status, figures, now: view::now() })
    }

    async fn ask(&mut self) -> Result<(StatusView, Metrics, Option<String>), Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::over(connect(&self.path).await?).await,
        };
        let status = connection.answer(&Request::Status).await?;
        let metrics = connection.metrics().await?;
        let links = connection.links.clone();
        self.connection = Some(connection);
        Ok((status, metrics, links))
    }

    /// `said`: what workers have counted, by their pids.
    fn figures(
        &mut self,
        worker: &WorkerView,
        said: &BTreeMap<u32, Counted>,
        links: Option<&str>,
    ) -> Figures {
        let link = links.zip(worker.idx).map(|(links, slot)| links.replace(PLACEHOLDER, &slot.to_string()));
        let queue = link.and_then(|link| self.queues.length(Path::new(&link)));
        let mut figures = Figures { queue, ..Figures::default() };
        let Some(pid) = worker.pid else { return figures };
        let now = Instant::now();
        if let Some(counted) = said.get(&pid).copied() {
            let said = Said::after(self.counted.get(&pid).copied(), counted, now);
            (figures.rate, figures.lag, figures.in_flight) = (said.rate, said.lag, Some(counted.in_flight));
            self.counted.insert(pid, said);
        }
        let Some(used) = usage(pid) else { return figures };
        let before = self.before.insert(pid, (now, used));
        figures.cpu =
            before.map(|(then, before)| share(used.cpu.saturating_sub(before.cpu), now.duration_since(then)));
        figures.memory = Some(used.resident);
        figures
    }
}

impl Connection {
    async fn over(client: Client<UnixStream>) -> Self {
        let mut new = Self { client, links: None, counts: true };
        // A daemon of 2.x does not tell.
        let config: Result<ConfigView, Failure> = new.answer(&Request::Config).await;
        new.links = config.ok().and_then(|view| links(&view));
        new
    }

    /// Nothing, from a daemon that does not know the question.
    async fn metrics(&mut self) -> Result<Metrics, Failure> {
        if !self.counts {
            return Ok(Metrics::default());
        }
        match self.answer(&Request::Metrics).await {
            Err(failure) if !matches!(failure.exit, Exit::Unreachable | Exit::TimeOut) => {
                self.counts = false;
                Ok(Metrics::default())
            }
            told => told,
        }
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

impl Said {
    /// What is new since `before`. Between two looks a worker may say nothing, or something twice.
    fn after(before: Option<Self>, counted: Counted, at: Instant) -> Self {
        let Some(before) = before else { return Self { counted, at, rate: None, lag: None } };
        let passed = at.duration_since(before.at);
        let is_new = (before.counted.requests, before.counted.lag) != (counted.requests, counted.lag);
        if !is_new && passed < LATE {
            return Self { counted, ..before };
        }
        let answered = counted.requests.saturating_sub(before.counted.requests);
        let lag = mean_ms(before.counted.lag, counted.lag);
        Self { counted, at, rate: Some(per_second(answered, passed)), lag }
    }
}

fn counted(worker: &WorkerMetrics) -> Option<(u32, Counted)> {
    let (requests, lag, level) = (worker.requests?, worker.lag?, worker.level?);
    Some((worker.pid, Counted { requests, lag, in_flight: level.in_flight }))
}

#[expect(clippy::cast_precision_loss, reason = "of few digits anyway")]
fn per_second(count: u64, passed: Duration) -> f64 {
    if passed.is_zero() { 0.0 } else { count as f64 / passed.as_secs_f64() }
}

/// The mean of what was seen between two moments, in ms.
#[expect(clippy::cast_precision_loss, reason = "of few digits anyway")]
fn mean_ms(before: Lag, now: Lag) -> Option<f64> {
    let count = now.count.checked_sub(before.count).filter(|count| *count > 0)?;
    Some(now.sum.saturating_sub(before.sum) as f64 / count as f64 / 1000.0)
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

    #[test]
    fn a_worker_that_says_nothing_between_two_looks_goes_on_as_before() {
        let counted = |requests| Counted { requests, lag: Lag { count: 0, sum: 0 }, in_flight: 1 };
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let first = Said::after(None, counted(100), at(0));
        let second = Said::after(Some(first), counted(300), at(1000));
        assert_eq!((first.rate, second.rate), (None, Some(200.0)));
        let third = Said::after(Some(second), counted(300), at(2000));
        assert_eq!(third.rate, Some(200.0));
        assert_eq!(Said::after(Some(third), counted(700), at(3000)).rate, Some(200.0));
        assert_eq!(Said::after(Some(third), counted(300), at(3500)).rate, Some(0.0));
    }

    #[test]
    fn lag_is_the_mean_of_what_was_seen_since() {
        let lag = |count, sum| Lag { count, sum };
        assert_eq!(mean_ms(lag(10, 5000), lag(14, 13_000)), Some(2.0));
        assert_eq!(mean_ms(lag(10, 5000), lag(10, 5000)), None);
        assert_eq!(mean_ms(lag(10, 5000), lag(1, 100)), None, "another process with the same id");
        assert!((per_second(300, Duration::from_millis(1500)) - 200.0).abs() < 1e-9);
    }
}
