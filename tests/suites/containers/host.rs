//! A machine that runs containers: namespaces of its own, in which volumes are mounted. All of it goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nodesockd_tests::wait;
use tempfile::TempDir;

#[derive(Debug)]
pub struct Host {
    child: Child,
    /// The first process of its namespaces.
    init: u32,
    folder: TempDir,
}

impl Host {
    /// `None` if we are not root, who alone can make its namespaces, or in a container, where root cannot.
    pub fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("nsd-host-").tempdir_in("/tmp").unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity"]);
        let mut child = unshare.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let init = wait::found(
            "there is a first process, or none",
            || {
                let ended = child.try_wait().unwrap().map(|_| None);
                ended.or_else(|| child_of(child.id()).map(Some))
            },
            String::new,
        )?;
        let host = Self { child, init, folder };
        let sleeps = || fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|name| name == "sleep\n");
        wait::until("the first process is what it is to be", sleeps);
        Some(host)
    }

    /// A program that is going to run as root on it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init)).args(["--mount", "--pid", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command that has to succeed.
    pub fn must(&self, words: &[&str]) {
        let output = self.command(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A folder on it, which is made if need be.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
        }
        folder
    }

    /// A volume in memory, mounted with these options.
    pub fn volume(&self, name: &str, options: &str) -> PathBuf {
        let folder = self.folder(name);
        self.must(&["mount", "-t", "tmpfs", "-o", options, name, folder.to_str().unwrap()]);
        folder
    }

    /// What has this path on it, as this process can reach it.
    pub fn reach(&self, path: &Path) -> PathBuf {
        Path::new("/proc").join(self.init.to_string()).join("root").join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The only child of a process.
pub fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
