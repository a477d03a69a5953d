//! What a worker runs: is it there?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_core::config::{Program, RELEASE_PLACEHOLDER};
use nodesockd_core::text::escape;
use nodesockd_os::accounts::Account;
use nodesockd_os::rights::Right;
use rustix::process::geteuid;
use tokio::process::Command;

use super::{Finding, may};
use crate::render;
use crate::setup::external::{ask, find};

/// The oldest Node that the worker library supports.
const OLDEST_NODE: u32 = 18;

/// How long Node may take to say its version.
const NODE_LIMIT: Duration = Duration::from_secs(5);

/// Who runs a program, and where.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    /// The daemon's user.
    pub(crate) account: &'a Account,
    /// The daemon's `PATH`.
    pub(crate) path: &'a OsStr,
    /// The daemon's working directory.
    pub(crate) cwd: &'a Path,
}

pub(crate) async fn look(program: &Program, runner: &Runner<'_>) -> Vec<Finding> {
    match program {
        Program::Script { node, script, .. } => {
            vec![script_file(script, runner.account), runtime(node, runner).await]
        }
        Program::Command(argv) => argv.first().map(|name| command(name, runner)).into_iter().collect(),
    }
}

/// The script, if there is one.
pub(crate) fn script(program: &Program, account: &Account) -> Option<Finding> {
    match program {
        Program::Script { script, .. } => Some(script_file(script, account)),
        Program::Command(_) => None,
    }
}

