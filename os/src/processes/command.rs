//! Commands of deploys, and the one that is run for events.
//!
//! A migration must not notice that the daemon dies: what it writes goes to a file, which the daemon reads as it grows. A pipe would
//! break under it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::action::{CommandOrder, CommandSignal, HookOrder};
use nodesockd_core::event::{ExitStatus, Failure};
use nodesockd_core::id::Process;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{FallocateFlags, MemfdFlags, OFlags, fallocate};
use rustix::process::{Pid, Signal, getpid, kill_process_group};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::clock;
use crate::error::failure;
use crate::files::own;
use crate::peers::session::Fact;
use crate::processes::children::{self, Stat};
use crate::processes::descriptors;
use crate::processes::pidfd::Pidfd;
use crate::processes::spawn::{self, Variables};
use crate::processes::survivors;
use crate::readable::register;

/// A line that is longer comes in pieces.
const LINE: usize = 4096;
/// So many lines are told at once, at most.
const LINES: usize = 64;
/// So much is read at once.
const CHUNK: usize = 64 << 10;
/// At least so much of the end of the output stays in the file; what comes before that need not take up space.
const KEPT: u64 = 16 << 20;
/// Where the kernel does not tell that the file grows, it is read so often.
const PAUSE: Duration = Duration::from_secs(1);

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A deploy.
    Deploy,
    /// `options.onEvent`.
    Hook,
}

impl Purpose {
    fn words(self) -> &'static str {
        match self {
            Self::Deploy => "a migration",
            Self::Hook => "the command of options.onEvent",
        }
    }

    fn wrote(self, process: Process, lines: Vec<String>) -> Event {
        match self {
            Self::Deploy => Event::CommandWrote { process, lines },
            Self::Hook => Event::HookWrote { process, lines },
        }
    }

    fn ended(self, process: Process, status: ExitStatus) -> Event {
        match self {
            Self::Deploy => Event::CommandEnded { process, status },
            Self::Hook => Event::HookEnded { process, status },
        }
    }
}

/// A command that has not been collected.
#[derive(Debug)]
pub(crate) struct Running {
    purpose: Purpose,
    pid: Pid,
    process: Process,
    pidfd: Pidfd,
    /// It is a child of this process, not one that an earlier daemon has started.
    child: bool,
    /// It was started by this program.
    ours: bool,
}

impl Running {
    /// Starts a command, whose output goes to `file`.
    pub(crate) fn start(order: &CommandOrder, file: &Path) -> Result<Self, Failure> {
        let environment = spawn::environment(&Variables {
            cwd: &order.cwd,
            pass: &order.pass,
            set: &order.set,
            env_files: &order.env_files,
            overrides: &order.overrides,
        })?;
        let argv = ["sh".to_owned(), "-c".to_owned(), order.command.clone()];
        Self::spawn(Purpose::Deploy, &argv, environment, &order.cwd, Stdio::null(), file)
    }

    /// Starts the command of `options.onEvent`, with a line as its input.
    pub(crate) fn start_hook(order: &HookOrder, file: &Path) -> Result<Self, Failure> {
        let environment = spawn::environment(&Variables {
            cwd: &order.cwd,
            pass: &order.pass,
            set: &order.set,
            env_files: &[],
            overrides: &[],
        })?;
        let line = format!("{}\n", order.occurrence.told(order.seq, clock::wall_ms).get());
        let input = own::in_memory("event", line.as_bytes(), MemfdFlags::empty())
            .map_err(|error| Failure(format!("cannot make its input: {error}")))?;
        Self::spawn(Purpose::Hook, &order.argv, environment, &order.cwd, input.into(), file)
    }

    fn spawn(
        purpose: Purpose,
        argv: &[String],
        environment: BTreeMap<OsString, OsString>,
        cwd: &Path,
        input: Stdio,
        file: &Path,
    ) -> Result<Self, Failure> {
        let (program, arguments) = argv.split_first().ok_or_else(|| Failure("there is no program".into()))?;
        let output = create(file).map_err(|error| failure("create", file, error))?;
        let again = output.try_clone().map_err(|error| failure("open", file, error))?;
        let path = environment.get(OsStr::new("PATH")).cloned().unwrap_or_else(|| OsString::from("/bin"));
        let mut command = Command::new(spawn::look_up(program, &path, cwd)?);
        command.arg0(program).args(arguments).current_dir(cwd).process_group(0);
        command.env_clear().envs(environment);
        command.stdin(input).stdout(output).stderr(again);
        let mut workers = children::workers();
        let child = command.spawn().map_err(|error| spawn::explain(program, cwd, &error))?;
        let (pid, process, pidfd) = spawn::take_hold(program, &child)?;
        descriptors::give(pid);
        workers.insert(pid);
        Ok(Self { purpose, pid, process, pidfd, child: true, ours: true })
    }

