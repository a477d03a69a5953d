//! The thread that writes the log, and the lines that wait for it.
//!
//! A disk may be slow, full, or not answer at all. The thread alone waits for it. Lines wait in memory, up to a limit. Beyond
//! that, whoever reads pipes has to wait, too, as long as the disk takes what it is given: so no line is lost because workers
//! write fast. When it takes next to nothing for a while, lines are dropped and counted, and no worker waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use nodesockd_core::config::Log;
use nodesockd_core::event::Failure;
use nodesockd_core::log_line;
use rustix::event::{EventfdFlags, eventfd};

use super::files::Files;
use crate::clock;

/// Bytes of lines that may wait.
const MOST: usize = 32 << 20;
/// When lines have to be dropped, all are until so few bytes are left: what is read has one gap instead of many.
const FEW: usize = MOST / 2;
/// A disk that takes less than this …
const LEAST: usize = 1 << 20;
/// … in so long a time is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long until the next attempt to write that lines are missing, if no line comes meanwhile; and how long writing has to go well
/// before that is told.
const RETRY: Duration = Duration::from_secs(1);

/// Why lines are missing that were not even tried.
const TOO_SLOW: &str = "they could not be written as fast as workers wrote them";

/// What waits to be done.
#[derive(Debug)]
enum Item {
    /// Whole lines, and how many.
    Lines(Vec<u8>, u64),
    /// So many lines were dropped here.
    Gap(u64),
    /// From now on, lines are for this log.
    Direct(Log),
}

/// Whether there is a place for lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Lines are taken, or dropped: nobody has to wait.
    Enough,
    /// There is none, and will be one soon; if not until then, lines are dropped.
    NotUntil(Instant),
}

/// The log that is written.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when something comes, and when something was done.
    changed: Condvar,
    /// Written to when there is something for the thread that reads: room that it waits for, or news.
    wakes: OwnedFd,
}

/// What waits, and how it goes.
#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Lines are dropped until little is left.
    drops: bool,
    /// Somebody waits for room.
    awaited: bool,
    /// Something was taken out that is not done yet.
    busy: bool,
    /// Lines that are missing before all that is in the queue, and why.
    missing: Option<(u64, String)>,
    /// When the disk had last taken all there was, or [`LEAST`] bytes since the time before.
    progress: Instant,
    /// What it has taken since then.
    taken: usize,
    /// Why lines cannot be written, or the file not be rotated.
    trouble: Option<Failure>,
    /// When that was found last.
    found: Instant,
    /// What `trouble` was when it was told last.
    told: Option<Failure>,
}

impl Queue {
    fn is_done(&self) -> bool {
        let said = self.missing.is_none() || self.trouble.is_some();
        !self.busy && self.items.is_empty() && said
    }

    fn drop_lines(&mut self, lines: u64) {
        if let Some(Item::Gap(count)) = self.items.back_mut() {
            *count += lines;
        } else {
            self.items.push_back(Item::Gap(lines));
        }
    }

    fn miss(&mut self, lines: u64, why: &str) {
        let (count, _) = self.missing.take().unwrap_or_default();
        self.missing = Some((count + lines, why.to_owned()));
    }

    fn failed(&mut self, failure: Failure) {
        (self.trouble, self.found) = (Some(failure), Instant::now());
    }

    /// Something was written, or there is nothing to write. `stuck`: why the file was not rotated, if it ought to have been.
    fn went_well(&mut self, stuck: Option<&Failure>) {
        if let Some(failure) = stuck {
            self.failed(failure.clone());
        } else if self.found.elapsed() >= RETRY {
            self.trouble = None;
        }
    }

    /// The disk has taken so many bytes.
    fn took(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= LEAST || self.items.is_empty() {
            (self.progress, self.taken) = (Instant::now(), 0);
        }
    }
}

