//! The symlink on the way to the working directory, which deploys switch.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nodesockd_core::event::Failure;
use nodesockd_core::release::{Release, ReleaseLink};

use crate::error::failure;
use crate::files::text;

/// Finds the last symlink on the way to the working directory, and what it has to name so that this leads to `folder`.
///
/// # Errors
///
/// There is none, or `folder` does not hold what it has to.
pub(crate) fn find(named: &Release, folder: &Path) -> Result<ReleaseLink, Failure> {
    let dir = &named.dir;
    let is_symlink = |path: &&Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let Some(path) = dir.ancestors().find(is_symlink) else {
        return Err(Failure(format!(
            "no symlink leads to the working directory {}, so there is none to switch; a release that is put in its place \
             is deployed without naming it",
            dir.display()
        )));
    };
    let inside = dir.strip_prefix(path).unwrap_or(Path::new(""));
    let release = folder.canonicalize().map_err(|error| failure("find the release", folder, error))?;
    let new_dir = release.join(inside);
    if !new_dir.is_dir() {
        let shown = new_dir.display();
        return Err(Failure(format!(
            "{shown} is no folder, so {} is no release of this app",
            release.display()
        )));
    }
    let before = fs::read_link(path).map_err(|error| failure("read the symlink", path, error))?;
    let same = path.canonicalize().is_ok_and(|now| now == release);
    let after = if same { before.clone() } else { target(path, &before, release) };
    // The state file has to name both.
    text::of_path(&before)?;
    text::of_path(&after)?;
    Ok(ReleaseLink { path: path.to_owned(), before, after })
}

/// What the symlink names as the way to `release`: a relative one stays relative where that is possible.
fn target(path: &Path, before: &Path, release: PathBuf) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    let inside = folder.and_then(|folder| release.strip_prefix(folder).map(Path::to_owned).ok());
    inside.filter(|_| before.is_relative()).unwrap_or(release)
}

/// Makes the symlink name `to`, by a rename, if it names `from` now; nothing is to be done if it names `to` already.
///
/// # Errors
///
/// It is what it was before.
pub(crate) fn switch(path: &Path, from: &Path, to: &Path) -> Result<(), Failure> {
    let now = fs::read_link(path).map_err(|error| failure("read the symlink", path, error))?;
    if now == to {
        // The daemon that was to switch it has died before that.
        return Ok(());
    }
    if now != from {
        let (path, now, from) = (path.display(), now.display(), from.display());
        return Err(Failure(format!("{path} names {now}, and not {from}: somebody else has switched it")));
    }
    // Whoever removes old releases may have removed the one before. A symlink that leads nowhere is worse than one that names
    // a release which was given up.
    let target = path.with_file_name("").join(to);
    fs::metadata(&target).map_err(|error| failure("find the release", &target, error))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".nodesockd");
    let temporary = path.with_file_name(name);
    let made = match symlink(to, &temporary) {
        // An earlier daemon died before it could rename it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary).and_then(|()| symlink(to, &temporary))
        }
        made => made,
    };
    let renamed = made.and_then(|()| {
        fs::rename(&temporary, path).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
    });
    renamed.map_err(|error| failure("switch the symlink", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two releases with the app in `app`, and `current`, which names the first one.
    fn site(target: impl Fn(&Path) -> PathBuf) -> (tempfile::TempDir, PathBuf, Release) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for number in ["1", "2"] {
            fs::create_dir_all(root.join("releases").join(number).join("app")).unwrap();
        }
        let current = root.join("current");
        symlink(target(&root), &current).unwrap();
        (folder, root, Release { dir: current.join("app"), script_dir: None, env: Vec::new() })
    }

    #[test]
    fn the_symlink_is_switched_and_put_back_as_it_was() {
        for relative in [true, false] {
            let text = |root: &Path, number: &str| {
                let inside = Path::new("releases").join(number);
                if relative { inside } else { root.join(inside) }
            };
            let (_folder, root, named) = site(|root| text(root, "1"));
            let link = find(&named, &root.join("releases/2")).unwrap();
            let expected =
                ReleaseLink { path: root.join("current"), before: text(&root, "1"), after: text(&root, "2") };
            assert_eq!(link, expected);
            switch(&link.path, &link.before, &link.after).unwrap();
            assert_eq!(named.dir.canonicalize().unwrap(), root.join("releases/2/app"));
            switch(&link.path, &link.after, &link.before).unwrap();
            assert_eq!(fs::read_link(&link.path).unwrap(), link.before);
            assert_eq!(fs::read_dir(&root).unwrap().count(), 2, "no temporary symlink is left");
        }
    }

    #[test]
    fn what_the_symlink_names_already_is_nothing_to_switch() {
        let (_folder, root, named) = site(|_| "releases/1/".into());
        let link = find(&named, &root.join("releases/1")).unwrap();
        assert_eq!(link.before, link.after);
    }

    #[test]
    fn what_cannot_be_switched_is_refused() {
        let (_folder, root, named) = site(|root| root.join("releases/1"));
        let refused = |named: &Release, folder: &str| find(named, &root.join(folder)).unwrap_err().0;
        let in_place = Release { dir: root.join("releases/1"), script_dir: None, env: Vec::new() };
        assert!(refused(&in_place, "releases/2").starts_with("no symlink leads to the working directory"));
        assert!(refused(&named, "releases").ends_with("is no release of this app"));
        assert!(refused(&named, "releases/3").contains("releases/3"));
    }

    #[test]
    fn a_symlink_that_somebody_else_has_switched_stays() {
        let (_folder, root, _) = site(|_| "releases/1".into());
        let current = root.join("current");
        let error = switch(&current, Path::new("releases/2"), Path::new("releases/3")).unwrap_err();
        assert!(error.0.contains("somebody else has switched it"), "{error}");
        assert_eq!(fs::read_link(&current).unwrap(), Path::new("releases/1"));
    }

    #[test]
    fn a_symlink_is_not_led_to_a_release_that_was_removed() {
        let (_folder, root, _) = site(|_| "releases/2".into());
        let current = root.join("current");
        fs::remove_dir_all(root.join("releases/1")).unwrap();
        let error = switch(&current, Path::new("releases/2"), Path::new("releases/1")).unwrap_err();
        assert!(error.0.starts_with("cannot find the release"), "{error}");
        assert_eq!(fs::read_link(&current).unwrap(), Path::new("releases/2"));
    }

    #[test]
    fn a_symlink_that_was_never_switched_is_as_good_as_switched_back() {
        let (_folder, root, _) = site(|_| "releases/1".into());
        switch(&root.join("current"), Path::new("releases/2"), Path::new("releases/1")).unwrap();
        assert_eq!(fs::read_link(root.join("current")).unwrap(), Path::new("releases/1"));
    }

    #[test]
    fn what_a_dead_daemon_left_is_no_obstacle() {
        let (_folder, root, _) = site(|_| "releases/1".into());
        symlink("nowhere", root.join(".current.nodesockd")).unwrap();
        switch(&root.join("current"), Path::new("releases/1"), Path::new("releases/2")).unwrap();
        assert_eq!(fs::read_link(root.join("current")).unwrap(), Path::new("releases/2"));
    }
}
