//! Requests that keep coming, and a ledger of what became of each.
//!
//! Clients hold on to their connections, as browsers do, and have one request under way each. Every request carries a
//! number that its answer must give back. Nobody tries a request again: what fails is in the ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::wait;

/// The first number: frameworks have pages of their own at `/404` and `/500`.
const FIRST: u64 = 1000;

/// The number at which a load gives up: more requests than any story takes.
const LIMIT: u64 = 5_000_000;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Ledger>>,
    begun: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    rest: Duration,
    sent: AtomicU64,
    /// By each client.
    answered: Vec<AtomicU64>,
    first_failure: OnceLock<String>,
}

/// Somebody who makes requests, one after the other.
pub trait Caller: Send {
    /// How they are made.
    fn method(&self) -> Method;

    /// Makes the request of that number: what the answer says.
    ///
    /// # Errors
    ///
    /// What there is instead of the answer. The next request is made as if there had been none.
    fn request(&mut self, number: &str) -> io::Result<Vec<u8>>;
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The number is the path. nginx may ask another server again.
    Get,
    /// The number is the body. nginx must not, once it has sent it.
    Post,
}

/// A request without its right answer.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its number.
    pub number: u64,
    /// How it was made.
    pub method: Method,
    /// When it was sent.
    pub sent: Instant,
    /// When it was known to have failed.
    pub ended: Instant,
    /// What there was instead of the answer.
    pub why: String,
}

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered by each worker.
    pub answered: BTreeMap<String, u64>,
    /// The others, in the order of their numbers.
    pub failures: Vec<Failure>,
    /// How long each answer took, in microseconds, shortest first.
    pub latencies: Vec<u32>,
    /// From the first request until the clients were told to stop.
    pub took: Duration,
}

/// What a worker says to a request.
#[derive(Debug, Deserialize)]
struct Answer {
    number: String,
    worker: String,
    suspended: bool,
}

impl Load {
    /// Sets `clients` to work on the unix socket `front`: the even ones GET, the odd ones POST.
    #[must_use]
    pub fn start(front: &Path, clients: usize) -> Self {
        Self::gently(front, clients, Duration::ZERO)
    }

    /// The same, each client resting for `rest` between an answer and its next request.
    #[must_use]
    pub fn gently(front: &Path, clients: usize, rest: Duration) -> Self {
        let client = |index: usize| -> Box<dyn Caller> {
            let method = if index.is_multiple_of(2) { Method::Get } else { Method::Post };
            Box::new(Client { front: front.to_owned(), method, connection: None })
        };
        Self::by((0..clients).map(client).collect(), rest)
    }

    /// Sets those to work, each resting for `rest` between an answer and its next request.
    #[must_use]
    pub fn by(callers: Vec<Box<dyn Caller>>, rest: Duration) -> Self {
        let answered = callers.iter().map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { rest, answered, ..Shared::default() });
        let client = |(index, mut caller): (usize, Box<dyn Caller>)| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&mut *caller, &shared, index))
        };
        let clients = callers.into_iter().enumerate().map(client).collect();
        Self { shared, clients, begun: Instant::now() }
    }

    /// How many requests have been answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.by_each().sum()
    }

    /// Waits until each client has got an answer to a request that it sends from now on.
    pub fn flows(&self) {
        // The next answer may be to a request that is under way, the one after that cannot.
        let goals: Vec<u64> = self.by_each().map(|count| count + 2).collect();
        let failure = || self.shared.first_failure.get().cloned().unwrap_or_else(|| "none has failed".into());
        let flows = || self.by_each().zip(&goals).all(|(count, goal)| count >= *goal);
        wait::found("every client's requests are answered", || flows().then_some(()), failure);
    }

    fn by_each(&self) -> impl Iterator<Item = u64> {
        self.shared.answered.iter().map(|count| count.load(Relaxed))
    }

    /// Lets every client finish its request.
    ///
    /// # Panics
    ///
    /// When the load ran out before: then it has not seen the whole story.
    #[must_use]
    pub fn finish(mut self) -> Ledger {
        self.shared.stop.store(true, Relaxed);
        let mut ledger = Ledger { took: self.begun.elapsed(), ..Ledger::default() };
        for client in std::mem::take(&mut self.clients) {
            let part = client.join().expect("a client that counts its failures");
            ledger.sent += part.sent;
            ledger.failures.extend(part.failures);
            ledger.latencies.extend(part.latencies);
            for (worker, count) in part.answered {
                *ledger.answered.entry(worker).or_default() += count;
            }
        }
        ledger.failures.sort_by_key(|failure| failure.number);
        ledger.latencies.sort_unstable();
        assert!(ledger.sent < LIMIT, "the story was longer than the load");
        ledger
    }
}