impl Writer {
    /// Starts one that writes to `log`. `lost`: lines that an earlier program of this process could not write.
    pub fn start(log: Log, lost: u64) -> io::Result<Self> {
        let queue = Queue {
            items: VecDeque::new(),
            bytes: 0,
            drops: false,
            awaited: false,
            busy: false,
            missing: (lost > 0).then(|| (lost, TOO_SLOW.to_owned())),
            progress: Instant::now(),
            taken: 0,
            trouble: None,
            found: Instant::now(),
            told: None,
        };
        let wakes = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new(), wakes });
        let writer = Self(Arc::clone(&shared));
        let signals = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
        let thread = thread::Builder::new().name("log".into()).spawn(move || shared.work(Files::of(log)));
        signals.thread_set_mask()?;
        thread.map(|_| writer)
    }

    /// Readable when there is room that was waited for, or news.
    pub fn wakes(&self) -> BorrowedFd<'_> {
        self.0.wakes.as_fd()
    }

    /// Whether there is a place for lines now. If there is none, [`wakes`](Self::wakes) tells when there is.
    pub fn room(&self) -> Room {
        let mut queue = self.0.queue();
        let until = queue.progress + PATIENCE;
        queue.awaited = queue.bytes >= MOST && !queue.drops && Instant::now() < until;
        if queue.awaited { Room::NotUntil(until) } else { Room::Enough }
    }

    /// Takes whole lines, or drops them where there is no place for them. Never waits.
    pub fn push(&self, lines: Vec<u8>, count: u64) {
        let mut queue = self.0.queue();
        if queue.is_done() {
            (queue.progress, queue.taken) = (Instant::now(), 0);
        }
        // What is read from a pipe at once still fits.
        let stuck = queue.bytes >= MOST && Instant::now() >= queue.progress + PATIENCE;
        queue.drops = stuck || queue.drops && queue.bytes > FEW || queue.bytes >= 2 * MOST;
        if queue.drops {
            queue.drop_lines(count);
        } else {
            queue.bytes += lines.len();
            queue.items.push_back(Item::Lines(lines, count));
        }
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Writes what comes from now on to `log`.
    pub fn direct(&self, log: Log) {
        self.0.queue().items.push_back(Item::Direct(log));
        self.0.changed.notify_all();
    }

    /// Why what comes is not written as it is to be, if that has changed since this was asked last.
    pub fn news(&self) -> Option<Result<(), Failure>> {
        let _ = rustix::io::read(&self.0.wakes, &mut [0; 8]);
        let mut queue = self.0.queue();
        if queue.told == queue.trouble {
            return None;
        }
        let trouble = queue.trouble.clone();
        queue.told.clone_from(&trouble);
        Some(trouble.map_or(Ok(()), Err))
    }

    /// Why what comes is not written as it is to be, if it is not.
    pub fn trouble(&self) -> Option<Failure> {
        self.0.queue().trouble.clone()
    }

    /// Waits until all is written, and no longer than this. Returns whether it is, and how many lines are missing.
    pub fn flush(&self, limit: Duration) -> (bool, u64) {
        let waited = self.0.changed.wait_timeout_while(self.0.queue(), limit, |queue| !queue.is_done());
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (queue.is_done(), queue.missing.as_ref().map_or(0, |(count, _)| *count))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut files: Files) {
        loop {
            let item = self.next();
            match item {
                Some(Item::Direct(log)) => files = Files::of(log),
                Some(Item::Gap(count)) => self.queue().miss(count, TOO_SLOW),
                Some(Item::Lines(lines, count)) => self.write(&mut files, &lines, count),
                // That lines are missing can be said without any that follow.
                None => {
                    if self.admit(&mut files).is_ok() {
                        self.queue().went_well(files.stuck());
                    }
                }
            }
            self.finished();
        }
    }

    /// Waits for something to do; for a moment only, if it is to be said that lines are missing, or that all goes well again.
    fn next(&self) -> Option<Item> {
        let mut queue = self.queue();
        loop {
            if let Some(item) = queue.items.pop_front() {
                queue.busy = true;
                return Some(item);
            }
            let limit = match (&queue.missing, &queue.trouble) {
                (None, None) => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                (Some(_), None) => Duration::ZERO,
                (_, Some(_)) => RETRY,
            };
            let idle = |queue: &mut Queue| queue.items.is_empty();
            let waited = self.changed.wait_timeout_while(queue, limit, idle);
            let (waiting, over) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = waiting;
            if over.timed_out() && queue.items.is_empty() {
                queue.busy = true;
                return None;
            }
        }
    }

    fn write(&self, files: &mut Files, lines: &[u8], count: u64) {
        let written = match self.admit(files) {
            Ok(()) => files.write(lines).map_err(|unwritten| (unwritten.lines, unwritten.failure)),
            Err(failure) => Err((count, failure)),
        };
        let mut queue = self.queue();
        // Until it was tried, it was held in memory.
        queue.bytes -= lines.len();
        match written {
            Ok(()) => queue.went_well(files.stuck()),
            Err((missed, failure)) => {
                queue.miss(missed, &reason(&failure));
                queue.failed(failure);
            }
        }
        queue.took(lines.len());
    }

    /// Writes that lines are missing, if some are.
    fn admit(&self, files: &mut Files) -> Result<(), Failure> {
        let Some((count, why)) = self.queue().missing.clone() else { return Ok(()) };
        let now = clock::wall_ms(clock::now());
        let written = files.write(&log_line::missing(files.log().format, now, count, &why));
        let mut queue = self.queue();
        match written {
            Ok(()) => {
                queue.missing = None;
                Ok(())
            }
            Err(unwritten) => {
                queue.failed(unwritten.failure.clone());
                Err(unwritten.failure)
            }
        }
    }

    /// What was taken out is done.
    fn finished(&self) {
        let mut queue = self.queue();
        queue.busy = false;
        let wakes = queue.awaited && queue.bytes <= FEW || queue.told != queue.trouble;
        queue.awaited &= !wakes;
        drop(queue);
        if wakes {
            let _ = rustix::io::write(&self.wakes, &1_u64.to_ne_bytes());
        }
        self.changed.notify_all();
    }
}

