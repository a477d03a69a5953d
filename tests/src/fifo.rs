//! A pipe that nobody reads.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;

use crate::App;

/// A line that fills it.
pub const FILLING: &str = "a line of somebody else";

/// A FIFO in the folder of an app.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    reader: File,
}

impl Fifo {
    /// An empty one.
    ///
    /// # Panics
    ///
    /// When the app has one.
    #[must_use]
    pub fn of(app: &App) -> Self {
        let path = app.path("stderr.fifo");
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("the app's own folder");
        let reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path);
        Self { path, reader: reader.expect("a FIFO") }
    }

    /// Writes [`FILLING`] until nothing more fits in.
    ///
    /// # Panics
    ///
    /// When the FIFO was removed.
    pub fn fill(&self) {
        let filler = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&self.path);
        let mut filler = filler.expect("a FIFO");
        while writeln!(filler, "{FILLING}").is_ok() {}
    }

    /// A writing end with a description of its own, which waits while the FIFO is full.
    ///
    /// # Panics
    ///
    /// When the FIFO was removed.
    #[must_use]
    pub fn writer(&self) -> File {
        OpenOptions::new().write(true).open(&self.path).expect("a FIFO")
    }

    /// The reading end, which does not wait.
    #[must_use]
    pub fn into_reader(self) -> File {
        self.reader
    }
}
