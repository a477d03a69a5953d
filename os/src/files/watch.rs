//! Learning from the kernel that somebody changes something in a folder (`inotify(7)`).
//!
//! A [`Watch`] is made for a set of folders as they are now. When one of them is replaced, or one that was not there comes
//! into being, the watch is of no use any more, and another one is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::handoff::pause::PauseToken;
use crate::peers::session::Fact;
use crate::readable::register;

/// Entries that go, or are replaced, and those that come: a worker may be about to listen.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Entries that come: one of them may be a folder that is missing.
const ARRIVALS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// So much is read at a time; a file name has 255 bytes at most.
const BUFFER: usize = 16 << 10;

/// What has happened since it was read last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stir {
    /// Names that were removed or replaced, by the folder.
    pub(crate) names: BTreeSet<(PathBuf, String)>,
    /// Names that were made where nothing was.
    pub(crate) made: BTreeSet<(PathBuf, String)>,
    /// Not every name is known, or a folder is another one: everything has to be looked at, and watched anew.
    pub(crate) all: bool,
}

/// A watch over folders.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    inotify: Arc<AsyncFd<OwnedFd>>,
    roles: Arc<BTreeMap<i32, Vec<Role>>>,
}

/// What a watched folder is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// Its entries are watched.
    Watched(PathBuf),
    /// An entry of this name would be one of the folders, or lead to it.
    WayTo(String),
}

impl Watch {
    /// Watches `folders`, or for those that do not exist, the way to them.
    pub(crate) fn over(folders: &BTreeSet<PathBuf>) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut roles: BTreeMap<i32, Vec<Role>> = BTreeMap::new();
        for folder in folders {
            let (wd, role) = watch(&inotify, folder)?;
            roles.entry(wd).or_default().push(role);
        }
        Ok(Self { inotify: Arc::new(register(inotify)?), roles: Arc::new(roles) })
    }

    /// Reports what happens, until that is to stop.
    pub(crate) async fn serve(self, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
        loop {
            let ready = tokio::select! {
                biased;
                () = token.requested() => return,
                ready = self.inotify.readable() => ready,
            };
            let Ok(mut ready) = ready else { return };
            let stir = self.read();
            ready.clear_ready();
            if stir != Stir::default() && facts.send(Fact::Stirred(stir)).await.is_err() {
                return;
            }
        }
    }

    /// All that has happened and was not read yet.
    fn read(&self) -> Stir {
        let mut stir = Stir::default();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut events = Reader::new(self.inotify.get_ref(), &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok());
                    self.note(&mut stir, event.wd(), event.events(), name);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return stir,
                Err(_) => {
                    stir.all = true;
                    return stir;
                }
            }
        }
    }

    fn note(&self, stir: &mut Stir, wd: i32, what: ReadFlags, name: Option<&str>) {
        let itself = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
        if what.intersects(itself | ReadFlags::QUEUE_OVERFLOW) {
            stir.all = true;
        }
        for role in self.roles.get(&wd).into_iter().flatten() {
            match (role, name) {
                (Role::Watched(folder), Some(name)) => {
                    let made = what.contains(ReadFlags::CREATE);
                    let names = if made { &mut stir.made } else { &mut stir.names };
                    names.insert((folder.clone(), name.to_owned()));
                }
                (Role::WayTo(next), Some(name)) => stir.all |= next == name,
                (Role::Watched(_) | Role::WayTo(_), None) => {}
            }
        }
    }
}

/// Watches a folder, or the nearest one on the way to it that exists.
fn watch(inotify: &OwnedFd, folder: &Path) -> io::Result<(i32, Role)> {
    let flags = WatchFlags::ONLYDIR | WatchFlags::MASK_ADD;
    match add_watch(inotify, folder, CHANGES | flags) {
        Ok(wd) => return Ok((wd, Role::Watched(folder.to_owned()))),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut missing = folder;
    while let (Some(parent), Some(name)) = (missing.parent(), missing.file_name()) {
        if let Ok(wd) = add_watch(inotify, parent, ARRIVALS | flags) {
            return Ok((wd, Role::WayTo(name.to_string_lossy().into_owned())));
        }
        missing = parent;
    }
    Err(io::Error::from(io::ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(folder: &Path) -> Watch {
        Watch::over(&BTreeSet::from([folder.to_owned()])).unwrap()
    }

    fn names(names: &BTreeSet<(PathBuf, String)>) -> Vec<&str> {
        names.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[tokio::test]
    async fn entries_that_go_or_are_replaced_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let watch = over(folder.path());
        std::fs::write(path("new"), "").unwrap();
        let stir = watch.read();
        assert_eq!((names(&stir.made), names(&stir.names)), (vec!["new"], vec![]), "what comes is no loss");
        std::fs::remove_file(path("new")).unwrap();
        std::fs::write(path("one"), "").unwrap();
        std::fs::rename(path("one"), path("other")).unwrap();
        let stir = watch.read();
        assert_eq!((names(&stir.names), stir.all), (vec!["new", "one", "other"], false));
        assert_eq!(watch.read(), Stir::default());
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_has_to_be_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let watch = over(&inner);
        std::fs::rename(&inner, folder.path().join("away")).unwrap();
        assert!(watch.read().all);

        let watch = over(&inner);
        std::fs::create_dir(folder.path().join("another")).unwrap();
        assert!(!watch.read().all);
        std::fs::create_dir(&inner).unwrap();
        assert!(watch.read().all, "it is there now");

        let watch = over(&inner.join("deep/deeper"));
        std::fs::create_dir(inner.join("deep")).unwrap();
        assert!(watch.read().all, "it is nearer now");
    }
}
