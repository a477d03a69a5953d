//! The files of the log.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nodesockd_core::config::Log;
use nodesockd_core::event::Failure;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::error::failure;
use crate::files::identity::{self, Identity};

/// Whoever may read the folder may read the files; nobody else may write.
const MODE: u32 = 0o640;

/// A file that is written to, and those before it: when it has become large, it gets `.1` after its name, the one before that
/// `.2`, and another one is begun.
#[derive(Debug)]
pub(super) struct Files {
    log: Log,
    current: Option<(File, Identity)>,
    /// Why the file was not rotated, if it ought to have been.
    stuck: Option<Failure>,
}

/// What could not be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// So many lines.
    pub lines: u64,
    pub failure: Failure,
}

impl Files {
    pub fn of(log: Log) -> Self {
        Self { log, current: None, stuck: None }
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Why the file becomes larger than it is to, if it does.
    pub fn stuck(&self) -> Option<&Failure> {
        self.stuck.as_ref()
    }

    /// Writes whole lines: each as a whole, or not at all.
    pub fn write(&mut self, mut lines: &[u8]) -> Result<(), Unwritten> {
        while !lines.is_empty() {
            let written = self.write_some(lines).map_err(|(written, error)| Unwritten {
                lines: count(&lines[written..]),
                failure: failure("write to the log", &self.log.file(), error),
            })?;
            lines = &lines[written..];
        }
        Ok(())
    }

    /// Writes lines up to the end of the file that is written to now. Returns their length; on failure, that of lines that were
    /// written nevertheless.
    fn write_some(&mut self, lines: &[u8]) -> Result<usize, (usize, io::Error)> {
        let size = self.open().map_err(|error| (0, error))?;
        let room = self.log.rotate.0.saturating_sub(size);
        let part = match fitting(lines, room) {
            0 if size > 0 && self.rotate() => return Ok(0),
            // A line that is larger than a file may be, or a file that stays where it is.
            0 if self.stuck.is_some() => lines.len(),
            0 => lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1),
            part => part,
        };
        let Some((file, _)) = &mut self.current else { return Ok(0) };
        write_whole(file, &lines[..part])
    }

    /// Opens the file, if it is not open, or its name names another one, or none. Returns its size.
    fn open(&mut self) -> io::Result<u64> {
        let path = self.log.file();
        let named = path.symlink_metadata();
        if let (Some((_, identity)), Ok(named)) = (&self.current, &named)
            && *identity == identity::of(named)
        {
            return Ok(size(named));
        }
        self.current = None;
        let mut file = open(&path)?;
        end_line(&path, &mut file)?;
        let metadata = file.metadata()?;
        self.current = Some((file, identity::of(&metadata)));
        Ok(size(&metadata))
    }

    /// Gives the file the name of one that was written to before. Returns whether another one is to be begun.
    fn rotate(&mut self) -> bool {
        match shift(&self.log) {
            Ok(()) => (self.current, self.stuck) = (None, None),
            // Too large a file is better than none.
            Err(error) => self.stuck = Some(failure("rotate the log", &self.log.file(), error)),
        }
        self.stuck.is_none()
    }
}

/// Opens the file of a log, whose name may not be that of a symlink: others may be allowed to put one there.
fn open(path: &Path) -> io::Result<File> {
    // Not blocking, lest a FIFO without a reader hold up whoever opens it: it is refused instead.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Whether a log can be written there.
///
/// # Errors
///
/// Why not. That there is no space is none: that may change.
pub(crate) fn writable(log: &Log) -> Result<(), Failure> {
    match open(&log.file()) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Err(failure("write to the log", &log.file(), error))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Ends the line that somebody else who wrote to the file did not.
fn end_line(path: &Path, file: &mut File) -> io::Result<()> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(()) };
    let mut byte = [b'\n'];
    // A file that may be written to and not be read is left as it is.
    let _ = File::open(path).and_then(|file| file.read_exact_at(&mut byte, last));
    if byte == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// Writes lines; if that fails, takes away what there is of a line that was not written as a whole. Returns how much was written.
fn write_whole(file: &mut File, lines: &[u8]) -> Result<usize, (usize, io::Error)> {
    let mut written = 0;
    while written < lines.len() {
        match file.write(&lines[written..]) {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let rest = u64::try_from(written - whole).unwrap_or(0);
                if rest > 0
                    && let Ok(found) = file.metadata()
                {
                    let _ = file.set_len(found.len().saturating_sub(rest));
                }
                return Err((whole, error));
            }
        }
    }
    Ok(written)
}

