//! Files that only the daemon writes: how they are opened, and put in place as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, OFlags, memfd_create};

/// Flags with which no symlink is followed, and no fifo waited for (`open(2)`).
pub(crate) fn no_follow() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0)
}

/// Writes `text` to `new`, which only its owner may read, and renames that to `path` (`rename(2)`). Returns it, open as `options` say.
///
/// # Errors
///
/// `path` is what it was before, and there is no `new`.
pub(crate) fn put(path: &Path, new: &Path, text: &str, options: &mut OpenOptions) -> io::Result<File> {
    std::fs::remove_file(new).or_else(absent)?;
    let written =
        options.create_new(true).mode(0o600).custom_flags(no_follow()).open(new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            std::fs::rename(new, path)?;
            Ok(file)
        });
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(new);
    })
}

/// A file in memory that holds `bytes`, to be read from its beginning (`memfd_create(2)`).
pub(crate) fn in_memory(name: &str, bytes: &[u8], flags: MemfdFlags) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | flags)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// That a file is not there is no failure.
pub(crate) fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
