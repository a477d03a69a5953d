//! The files of a log, in the order in which they were written, while a log goes on and renames them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nodesockd_core::config::Log;

/// How much is read at once.
const BLOCK: u64 = 64 << 10;

/// An open file of the log.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    /// Device and inode number.
    pub identity: (u64, u64),
}

impl Part {
    /// Opens it, if it is there.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        // A FIFO in its place would hold this up.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Ok(Some(Self { file, identity: (metadata.dev(), metadata.ino()) }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What is there from `at` on, a part of it.
    pub fn read(&self, at: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        buffer.resize(before + usize::try_from(BLOCK).unwrap_or(0), 0);
        let count = self.file.read_at(&mut buffer[before..], at);
        buffer.truncate(before + count.as_ref().map_or(0, |count| *count));
        count
    }

    /// Its lines, from the last one back, each with its place; what has no end yet is none.
    pub fn backwards(&self) -> io::Result<Backwards<'_>> {
        let size = self.size()?;
        let mut lines = Backwards { part: self, start: size, text: Vec::new() };
        // Up to the end of the last line.
        while !lines.text.contains(&b'\n') && lines.grow()? {}
        let end = lines.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        lines.text.truncate(end);
        Ok(lines)
    }
}

/// Lines from the last one back.
#[derive(Debug)]
pub(super) struct Backwards<'a> {
    part: &'a Part,
    /// Where `text` begins in the file.
    start: u64,
    /// Ends with the next line to be returned.
    text: Vec<u8>,
}

impl Backwards<'_> {
    /// Reads what is before. Returns whether there was something.
    fn grow(&mut self) -> io::Result<bool> {
        let begin = self.start.saturating_sub(BLOCK);
        let mut before = vec![0; usize::try_from(self.start - begin).unwrap_or(0)];
        self.part.file.read_exact_at(&mut before, begin)?;
        before.append(&mut self.text);
        let grown = begin < self.start;
        (self.start, self.text) = (begin, before);
        Ok(grown)
    }

    /// The line before, and where it begins.
    pub fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            let Some(last) = self.text.len().checked_sub(1) else {
                if self.grow()? && !self.text.is_empty() {
                    continue;
                }
                return Ok(None);
            };
            let begin = self.text[..last].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            if let Some(begin) = begin.or((self.start == 0).then_some(0)) {
                let mut line = self.text.split_off(begin);
                line.pop();
                return Ok(Some((self.start + u64::try_from(begin).unwrap_or(0), line)));
            }
            self.grow()?;
        }
    }
}

/// The files that were written after that one, or all there are, the oldest first.
///
/// They are opened from the newest one back. Meanwhile each may get the name of an older one: then it is met twice, and none is
/// missed.
pub(super) fn after(log: &Log, known: Option<(u64, u64)>) -> io::Result<Vec<Part>> {
    let highest =
        std::fs::read_dir(&log.dir)?.flatten().filter_map(|entry| log.number(&entry.file_name())).max();
    let formers = (1..=highest.unwrap_or(0).saturating_add(2)).map(|number| log.former(number));
    let mut met = BTreeSet::new();
    let mut parts = Vec::new();
    for path in [log.file()].into_iter().chain(formers) {
        let Some(part) = Part::open(&path)? else { continue };
        if Some(part.identity) == known {
            break;
        }
        if met.insert(part.identity) {
            parts.push(part);
        }
    }
    parts.reverse();
    Ok(parts)
}

/// Whether the file that is written to is another one by now.
pub(super) fn is_former(log: &Log, identity: (u64, u64)) -> bool {
    log.file().symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) != identity)
}