    /// Takes hold of a command that an earlier daemon has started, or an earlier program of this process.
    pub(crate) fn adopt(purpose: Purpose, process: Process) -> Option<Self> {
        let (pid, pidfd) = survivors::open(process).ok()?;
        let parent = Stat::of(pid).and_then(|stat| stat.parent);
        let child = parent == Some(getpid());
        if child {
            children::workers().insert(pid);
        }
        Some(Self { purpose, pid, process, pidfd, child, ours: false })
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Sends a signal to the process group.
    pub(crate) fn signal(&self, signal: CommandSignal) {
        let signal = match signal {
            CommandSignal::Terminate => Signal::TERM,
            CommandSignal::Kill => Signal::KILL,
        };
        if !self.child {
            // Nobody keeps the number of its group from being another's once it has ended.
            return signal_group(self.pid, signal);
        }
        // Held, so that the process is not collected meanwhile.
        let uncollected = children::workers();
        if uncollected.contains(&self.pid)
            && let Err(error) = kill_process_group(self.pid, signal)
        {
            let what = self.purpose.words();
            tracing::warn!("cannot send {signal:?} to the process group of {what}: {error}");
        }
    }

    /// Tells what the command writes to `file`, and then its end.
    pub(crate) fn follow(&self, file: &Path, facts: mpsc::Sender<Fact>) -> impl Future<Output = ()> + use<> {
        let (pid, process, pidfd, child) = (self.pid, self.process, self.pidfd.clone(), self.child);
        let purpose = self.purpose;
        let tail = Tail::of(file, self.ours);
        async move {
            let mut tail = tail
                .inspect_err(|error| tracing::warn!("cannot read what {} writes: {error}", purpose.words()))
                .ok();
            let status = loop {
                tokio::select! {
                    biased;
                    status = pidfd.exited() => break status,
                    () = grows(tail.as_mut()) => tell(tail.as_mut(), purpose, process, &facts).await,
                }
            };
            let status = if child { status } else { ExitStatus::Unknown };
            if child {
                let _ = kill_process_group(pid, Signal::KILL);
                let mut workers = children::workers();
                pidfd.collect();
                workers.remove(&pid);
                // It looks at the same table.
                drop(workers);
                children::collect_orphans();
            }
            tell(tail.as_mut(), purpose, process, &facts).await;
            let rest = tail.as_mut().map(Tail::rest).unwrap_or_default();
            if !rest.is_empty() {
                let _ = facts.send(Fact::Event(purpose.wrote(process, rest))).await;
            }
            let _ = facts.send(Fact::Event(purpose.ended(process, status))).await;
        }
    }
}

/// Sends a signal to each process of a group.
fn signal_group(leader: Pid, signal: Signal) {
    let is_of_group = |pid: Pid| Stat::of(pid).is_some_and(|stat| stat.group == Some(leader));
    for pid in survivors::pids().filter(|pid| is_of_group(*pid)) {
        // Looked at again by a name that stays its own.
        if let Ok(process) = Pidfd::open(pid)
            && is_of_group(pid)
        {
            process.signal(signal);
        }
    }
}

/// The leader of the process group whose output goes to `file`: a command that an earlier daemon has started, and did not live to write down.
pub(crate) fn find(file: &Path) -> Option<Process> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let wanted = identity(file)?;
    let output = |pid: Pid| PathBuf::from(format!("/proc/{}/fd/1", pid.as_raw_nonzero()));
    let mut writers = survivors::pids().filter(|pid| identity(&output(*pid)) == Some(wanted));
    let leader = writers.find_map(|pid| Stat::of(pid)?.group)?;
    Some(Process { pid: leader.as_raw_nonzero().get().cast_unsigned(), started: children::started(leader)? })
}

