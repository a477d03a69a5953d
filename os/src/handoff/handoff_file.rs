//! The hand-off from one program of this process to the next: a sealed file without a name, kept open across `execve(2)`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use nodesockd_core::supervisor::Handoff;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use crate::files::own;
use crate::handoff::fds::HandoffFds;

/// The variable that names the file: `PID:DESCRIPTOR`. The pid, because children inherit variables, too.
pub(crate) const VARIABLE: &str = "NODESOCKD_HANDOFF";

/// The first word of the file, before the format's version and a checksum.
const NAME: &str = "nodesockd-handoff";
/// The version of what surrounds the two parts; each has one of its own.
const VERSION: u32 = 1;

/// The two parts of a hand-off, as the file holds them.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandoffFile {
    /// What the supervisor knows.
    pub supervisor: Handoff,
    /// What the backend holds; nothing where the next program is only asked whether it could take over.
    pub(crate) backend: Option<HandoffFds>,
}

impl HandoffFile {
    /// The hand-off of an earlier program of this process, if there was one.
    ///
    /// # Errors
    ///
    /// Why it cannot be used. The file is closed then.
    #[must_use]
    pub fn received() -> Option<Result<Self, String>> {
        let number = descriptor()?;
        Some(open(number).map_err(|error| error.to_string()).and_then(Self::read))
    }

    /// Reads a hand-off from the beginning of `file`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is damaged, or has another format.
    pub fn read(mut file: impl Read) -> Result<Self, String> {
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let (head, body) = text.split_once('\n').ok_or("it is empty")?;
        if head != header(body) {
            return Err(format!("it begins with `{}`, not `{}`", head.escape_debug(), header(body)));
        }
        let handoff: Self = serde_json::from_str(body).map_err(|error| error.to_string())?;
        handoff.supervisor.validate()?;
        Ok(handoff)
    }

    /// Writes the hand-off to a file that nobody can change any more. The file offset is at the beginning.
    pub(crate) fn seal(&self) -> io::Result<File> {
        let body = serde_json::to_string(self)?;
        let text = format!("{}\n{body}", header(&body));
        let file = own::in_memory(NAME, text.as_bytes(), MemfdFlags::ALLOW_SEALING)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(file)
    }

    /// The value of [`VARIABLE`] for this process.
    pub(crate) fn named(file: &File) -> String {
        format!("{}:{}", std::process::id(), file.as_raw_fd())
    }
}

/// Whether this process was another program of ours before.
pub(crate) fn is_handed_over() -> bool {
    descriptor().is_some()
}

fn descriptor() -> Option<RawFd> {
    let value = std::env::var(VARIABLE).ok()?;
    let (pid, number) = value.split_once(':')?;
    if pid.parse() == Ok(std::process::id()) {
        number.parse().ok().filter(|number| *number > 2)
    } else {
        None
    }
}

#[expect(unsafe_code, reason = "a program can tell the next one of the same process only numbers")]
fn open(number: RawFd) -> io::Result<File> {
    let path = format!("/proc/self/fd/{number}");
    if !std::fs::read_link(&path)?.to_string_lossy().contains(NAME) {
        return Err(io::Error::other(format!("descriptor {number} is something else")));
    }
    // SAFETY: the descriptor is open, and is the file that the program before this one has made for it; nothing else in
    // this program knows of it.
    let file = unsafe { File::from_raw_fd(number) };
    fcntl_setfd(&file, FdFlags::CLOEXEC)?;
    Ok(file)
}

fn header(body: &str) -> String {
    format!("{NAME} {VERSION} {:016x}", checksum(body.as_bytes()))
}

/// FNV-1a, 64 bits: against accidents.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_fnv_1a() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn read_refuses_damaged_files() {
        let head = header("{}");
        let told = |text: &str| HandoffFile::read(text.as_bytes()).unwrap_err();
        assert_eq!(told(""), "it is empty");
        assert!(told(&format!("{head}\n{{ }}")).contains(&head));
        assert!(told(&format!("{head}\n{{}}")).contains("missing field"));
    }
}
