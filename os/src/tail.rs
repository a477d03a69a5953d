//! The end of a log file.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes at the end of a file that are looked at.
const LOOKED_AT: u64 = 64 * 1024;

/// The last `count` lines of `file`, or fewer if they are very long. Bytes that are not UTF-8 are replaced; nothing is
/// escaped.
///
/// # Errors
///
/// The operating system's, or that it is no regular file (a FIFO or a terminal would have no end).
pub fn last_lines(file: &Path, count: usize) -> io::Result<Vec<String>> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(file)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let start = metadata.len().saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is cut off when the file begins before it.
    let lines: Vec<&str> = text.lines().skip(usize::from(start > 0)).collect();
    Ok(lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let all: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&file, all).unwrap();
        assert_eq!(last_lines(&file, 2).unwrap(), ["line 49998", "line 49999"]);
        std::fs::write(&file, b"only \xff").unwrap();
        assert_eq!(last_lines(&file, 20).unwrap(), ["only \u{fffd}"]);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert!(last_lines(Path::new("/dev/zero"), 1).is_err());
    }
}
