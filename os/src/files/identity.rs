//! Which file a name names: somebody may have removed or replaced it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file of this machine, whatever its name: device and inode number (`inode(7)`).
pub(crate) type Identity = (u64, u64);

/// What `path` names; of a symlink, the link itself.
pub(crate) fn named(path: &Path) -> io::Result<Identity> {
    std::fs::symlink_metadata(path).map(|found| of(&found))
}

/// Whether `path` names `file`, which is open.
pub(crate) fn is_named(file: &File, path: &Path) -> bool {
    named(path).ok() == file.metadata().ok().map(|held| of(&held))
}

pub(crate) fn of(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}
