//! The simulated network of these tests: a daemon, clients, and a record of everything that happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use nodesockd::client::Client;
use turmoil::net::TcpStream;
use turmoil::{Builder, Sim};

use crate::choppy::Choppy;
use crate::daemon;

pub const PORT: u16 = 7000;

/// Longer than any story.
const CURTAIN: Duration = Duration::from_secs(100);

/// What is told by hosts and read by connections, with the time.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    lines: Vec<String>,
    /// All that each connection has read.
    read: BTreeMap<String, Vec<u8>>,
}

impl Trace {
    pub fn tell(&self, who: &str, what: impl fmt::Display) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        self.record(|record| record.lines.push(format!("{at:?} {who}: {what}")));
    }

    pub fn read(&self, who: &str, bytes: &[u8]) {
        self.tell(who, format_args!("reads {} bytes", bytes.len()));
        self.record(|record| record.read.entry(who.to_owned()).or_default().extend_from_slice(bytes));
    }

    /// Whether somebody has told this.
    pub fn has(&self, what: &str) -> bool {
        self.record(|record| record.lines.iter().any(|line| line.contains(what)))
    }

    /// How many bytes connections whose names begin like that have read.
    pub fn bytes(&self, who: &str) -> usize {
        self.record(|record| {
            record.read.iter().filter(|(name, _)| name.starts_with(who)).map(|(_, read)| read.len()).sum()
        })
    }

    fn last_lines(&self) -> String {
        self.record(|record| record.lines[record.lines.len().saturating_sub(40)..].join("\n"))
    }

    /// All of it. The ids of clients' requests are random; here they are numbered.
    fn told(&self) -> Vec<String> {
        self.record(|record| {
            let mut ids = BTreeMap::new();
            let read = record.read.iter().map(|(who, bytes)| format!("{who} {}", numbered(bytes, &mut ids)));
            record.lines.iter().cloned().chain(read).collect()
        })
    }

    fn record<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `bytes` as text, with a number for each UUID. What stands after the last quotation mark may be half of one.
fn numbered(bytes: &[u8], ids: &mut BTreeMap<String, usize>) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (text, rest) = text.rsplit_once('"').unwrap_or(("", &text));
    let number = |part: &str| {
        let next = ids.len();
        let is_id = part.len() == 36 && part.bytes().filter(|byte| *byte == b'-').count() == 4;
        if is_id { ids.entry(part.to_owned()).or_insert(next).to_string() } else { part.to_owned() }
    };
    let parts: Vec<String> = text.split('"').map(number).collect();
    format!("{}, and {} bytes", parts.join("\""), rest.len())
}

/// One performance.
pub struct SimNetwork {
    pub sim: Sim<'static>,
    pub trace: Trace,
    pub seed: u64,
    /// At most so many bytes are read or written at once.
    pub most: u64,
}

impl SimNetwork {
    fn new(seed: u64, most: u64) -> Self {
        let mut builder = Builder::new();
        builder
            .rng_seed(seed)
            .epoch(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
            .simulation_duration(CURTAIN)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(20))
            .tcp_capacity(256)
            .enable_random_order();
        let mut network = Self { sim: builder.build(), trace: Trace::default(), seed, most };
        let (trace, seed) = (network.trace.clone(), network.seed);
        network.sim.host("daemon", move || daemon::run(trace.clone(), most, seed));
        network
    }

    /// What a client needs to know.
    pub fn guest(&self, name: &str) -> Guest {
        Guest { name: name.to_owned(), trace: self.trace.clone(), most: self.most, seed: self.seed }
    }

    /// Plays until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Trace) -> bool) {
        while !done(&self.trace) {
            self.step(what);
        }
    }

    /// Plays until all clients have finished.
    pub fn finish(&mut self) {
        while !self.step("the end") {}
    }

    fn step(&mut self, what: &str) -> bool {
        self.sim
            .step()
            .unwrap_or_else(|error| panic!("waiting for {what}: {error}\n{}", self.trace.last_lines()))
    }
}

/// A client's side of the stage.
#[derive(Debug, Clone)]
pub struct Guest {
    pub name: String,
    pub trace: Trace,
    most: u64,
    seed: u64,
}

impl Guest {
    pub async fn connect(&self) -> std::io::Result<Choppy> {
        let stream = TcpStream::connect(("daemon", PORT)).await?;
        let seed = self.seed ^ self.name.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte));
        Ok(Choppy::new(stream, self.most, seed, format!("{} hears", self.name), self.trace.clone()))
    }

    pub async fn client(&self) -> Client<Choppy> {
        Client::over(self.connect().await.expect("a connection"))
    }

    pub fn tell(&self, what: impl fmt::Display) {
        self.trace.tell(&self.name, what);
    }
}

/// Plays a story for some seeds, each twice; the second performance must not differ from the first.
pub fn perform(most: u64, story: impl Fn(&mut SimNetwork)) {
    for seed in 1..=3 {
        let told = || {
            let mut network = SimNetwork::new(seed, most);
            story(&mut network);
            network.trace.told()
        };
        let (first, second) = (told(), told());
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert!(differs.is_none(), "seed {seed} took another course: {differs:?}");
        assert_eq!(first.len(), second.len(), "seed {seed} took another course");
    }
}