/// A test that has failed does not keep those beside it from the processors.
impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}

impl Ledger {
    /// How long the answer took that this share of the others did not exceed: 0.5 is the median.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a count of requests"
    )]
    pub fn latency(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * share) as usize;
        Duration::from_micros(self.latencies.get(index).copied().unwrap_or_default().into())
    }

    /// The failures of requests made in one way.
    pub fn failed(&self, method: Method) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(move |failure| failure.method == method)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} requests failed", self.failures.len(), self.sent)?;
        for Failure { number, method, sent, ended, why } in self.failures.iter().take(20) {
            writeln!(f, "  {method:?} {number}: {why}, after {:?}", *ended - *sent)?;
        }
        Ok(())
    }
}

fn work(caller: &mut dyn Caller, shared: &Shared, index: usize) -> Ledger {
    let mut ledger = Ledger::default();
    while !shared.stop.load(Relaxed) {
        let number = FIRST + shared.sent.fetch_add(1, Relaxed);
        if number >= LIMIT {
            break;
        }
        let sent = Instant::now();
        ledger.sent += 1;
        let text = number.to_string();
        match caller.request(&text).and_then(|said| Answer::read(&said, &text)) {
            Ok(answer) => {
                let took = sent.elapsed().as_micros();
                ledger.latencies.push(took.try_into().unwrap_or(u32::MAX));
                *ledger.answered.entry(answer.worker).or_default() += 1;
                shared.answered[index].fetch_add(1, Relaxed);
            }
            Err(error) => {
                let _ = shared.first_failure.set(error.to_string());
                let (method, ended) = (caller.method(), Instant::now());
                ledger.failures.push(Failure { number, method, sent, ended, why: error.to_string() });
            }
        }
        if !shared.rest.is_zero() {
            thread::sleep(shared.rest);
        }
    }
    ledger
}

impl Answer {
    fn read(said: &[u8], number: &str) -> io::Result<Self> {
        let answer: Self = serde_json::from_slice(said)?;
        if answer.number != number {
            return Err(io::Error::other(format!("the answer is to request {}", answer.number)));
        }
        if answer.suspended {
            return Err(io::Error::other(format!("{} answered although suspended", answer.worker)));
        }
        Ok(answer)
    }
}

/// A client that speaks HTTP/1.1.
struct Client {
    front: PathBuf,
    method: Method,
    connection: Option<BufReader<UnixStream>>,
}

impl Caller for Client {
    fn method(&self) -> Method {
        self.method
    }

    fn request(&mut self, number: &str) -> io::Result<Vec<u8>> {
        // One that has failed is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.front)?,
        };
        let request = match self.method {
            Method::Get => format!("GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n"),
            Method::Post => {
                // Without a type SvelteKit takes a body for none.
                let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream";
                format!("{head}\r\nContent-Length: {}\r\n\r\n{number}", number.len())
            }
        };
        connection.get_mut().write_all(request.as_bytes())?;
        let (body, last) = receive(&mut connection)?;
        if !last {
            self.connection = Some(connection);
        }
        Ok(body)
    }
}

fn connect(front: &Path) -> io::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(front)?;
    stream.set_read_timeout(Some(wait::limit()))?;
    Ok(BufReader::new(stream))
}

/// Reads an answer with status 200: its body, and whether it is the connection's last.
fn receive(connection: &mut impl BufRead) -> io::Result<(Vec<u8>, bool)> {
    let status = line(connection)?;
    let (mut length, mut chunked, mut last) = (None, false, false);
    loop {
        let header = line(connection)?.to_ascii_lowercase();
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            None => break,
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("connection", value)) => last = value == "close",
            Some(_) => {}
        }
    }
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(status));
    }
    let body = match length {
        _ if chunked => chunks(connection)?,
        Some(length) => exactly(connection, length)?,
        None => return Err(io::Error::other("an answer without its length")),
    };
    Ok((body, last))
}

fn exactly(connection: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A body in pieces, the last of which is empty.
fn chunks(connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&line(connection)?, 16).map_err(io::Error::other)?;
        body.extend(exactly(connection, length)?);
        line(connection)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nginx closed the connection"));
    }
    Ok(line.trim_end().to_owned())
}
