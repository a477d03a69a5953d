//! The open file that lines are written to.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr, write};
use rustix::net::{SendFlags, send};

/// A pipe takes so many bytes as a whole, whoever else writes to it (`PIPE_BUF`, pipe(7)).
const WHOLE: usize = 4096;

/// So many bytes are written at once where that makes no difference.
const MOST_AT_ONCE: usize = 64 << 10;

/// Before the rest of a line that is longer than that.
const CONTINUED: &str = "… ";

/// Where lines go.
#[derive(Debug)]
pub(super) struct Target {
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A pipe or a FIFO.
    Pipe,
    /// A socket, for instance of the journal.
    Socket,
    /// A file, a terminal, another device.
    Other,
}

impl Target {
    /// The file behind `stream`, in a description of its own where another's mode would matter: workers share the inherited
    /// one, and Node makes that non-blocking for all of them.
    ///
    /// - A pipe or terminal is opened once more. If that is not permitted (a pipe that another user has made), the inherited
    ///   description is used, in whatever mode it is.
    /// - A socket cannot be opened; each message says that it must not wait.
    /// - A file keeps its description: the position in it is shared with the workers, whose lines would otherwise overwrite
    ///   ours where it was not opened for appending.
    pub fn of(stream: impl AsFd) -> io::Result<Self> {
        let stream = stream.as_fd();
        let kind = match FileType::from_raw_mode(fstat(stream)?.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile
            | FileType::Directory
            | FileType::Symlink
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        let reopened = (kind == Kind::Pipe || stream.is_terminal()).then(|| {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            open(format!("/proc/self/fd/{}", stream.as_raw_fd()), flags, Mode::empty())
        });
        let fd = match reopened {
            Some(Ok(fd)) => fd,
            Some(Err(_)) | None => fcntl_dupfd_cloexec(stream, 3)?,
        };
        Ok(Self { fd, kind })
    }

    /// Breaks a line into as many as it takes for each to be written as a whole, with their newlines.
    pub fn fit(&self, line: &str, mut each: impl FnMut(String)) {
        let mut rest = line;
        if self.kind == Kind::Pipe {
            let mut lead = "";
            while lead.len() + rest.len() >= WHOLE {
                let most = WHOLE - 1 - lead.len();
                let end = (0..=most).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or(most);
                let (part, after) = rest.split_at(end);
                each(format!("{lead}{part}\n"));
                (rest, lead) = (after, CONTINUED);
            }
            each(format!("{lead}{rest}\n"));
        } else {
            each(format!("{line}\n"));
        }
    }

    /// Puts lines together, as many as are written as a whole. A line that is longer than that is written by itself.
    pub fn together<'a>(&self, text: &'a [u8], mut each: impl FnMut(&'a [u8], u64)) {
        let most = self.most();
        let (mut begin, mut end, mut count) = (0, 0, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if end + line.len() - begin > most && end > begin {
                each(&text[begin..end], count);
                (begin, count) = (end, 0);
            }
            end += line.len();
            count += 1;
        }
        if end > begin {
            each(&text[begin..end], count);
        }
    }

    /// So many bytes are written together.
    pub fn most(&self) -> usize {
        if self.kind == Kind::Pipe { WHOLE } else { MOST_AT_ONCE }
    }

    /// Writes all of it, and waits for that as long as it takes.
    pub fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = retry_on_intr(|| match self.kind {
                Kind::Socket => send(&self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
                Kind::Pipe | Kind::Other => write(&self.fd, bytes),
            });
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN) => {
                    retry_on_intr(|| poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], None))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_pipe_are_put_together_up_to_what_is_not_torn() {
        let (_reader, writer) = io::pipe().unwrap();
        let target = Target::of(&writer).unwrap();
        let line = |length: usize| "x".repeat(length - 1) + "\n";
        let text = line(1000).repeat(5) + &line(10_000) + &line(4000) + "no end";
        let mut parts = Vec::new();
        target.together(text.as_bytes(), |part, count| parts.push((part.to_vec(), count)));
        let sizes: Vec<(usize, u64)> = parts.iter().map(|(part, count)| (part.len(), *count)).collect();
        assert_eq!(sizes, [(4000, 4), (1000, 1), (10_000, 1), (4006, 2)]);
        assert_eq!(parts.into_iter().flat_map(|(part, _)| part).collect::<Vec<u8>>(), text.as_bytes());
    }

    #[test]
    fn line_for_a_pipe_is_broken_where_it_would_be_torn() {
        let (_reader, writer) = io::pipe().unwrap();
        let target = Target::of(&writer).unwrap();
        for length in [0, 1, WHOLE - 2, WHOLE - 1, WHOLE, 3 * WHOLE] {
            let line = "ü".repeat(length / 2) + &"x".repeat(length % 2);
            let mut parts = Vec::new();
            target.fit(&line, |part| parts.push(part));
            assert!(parts.iter().all(|part| part.len() <= WHOLE && part.ends_with('\n')));
            let whole: String =
                parts.iter().map(|part| part.trim_end().trim_start_matches(CONTINUED)).collect();
            assert_eq!(whole, line);
        }
    }
}
