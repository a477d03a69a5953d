//! Paths, seen from where the loader runs.

use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};

/// What the loader needs to know about where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The working directory: absolute and logical, so that symlinks on the way stay what they are.
    pub cwd: PathBuf,
    /// How many CPUs are usable, for `workers = "auto"`.
    pub cpus: NonZeroU32,
    /// The Node that has started the daemon, if one has: what `node` is by default.
    pub node: Option<String>,
}

/// `path` seen from `folder`. Stays logical: `..` is left for the kernel, which alone knows where symlinks lead.
pub(super) fn join(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

/// `path` with each `..` taken literally: good enough to notice a circle, or that two paths are the same.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// What to call a file: its path from the working directory, if it is inside.
pub(super) fn shown(path: &Path, around: &Surroundings) -> PathBuf {
    path.strip_prefix(&around.cwd).unwrap_or(path).to_owned()
}
