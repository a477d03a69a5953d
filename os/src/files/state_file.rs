//! The state file: what the next daemon has to know.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Companion;
use nodesockd_core::event::Failure;
use nodesockd_core::state::State;
use rustix::fs::OFlags;

use crate::error::failure;

/// Ours has some hundred bytes a worker.
const LARGEST: u64 = 16 << 20;

/// `<ipcFile>.state`. It is replaced by `rename(2)`, so that it is always one state or the other; it is not
/// synchronised to disk, because no worker survives what loses the page cache.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// Its successor, until it is complete.
    new: PathBuf,
    /// This boot of the machine.
    boot_id: Option<String>,
}

impl StateFile {
    /// The file named after the control socket.
    pub(crate) fn beside(ipc_file: &Path) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            path: Companion::State.path(ipc_file),
            new: Companion::NewState.path(ipc_file),
            boot_id: boot_id.map(|id| id.trim().to_owned()),
        }
    }

    /// Replaces it, or removes it.
    pub(crate) fn replace(&self, state: Option<&State>) -> Result<(), Failure> {
        let done = match state {
            Some(state) => self.write(&State { boot_id: self.boot_id.clone(), ..state.clone() }.encode()),
            None => std::fs::remove_file(&self.path).or_else(absent),
        };
        done.map_err(|error| failure("write", &self.path, error))
    }

    /// What it holds, if that was written since the machine was booted.
    pub(crate) fn read(&self) -> Option<State> {
        let read = self.text().and_then(|text| State::parse(&text).map_err(io::Error::other));
        match read {
            Ok(state) => (state.boot_id == self.boot_id).then_some(state),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("the state file {} is of no use: {error}", self.path.display());
                None
            }
        }
    }

    fn text(&self) -> io::Result<String> {
        let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(&self.path)?;
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text)?;
        Ok(text)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let new = &self.new;
        std::fs::remove_file(new).or_else(absent)?;
        let options =
            OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(no_follow()).clone();
        let written = options
            .open(new)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(new, &self.path));
        written.inspect_err(|_| {
            let _ = std::fs::remove_file(new);
        })
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn no_follow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(slots: u32) -> State {
        let empty = r#"{"version":1,"running":true,"slots":0,"standby":0,"suspended":false,"workers":[]}"#;
        State { slots, ..State::parse(empty).unwrap() }
    }

    #[test]
    fn holds_the_last_state_that_could_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("nodesockd.ipc"));
        assert_eq!(file.read(), None);
        file.replace(Some(&state(1))).unwrap();
        file.replace(Some(&state(2))).unwrap();
        assert_eq!(file.read().map(|state| state.slots), Some(2));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        file.replace(None).unwrap();
        file.replace(None).unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn says_nothing_of_another_boot_and_nothing_after_damage() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("nodesockd.ipc"));
        std::fs::write(&file.path, state(3).encode()).unwrap();
        assert_eq!(file.read(), None, "it names no boot");
        std::fs::write(&file.path, "{\"version\":1,").unwrap();
        assert_eq!(file.read(), None);
        std::fs::remove_file(&file.path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &file.path).unwrap();
        assert_eq!(file.read(), None, "a symlink is not followed");
    }
}
