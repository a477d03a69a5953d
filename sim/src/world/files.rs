//! `tmpDir`: names, links and sockets.

use std::collections::BTreeMap;

use nodesockd_core::config::{SocketPattern, Symlinks};

use super::process::Worker;
use crate::scenario::TMP_DIR;

/// What a name in `tmpDir` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A symlink, with its target as it was written.
    Link(String),
    /// A socket; the worker that bound it, if one of this history did.
    Socket(Option<Worker>),
    /// A socket that the daemon bound.
    Ours,
    /// Something else.
    Plain,
}

/// The directory.
#[derive(Debug, Default)]
pub(crate) struct Files {
    entries: BTreeMap<String, Entry>,
}

impl Files {
    /// What earlier daemons, or strangers, left: sockets nobody listens on, links to nowhere, other files.
    pub fn left(names: &[String], pattern: &SocketPattern) -> Self {
        let entry = |name: &str| match pattern.matches(name) {
            Some(nodesockd_core::config::Named::Socket(_)) => Entry::Socket(None),
            Some(_) => Entry::Link("gone.sock".into()),
            None => Entry::Plain,
        };
        Self { entries: names.iter().map(|name| (name.clone(), entry(name))).collect() }
    }

    /// Binds a socket; false if the name is taken.
    pub fn bind(&mut self, name: &str, worker: Worker) -> bool {
        if self.entries.contains_key(name) {
            return false;
        }
        self.entries.insert(name.to_owned(), Entry::Socket(Some(worker)));
        true
    }

    /// The daemon binds a socket.
    pub fn bind_ours(&mut self, name: &str) {
        self.entries.insert(name.to_owned(), Entry::Ours);
    }

    pub fn link(&mut self, name: &str, socket: &str, symlinks: Symlinks) {
        let target = match symlinks {
            Symlinks::Relative => socket.to_owned(),
            Symlinks::Absolute => format!("{TMP_DIR}/{socket}"),
        };
        self.entries.insert(name.to_owned(), Entry::Link(target));
    }

    /// Somebody else makes a file.
    pub fn put(&mut self, name: &str, entry: Entry) {
        self.entries.insert(name.to_owned(), entry);
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn remove(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// The name that a link's target has in `tmpDir`.
    pub fn target(&self, link: &str) -> Option<&str> {
        match self.entries.get(link)? {
            Entry::Link(target) => {
                Some(target.strip_prefix(TMP_DIR).and_then(|name| name.strip_prefix('/')).unwrap_or(target))
            }
            Entry::Socket(_) | Entry::Ours | Entry::Plain => None,
        }
    }

    /// The worker whose socket a link leads to, dead or alive; none if the target is no worker's socket.
    pub fn follow(&self, link: &str) -> Option<Worker> {
        match self.entries.get(self.target(link)?)? {
            Entry::Socket(worker) => *worker,
            Entry::Link(_) | Entry::Ours | Entry::Plain => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}
