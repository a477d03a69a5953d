//! Where this program is installed.

use std::path::{Path, PathBuf};

/// The path at which a newer version of this program appears: the one it was started by, symlinks and all, because deploys
/// switch them. Only where that leads nowhere is it the file that runs.
pub(crate) fn installed(cwd: &Path) -> PathBuf {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let by_name =
        if called.components().count() > 1 { Some(cwd.join(&called)) } else { in_path(&called, cwd) };
    let found = by_name.filter(|path| path.is_file()).or_else(|| std::env::current_exe().ok());
    logical(&found.unwrap_or(called), cwd)
}

/// A program within the app's folder is named as that is: a deploy that switches a symlink on the way brings another one.
pub(crate) fn logical(program: &Path, cwd: &Path) -> PathBuf {
    let physical = std::fs::canonicalize(cwd).unwrap_or_default();
    match program.strip_prefix(physical) {
        Ok(inside) => cwd.join(inside),
        Err(_) => program.to_owned(),
    }
}

fn in_path(name: &Path, cwd: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| cwd.join(folder).join(name)).find(|path| path.is_file())
}