/// An empty file in the place of what there is by that name, for its user only.
fn create(path: &Path) -> io::Result<File> {
    std::fs::remove_file(path).or_else(own::absent)?;
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

async fn grows(tail: Option<&mut Tail>) {
    match tail {
        Some(tail) => tail.grows().await,
        None => std::future::pending().await,
    }
}

/// Tells all complete lines that there are by now. What is written meanwhile has to wait: whoever writes all the time may not keep
/// the end of the command from being noticed.
async fn tell(tail: Option<&mut Tail>, purpose: Purpose, process: Process, facts: &mpsc::Sender<Fact>) {
    let Some(tail) = tail else { return };
    let end = tail.file.metadata().map_or(u64::MAX, |found| found.len());
    loop {
        match tail.read(end) {
            Ok(lines) if lines.is_empty() => return,
            Ok(lines) => {
                for lines in lines.chunks(LINES) {
                    let _ = facts.send(Fact::Event(purpose.wrote(process, lines.to_vec()))).await;
                }
            }
            Err(error) => {
                return tracing::warn!("cannot read what {} has written: {error}", purpose.words());
            }
        }
    }
}

/// A file that is read as it grows.
struct Tail {
    file: File,
    /// Where reading goes on.
    at: u64,
    /// Up to here the file takes up no space any more.
    freed: u64,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Tells when it grows; nothing where the kernel does not.
    changes: Option<AsyncFd<OwnedFd>>,
}

impl Tail {
    /// From the beginning of the file, or from its present end.
    fn of(path: &Path, from_beginning: bool) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let mut file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        let at = if from_beginning { 0 } else { file.seek(SeekFrom::End(0))? };
        let changes = watch(path).inspect_err(|error| tracing::debug!("{}: {error}", path.display())).ok();
        Ok(Self { file, at, freed: at, begun: Vec::new(), changes })
    }

    async fn grows(&mut self) {
        let Some(changes) = &self.changes else { return tokio::time::sleep(PAUSE).await };
        let Ok(mut ready) = changes.readable().await else { return std::future::pending().await };
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(changes.get_ref(), &mut buffer);
        while reader.next().is_ok() {}
        ready.clear_ready();
    }

    /// The lines before `end` that have become complete, as far as they are read at once; none: the end is reached.
    fn read(&mut self, end: u64) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while lines.is_empty() {
            let most = usize::try_from(end.saturating_sub(self.at)).unwrap_or(CHUNK).min(CHUNK);
            let count = self.file.read_at(&mut chunk[..most], self.at)?;
            if count == 0 {
                break;
            }
            self.at += count as u64;
            self.split(&chunk[..count], &mut lines);
        }
        self.free();
        Ok(lines)
    }

    fn split(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for byte in bytes {
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
            if *byte == b'\n' || self.begun.len() >= LINE {
                lines.push(text(&std::mem::take(&mut self.begun)));
            }
        }
    }

    /// A last line that has no end.
    fn rest(&mut self) -> Vec<String> {
        let begun = std::mem::take(&mut self.begun);
        if begun.is_empty() { Vec::new() } else { vec![text(&begun)] }
    }

    /// What was told long ago takes up no more space.
    fn free(&mut self) {
        let until = self.at.saturating_sub(KEPT);
        if until < self.freed + KEPT {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // A file system that cannot do that keeps it all.
        let _ = fallocate(&self.file, flags, self.freed, until - self.freed);
        self.freed = until;
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

fn watch(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&inotify, path, WatchFlags::MODIFY)?;
    register(inotify)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn output_that_grows_while_it_is_told_is_not_told_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut output = create(&path).unwrap();
        // More than is told at once, so that there is something to wait for.
        let lines = "line\n".repeat(3 * LINES);
        output.write_all(lines.as_bytes()).unwrap();
        let mut tail = Tail::of(&path, true).unwrap();
        let (facts, mut inbox) = mpsc::channel(1);
        let grows = async {
            while inbox.recv().await.is_some() {
                output.write_all(lines.as_bytes()).unwrap();
            }
        };
        let process = Process { pid: 1, started: 1 };
        let told = async {
            tokio::select! {
                () = tell(Some(&mut tail), Purpose::Deploy, process, &facts) => {}
                () = grows => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
        assert_eq!(tail.at, lines.len() as u64);
    }
}
