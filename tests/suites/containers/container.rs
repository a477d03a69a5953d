//! A container that runs: namespaces of its own, the root file system of an image, and a command as process 1.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nodesockd_tests::{Cgroup, Output, Process, app, wait};

use crate::compose::Service;
use crate::host::{Host, child_of};
use crate::image::Image;

/// Where the memory controller of version 1 is.
const MEMORY_1: &str = "/sys/fs/cgroup/memory";

#[derive(Debug)]
pub struct Container {
    name: String,
    child: Child,
    /// Its first process; none if it ended before anybody looked.
    init: Option<Process>,
    setpriv: Vec<String>,
    log: PathBuf,
    grace: Duration,
    health: Option<Vec<String>>,
    environment: Vec<String>,
    memory: Option<Cgroup>,
}

/// How a container came to its end.
#[derive(Debug)]
pub struct Ended {
    /// Whether it was still there when its grace time was over.
    pub killed: bool,
    pub status: ExitStatus,
}

impl Container {
    /// Runs the image's command, or another one, as a service says. `volumes` finds what is mounted.
    pub fn run(
        host: &Host,
        image: &Image,
        service: &Service,
        command: &[String],
        volumes: impl Fn(&str) -> PathBuf,
    ) -> Self {
        let log = host.folder("logs").join(format!("{}.{}.log", service.name, next()));
        let memory = service.memory.and_then(Cgroup::new);
        let mut run = within(memory.as_ref(), host.command("unshare"));
        run.args(["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child"]);
        let version_1 = memory.as_ref().is_none_or(|group| group.folder().starts_with(MEMORY_1));
        // Docker's default.
        if !version_1 {
            run.arg("--cgroup");
        }
        run.arg("bash").arg(app::fixture("container.sh")).arg(&image.root);
        run.arg(service.hostname.as_ref().unwrap_or(&service.name));
        run.arg(if service.read_only { "ro" } else { "rw" });
        for (what, to, read_only) in &service.mounts {
            run.arg("--bind").args([volumes(what)]).args([to.as_str(), if *read_only { "ro" } else { "rw" }]);
        }
        for to in &service.tmpfs {
            run.args(["--tmpfs", to, "mode=1777"]);
        }
        if let Some(group) = &memory {
            run.arg("--cgroup").arg(group.folder()).arg(if version_1 { MEMORY_1 } else { "/sys/fs/cgroup" });
        }
        let setpriv = setpriv(service, service.user.as_ref().unwrap_or(&image.user));
        let workdir = service.working_dir.as_ref().unwrap_or(&image.workdir);
        let environment = environment(service);
        run.args(["--", "env", "-i", "-C", workdir]).args(&environment).args(&setpriv).args(command);
        let output = File::create(&log).unwrap();
        run.stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = run.spawn().unwrap();
        let init = wait::found(
            "the container has a first process, or has ended",
            || {
                if child.try_wait().unwrap().is_some() {
                    return Some(None);
                }
                // nsenter, unshare, and what that has started.
                Process::of(child_of(child_of(child.id())?)?).map(Some)
            },
            String::new,
        );
        let (grace, health) = (service.grace, service.health.clone());
        let name = service.name.clone();
        Self { name, child, init, setpriv, log, grace, health, environment, memory }
    }

    /// The name of its service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its first process, as this machine sees it.
    pub fn init(&self) -> Process {
        self.init.unwrap_or_else(|| panic!("it has ended: {}", self.log()))
    }

    /// What it has written.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Runs a command in it as its user: `docker exec`, or a probe.
    pub fn exec<S: AsRef<str>>(&self, words: &[S]) -> Output {
        let mut command = self.enter();
        command.args(["env", "-i"]).args(&self.environment).args(&self.setpriv);
        let output = command.args(words.iter().map(AsRef::as_ref)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// The same for a command that has to succeed.
    pub fn must<S: AsRef<str>>(&self, words: &[S]) -> Output {
        let output = self.exec(words);
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        assert_eq!(output.code, 0, "{words:?}: {output}\n{}", self.log());
        output
    }

    /// Waits until the check of the compose file finds it healthy.
    pub fn healthy(&self) {
        let check = self.health.as_ref().unwrap();
        wait::found(
            "the container is healthy",
            || (self.exec(check).code == 0).then_some(()),
            || format!("{}\n{}", self.exec(check), self.log()),
        );
    }

    /// Publishes a port of it as a unix socket: `socat` does what the engine's proxy does.
    pub fn publish(&self, port: u16, socket: &Path) -> Published {
        let mut socat = Command::new("nsenter");
        socat.arg(format!("--net=/proc/{}/ns/net", self.init().pid)).arg("socat");
        socat.arg(format!("UNIX-LISTEN:{},fork,backlog=1024", socket.display()));
        // It complains of each connection that it cannot make yet.
        let child = socat.arg(format!("TCP4:127.0.0.1:{port}")).stderr(Stdio::null()).spawn().unwrap();
        wait::until("the port is published", || socket.exists());
        Published(child)
    }

    /// Whether its memory is limited.
    pub fn is_limited(&self) -> bool {
        self.memory.is_some()
    }

    /// Sends its first process a signal.
    pub fn signal(&self, signal: Signal) {
        self.init().signal(signal);
    }

    /// Waits for its end, and kills it when its grace time is over: what `docker stop` does after its signal.
    pub fn ended(&mut self) -> Ended {
        let begun = Instant::now();
        let mut killed = false;
        let status = wait::found(
            "the container has ended",
            || {
                if !killed && begun.elapsed() > self.grace && self.is_alive() {
                    killed = true;
                    self.signal(Signal::SIGKILL);
                }
                self.child.try_wait().unwrap()
            },
            String::new,
        );
        Ended { killed, status }
    }

    /// `docker stop`.
    pub fn stop(&mut self, signal: Signal) -> Ended {
        self.signal(signal);
        self.ended()
    }

    fn is_alive(&self) -> bool {
        self.init.is_some_and(Process::is_alive)
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init().pid));
        command.args(["--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wd"]);
        command
    }
}

impl Ended {
    /// The exit code, if it has ended by itself.
    pub fn code(&self) -> Option<i32> {
        if self.killed || self.status.signal().is_some() { None } else { self.status.code() }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.is_alive() {
            self.signal(Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Has a command run in a control group.
fn within(group: Option<&Cgroup>, command: Command) -> Command {
    let Some(group) = group else { return command };
    let mut joining = Command::new("sh");
    joining.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(group.members());
    joining.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    joining
}

/// A port that is published. Dropped, it is no more.
#[derive(Debug)]
pub struct Published(Child);

impl Drop for Published {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What takes the rights away that a service does not have.
fn setpriv(service: &Service, user: &str) -> Vec<String> {
    let (uid, gid) = user.split_once(':').unwrap();
    let mut words = vec!["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}")];
    words.push("--clear-groups".to_owned());
    if service.drops_all {
        words.extend(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"].map(str::to_owned));
    }
    if service.no_new_privileges {
        words.push("--no-new-privs".to_owned());
    }
    words
}

/// As an engine sets it.
fn environment(service: &Service) -> Vec<String> {
    let host = service.hostname.as_ref().unwrap_or(&service.name);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    let own = service.environment.iter().map(|(name, value)| format!("{name}={value}"));
    [path, format!("HOSTNAME={host}"), "HOME=/".to_owned()].into_iter().chain(own).collect()
}

/// A number that nobody else gets.
fn next() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Relaxed)
}
