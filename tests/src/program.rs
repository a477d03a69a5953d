//! The program under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The built `nodesockd`.
///
/// It is the one named by `NODESOCKD_BIN`; without that, it is built here, once per test process, into the target folder
/// and for the profile that the running test or bench was built for. (Cargo tells a test the path of its own package's programs
/// only, and locks the target folder itself, so test processes do not get into each other's way.)
///
/// # Panics
///
/// When it does not compile.
pub fn nodesockd() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("NODESOCKD_BIN").map_or_else(|| build(None), PathBuf::from))
}

/// The same program, but for its version, [`NEWER`].
///
/// It is the one named by `NODESOCKD_NEWER_BIN`; without that, it is built here, in a target folder of its own.
///
/// # Panics
///
/// When it does not compile.
pub fn newer() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || build(Some(NEWER));
    PROGRAM.get_or_init(|| std::env::var_os("NODESOCKD_NEWER_BIN").map_or_else(build, PathBuf::from))
}

/// The version of [`newer`].
pub const NEWER: &str = "99.0.0";

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the workspace")
}

/// Copies the built `nodesockd` to where users other than ours can execute it.
///
/// By another process: while this one has a file open for writing, every child that another test starts at that moment
/// has it, too, and the kernel executes no file that somebody may still write to.
///
/// # Panics
///
/// When it cannot be written.
pub fn copy_to(path: &Path) {
    run(Command::new("cp").arg(nodesockd()).arg(path));
}

/// Puts a program at a path, as an installation does: the new one takes the old one's place at once.
///
/// # Panics
///
/// When it cannot be written.
pub fn install(program: &Path, path: &Path) {
    let new = path.with_extension("new");
    run(Command::new("cp").arg(program).arg(&new));
    std::fs::rename(new, path).expect("a folder of the test's own");
}

/// Writes a script that can be executed, in the same way.
///
/// # Panics
///
/// When it cannot be written.
pub fn write_script(path: &Path, text: &str) {
    let write = "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"";
    run(Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(text));
}

fn run(command: &mut Command) {
    let status = command.status().expect("a shell and its tools");
    assert!(status.success(), "{command:?}: {status}");
}

fn build(version: Option<&str>) -> PathBuf {
    // <target>/<profile>/deps/<test>, or without `deps` for a bench
    let test = std::env::current_exe().expect("a program knows where it is");
    let mut folders = test.ancestors().skip(1).skip_while(|folder| folder.ends_with("deps"));
    let folder = folders.next().expect("a program is in a profile's folder");
    let target = folder.parent().expect("a profile's folder is in the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "test",
        Some(name) => name,
    };
    let target = version.map_or_else(|| target.to_owned(), |version| target.join(version));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "nodesockd", "--bin", "nodesockd", "--profile", profile])
        .arg("--target-dir")
        .arg(&target)
        .envs(version.map(|version| ("NODESOCKD_VERSION", version)))
        .current_dir(root())
        .status()
        .expect("Cargo runs");
    assert!(built.success(), "nodesockd does not compile");
    target.join(folder.file_name().expect("a profile's folder")).join("nodesockd")
}
