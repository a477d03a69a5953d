//! The history: a line for each thing that was done, or went wrong.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nodesockd_core::config::Companion;
use nodesockd_core::event::Failure;
use nodesockd_core::history::{Entry, LARGEST, Line, TAIL, newer_half, parse};

use crate::clock;
use crate::error::failure;
use crate::files::own;

/// `<ipcFile>.history`. It is opened for each line: whoever moves it away, as `logrotate` does, gets another one. Only the daemon
/// that has the lock writes to it; anybody may read it meanwhile.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
    /// Its successor without the older half, until it is complete.
    new: PathBuf,
}

impl HistoryFile {
    /// The file named after the control socket.
    pub(crate) fn beside(ipc_file: &Path) -> Self {
        Self { path: Companion::History.path(ipc_file), new: Companion::NewHistory.path(ipc_file) }
    }

    /// Adds an entry.
    pub(crate) fn add(&self, entry: &Entry) -> Result<(), Failure> {
        let line = entry.encode(clock::wall_ms);
        self.append(&line).map_err(|error| failure("write", &self.path, error))
    }

    /// Its last entries, oldest first. Nothing, if it cannot be read.
    pub(crate) fn tail(&self) -> Vec<Line> {
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!("cannot read the history {}: {error}", self.path.display());
                return Vec::new();
            }
        };
        let (mut lines, _) = parse(&text);
        lines.split_off(lines.len().saturating_sub(TAIL))
    }

    /// Adds a line. If that fails, what was written of it is taken back; should that fail too, the line has no end, and the next
    /// one gives it one.
    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = self.open()?;
        let length = file.metadata()?.len();
        if length + line.len() as u64 > LARGEST {
            file = self.shorten()?;
        }
        let length = file.metadata()?.len();
        let torn = length > 0 && !ends_line(&file, length)?;
        let text = if torn { format!("\n{line}") } else { line.to_owned() };
        if let Err(error) = file.write_all(text.as_bytes()) {
            let _ = file.set_len(length);
            return Err(error);
        }
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(own::no_follow());
        let file = options.open(&self.path)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
    }

    /// Replaces the file by one without the older half of its lines.
    fn shorten(&self) -> io::Result<File> {
        let text = read(&self.path)?;
        own::put(&self.path, &self.new, newer_half(&text), OpenOptions::new().read(true).append(true))
    }
}

/// What the history file holds. Its end, if somebody has made it longer than ours ever is.
///
/// # Errors
///
/// The operating system's, or that it is no regular file.
pub fn read(path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).custom_flags(own::no_follow()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(2 * LARGEST)))?;
    let mut bytes = Vec::new();
    file.take(2 * LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ends_line(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nodesockd_core::history::{Cause, Facts, What};

    use super::*;

    fn entry(number: u64, reason: &str) -> Entry {
        let facts = Facts::of(number, What::CrashLoop, Cause::default()).because(Some(reason));
        Entry { began: clock::now(), ended: clock::now(), facts }
    }

    fn numbers(file: &HistoryFile) -> Vec<u64> {
        file.tail().iter().map(|line| line.facts.number).collect()
    }

    #[test]
    fn entries_are_added_and_read_again_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::beside(&folder.path().join("nodesockd.ipc"));
        assert!(numbers(&file).is_empty());
        for number in 1..4 {
            file.add(&entry(number, "it exited")).unwrap();
        }
        assert_eq!(numbers(&file), [1, 2, 3]);
        let mode = std::fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_torn_last_line_costs_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::beside(&folder.path().join("nodesockd.ipc"));
        file.add(&entry(1, "it exited")).unwrap();
        let mut options = OpenOptions::new();
        options.append(true).open(&file.path).unwrap().write_all(b"{\"v\":1,\"numb").unwrap();
        file.add(&entry(2, "it exited")).unwrap();
        assert_eq!(numbers(&file), [1, 2]);
    }

    #[test]
    fn the_file_is_bounded_and_keeps_the_newer_entries() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::beside(&folder.path().join("nodesockd.ipc"));
        let reason = "x".repeat(2000);
        for number in 1..=600 {
            file.add(&entry(number, &reason)).unwrap();
            assert!(std::fs::metadata(&file.path).unwrap().len() <= LARGEST);
        }
        let (lines, useless) = parse(&read(&file.path).unwrap());
        let numbers: Vec<u64> = lines.iter().map(|line| line.facts.number).collect();
        let first = numbers[0];
        assert_eq!((useless, numbers.last()), (0, Some(&600)));
        assert_eq!(numbers, (first..=600).collect::<Vec<u64>>());
        assert!(lines.len() >= 100, "{}", lines.len());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_of_ours_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::beside(&folder.path().join("nodesockd.ipc"));
        let target = folder.path().join("target");
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &file.path).unwrap();
        assert!(file.add(&entry(1, "it exited")).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"");
        std::fs::remove_file(&file.path).unwrap();
        std::fs::create_dir(&file.path).unwrap();
        assert!(file.add(&entry(1, "it exited")).is_err());
        assert!(numbers(&file).is_empty());
    }
}
