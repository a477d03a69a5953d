//! The daemon's own lines on standard error, written by a thread of its own.
//!
//! Whoever reads them may stop: a full pipe, a stopped terminal, a disk that does not answer. What decides must not wait for
//! any of these. So a line is only put into a queue, which has a limit, and the thread alone waits. Whole lines that find no
//! place are dropped and counted; the count is written as soon as somebody reads again.

mod queue;
mod target;

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::SigSet;

use crate::log::queue::{Lines, Piece, Queue};
use crate::log::target::Target;

/// How long the next program of this process is kept waiting for lines that nobody has read yet.
const HAND_OFF_LIMIT: Duration = Duration::from_millis(200);

/// The line that says how many were dropped.
pub type Note = fn(u64) -> String;

/// The log of this process, once it has one.
static OURS: OnceLock<Log> = OnceLock::new();

/// Where lines go.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: Target,
    note: Note,
    queue: Mutex<Queue>,
    /// Notified when something comes, and the thread waits for that.
    came: Condvar,
    /// Notified when something was written.
    written: Condvar,
}

impl Log {
    /// Starts the log of this process, on standard error. `note` words the line about lines that were dropped.
    ///
    /// # Errors
    ///
    /// `pthread_create(3)`: there can be no further thread.
    pub fn start(note: Note) -> io::Result<Self> {
        let log = Self::to(io::stderr(), note)?;
        Ok(OURS.get_or_init(|| log).clone())
    }

    /// Starts a log on `stream`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), or the stream cannot be looked at.
    pub(crate) fn to(stream: impl AsFd, note: Note) -> io::Result<Self> {
        let target = Target::of(stream)?;
        let log = Self(Arc::new(Shared {
            target,
            note,
            queue: Mutex::new(Queue::default()),
            came: Condvar::new(),
            written: Condvar::new(),
        }));
        let shared = Arc::clone(&log.0);
        // A signal is for the thread that decides, and for nobody else: held back there, it has to stay pending.
        let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
        let thread = thread::Builder::new().name("log".into()).spawn(move || shared.write());
        before.thread_set_mask()?;
        thread.map(|_| log)
    }

    /// The log of this process, if it has one.
    #[must_use]
    pub fn ours() -> Option<&'static Self> {
        OURS.get()
    }

    /// Takes in a text of whole lines. Never waits for a reader.
    pub fn text(&self, text: &str) {
        let mut queue = self.0.queue();
        for line in text.lines() {
            self.0.target.fit(line, |line| queue.push(Lines::one(line)));
        }
        self.0.wake(queue);
    }

    /// Takes in lines as they are, each with its newline, but for the last one if that has none. Never waits for a reader.
    pub(crate) fn pass_on(&self, text: &[u8]) {
        let mut queue = self.0.queue();
        self.0.target.together(text, |text, count| queue.push(Lines { text: text.to_vec(), count }));
        self.0.wake(queue);
    }

    /// Nothing more comes: the thread ends once all is written.
    pub(crate) fn end(&self) {
        let mut queue = self.0.queue();
        queue.end();
        self.0.wake(queue);
    }

    /// Counts lines that an earlier program of this process could not write.
    pub fn missed(&self, lines: u64) {
        let mut queue = self.0.queue();
        queue.missed(lines);
        self.0.wake(queue);
    }

    /// Waits until every line is written, and no longer than this. Returns how many are not.
    pub fn flush(&self, limit: Duration) -> u64 {
        let waited = self.0.written.wait_timeout_while(self.0.queue(), limit, |queue| !queue.is_done());
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.unwritten()
    }
}

/// Waits for a moment until every line is written, because this process is about to become another program. Returns how
/// many lines are lost with this one.
pub(crate) fn leave() -> u64 {
    Log::ours().map_or(0, |log| log.flush(HAND_OFF_LIMIT))
}

