//! Reading a log from some line on, and what follows.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use nodesockd_core::config::Log;

use super::files::{Part, after, is_former};
use super::{Verdict, unreadable};
use crate::exit::Failure;

/// How long until the next look at what follows.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes through the lines of a log.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    log: &'a Log,
    /// What is still to be read, the first one from `at` on.
    parts: VecDeque<Part>,
    at: u64,
    /// What was read of a line that has no end yet.
    begun: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Stands before the first line there is.
    pub fn open(log: &'a Log) -> io::Result<Self> {
        Ok(Self { log, parts: after(log, None)?.into(), at: 0, begun: Vec::new() })
    }

    /// Whether there is anything.
    pub fn is_there(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Goes to the first of the last `count` lines that are chosen; of all, without a count.
    pub fn go_to(&mut self, count: Option<usize>, judge: impl Fn(&[u8]) -> Verdict) -> io::Result<()> {
        let (mut found, mut place) = (0, None);
        'all: for (index, part) in self.parts.iter().enumerate().rev() {
            let mut lines = part.backwards()?;
            while count.is_none_or(|count| found < count)
                && let Some((at, line)) = lines.next()?
            {
                match judge(&line) {
                    Verdict::Chosen => (found, place) = (found + 1, Some((index, at))),
                    Verdict::Other => {}
                    Verdict::TooOld => break 'all,
                }
            }
        }
        match place {
            Some((index, at)) => {
                self.parts.drain(..index);
                self.at = at;
            }
            // None is chosen: what follows may be.
            None => {
                self.parts.drain(..self.parts.len().saturating_sub(1));
                self.at = self.parts.front().map_or(Ok(0), end_of_lines)?;
            }
        }
        Ok(())
    }

    /// Gives all lines to `each`, until there are no more, or `each` wants no more. Returns whether it does.
    pub fn read(&mut self, mut each: impl FnMut(&[u8]) -> Result<bool, Failure>) -> Result<bool, Failure> {
        while let Some(part) = self.parts.front() {
            let before = self.begun.len();
            let count =
                part.read(self.at, &mut self.begun).map_err(|error| unreadable(&self.log.dir, &error))?;
            self.at += u64::try_from(count).unwrap_or(0);
            if count == 0 {
                if self.parts.len() == 1 {
                    break;
                }
                // The next line is in the next file, even where somebody has torn the last one of this file.
                self.parts.pop_front();
                self.at = 0;
                let torn = std::mem::take(&mut self.begun);
                if !torn.is_empty() && !each(&torn)? {
                    return Ok(false);
                }
                continue;
            }
            let end = self.begun[before..].iter().rposition(|byte| *byte == b'\n').map(|at| before + at + 1);
            let rest = self.begun.split_off(end.unwrap_or(0));
            let lines = std::mem::replace(&mut self.begun, rest);
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                if !each(line.strip_suffix(b"\n").unwrap_or(line))? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The same, and waits for more, for ever.
    pub async fn follow(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        while self.read(&mut each)? {
            let known = self.parts.front().map(|part| part.identity);
            if known.is_none_or(|known| is_former(self.log, known)) {
                // What was written to the file before it got another name.
                if !self.read(&mut each)? {
                    break;
                }
                // A folder that is not there may be again.
                self.parts.extend(after(self.log, known).unwrap_or_default());
                if self.parts.len() > 1 || known.is_none() && self.is_there() {
                    continue;
                }
            }
            // Somebody has emptied it.
            if self.parts.front().is_some_and(|part| part.size().is_ok_and(|size| size < self.at)) {
                (self.at, self.begun) = (0, Vec::new());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Where the last line ends.
fn end_of_lines(part: &Part) -> io::Result<u64> {
    let last = part.backwards()?.next()?;
    Ok(last.map_or(0, |(at, line)| at + u64::try_from(line.len()).unwrap_or(0) + 1))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;

    use nodesockd_core::config::{LogFormat, LogSize};

    use super::*;

    fn log(folder: &Path) -> Log {
        let (format, keep) = (LogFormat::Text, NonZeroU32::MIN);
        Log { dir: folder.to_owned(), format, rotate: LogSize(1), keep, name: "shop".into() }
    }

    fn lines(range: std::ops::Range<u32>) -> String {
        range.map(|number| format!("{number} {}\n", "x".repeat(number as usize % 5000))).collect()
    }

    /// The numbers of the lines that are read.
    fn read(reader: &mut Reader<'_>) -> Vec<String> {
        let mut read = Vec::new();
        reader
            .read(|line| {
                read.push(String::from_utf8_lossy(line).split(' ').next().unwrap_or_default().to_owned());
                Ok(true)
            })
            .unwrap();
        read
    }

    #[test]
    fn the_last_lines_are_found_over_files() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        std::fs::write(log.former(2), lines(0..300)).unwrap();
        std::fs::write(log.former(1), lines(300..301)).unwrap();
        std::fs::write(log.file(), lines(301..1000) + "begun").unwrap();
        let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        for count in [1, 500, 699, 700, 701, 950, 1000, 2000] {
            let mut reader = Reader::open(&log).unwrap();
            reader.go_to(Some(count), |_| Verdict::Chosen).unwrap();
            let first = 1000_u32.saturating_sub(u32::try_from(count).unwrap());
            assert_eq!(read(&mut reader), numbers(first..1000), "{count}");
        }
        let mut reader = Reader::open(&log).unwrap();
        reader
            .go_to(Some(3), |line| if line.starts_with(b"30") { Verdict::Chosen } else { Verdict::Other })
            .unwrap();
        assert_eq!(read(&mut reader)[0], "307");
        let mut reader = Reader::open(&log).unwrap();
        reader
            .go_to(None, |line| if line.starts_with(b"990") { Verdict::TooOld } else { Verdict::Chosen })
            .unwrap();
        assert_eq!(read(&mut reader), numbers(991..1000));
        let mut reader = Reader::open(&log).unwrap();
        reader.go_to(None, |_| Verdict::TooOld).unwrap();
        assert_eq!(read(&mut reader), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_follows_is_read_over_files_that_get_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let mut reader = Reader::open(&log).unwrap();
        std::fs::write(log.file(), "0\n1").unwrap();
        let mut read = Vec::new();
        let each = |line: &[u8]| {
            read.push(String::from_utf8_lossy(line).into_owned());
            if line == b"0" {
                // The line is ended, then two files are begun.
                std::fs::write(log.file(), "0\n1\n2\n").unwrap();
                std::fs::rename(log.file(), log.former(2)).unwrap();
                std::fs::write(log.former(1), "3\n").unwrap();
                std::fs::write(log.file(), "4\n").unwrap();
            }
            Ok(line != b"4")
        };
        reader.follow(each).await.unwrap();
        assert_eq!(read, ["0", "1", "2", "3", "4"]);
    }
}
