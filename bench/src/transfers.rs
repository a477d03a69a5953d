//! Uploads and downloads that take their time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// In how many pieces a second an upload is sent.
const PIECES: u32 = 20;

/// How long nothing at all may come before it counts as cut.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much, and how long it takes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of an upload, in bytes.
    pub upload: u64,
    pub upload_time: Duration,
    /// Of a download.
    pub download_time: Duration,
}

/// Those that were begun.
#[derive(Debug)]
pub struct Transfers {
    front: PathBuf,
    plan: Plan,
    uploads: Vec<JoinHandle<Cut>>,
    downloads: Vec<JoinHandle<Cut>>,
}

/// When a transfer was cut, if it was.
pub type Cut = Option<Instant>;

impl Transfers {
    pub fn new(front: &Path, plan: Plan) -> Self {
        Self { front: front.to_owned(), plan, uploads: Vec::new(), downloads: Vec::new() }
    }

    /// Begins one of each.
    pub fn begin(&mut self) {
        let (front, plan) = (self.front.clone(), self.plan);
        self.uploads.push(thread::spawn(move || upload(&front, plan).err().map(|_| Instant::now())));
        let front = self.front.clone();
        self.downloads.push(thread::spawn(move || download(&front, plan).err().map(|_| Instant::now())));
    }

    /// Waits for the end of all. Returns what became of the uploads and of the downloads.
    pub fn finish(self) -> (Vec<Cut>, Vec<Cut>) {
        let ends = |all: Vec<JoinHandle<Cut>>| all.into_iter().map(|one| one.join().unwrap()).collect();
        (ends(self.uploads), ends(self.downloads))
    }
}

fn open(front: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(front)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn upload(front: &Path, plan: Plan) -> io::Result<()> {
    let mut stream = open(front)?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        plan.upload
    );
    stream.write_all(head.as_bytes())?;
    let count = PIECES * u32::try_from(plan.upload_time.as_secs()).expect("less than a day");
    let begun = Instant::now();
    let mut sent = 0;
    for piece in 1..=count {
        let due = plan.upload * u64::from(piece) / u64::from(count);
        let bytes = vec![b'x'; usize::try_from(due - sent).expect("a piece")];
        stream.write_all(&bytes)?;
        sent = due;
        let next = begun + plan.upload_time * piece / count;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    ends_with(stream, &format!("{}\n", plan.upload))
}

fn download(front: &Path, plan: Plan) -> io::Result<()> {
    let mut stream = open(front)?;
    // Of HTTP/1.0 the answer ends with the connection.
    write!(stream, "GET /download/{} HTTP/1.0\r\nHost: test\r\n\r\n", plan.download_time.as_millis())?;
    ends_with(stream, "the end\n")
}

fn ends_with(mut stream: UnixStream, end: &str) -> io::Result<()> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let right = answer.split(' ').nth(1) == Some("200") && answer.trim_end().ends_with(end.trim_end());
    if right { Ok(()) } else { Err(io::Error::other("it was cut")) }
}
