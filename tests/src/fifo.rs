//! A pipe that nobody reads.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

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

/// Reads to the end on a thread of its own, without waiting, and keeps what it reads.
///
/// # Panics
///
/// On that thread, when somebody has panicked while he held the text.
pub fn read_on(mut reader: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            match reader.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => kept
                    .lock()
                    .expect("nobody panics with it")
                    .push_str(&String::from_utf8_lossy(&bytes[..count])),
                // Nothing there yet.
                Err(_) => thread::yield_now(),
            }
        }
    });
    text
}
