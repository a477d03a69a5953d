//! Removing what earlier daemons left in `tmpDir`.

use std::collections::BTreeSet;

use nodesockd_core::config::{Named, SocketPattern};
use nodesockd_core::event::Failure;
use rustix::fs::{Dir, FileType};

use crate::error::failure;
use crate::files::diag::FileId;
use crate::files::queue::{Queues, answers, file_id};
use crate::files::tmp_dir::TmpDir;

/// Removes links, temporary links and sockets of that pattern behind which nobody listens; returns how many. One that
/// cannot be removed does not keep the others; it is the error in the end.
pub(crate) fn sweep(
    tmp_dir: &mut TmpDir,
    queues: &mut Queues,
    pattern: &SocketPattern,
) -> Result<u32, Failure> {
    let in_use = queues.listening_files();
    let mut removed = 0;
    let mut failed = None;
    for (name, named) in names(tmp_dir, pattern)? {
        let kind = match named {
            Named::Link(_) | Named::TemporaryLink => FileType::Symlink,
            Named::Socket(_) => FileType::Socket,
        };
        let found = tmp_dir.look_at(&name)?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        if found != Some(kind) {
            continue;
        }
        if named != Named::TemporaryLink && listens(tmp_dir, &name, &in_use) {
            continue;
        }
        match tmp_dir.remove(&name, kind) {
            Ok(was_there) => removed += u32::from(was_there),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// Names in `tmpDir` that are ours.
fn names(tmp_dir: &mut TmpDir, pattern: &SocketPattern) -> Result<Vec<(String, Named)>, Failure> {
    let path = tmp_dir.path("");
    let unreadable = |error| failure("read the folder", &path, error);
    let mut names = Vec::new();
    for entry in Dir::read_from(tmp_dir.folder()?).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // A name that is not UTF-8 cannot match.
        if let Ok(name) = entry.file_name().to_str()
            && let Some(named) = pattern.matches(name)
        {
            names.push((name.to_owned(), named));
        }
    }
    Ok(names)
}

/// When in doubt, somebody does. Connecting is the last resort, as a listener would see it.
fn listens(tmp_dir: &TmpDir, name: &str, in_use: &BTreeSet<FileId>) -> bool {
    let path = tmp_dir.path(name);
    file_id(&path).is_ok_and(|file| in_use.contains(&file)) || answers(&path).unwrap_or(true)
}
