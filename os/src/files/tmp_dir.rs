//! The folder of links and sockets: whether it can be trusted, and the links in it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nodesockd_core::config::{Named, SocketPattern, Symlinks};
use nodesockd_core::event::Failure;
use nodesockd_core::state::FoundLink;
use nodesockd_core::survey::Sight;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::error::failure;

/// The folder, held open. Names in it are plain file names, and are never followed.
#[derive(Debug)]
pub(crate) struct TmpDir {
    path: PathBuf,
    folder: OwnedFd,
    /// Device and inode number of the folder that is held open.
    held: (u64, u64),
}

impl TmpDir {
    /// Opens the folder.
    ///
    /// # Errors
    ///
    /// Why it cannot be used or trusted, and what to do.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let folder = open_trusted_by_us(path)?;
        let held = identity(&folder).map_err(|error| error.to_string())?;
        Ok(Self { path: path.to_owned(), folder, held })
    }

    /// The path of a name in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder that the path names now. Somebody may have replaced it since it was opened, or a symlink on the way
    /// to it may have been switched; nginx goes by the path, so do we.
    pub(crate) fn folder(&mut self) -> Result<BorrowedFd<'_>, Failure> {
        let named =
            std::fs::metadata(&self.path).map_err(|error| failure("use the folder", &self.path, error))?;
        if self.held != (named.dev(), named.ino()) {
            *self = Self::open(&self.path).map_err(|reason| failure("use the folder", &self.path, reason))?;
            tracing::warn!("`{}` is another folder than before", self.path.display());
        }
        Ok(self.folder.as_fd())
    }

    /// What `name` is, if it is there.
    pub(crate) fn look_at(&mut self, name: &str) -> Result<Option<Stat>, Failure> {
        self.folder()?;
        self.look_within(name)
    }

    /// The same, in the folder that is held open.
    fn look_within(&self, name: &str) -> Result<Option<Stat>, Failure> {
        match statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failure("look at", &self.path(name), error)),
        }
    }

    /// What a name in it names.
    pub(crate) fn sight(&mut self, name: &str) -> Sight {
        let kind = match self.look_at(name) {
            Ok(Some(stat)) => FileType::from_raw_mode(stat.st_mode),
            Ok(None) | Err(_) => return Sight::Nothing,
        };
        if kind == FileType::Socket {
            return Sight::Socket;
        }
        if kind != FileType::Symlink {
            return Sight::Other;
        }
        let Ok(target) = std::fs::read_link(self.path(name)) else { return Sight::Nothing };
        let inside = target.strip_prefix(&self.path).unwrap_or(&target);
        Sight::Link(inside.to_string_lossy().into_owned())
    }

    /// Swaps `link`, so that it names `socket`.
    pub(crate) fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        let target = match symlinks {
            Symlinks::Relative => PathBuf::from(socket),
            Symlinks::Absolute => self.path(socket),
        };
        // `rename` would replace it without asking.
        self.expect(link, FileType::Symlink)?;
        let folder = &self.folder;
        let temporary = SocketPattern::temporary(link);
        let made = match symlinkat(&target, folder, &temporary) {
            Err(Errno::EXIST) => unlinkat(folder, &temporary, AtFlags::empty())
                .and_then(|()| symlinkat(&target, folder, &temporary)),
            made => made,
        };
        made.and_then(|()| {
            renameat(folder, &temporary, folder, link).inspect_err(|_| {
                let _ = unlinkat(folder, &temporary, AtFlags::empty());
            })
        })
        .map_err(|error| failure("make the link", &self.path(link), error))
    }

    /// Which socket each link names, as far as both are names of one of the `patterns`.
    pub(crate) fn links(&self, patterns: &[SocketPattern]) -> Vec<FoundLink> {
        let named = |name: &str| patterns.iter().find_map(|pattern| pattern.matches(name));
        let entries = std::fs::read_dir(self.path("")).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let Some(Named::Link(slot)) = named(&name) else { return None };
            let target = std::fs::read_link(entry.path()).ok()?;
            let socket = target.file_name()?.to_str()?;
            let names_one = matches!(named(socket), Some(Named::Socket(_)));
            names_one.then(|| FoundLink { slot, name, socket: socket.to_owned() })
        });
        let mut links: Vec<_> = links.collect();
        links.sort_unstable();
        links
    }

    /// The name in this folder that `path` is, by whatever way the path leads here.
    pub(crate) fn name_of(&self, path: &Path) -> Option<String> {
        let folder = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let there = folder(path.parent().filter(|parent| parent.is_absolute())?)?;
        let here = folder(&self.path(""))?;
        path.file_name().filter(|_| here == there)?.to_str().map(str::to_owned)
    }

    /// Removes `name`, which must be of the given type, if it is there. Tells whether it was.
    pub(crate) fn remove(&mut self, name: &str, kind: FileType) -> Result<bool, Failure> {
        if !self.expect(name, kind)? {
            return Ok(false);
        }
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failure("remove", &self.path(name), error)),
        }
    }

    /// Whether `name` is there. That it is of another type is an error. The folder that is held open is the one that the path names
    /// then.
    fn expect(&mut self, name: &str, kind: FileType) -> Result<bool, Failure> {
        let Some(stat) = self.look_at(name)? else { return Ok(false) };
        if FileType::from_raw_mode(stat.st_mode) == kind {
            return Ok(true);
        }
        let wanted = if kind == FileType::Symlink { "symlink" } else { "socket" };
        Err(Failure(format!("`{}` is in the way: it is no {wanted}; remove it", self.path(name).display())))
    }
}

