//! The real folders behind the names of a release.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nodesockd_core::env_file::{self, EnvFile};
use nodesockd_core::event::Failure;
use nodesockd_core::release::Release;

use crate::error::failure;
use crate::files::text;

/// Resolves the symlinks on the way to the folders of `named` (`realpath(3)`), and reads the files of variables.
///
/// # Errors
///
/// One of them does not exist, or cannot be reached or read, or does not say what such a file can say.
pub fn locate(named: &Release, env_files: &[EnvFile]) -> Result<Release, Failure> {
    let script_dir = named.script_dir.as_deref().map(real).transpose()?;
    Ok(Release { dir: real(&named.dir)?, script_dir, env: variables(env_files)? })
}

/// What files of variables say together: names and values, of which the last of a name counts.
///
/// # Errors
///
/// One that has to be there is not, one cannot be read, or one does not say what such a file can say.
pub(crate) fn variables(files: &[EnvFile]) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for EnvFile { path, optional } in files {
        let text = match text::read(path) {
            Err(error) if *optional && error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(|error| failure("read envFile", path, error))?,
        };
        let said = env_file::parse(&text);
        all.extend(said.map_err(|error| Failure(format!("envFile {}: {error}", path.display())))?);
    }
    Ok(all)
}

/// The real folder. One whose path is no text is refused: no state file could name it.
fn real(folder: &Path) -> Result<PathBuf, Failure> {
    let real = folder.canonicalize().map_err(|error| failure("resolve the folder", folder, error))?;
    text::of_path(&real)?;
    Ok(real)
}

/// Whether the folders of a release exist. One that cannot be seen is taken to exist.
pub(crate) fn exists(release: &Release) -> bool {
    let folders = [Some(&release.dir), release.script_dir.as_ref()];
    folders.into_iter().flatten().all(|folder| folder.try_exists().unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
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
        let named = Release { dir: current.clone(), script_dir: None, env: Vec::new() };
        let first = locate(&named, &[]).unwrap();
        assert_eq!(first.dir, root.join("1"));

        fs::remove_file(&current).unwrap();
        symlink("2", &current).unwrap();
        assert_eq!(locate(&named, &[]).unwrap().dir, root.join("2"));
        assert!(exists(&first));
        fs::remove_dir(root.join("1")).unwrap();
        assert!(!exists(&first));
        fs::remove_dir(root.join("2")).unwrap();
        assert!(locate(&named, &[]).unwrap_err().0.contains("current"));
    }

    #[test]
    fn files_of_variables_are_read_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, optional| EnvFile { path: folder.path().join(name), optional };
        fs::write(folder.path().join("a"), "A=1\nB=1\n").unwrap();
        fs::write(folder.path().join("b"), "B=2\n").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let all = variables(&[file("a", false), file("none", true), file("b", false)]).unwrap();
        assert_eq!(all, [pair("A", "1"), pair("B", "1"), pair("B", "2")]);

        let missing = variables(&[file("none", false)]).unwrap_err().0;
        assert!(missing.contains("envFile") && missing.contains("none"), "{missing}");
        fs::write(folder.path().join("b"), "A=1\nB").unwrap();
        assert!(variables(&[file("b", true)]).unwrap_err().0.ends_with("b: line 2 has no `=`: B"));
    }

    #[test]
    fn folder_whose_path_is_no_text_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(OsStr::from_bytes(b"42\xff"));
        fs::create_dir(&folder).unwrap();
        let current = root.path().join("current");
        symlink(&folder, &current).unwrap();
        let named = Release { dir: current, script_dir: None, env: Vec::new() };
        let Failure(words) = locate(&named, &[]).unwrap_err();
        assert!(words.ends_with("is no UTF-8; rename it"), "{words}");
    }
}
