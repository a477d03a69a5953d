//! A whole machine to set things up on: a copy of this one, with systemd, users, nginx and a network of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::app::fixture;
use crate::cli::Output;
use crate::{program, wait};

/// A booted machine. Dropped, it is gone with all its processes and all changes to its files.
#[derive(Debug)]
pub struct Machine {
    /// `unshare`, whose child is the machine's first process and dies with it.
    child: Child,
    init: u32,
    _folder: TempDir,
}

impl Machine {
    /// Boots one; `None` if we are not root, who alone can make its namespaces, or in a container, where root cannot.
    ///
    /// # Panics
    ///
    /// When it does not boot.
    #[must_use]
    pub fn boot() -> Option<Self> {
        if !geteuid().is_root() || !may_make_namespaces() {
            return None;
        }
        let folder =
            tempfile::Builder::new().prefix("nsd-machine-").tempdir_in("/tmp").expect("a folder of its own");
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--uts",
                "--ipc",
                "--net",
                "--cgroup",
                "--kill-child",
                "bash",
            ])
            .arg(fixture("machine.sh"))
            .arg(folder.path())
            .arg(program::root())
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare, of util-linux");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let init =
            wait::found("there is a first process", || first_number(Path::new(&children)), String::new);
        let machine = Self { child, init, _folder: folder };
        let boots = || machine.run("systemctl is-active --quiet basic.target").code == 0;
        wait::until("the machine has booted", boots);
        Some(machine)
    }

    /// A program that is going to run as root in the machine.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([&format!("--target={}", self.init), "--all", "--root", "--wd"])
            .arg(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/root");
        command
    }

    /// Runs a script of bash in the machine that ends at the first command that fails, and after ten minutes in any case:
    /// it may well be a whole chapter.
    ///
    /// # Panics
    ///
    /// When the machine is gone.
    #[must_use]
    pub fn run(&self, script: &str) -> Output {
        let mut timeout = self.command("timeout");
        timeout.args(["600", "bash", "-euo", "pipefail", "-c", script]).stdin(Stdio::null());
        let ended = timeout.output().expect("nsenter, of util-linux");
        Output {
            stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
            code: ended.status.code().unwrap_or(-1),
        }
    }

    /// The same for a script that must succeed: what it prints.
    ///
    /// # Panics
    ///
    /// When it does not, with the journal's last lines.
    pub fn must(&self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(output.code, 0, "{script}\n{output}\n{}", self.journal());
        output.stdout
    }

    /// The processes of a user, sorted, without the one that takes what workers write.
    ///
    /// # Panics
    ///
    /// When the machine is gone.
    #[must_use]
    pub fn processes_of(&self, user: &str) -> Vec<u32> {
        let listed = self.run(&format!("ps --user {user} -o pid=,args="));
        let others = listed.stdout.lines().filter(|line| !line.contains("nodesockd-sink"));
        let mut pids: Vec<u32> =
            others.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    /// The last lines of the journal.
    #[must_use]
    pub fn journal(&self) -> String {
        self.run("journalctl --no-pager --lines=60").stdout
    }

    /// What has the absolute path `inside` there, as this process can reach it.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(self.init.to_string()).join("root").join(inside.trim_start_matches('/'))
    }

    /// Copies a file of the outside into the machine's folder `folder`, which is made if need be.
    ///
    /// # Panics
    ///
    /// When that is not possible.
    pub fn bring(&self, from: &Path, folder: &str) {
        let to = self.path(folder);
        fs::create_dir_all(&to).expect("the machine's files");
        fs::copy(from, to.join(from.file_name().expect("a file"))).expect("a file to copy");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn may_make_namespaces() -> bool {
    let mut attempt = Command::new("unshare");
    attempt
        .args(["--mount", "--pid", "--fork", "--net", "--cgroup", "mount", "-t", "tmpfs", "attempt", "/mnt"]);
    attempt.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn first_number(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}
