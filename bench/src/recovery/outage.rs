//! How long a slot does not answer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Somebody who asks a slot again and again, and notes the longest time without an answer.
///
/// Asked is whoever the link leads to. A request that is not answered soon is given up for a new one: the link may lead to
/// somebody else by now.
#[derive(Debug)]
pub struct Watcher(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    /// When the last answered request was sent.
    sent: Instant,
    answered: Instant,
    longest: Duration,
    stop: bool,
}

/// The least that an answer is waited for. Later on it is a tenth of the time since the last answer: few requests
/// wait in vain, and none makes the figure much longer.
const PATIENCE: Duration = Duration::from_millis(50);

/// Between two requests.
const REST: Duration = Duration::from_millis(1);

impl Watcher {
    /// Watches the slot behind a link, which answers now.
    pub fn start(link: &Path) -> Self {
        let now = Instant::now();
        let seen = Seen { sent: now, answered: now, longest: Duration::ZERO, stop: false };
        let seen = Arc::new(Mutex::new(seen));
        let (noted, link) = (Arc::clone(&seen), link.to_owned());
        thread::spawn(move || watch(&link, &noted));
        Self(seen)
    }

    /// Forgets what was before.
    pub fn begin(&self) {
        let mut seen = lock(&self.0);
        (seen.answered, seen.longest) = (Instant::now(), Duration::ZERO);
    }

    /// Whether a request was answered that was sent after `moment`, and when it was sent.
    pub fn answered_since(&self, moment: Instant) -> Option<Instant> {
        Some(lock(&self.0).sent).filter(|sent| *sent > moment)
    }

    /// The longest time without an answer.
    pub fn longest(&self) -> Duration {
        lock(&self.0).longest
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.0).stop = true;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(link: &Path, seen: &Mutex<Seen>) {
    loop {
        let sent = Instant::now();
        let patience = sent.saturating_duration_since(lock(seen).answered) / 10;
        let answered = ask(link, patience.max(PATIENCE)).is_ok();
        let mut seen = lock(seen);
        if seen.stop {
            return;
        }
        if answered {
            let now = Instant::now();
            seen.longest = seen.longest.max(now - seen.answered);
            (seen.sent, seen.answered) = (sent, now);
        }
        drop(seen);
        thread::sleep(REST);
    }
}

fn ask(link: &Path, patience: Duration) -> io::Result<()> {
    let mut stream = UnixStream::connect(link)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET /1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