/// Makes a folder again that had this mode and this group.
pub(crate) fn remake(path: &Path, mode: u32, group: u32) -> Result<(), Failure> {
    let cannot = |error: io::Error| {
        let mode = mode & 0o7777;
        let advice = format!("`mkdir -m {mode:o} {}` makes it, as a user who may", path.display());
        failure("make the folder", path, format_args!("{error}; {advice}"))
    };
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(cannot)?,
    }
    let given = std::os::unix::fs::chown(path, None, Some(group))
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o7777)));
    given.map_err(|error| {
        // It would pass for the one of before, and let nobody in.
        let _ = std::fs::remove_dir(path);
        cannot(error)
    })
}

/// What a folder is known by.
fn identity(folder: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn open_trusted_by_us(path: &Path) -> Result<OwnedFd, String> {
    open_trusted(path, geteuid().as_raw(), getegid().as_raw())
}

/// Opens a folder in which nobody but root and user `us`, whose group is `group`, can put things, or take those of `us`
/// for theirs.
pub(crate) fn open_trusted(path: &Path, us: u32, group: u32) -> Result<OwnedFd, String> {
    let trusted = |owner: u32| owner == us || owner == 0;
    for step in path.ancestors() {
        match std::fs::symlink_metadata(step) {
            Ok(found) if found.is_symlink() && !trusted(found.uid()) => {
                return Err(format!(
                    "the symlink `{}` on the way to it belongs to user {}, who could point it elsewhere",
                    step.display(),
                    found.uid()
                ));
            }
            Ok(_) | Err(_) => {}
        }
    }
    let folder =
        openat(rustix::fs::CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| explain(path, error))?;
    let stat = fstat(&folder).map_err(|error| error.to_string())?;
    if !trusted(stat.st_uid) {
        return Err(format!(
            "it belongs to user {}, the daemon runs as user {us}; `chown` it, or run the daemon as its owner",
            stat.st_uid
        ));
    }
    let mode = Mode::from_raw_mode(stat.st_mode);
    let foreign_group = stat.st_gid != group;
    let writable = mode.contains(Mode::WOTH) || (mode.contains(Mode::WGRP) && foreign_group);
    if writable && !mode.contains(Mode::SVTX) {
        return Err(format!(
            "others may create and rename files in it (mode {:o}, group {}); `chmod u=rwx,g=rxs,o= {}` is what it needs",
            stat.st_mode & 0o7777,
            stat.st_gid,
            path.display()
        ));
    }
    Ok(folder)
}

fn explain(path: &Path, error: Errno) -> String {
    let path = path.display();
    let error = match error {
        Errno::NOENT => {
            return format!("it does not exist; `mkdir -m 2750 {path}` makes it, and `chgrp` lets nginx in");
        }
        Errno::ACCESS => {
            return format!(
                "user {} may not enter it; `chown` it, or run the daemon as its owner",
                geteuid().as_raw()
            );
        }
        error => io::Error::from(error),
    };
    error.to_string()
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Uid, setfsuid};

    use super::*;

    /// To this group, the daemon's user can give nothing.
    const FOREIGN_GROUP: u32 = 1;
    const NOBODY: u32 = 65534;

    #[test]
    fn folder_that_cannot_become_what_it_was_is_not_left_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let path = folder.path().join("run");
        let made = std::thread::spawn({
            let path = path.clone();
            move || {
                // Of this thread alone. Root may give files to any group.
                if geteuid().is_root() {
                    setfsuid(Uid::from_raw(NOBODY));
                }
                remake(&path, 0o2750, FOREIGN_GROUP)
            }
        });
        assert!(made.join().unwrap().is_err());
        assert!(!path.exists(), "it would pass for the one of before, and shut nginx out");
    }
}
