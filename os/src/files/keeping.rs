//! What is in the folders that the daemon uses, and what of its own is missing there.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nodesockd_core::config::Config;
use nodesockd_core::event::Failure;
use nodesockd_core::survey::{Own, Sight};
use rustix::fs::Dir;

use crate::error::failure;
use crate::files::tmp_dir::{TmpDir, remake};
use crate::files::watch::{Stir, Watch};

/// The folders that the daemon uses, and the watch over them.
#[derive(Debug)]
pub(crate) struct Keeping {
    /// The folder of links and sockets.
    sockets: PathBuf,
    /// The name of the control socket, with which those of the files beside it begin.
    ipc_file: String,
    /// All of them, with mode and group as they were at first.
    folders: BTreeMap<PathBuf, (u32, u32)>,
    /// One that is watched, but is not the daemon's to make again.
    other: Option<PathBuf>,
    watch: Option<Watch>,
    /// What this backend did to names last, until it is seen: nobody has to be told.
    done: BTreeMap<String, Sight>,
}

impl Keeping {
    /// The folders of a configuration, as they are now.
    pub(crate) fn of(config: &Config) -> Self {
        let ipc = config.ipc_file.parent().unwrap_or(Path::new("/")).to_owned();
        let folders = BTreeSet::from([config.socket_dir.clone(), ipc]);
        let folders = folders.into_iter().filter_map(|path| {
            let found = std::fs::metadata(&path).ok()?;
            Some((path, (found.mode(), found.gid())))
        });
        let ipc_file = config.ipc_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            sockets: config.socket_dir.clone(),
            ipc_file,
            folders: folders.collect(),
            other: None,
            watch: None,
            done: BTreeMap::new(),
        }
    }

    /// Watches the folders as they are now, and that of another socket.
    pub(crate) fn watch(&mut self, socket: Option<&Path>) -> Result<Watch, Failure> {
        self.done.clear();
        self.other = socket.and_then(Path::parent).map(Path::to_owned);
        let folders = self.folders.keys().chain(&self.other).cloned().collect();
        self.watch = None;
        let watch =
            Watch::over(&folders).map_err(|error| failure("watch the folder", &self.sockets, error))?;
        Ok(self.watch.insert(watch).clone())
    }

    /// Whether the folder of this socket is among those that are watched.
    pub(crate) fn covers(&self, socket: &Path) -> bool {
        let folder = socket.parent();
        self.folders.keys().chain(&self.other).any(|watched| Some(watched.as_path()) == folder)
    }

    /// The watch, if there is one.
    pub(crate) fn watched(&self) -> Option<Watch> {
        self.watch.clone()
    }

    /// This backend made `name` so.
    pub(crate) fn did(&mut self, name: &str, what: Sight) {
        if self.watch.is_some() {
            self.done.insert(name.to_owned(), what);
        }
    }

    /// The names of ours that somebody else may have changed, as they are now, and sockets that have come.
    pub(crate) fn look_at(&mut self, stir: &Stir, sockets: &mut TmpDir) -> BTreeMap<String, Sight> {
        let mut found = BTreeMap::new();
        for (folder, name) in &stir.names {
            if *folder != self.sockets || !self.may_be_ours(name) {
                continue;
            }
            let sight = sockets.sight(name);
            let expected = self.done.get(name) == Some(&sight);
            if sight == Sight::Nothing {
                self.done.remove(name);
            }
            if !expected {
                found.insert(name.clone(), sight);
            }
        }
        for (folder, name) in &stir.made {
            // Links are replaced rather than made, and what is gone again is a loss.
            if *folder == self.sockets && self.may_be_ours(name) && sockets.sight(name) == Sight::Socket {
                found.insert(name.clone(), Sight::Socket);
            }
        }
        found
    }

    /// All names that may be links and sockets of ours.
    pub(crate) fn entries(&self, sockets: &mut TmpDir) -> BTreeMap<String, Sight> {
        let Ok(folder) = sockets.folder() else { return BTreeMap::new() };
        let listed = Dir::read_from(folder).into_iter().flatten().flatten();
        let names = listed.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        let names: Vec<String> = names.filter(|name| self.may_be_ours(name)).collect();
        names.into_iter().map(|name| (name.clone(), sockets.sight(&name))).collect()
    }

    /// Whether a link or a socket can have this name. Which patterns names are made of, the core knows.
    fn may_be_ours(&self, name: &str) -> bool {
        !name.starts_with('.') && !name.starts_with(&self.ipc_file)
    }

    /// The first folder that is missing.
    pub(crate) fn missing_folder(&self) -> Option<(Own, PathBuf)> {
        let missing = self.folders.keys().find(|path| !path.is_dir());
        missing.map(|path| (Own::Folder, path.clone()))
    }

    /// Makes the folders that are missing, as they were at first.
    pub(crate) fn make_folders(&self) -> Result<(), Failure> {
        let missing = self.folders.iter().filter(|(path, _)| !path.is_dir());
        missing.into_iter().try_for_each(|(path, (mode, group))| remake(path, *mode, *group))
    }
}