/// Why, without what was tried: whoever reads the file knows that.
fn reason(failure: &Failure) -> String {
    failure.0.rsplit_once("`: ").map_or_else(|| failure.0.clone(), |(_, why)| why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::num::NonZeroU32;
    use std::path::Path;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use nodesockd_core::config::{LogFormat, LogSize};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn log(folder: &Path, format: LogFormat) -> Log {
        let keep = NonZeroU32::MIN;
        Log { dir: folder.to_owned(), format, rotate: LogSize(1 << 30), keep, name: "shop".into() }
    }

    #[test]
    fn what_comes_later_is_for_another_log() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::start(log(folder.path(), LogFormat::Text), 0).unwrap();
        writer.push(b"one\ntwo\n".to_vec(), 2);
        writer.direct(Log { name: "other".into(), ..log(folder.path(), LogFormat::Text) });
        writer.push(b"three\n".to_vec(), 1);
        assert_eq!(writer.flush(LIMIT), (true, 0));
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("shop.log"), read("other.log")), ("one\ntwo\n".into(), "three\n".into()));
    }

    #[test]
    fn lines_are_counted_while_there_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("log");
        let writer = Writer::start(log(&missing, LogFormat::Json), 3).unwrap();
        writer.push(b"one\n".to_vec(), 1);
        writer.push(b"two\nthree\n".to_vec(), 2);
        let (written, lost) = writer.flush(LIMIT);
        assert_eq!((written, lost), (true, 6));
        assert!(writer.news().unwrap().is_err() && writer.news().is_none());
        std::fs::create_dir(&missing).unwrap();
        writer.push(b"four\n".to_vec(), 1);
        assert_eq!(writer.flush(LIMIT), (true, 0));
        let text = std::fs::read_to_string(missing.join("shop.log")).unwrap();
        let (note, rest) = text.split_once('\n').unwrap();
        assert_eq!(log_line::parse(note.as_bytes()).unwrap().missing, Some(6), "{text}");
        assert_eq!(rest, "four\n");
    }

    #[test]
    fn who_reads_pipes_waits_for_a_disk_that_stands_still_but_not_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.log");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let mut reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let writer = Writer::start(log(folder.path(), LogFormat::Text), 0).unwrap();
        let lines = b"a line that nobody takes\n".repeat(2000);
        let mut pushed = 0;
        while writer.room() == Room::Enough {
            writer.push(lines.clone(), 2000);
            pushed += 2000;
        }
        let Room::NotUntil(until) = writer.room() else { panic!("there is room") };
        assert!(until > Instant::now());
        // It is waited for no longer: what comes is dropped at once, and memory stays within the limit.
        while writer.room() != Room::Enough {
            thread::yield_now();
        }
        for _ in 0..1000 {
            assert_eq!(writer.room(), Room::Enough);
            writer.push(lines.clone(), 2000);
            pushed += 2000;
        }
        assert!(writer.0.queue().bytes < MOST + lines.len());
        // When somebody takes it again, all of it is there, or counted.
        let reading = thread::spawn(move || {
            let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
            while !text.ends_with(b"the end\n") {
                let count = reader.read(&mut buffer).unwrap();
                text.extend_from_slice(&buffer[..count]);
            }
            text
        });
        assert_eq!(writer.flush(LIMIT), (true, 0));
        writer.push(b"the end\n".to_vec(), 1);
        let text = reading.join().unwrap();
        let (mut read, mut said) = (0_u64, 0_u64);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match log_line::parse(line).and_then(|line| line.missing) {
                Some(missing) => said += missing,
                None => read += u64::from(line == b"a line that nobody takes"),
            }
        }
        assert_eq!(read + said, pushed);
        assert!(said > 0);
    }
}