/// Takes over the count of [`leave`].
pub(crate) fn take_over(lost: u64) {
    if let Some(log) = Log::ours().filter(|_| lost > 0) {
        log.missed(lost);
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread go on, if it waits. A daemon with many workers says much at once.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::take(&mut queue.sleeps) {
            drop(queue);
            self.came.notify_one();
        }
    }

    /// Writes what comes, until nothing more does.
    fn write(&self) {
        while let Some(piece) = self.next() {
            let written = match &piece {
                Piece::Lines(lines) => self.target.write(&lines.text),
                Piece::Missed(count) => {
                    let mut note = (self.note)(*count);
                    note.push('\n');
                    self.target.write(note.as_bytes())
                }
            };
            self.queue().done(&piece, written.is_ok());
            self.written.notify_all();
        }
    }

    fn next(&self) -> Option<Piece> {
        let mut queue = self.queue();
        loop {
            if let Some(piece) = queue.next(self.target.most()) {
                return Some(piece);
            }
            if queue.has_ended() {
                return None;
            }
            queue.sleeps = true;
            queue = self.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn note(count: u64) -> String {
        format!("missed {count}")
    }

    /// More than a pipe and the queue hold together.
    fn flood(log: &Log) -> usize {
        let lines = 40_000;
        (0..lines).for_each(|number| log.text(&format!("line {number:05} of a log that nobody reads")));
        lines
    }

    /// Every line that was sent was either read, whole and in order, or is counted.
    fn all_accounted_for(read: &str, sent: usize) {
        let mut next = 0;
        for line in read.lines() {
            if let Some(count) = line.strip_prefix("missed ") {
                next += count.parse::<usize>().unwrap();
            } else {
                assert_eq!(line, format!("line {next:05} of a log that nobody reads"));
                next += 1;
            }
        }
        assert_eq!(next, sent);
    }

    /// Reads all that the log has to say. The log keeps the stream open, so a last line tells where that ends.
    fn read_to_the_end(log: &Log, mut reader: impl Read + Send + 'static) -> String {
        const END: &str = "the end\n";
        let reading = thread::spawn(move || {
            let mut text = String::new();
            while !text.ends_with(END) {
                let mut bytes = [0; 4096];
                let count = reader.read(&mut bytes).unwrap();
                text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
            text
        });
        assert_eq!(log.flush(LIMIT), 0);
        log.text(END);
        reading.join().unwrap().strip_suffix(END).unwrap().to_owned()
    }

    #[test]
    fn pipe_that_nobody_reads_stops_nobody() {
        let (reader, writer) = io::pipe().unwrap();
        let log = Log::to(&writer, note).unwrap();
        let sent = flood(&log);
        drop(writer);
        let text = read_to_the_end(&log, reader);
        all_accounted_for(&text, sent);
        assert!(text.contains("missed "));
    }

    #[test]
    fn socket_that_nobody_reads_stops_nobody() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let log = Log::to(&ours, note).unwrap();
        let sent = flood(&log);
        all_accounted_for(&read_to_the_end(&log, theirs), sent);
    }

    #[test]
    fn blocking_mode_of_the_inherited_pipe_stays_as_it_was() {
        let (_reader, writer) = io::pipe().unwrap();
        let log = Log::to(&writer, note).unwrap();
        log.text("a line");
        log.flush(LIMIT);
        let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }

    #[test]
    fn reader_that_has_gone_costs_lines_and_nothing_else() {
        let (reader, writer) = io::pipe().unwrap();
        let log = Log::to(&writer, note).unwrap();
        drop(reader);
        log.text("a line");
        log.text("another");
        assert_eq!(log.flush(LIMIT), 2);
    }

    #[test]
    fn file_without_append_keeps_what_workers_write_to_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inherited = file.reopen().unwrap();
        let log = Log::to(&inherited, note).unwrap();
        log.text("of the daemon");
        log.flush(LIMIT);
        io::Write::write_all(&mut &inherited, b"of a worker\n").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "of the daemon\nof a worker\n");
    }
}
