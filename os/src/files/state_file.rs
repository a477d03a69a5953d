//! The state file: what the next daemon has to know.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Companion;
use nodesockd_core::event::Failure;
use nodesockd_core::state::{Entry, State};

use crate::error::failure;
use crate::files::{identity, own};

/// Ours has some hundred bytes a worker.
const LARGEST: u64 = 16 << 20;

/// `<ipcFile>.state`. It is replaced by `rename(2)`, so that it is always one state or the other, and grows by whole lines.
/// It is not synchronised to disk, because no worker survives what loses the page cache.
#[derive(Debug)]
pub(crate) struct StateFile {
    /// The file that was put in place last, and its length in bytes.
    open: Option<(File, u64)>,
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
            open: None,
            path: Companion::State.path(ipc_file),
            new: Companion::NewState.path(ipc_file),
            boot_id: boot_id.map(|id| id.trim().to_owned()),
        }
    }

    /// Replaces it, adds a line to it, or removes it.
    pub(crate) fn write(&mut self, entry: Option<&Entry>) -> Result<(), Failure> {
        let done = match entry {
            Some(Entry::Whole(state)) => {
                self.replace(&State { boot_id: self.boot_id.clone(), ..State::clone(state) }.encode())
            }
            Some(Entry::Changes(changes)) => self.append(&changes.encode()),
            None => {
                self.open = None;
                std::fs::remove_file(&self.path).or_else(own::absent)
            }
        };
        done.map_err(|error| failure("write", &self.path, error))
    }

    /// The path of the file that this backend has put there and somebody else has removed or replaced.
    pub(crate) fn lost(&self) -> Option<PathBuf> {
        let (file, _) = self.open.as_ref()?;
        (!identity::is_named(file, &self.path)).then(|| self.path.clone())
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
        let file = OpenOptions::new().read(true).custom_flags(own::no_follow()).open(&self.path)?;
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text)?;
        Ok(text)
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        let file = own::put(&self.path, &self.new, text, OpenOptions::new().write(true))?;
        self.open = Some((file, text.len() as u64));
        Ok(())
    }

    /// Adds a line. If that fails, what was written of the line is taken back; should that fail too, the line has no end
    /// and does not count.
    fn append(&mut self, line: &str) -> io::Result<()> {
        let (file, length) = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if let Err(error) = file.write_all(line.as_bytes()) {
            let _ = file.set_len(*length);
            self.open = None;
            return Err(error);
        }
        *length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nodesockd_core::state::Changes;

    use super::*;

    fn state(slots: u32) -> State {
        let empty = r#"{"version":1,"running":true,"slots":0,"standby":0,"suspended":false,"workers":[]}"#;
        State { slots, ..State::parse(&format!("{empty}\n")).unwrap() }
    }

    fn whole(slots: u32) -> Entry {
        Entry::Whole(Box::new(state(slots)))
    }

    fn changes(slots: u32) -> Entry {
        Entry::Changes(Box::new(Changes { daemon: Some(state(slots)), ..Changes::default() }))
    }

    #[test]
    fn read_returns_the_last_written_state() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StateFile::beside(&folder.path().join("nodesockd.ipc"));
        assert_eq!(file.read(), None);
        for (entry, slots) in [(whole(1), 1), (whole(2), 2), (changes(3), 3), (changes(4), 4), (whole(5), 5)]
        {
            file.write(Some(&entry)).unwrap();
            assert_eq!(file.read().map(|state| state.slots), Some(slots));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        file.write(None).unwrap();
        file.write(None).unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn line_is_added_only_to_a_file_of_this_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let ipc_file = folder.path().join("nodesockd.ipc");
        StateFile::beside(&ipc_file).write(Some(&whole(1))).unwrap();
        let mut next = StateFile::beside(&ipc_file);
        assert!(next.write(Some(&changes(2))).is_err());
        assert_eq!(next.read().map(|state| state.slots), Some(1));
    }

    #[test]
    fn line_that_does_not_fit_on_the_disk_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StateFile::beside(&folder.path().join("nodesockd.ipc"));
        file.write(Some(&whole(1))).unwrap();
        // `/dev/full` refuses every write (full(4)).
        file.open = Some((OpenOptions::new().write(true).open("/dev/full").unwrap(), 0));
        assert!(file.write(Some(&changes(2))).is_err());
        assert_eq!(file.read().map(|state| state.slots), Some(1));
        assert!(file.write(Some(&changes(2))).is_err(), "the file has to be replaced first");
        file.write(Some(&whole(2))).unwrap();
        assert_eq!(file.read().map(|state| state.slots), Some(2));
    }

    #[test]
    fn read_ignores_other_boots_and_damaged_files() {
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
