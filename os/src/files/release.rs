//! The real folders behind the names of a release.

use std::path::{Path, PathBuf};

use nodesockd_core::event::Failure;
use nodesockd_core::release::Release;

use crate::error::failure;

/// Resolves the symlinks on the way to the folders of `named` (`realpath(3)`).
///
/// # Errors
///
/// One of them does not exist, or cannot be reached.
pub fn locate(named: &Release) -> Result<Release, Failure> {
    let script_dir = named.script_dir.as_deref().map(real).transpose()?;
    Ok(Release { dir: real(&named.dir)?, script_dir })
}

fn real(folder: &Path) -> Result<PathBuf, Failure> {
    folder.canonicalize().map_err(|error| failure("resolve the folder", folder, error))
}

/// Whether the folders of a release exist. One that cannot be seen is taken to exist.
pub(crate) fn exists(release: &Release) -> bool {
    let folders = [Some(&release.dir), release.script_dir.as_ref()];
    folders.into_iter().flatten().all(|folder| folder.try_exists().unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_release_stays_what_it_was_when_the_symlink_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for number in ["1", "2"] {
            fs::create_dir(root.join(number)).unwrap();
        }
        let current = root.join("current");
        symlink("1", &current).unwrap();
        let named = Release { dir: current.clone(), script_dir: None };
        let first = locate(&named).unwrap();
        assert_eq!(first.dir, root.join("1"));

        fs::remove_file(&current).unwrap();
        symlink("2", &current).unwrap();
        assert_eq!(locate(&named).unwrap().dir, root.join("2"));
        assert!(exists(&first));
        fs::remove_dir(root.join("1")).unwrap();
        assert!(!exists(&first));
        fs::remove_dir(root.join("2")).unwrap();
        assert!(locate(&named).unwrap_err().0.contains("current"));
    }
}
