//! Files and paths as texts, where nothing else will do.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nodesockd_core::event::Failure;
use rustix::fs::OFlags;

/// Bytes that a file may have that somebody has written by hand.
const LARGEST: u64 = 1 << 20;

/// Reads a file that somebody has written by hand. A FIFO is refused: the daemon would wait for whoever writes to it.
///
/// # Errors
///
/// The operating system's; that it is no file, or too large; `InvalidData` if it is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a FIFO; name a file"));
    }
    let mut bytes = Vec::new();
    let count = file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(count).is_ok_and(|count| count > LARGEST) {
        let words = format!("it is larger than {LARGEST} bytes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, words));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// A path that the state file has to name, which is text.
pub(crate) fn of_path(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure(format!("the path `{}` is no UTF-8; rename it", path.display())))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;
    use crate::in_time::in_time;

    #[test]
    fn fifo_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let read = in_time(move || read(&path));
        assert!(read.unwrap_err().to_string().contains("FIFO"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_whatever_else_is() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), ErrorKind::FileTooLarge);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).map_err(|error| error.kind())
        };
        // A letter of two bytes is at the end of what is read.
        assert_eq!(read(format!("#{}", "é".repeat(600_000)).as_bytes()), Err(ErrorKind::FileTooLarge));
        assert_eq!(read(b"a\xff"), Err(ErrorKind::InvalidData));
        assert_eq!(read(&vec![b'x'; 1 << 20]).map(|text| text.len()), Ok(1 << 20));
        assert_eq!(read("é".as_bytes()), Ok("é".to_owned()));
    }
}
