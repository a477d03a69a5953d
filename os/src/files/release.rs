//! The real folders behind the names of a release.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nodesockd_core::env_file::{self, EnvFile};
use nodesockd_core::event::Failure;
use nodesockd_core::release::Release;
use rustix::fs::OFlags;

use crate::error::failure;

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
        let text = match read(path) {
            Err(error) if *optional && error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(|error| failure("read envFile", path, error))?,
        };
        let said = env_file::parse(&text);
        all.extend(said.map_err(|error| Failure(format!("envFile {}: {error}", path.display())))?);
    }
    Ok(all)
}

/// Reads a file. A FIFO is refused: the daemon would wait for whoever writes to it.
fn read(path: &Path) -> io::Result<String> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is a FIFO; name a file"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
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

    use rustix::fs::{CWD, FileType, Mode};

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
    fn fifo_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let files = [EnvFile { path, optional: false }];
        std::thread::spawn(move || done.send(variables(&files)));
        let read = is_done.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        assert!(read.unwrap_err().0.contains("FIFO"));
    }
}
