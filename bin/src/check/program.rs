//! What a worker runs: is it there?

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use nodesockd_core::config::Program;
use nodesockd_core::text::escape;
use rustix::fs::{Access, access};
use tokio::process::Command;

use super::Finding;
use crate::external::{ask, find};
use crate::render;

/// The oldest Node that the worker library supports.
const OLDEST_NODE: u32 = 18;

/// How long Node may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

/// `path` is the daemon's `PATH`.
pub(super) async fn look(program: &Program, cwd: &Path, path: &OsStr) -> Vec<Finding> {
    match program {
        Program::Script { node, script, .. } => vec![script_file(script), runtime(node, path, cwd).await],
        Program::Command(argv) => argv.first().map(|name| command(name, path, cwd)).into_iter().collect(),
    }
}

fn script_file(script: &Path) -> Finding {
    let shown = render::path(script);
    match std::fs::metadata(script) {
        Ok(metadata) if metadata.is_file() && access(script, Access::READ_OK).is_ok() => {
            Finding::good(format!("the script {shown} can be read"))
        }
        Ok(metadata) if metadata.is_file() => Finding::bad(
            format!("the script {shown} cannot be read"),
            "give the daemon's user the permission to read it",
        ),
        // Node resolves a folder by its package.json or index.js, and a name by adding `.js`.
        Ok(_) => Finding::good(format!("the script {shown} is a folder; Node looks for its entry point")),
        Err(_) if script.with_extension("js").is_file() => {
            Finding::good(format!("the script {shown} can be read, with its ending `.js`"))
        }
        Err(error) => Finding::bad(
            format!("there is no script {shown}: {error}"),
            "correct `script`, which is relative to the configuration file, or build the app first",
        ),
    }
}

fn command(name: &str, path: &OsStr, cwd: &Path) -> Finding {
    match find(name, path, cwd) {
        Some(path) => Finding::good(format!("the command {} can be executed", render::path(&path))),
        None => not_found(name, "command"),
    }
}

async fn runtime(node: &str, path: &OsStr, cwd: &Path) -> Finding {
    let Some(path) = find(node, path, cwd) else { return not_found(node, "node") };
    let shown = render::path(&path);
    match version(&path).await {
        Ok(version) => match major(&version) {
            Some(major) if major >= OLDEST_NODE => {
                Finding::good(format!("{shown} is Node {}", escape(&version, 40)))
            }
            Some(_) => Finding::bad(
                format!("{shown} is Node {}, which is too old", escape(&version, 40)),
                format!("install Node {OLDEST_NODE} or later, or name another one as `node`"),
            ),
            None => Finding::warning(
                format!("{shown} does not look like Node: `--version` says {}", escape(&version, 40)),
                "for workers that are no Node programs, use `command` instead of `script`",
            ),
        },
        Err(reason) => Finding::bad(
            format!("{shown} does not say its version: {reason}"),
            "try `node --version` as the daemon's user",
        ),
    }
}

fn not_found(name: &str, key: &str) -> Finding {
    Finding::bad(
        format!("`{}` is not found", escape(name, 200)),
        format!("write its whole path as `{key}`: the daemon's PATH may differ from a login's"),
    )
}

/// What `node --version` prints.
async fn version(node: &Path) -> Result<String, String> {
    let answer = ask(Command::new(node).arg("--version"), PATIENCE).await?;
    if answer.status.success() { Ok(answer.stdout.trim().to_owned()) } else { Err(answer.status.to_string()) }
}

/// The first number of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::check::Verdict;

    fn fake_node(dir: &Path, body: &str) -> String {
        let path = dir.join("node");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    #[tokio::test]
    async fn node_has_to_be_there_and_new_enough() {
        let dir = tempfile::tempdir().unwrap();
        let verdict =
            async |body| runtime(&fake_node(dir.path(), body), OsStr::new(""), dir.path()).await.verdict;
        assert_eq!(verdict("echo v20.11.1").await, Verdict::Good);
        assert_eq!(verdict("echo v16.20.2").await, Verdict::Bad);
        assert_eq!(verdict("echo 1.2.3").await, Verdict::Warning);
        assert_eq!(verdict("exit 1").await, Verdict::Bad);
        assert_eq!(runtime("no-such-node", OsStr::new("/bin"), dir.path()).await.verdict, Verdict::Bad);
    }

    #[test]
    fn a_script_may_leave_its_ending_to_node() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("app.js"), "").unwrap();
        assert_eq!(script_file(&dir.path().join("app.js")).verdict, Verdict::Good);
        assert_eq!(script_file(&dir.path().join("app")).verdict, Verdict::Good);
        assert_eq!(script_file(&dir.path().join("other.js")).verdict, Verdict::Bad);
    }

    #[test]
    fn commands_are_looked_up_as_the_kernel_would() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(command("sh", OsStr::new("/usr/bin:/bin"), dir.path()).verdict, Verdict::Good);
        assert_eq!(command("./sh", OsStr::new("/bin"), dir.path()).verdict, Verdict::Bad);
        assert_eq!(command("/", OsStr::new("/bin"), dir.path()).verdict, Verdict::Bad);
    }
}
