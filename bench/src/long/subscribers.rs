//! Clients that stay connected, and connect again at once when that ends: WebSockets, and readers of server-sent events.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nodesockd_tests::wait;

/// They are many, and none of them needs much.
const STACK: usize = 64 << 10;

/// Before another attempt, when connecting has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// `CLOSE` of RFC 6455, and the code that says that the service restarts.
const CLOSE: u8 = 8;
const SERVICE_RESTART: u16 = 1012;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    WebSocket,
    Events,
}

/// The end of one connection.
#[derive(Debug, Clone)]
pub struct End {
    pub at: Instant,
    /// What was wrong with it, if it was not as it should be.
    pub cut: Option<String>,
    /// When the client was connected again.
    pub again: Instant,
    /// How many attempts at that had failed.
    pub refused: u32,
}

#[derive(Debug)]
pub struct Subscribers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<End>>>,
}

#[derive(Debug)]
struct Shared {
    front: PathBuf,
    kind: Kind,
    stop: AtomicBool,
    open: AtomicUsize,
    /// The connection of each, to end its wait.
    connections: Vec<Mutex<Option<UnixStream>>>,
}

impl Subscribers {
    /// Connects so many.
    pub fn start(front: &Path, kind: Kind, count: usize) -> Self {
        let shared = Arc::new(Shared {
            front: front.to_owned(),
            kind,
            stop: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            connections: (0..count).map(|_| Mutex::new(None)).collect(),
        });
        let client = |index: usize| {
            let shared = Arc::clone(&shared);
            let work = move || shared.stay(index);
            thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread of its own")
        };
        let threads = (0..count).map(client).collect();
        let subscribers = Self { shared, threads };
        subscribers.are_connected();
        subscribers
    }

    fn are_connected(&self) {
        let all = self.shared.connections.len();
        wait::until("all are connected", || self.shared.open.load(Relaxed) == all);
    }

    /// Lets all of them go, once they are connected. Returns how their connections ended before.
    pub fn finish(self) -> Vec<End> {
        self.are_connected();
        self.shared.stop.store(true, Relaxed);
        for connection in &self.shared.connections {
            if let Some(connection) = &*connection.lock().unwrap() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.threads.into_iter().flat_map(|one| one.join().unwrap()).collect()
    }
}

impl Shared {
    fn stay(&self, index: usize) -> Vec<End> {
        let mut ends = Vec::new();
        let Some((mut connection, _)) = self.connect(index) else { return ends };
        loop {
            self.open.fetch_add(1, Relaxed);
            let cut = self.kind.listen(&mut connection).err().map(|error| error.to_string());
            let at = Instant::now();
            self.open.fetch_sub(1, Relaxed);
            let Some((next, refused)) = self.connect(index) else { return ends };
            connection = next;
            ends.push(End { at, cut, again: Instant::now(), refused });
        }
    }

    /// `None` when it is time to go; otherwise a connection, and how many attempts have failed before.
    fn connect(&self, index: usize) -> Option<(BufReader<UnixStream>, u32)> {
        let mut refused = 0;
        while !self.stop.load(Relaxed) {
            match self.kind.open(&self.front) {
                Ok(connection) => {
                    let held = connection.get_ref().try_clone().expect("a descriptor more");
                    *self.connections[index].lock().unwrap() = Some(held);
                    return Some((connection, refused));
                }
                Err(_) => refused += 1,
            }
            thread::sleep(PAUSE);
        }
        None
    }
}

impl Kind {
    fn open(self, front: &Path) -> io::Result<BufReader<UnixStream>> {
        let (request, status) = match self {
            Self::WebSocket => (
                "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                "101",
            ),
            Self::Events => {
                ("GET /events HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n", "200")
            }
        };
        let mut connection = BufReader::with_capacity(512, UnixStream::connect(front)?);
        connection.get_mut().write_all(request.as_bytes())?;
        let first = line(&mut connection)?;
        if first.split(' ').nth(1) != Some(status) {
            return Err(io::Error::other(first));
        }
        while !line(&mut connection)?.is_empty() {}
        Ok(connection)
    }

    /// Reads to the end of a connection. An error, if that is no good end, or if something is missing before.
    fn listen(self, connection: &mut BufReader<UnixStream>) -> io::Result<()> {
        let mut last = None;
        loop {
            let number = match self {
                Self::WebSocket => message(connection)?,
                Self::Events => event(connection)?,
            };
            let Some(number) = number else { return Ok(()) };
            if last.is_some_and(|last| number != last + 1) {
                return Err(io::Error::other(format!("{number} came after {last:?}")));
            }
            last = Some(number);
        }
    }
}

/// The number in the next message of a WebSocket; `None` after a close because the service restarts, which is answered.
fn message(connection: &mut BufReader<UnixStream>) -> io::Result<Option<u64>> {
    let mut head = [0; 2];
    connection.read_exact(&mut head)?;
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    connection.read_exact(&mut payload)?;
    if head[0] & 0x0f != CLOSE {
        return number(&payload).map(Some);
    }
    let code = payload.first_chunk().copied().map_or(0, u16::from_be_bytes);
    // The mask that a client has to use may be 0.
    let [high, low] = code.to_be_bytes();
    connection.get_mut().write_all(&[0x80 | CLOSE, 0x80 | 2, 0, 0, 0, 0, high, low])?;
    io::copy(connection, &mut io::sink())?;
    if code == SERVICE_RESTART { Ok(None) } else { Err(io::Error::other(format!("closed with {code}"))) }
}

/// The number in the next event, each of which comes in a chunk of its own; `None` after the last chunk.
fn event(connection: &mut BufReader<UnixStream>) -> io::Result<Option<u64>> {
    let size = usize::from_str_radix(&line(connection)?, 16).map_err(io::Error::other)?;
    let mut chunk = vec![0; size + 2];
    connection.read_exact(&mut chunk)?;
    if size == 0 {
        return Ok(None);
    }
    let text = chunk.strip_prefix(b"data: ").and_then(|text| text.strip_suffix(b"\n\n\r\n"));
    number(text.ok_or_else(|| io::Error::other("half an event"))?).map(Some)
}

fn number(text: &[u8]) -> io::Result<u64> {
    String::from_utf8_lossy(text).parse().map_err(io::Error::other)
}

fn line(connection: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