fn script_file(script: &Path, account: &Account) -> Finding {
    let shown = render::path(script);
    match std::fs::metadata(script) {
        Ok(metadata) if metadata.is_file() && may(account, script, Right::Read) => {
            Finding::good(format!("the script {shown} can be read"))
        }
        Ok(metadata) if metadata.is_file() => Finding::bad(
            format!("the script {shown} cannot be read by {}", render::word(&account.name)),
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

fn command(name: &str, runner: &Runner<'_>) -> Finding {
    // The daemon would run the release that the working directory leads to.
    let name = name.replace(RELEASE_PLACEHOLDER, &runner.cwd.to_string_lossy());
    match runner.find(&name) {
        Some(path) => volta(&path).unwrap_or_else(|| {
            let shim = if is_shim(&path) {
                ": a shim, which becomes the program of the version that is meant in the daemon's working directory"
            } else {
                ""
            };
            Finding::good(format!("the command {} can be executed{shim}", render::path(&path)))
        }),
        None => not_found(&name, "command", runner),
    }
}

/// Whether a program is a stand-in of rbenv, pyenv, nodenv, asdf or mise.
fn is_shim(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("shims"))
}

/// The stand-in of Volta, which starts the program as its child.
fn volta(path: &Path) -> Option<Finding> {
    let real = std::fs::canonicalize(path).ok()?;
    let program = path.file_name()?.to_string_lossy();
    real.ends_with("volta-shim").then(|| {
        Finding::warning(
            format!("{} is a shim of Volta, which stands between the daemon and the app", render::path(path)),
            format!("name the program itself: `volta which {}` says where it is", render::word(&program)),
        )
    })
}

/// Programs that load what `script` needs, and run it by the Node that they find.
fn loader(path: &Path) -> Option<Finding> {
    let name = path.file_name()?.to_str()?;
    let (does, args) = match name {
        "tsx" => ("starts Node as its child, and stays", r#"["--import", "tsx"]"#),
        "ts-node" | "ts-node-script" | "ts-node-transpile-only" => {
            ("is not Node, and its version says nothing of Node's", r#"["--require", "ts-node/register"]"#)
        }
        "ts-node-esm" => ("starts Node as its child, and stays", r#"["--loader", "ts-node/esm"]"#),
        _ => return None,
    };
    Some(Finding::warning(
        format!("{} {does}", render::path(path)),
        format!("leave `node` out, and set `nodeArgs = {args}`"),
    ))
}

async fn runtime(node: &str, runner: &Runner<'_>) -> Finding {
    let Some(path) = runner.find(node) else { return not_found(node, "node", runner) };
    if let Some(finding) = loader(&path).or_else(|| volta(&path)) {
        return finding;
    }
    let shown = render::path(&path);
    match runner.version(&path).await {
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

impl Runner<'_> {
    fn find(&self, name: &str) -> Option<PathBuf> {
        find(name, self.path, self.cwd, |path| may(self.account, path, Right::Execute))
    }

    /// What `node --version` prints. What a configuration names is not to be run as root for somebody else.
    async fn version(&self, node: &Path) -> Result<String, String> {
        let mut command = Command::new(node);
        command.arg("--version");
        if geteuid().is_root() {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        let answer = ask(&mut command, NODE_LIMIT).await?;
        if answer.status.success() {
            Ok(answer.stdout.trim().to_owned())
        } else {
            Err(answer.status.to_string())
        }
    }
}

fn not_found(name: &str, key: &str, runner: &Runner<'_>) -> Finding {
    let shown = render::word(name);
    if name.contains('/') {
        let help = format!("correct `{key}`, or build the app first");
        return Finding::bad(format!("`{shown}` is not found, or cannot be executed"), help);
    }
    Finding::bad(
        format!("`{shown}` is not found in {}", render::word(&runner.path.to_string_lossy())),
        format!("write its whole path as `{key}`: the daemon's PATH may differ from a login's"),
    )
}

/// The first number of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::check::Verdict;

    /// Written by another process: a file that this one has open while another test starts a child cannot be executed.
    fn fake_node(dir: &Path, body: &str) -> String {
        let path = dir.join("node").display().to_string();
        let write = "printf '#!/bin/sh\\n%s\\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
        let written = std::process::Command::new("sh").args(["-c", write, "sh", &path, body]).status();
        assert!(written.unwrap().success());
        path
    }

    #[tokio::test]
    async fn missing_and_old_node_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let account = Account::current();
        let runner = Runner { account: &account, path: OsStr::new("/usr/bin:/bin"), cwd: dir.path() };
        let verdict = async |body| runtime(&fake_node(dir.path(), body), &runner).await.verdict;
        assert_eq!(verdict("echo v20.11.1").await, Verdict::Good);
        assert_eq!(verdict("echo v16.20.2").await, Verdict::Bad);
        assert_eq!(verdict("echo 1.2.3").await, Verdict::Warning);
        assert_eq!(verdict("exit 1").await, Verdict::Bad);
        let missing = runtime("no-such-node", &runner).await;
        assert_eq!(missing.message, "`no-such-node` is not found in /usr/bin:/bin");
    }

    #[tokio::test]
    async fn what_runs_node_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let account = Account::current();
        let runner = Runner { account: &account, path: OsStr::new("/usr/bin:/bin"), cwd: dir.path() };
        let node = fake_node(dir.path(), "echo v10.9.2");
        let named = async |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::rename(&node, &path).unwrap();
            let found = runtime(&path.display().to_string(), &runner).await;
            std::fs::rename(&path, &node).unwrap();
            (found.verdict, found.help.unwrap_or_default())
        };
        for (name, help) in
            [("ts-node", "ts-node/register"), ("tsx", "--import"), ("ts-node-esm", "ts-node/esm")]
        {
            let (verdict, said) = named(name).await;
            assert!(verdict == Verdict::Warning && said.contains(help), "{name}: {said}");
        }
        assert_eq!(named("other").await.0, Verdict::Bad);

        std::fs::rename(&node, dir.path().join("volta-shim")).unwrap();
        std::os::unix::fs::symlink("volta-shim", &node).unwrap();
        let (found, help) = (runtime(&node, &runner).await.verdict, "volta which node");
        assert!(found == Verdict::Warning && command(&node, &runner).help.unwrap().contains(help));
    }

    #[test]
    fn script_ending_may_be_omitted() {
        let dir = tempfile::tempdir().unwrap();
        let verdict = |name| script_file(&dir.path().join(name), &Account::current()).verdict;
        std::fs::write(dir.path().join("app.js"), "").unwrap();
        assert_eq!(verdict("app.js"), Verdict::Good);
        assert_eq!(verdict("app"), Verdict::Good);
        assert_eq!(verdict("other.js"), Verdict::Bad);
    }

    #[test]
    fn command_is_looked_up_in_path() {
        let dir = tempfile::tempdir().unwrap();
        let account = Account::current();
        let runner = Runner { account: &account, path: OsStr::new("/usr/bin:/bin"), cwd: dir.path() };
        assert_eq!(command("sh", &runner).verdict, Verdict::Good);
        assert_eq!(command("./sh", &runner).verdict, Verdict::Bad);
        assert_eq!(command("/", &runner).verdict, Verdict::Bad);
        fake_node(dir.path(), "exit");
        assert_eq!(command("{release}/node", &runner).verdict, Verdict::Good);
        assert_eq!(command("{release}/server", &runner).verdict, Verdict::Bad);
        let shims = dir.path().join("shims");
        std::fs::create_dir(&shims).unwrap();
        fake_node(&shims, "exit");
        assert!(command("shims/node", &runner).message.contains("a shim, which becomes the program"));
    }
}
