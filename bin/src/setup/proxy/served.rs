//! What a daemon serves, and which slots a front names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::{Config, Named, Ready, SocketPattern};
use nodesockd_core::id::SlotIndex;

use crate::render;
use crate::setup::check::Finding;

/// After which a worker with `nodesockd.listen()` closes an idle connection: nginx's 60 s and some more
/// (`node/lib/listen.js`).
pub const WORKER_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What a daemon serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// The folder of links and sockets.
    pub socket_dir: PathBuf,
    /// `socketFile`
    pub socket_file: SocketPattern,
    /// `slots`, or `workers` without it.
    pub slots: u32,
    /// Which of the two it is.
    pub slots_key: &'static str,
    /// `options.shutdownTimeout`
    pub shutdown_timeout: Duration,
    /// After which a worker closes an idle connection.
    pub keep_alive: Duration,
    /// A worker that retires answers what still comes on connections that a front keeps, as `nodesockd.listen()` does.
    /// One that is told by SIGTERM closes them.
    pub answers_kept: bool,
}

/// A server that a front passes requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its socket.
    pub path: &'a Path,
    /// Where the front's configuration names it.
    pub place: String,
}

/// How the configuration of a front speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words {
    /// What the front is called.
    pub(crate) front: &'static str,
    /// What an entry for a slot is called.
    pub(crate) entry: &'static str,
    /// The command that prints all of them.
    pub(crate) command: &'static str,
    /// The entry for a link.
    pub(crate) line: fn(&Path) -> String,
}

impl Served {
    /// By a daemon with this configuration; workers that report use `nodesockd.listen()`.
    #[must_use]
    pub fn by(config: &Config) -> Self {
        Self {
            socket_dir: config.socket_dir.clone(),
            socket_file: config.socket_file.clone(),
            slots: config.links().get(),
            slots_key: config.links_key(),
            shutdown_timeout: config.options.shutdown_timeout,
            keep_alive: WORKER_KEEP_ALIVE,
            answers_kept: config.options.ready == Ready::Report,
        }
    }

    /// What a path names, if that is a name of ours in whatever folder.
    pub(crate) fn named(&self, path: &Path) -> Option<Named> {
        self.socket_file.matches(path.file_name()?.to_str()?)
    }

    /// Whether a path is in the folder of links and sockets, by whichever name.
    fn is_here(&self, path: &Path) -> bool {
        let Some(folder) = path.parent() else { return false };
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        folder == self.socket_dir || real(folder) == real(&self.socket_dir)
    }

    /// Whether a path is that of a link or a socket of this app.
    pub(crate) fn is_ours(&self, path: &Path) -> bool {
        self.is_here(path) && self.named(path).is_some()
    }

    /// The slot whose link a path is.
    pub(crate) fn slot(&self, path: &Path) -> Option<u32> {
        match self.named(path) {
            Some(Named::Link(SlotIndex(slot))) if slot < self.slots && self.is_here(path) => Some(slot),
            Some(Named::Link(_) | Named::Socket(_) | Named::TemporaryLink) | None => None,
        }
    }

    fn link(&self, slot: u32) -> PathBuf {
        self.socket_dir.join(self.socket_file.link(SlotIndex(slot)))
    }

    /// Is every slot named by `entries` of `group`, and nothing else?
    pub(crate) fn differences(&self, group: &str, entries: &[Entry<'_>], words: &Words) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            entries.iter().filter_map(|entry| self.stranger(entry, words)).collect();
        let named: BTreeSet<u32> = entries.iter().filter_map(|entry| self.slot(entry.path)).collect();
        let missing: Vec<u32> = (0..self.slots).filter(|slot| !named.contains(slot)).collect();
        if let Some(first) = missing.first() {
            let slots: Vec<String> = missing.iter().map(u32::to_string).collect();
            let (noun, verb, more) =
                if missing.len() == 1 { ("slot", "gets", "") } else { ("slots", "get", ", and so on") };
            findings.push(Finding::bad(
                format!("{group} does not name {noun} {}, which {verb} no requests", slots.join(", ")),
                format!(
                    "add `{}`{more}; `{}` prints it all",
                    (words.line)(&self.link(*first)),
                    words.command
                ),
            ));
        }
        findings
    }

    /// What is wrong with an entry that is no slot's.
    fn stranger(&self, Entry { path, place }: &Entry<'_>, words: &Words) -> Option<Finding> {
        let Words { front, entry, .. } = words;
        let shown = render::path(path);
        if !self.is_here(path) {
            let folder = render::path(&self.socket_dir);
            return Some(Finding::bad(
                format!("{place}: {shown} is not in {folder}, where the links are"),
                format!("correct the path, or remove this {entry}"),
            ));
        }
        match self.named(path) {
            Some(Named::Link(SlotIndex(slot))) if slot < self.slots => None,
            Some(Named::Link(SlotIndex(slot))) => Some(Finding::bad(
                format!(
                    "{place}: {front} tries slot {slot}, but `{}` is {}, so there are slots 0 to {} only",
                    self.slots_key,
                    self.slots,
                    self.slots - 1
                ),
                format!("remove this {entry}, or raise `{}`", self.slots_key),
            )),
            Some(Named::Socket(_) | Named::TemporaryLink) | None => Some(Finding::bad(
                format!("{place}: {shown} is no slot's link: it ends with its worker"),
                format!("name the link: `{}`", (words.line)(&self.link(0))),
            )),
        }
    }
}