/// Makes room for another file: of those before, each gets the name of the next older one, as far as there are any.
fn shift(log: &Log) -> io::Result<()> {
    let keep = log.keep.get();
    let names = std::fs::read_dir(&log.dir)?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<OsString> = names.collect::<io::Result<_>>()?;
    let there: Vec<u32> = names.iter().filter_map(|name| log.number(name)).collect();
    let free = (1..=keep).find(|number| !there.contains(number)).unwrap_or(keep);
    for number in (1..free).rev() {
        std::fs::rename(log.former(number), log.former(number + 1))?;
    }
    std::fs::rename(log.file(), log.former(1))?;
    // More were kept before.
    for number in there.into_iter().filter(|number| *number > keep) {
        let _ = std::fs::remove_file(log.former(number));
    }
    Ok(())
}

/// Where the last line ends that fits.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// How large a file is; a FIFO never becomes large.
fn size(found: &Metadata) -> u64 {
    if found.is_file() { found.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use nodesockd_core::config::{LogFormat, LogSize};

    use super::*;

    fn log(folder: &Path, rotate: u64, keep: u32) -> Log {
        Log {
            dir: folder.to_owned(),
            format: LogFormat::Text,
            rotate: LogSize(rotate),
            keep: NonZeroU32::new(keep).unwrap(),
            name: "shop".into(),
        }
    }

    fn numbered(range: std::ops::Range<u32>) -> String {
        range.map(|number| format!("line {number:014}\n")).collect()
    }

    #[test]
    fn lines_stay_whole_and_in_order_through_rotation() {
        // So many at once, into files of five lines.
        for at_once in [1, 3, 7, 20] {
            let folder = tempfile::tempdir().unwrap();
            let mut files = Files::of(log(folder.path(), 105, 3));
            for begin in (0..20).step_by(at_once) {
                let end = (begin + u32::try_from(at_once).unwrap()).min(20);
                files.write(numbered(begin..end).as_bytes()).unwrap();
            }
            let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
            let parts = ["shop.log.3", "shop.log.2", "shop.log.1", "shop.log"].map(read);
            assert_eq!(parts.concat(), numbered(0..20), "{at_once}");
            files.write(numbered(20..21).as_bytes()).unwrap();
            assert_eq!(read("shop.log.3"), numbered(5..10));
            assert!(!folder.path().join("shop.log.4").exists());
        }
    }

    #[test]
    fn line_that_is_larger_than_a_file_may_be_has_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::of(log(folder.path(), 10, 5));
        files.write(b"a\nlarger than that\nb\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            [read("shop.log.2"), read("shop.log.1"), read("shop.log")],
            ["a\n", "larger than that\n", "b\n"]
        );
    }

    #[test]
    fn fewer_are_kept_where_more_were_before_and_a_gap_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        for number in [1, 2, 4, 5, 77] {
            std::fs::write(folder.path().join(format!("shop.log.{number}")), format!("{number}\n")).unwrap();
        }
        std::fs::write(folder.path().join("shop.log.old"), "not ours").unwrap();
        let mut files = Files::of(log(folder.path(), 10, 4));
        files.write(b"the first\nthe second\n").unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["shop.log", "shop.log.1", "shop.log.2", "shop.log.3", "shop.log.4", "shop.log.old"]
        );
        assert_eq!(std::fs::read_to_string(folder.path().join("shop.log.3")).unwrap(), "2\n");
    }

    #[test]
    fn file_that_is_gone_is_made_again_and_a_torn_line_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.log");
        std::fs::write(&path, "torn").unwrap();
        let mut files = Files::of(log(folder.path(), 1000, 4));
        files.write(b"a line\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "torn\na line\n");
        std::fs::remove_file(&path).unwrap();
        files.write(b"another\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "another\n");
        std::fs::remove_dir_all(folder.path()).unwrap();
        let unwritten = files.write(b"one\ntwo\n").unwrap_err();
        assert_eq!(unwritten.lines, 2);
        assert!(unwritten.failure.0.contains("shop.log"), "{}", unwritten.failure);
        assert!(writable(files.log()).is_err());
        std::fs::create_dir(folder.path()).unwrap();
        files.write(b"one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }

    #[test]
    fn symlink_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("shop.log")).unwrap();
        assert!(Files::of(log(folder.path(), 1000, 4)).write(b"a line\n").is_err());
    }
}
