//! The daemon's side of the sink.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nodesockd_core::Event;
use nodesockd_core::action::{Destination, Route, Stream};
use nodesockd_core::config::{Companion, Log, Output};
use nodesockd_core::event::Failure;
use nodesockd_core::id::{SlotIndex, WorkerId};
use rustix::fs::{Mode, OFlags, open};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, socketpair};
use rustix::process::{Pid, Signal, geteuid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::process::NAME;
use super::wire::{FromSink, Packet, Pipe, Received, ToSink, receive};
use crate::error::failure;
use crate::files::logs::Logs;
use crate::handoff::fds::{FdCollector, PipeFds};
use crate::peers::session::{Fact, SinkWord};
use crate::processes::children;
use crate::processes::pidfd::Pidfd;
use crate::processes::spawn::OURSELVES;
use crate::readable::register_for;

/// What the sink has said, or that it is gone.
#[derive(Debug)]
pub(crate) enum Word {
    Said(FromSink, Option<OwnedFd>),
    Gone(Failure),
}

impl Word {
    /// Nothing more has to be waited for at the end.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Said(FromSink::Finished, _) | Self::Gone(_))
    }
}

/// Finds the sink or starts it, and keeps copies of all pipes.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    /// The reading ends of pipes that have not ended.
    pipes: BTreeMap<Pipe, OwnedFd>,
    sink: Option<Connected>,
}

/// A sink that is there.
#[derive(Debug)]
struct Connected {
    outgoing: mpsc::UnboundedSender<Packet>,
    process: Option<Pidfd>,
    /// That of its program.
    version: String,
    /// Pipes that it said it reads, until it has said all; from then on it is told of every pipe.
    greeting: Option<Vec<Pipe>>,
}

impl Keeper {
    /// The sink of the daemon whose control socket is `ipc_file`.
    pub(crate) fn beside(ipc_file: &Path) -> Self {
        Self { path: Companion::Sink.path(ipc_file), pipes: BTreeMap::new(), sink: None }
    }

    /// Pipes of an earlier program of this process.
    pub(crate) fn take_over(&mut self, pipes: Vec<PipeFds>) {
        self.pipes.extend(pipes.into_iter().map(|PipeFds { pipe, end }| (pipe, end.open())));
    }

    /// What the next program gets. It finds the sink by itself.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> Vec<PipeFds> {
        self.pipes.iter().map(|(pipe, end)| PipeFds { pipe: pipe.clone(), end: fds.add(end) }).collect()
    }

    /// Finds the sink of an earlier daemon, or starts one.
    pub(crate) fn start(&mut self, log: Option<&Log>, facts: mpsc::Sender<Fact>) -> Result<(), Failure> {
        let found = self.find().map_err(|error| tracing::debug!("{}: {error}", self.path.display()));
        let (socket, process) = match found {
            Ok(found) => found,
            Err(()) => self.spawn().map_err(|error| failure("start the sink", &self.path, error))?,
        };
        let socket = register_for(socket, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| failure("talk to the sink", &self.path, error))?;
        let (outgoing, packets) = mpsc::unbounded_channel();
        tokio::spawn(converse(socket, packets, facts));
        let sink = self.sink.insert(Connected {
            outgoing,
            process,
            version: String::new(),
            greeting: Some(Vec::new()),
        });
        sink.tell(&ToSink::Stderr, io::stderr().as_fd().try_clone_to_owned().ok());
        log.into_iter().for_each(|log| sink.tell(&ToSink::Log(log.clone()), None));
        Ok(())
    }

    /// Has the log written there.
    pub(crate) fn direct_log(&self, log: &Log) {
        self.sink.iter().for_each(|sink| sink.tell(&ToSink::Log(log.clone()), None));
    }

    /// Tells which slot the worker serves.
    pub(crate) fn label(&self, worker: WorkerId, slot: SlotIndex) {
        self.sink.iter().for_each(|sink| sink.tell(&ToSink::Label { worker, slot }, None));
    }

    /// Has the sink become the program that this process is.
    pub(crate) fn upgrade(&self) {
        if let Some(sink) = &self.sink {
            let program = open(OURSELVES, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            sink.tell(&ToSink::Become, program.ok());
        }
    }

    /// One that listens already.
    fn find(&self) -> io::Result<(OwnedFd, Option<Pidfd>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let (_folder, address) = address(&self.path)?;
        connect(&socket, &address)?;
        let peer = socket_peercred(&socket)?;
        if peer.uid != geteuid() {
            return Err(io::Error::other("another user listens there"));
        }
        Ok((socket, Pidfd::open(peer.pid).ok()))
    }

    /// A new one.
    fn spawn(&self) -> io::Result<(OwnedFd, Option<Pidfd>)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut command = Command::new(OURSELVES);
        command.arg0(NAME).arg(&self.path).current_dir("/").process_group(0).env_clear();
        command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
        // Held, so that it inherits nothing that is meant for a worker. It is collected as an orphan is.
        let workers = children::workers();
        let child = command.spawn()?;
        drop(workers);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok((ours, pid.and_then(|pid| Pidfd::open(pid).ok())))
    }

    /// What a worker gets as this stream. Without a sink, it is what it would be if there never was one.
    pub(crate) fn stdio(
        &mut self,
        worker: WorkerId,
        stream: Stream,
        route: &Route,
        logs: &mut Logs,
    ) -> Result<Stdio, Failure> {
        let to = match route {
            Route::Straight(output) => return logs.stdio(output),
            Route::Sink(to) => *to,
        };
        if self.sink.is_none() {
            return logs.stdio(&match to {
                Destination::Stderr => Output::Inherit,
                Destination::Nowhere => Output::Discard,
                // Rather there than nowhere.
                Destination::Log => Output::Inherit,
            });
        }
        let (reader, writer) = io::pipe()
            .map_err(|error| Failure(format!("cannot make a pipe for a worker's output: {error}")))?;
        self.keep(Pipe { worker, stream, to }, reader.into());
        Ok(writer.into())
    }

    fn keep(&mut self, pipe: Pipe, end: OwnedFd) {
        if let Some(sink) = &self.sink
            && sink.greeting.is_none()
        {
            sink.tell(&ToSink::Take(pipe.clone()), end.try_clone().ok());
        }
        self.pipes.insert(pipe, end);
    }

    /// Asks what the worker wrote last. Without a sink, nobody answers.
    pub(crate) fn ask(&self, worker: WorkerId) {
        if let Some(sink) = &self.sink {
            sink.tell(&ToSink::LastLines { worker }, None);
        }
    }

    /// Kills the sink, which does not answer.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.sink.take().and_then(|sink| sink.process) {
            process.signal(Signal::KILL);
        }
    }

    /// What of the sink's words is the supervisor's business.
    pub(crate) fn hear(&mut self, word: Word) -> Option<Event> {
        match word {
            Word::Said(FromSink::Reads(pipe), end) => {
                let greeting = self.sink.as_mut().and_then(|sink| sink.greeting.as_mut());
                greeting.into_iter().for_each(|reads| reads.push(pipe.clone()));
                if let Some(end) = end {
                    self.pipes.entry(pipe).or_insert(end);
                }
                None
            }
            Word::Said(FromSink::Ready, _) => {
                let sink = self.sink.as_mut()?;
                // One that has become another program still reads all.
                if let Some(reads) = sink.greeting.take() {
                    for (pipe, end) in self.pipes.iter().filter(|(pipe, _)| !reads.contains(pipe)) {
                        sink.tell(&ToSink::Take(pipe.clone()), end.try_clone().ok());
                    }
                }
                Some(Event::SinkReady { version: sink.version.clone() })
            }
            Word::Said(FromSink::Version(version), _) => {
                self.sink.iter_mut().for_each(|sink| sink.version.clone_from(&version));
                None
            }
            Word::Said(FromSink::Log { trouble }, _) => {
                Some(Event::LogWritten { result: trouble.map_or(Ok(()), |words| Err(Failure(words))) })
            }
            Word::Said(FromSink::LastLines { worker, lines }, _) => Some(Event::LastLines { worker, lines }),
            Word::Said(FromSink::Ended(pipe), _) => {
                self.pipes.remove(&pipe);
                None
            }
            Word::Said(FromSink::Finished, _) => None,
            Word::Gone(failure) => {
                self.sink = None;
                Some(Event::SinkEnded { failure })
            }
        }
    }

    /// The daemon is about to end: what has come is to be passed on before that. Returns whether there is a sink to say
    /// [`Finished`](FromSink::Finished), or to go.
    pub(crate) fn finish(&self) -> bool {
        self.sink.iter().for_each(|sink| sink.tell(&ToSink::Finish, None));
        self.sink.is_some()
    }
}

impl Connected {
    fn tell(&self, message: &ToSink, fd: Option<OwnedFd>) {
        if let Ok(packet) = Packet::new(message, fd) {
            // One that is gone hears nothing, which is reported.
            let _ = self.outgoing.send(packet);
        }
    }
}

/// Talks to a sink until it is gone, or nobody wants to talk to it any more.
async fn converse(
    socket: AsyncFd<OwnedFd>,
    mut packets: mpsc::UnboundedReceiver<Packet>,
    facts: mpsc::Sender<Fact>,
) {
    let failure = loop {
        let said = tokio::select! {
            biased;
            packet = packets.recv() => match packet {
                None => break Failure("it did not answer".into()),
                Some(packet) => match send(&socket, &packet).await {
                    Ok(()) => continue,
                    Err(error) => break Failure(error.to_string()),
                },
            },
            said = hear(&socket) => said,
        };
        match said {
            Ok(Received::Message(message, fd)) => {
                let _ = facts.send(Fact::Sink(SinkWord(Word::Said(message, fd)))).await;
            }
            Ok(Received::Unknown) => {}
            Ok(Received::Closed) => break Failure("its process has ended".into()),
            Err(error) => break Failure(error.to_string()),
        }
    };
    let _ = facts.send(Fact::Sink(SinkWord(Word::Gone(failure)))).await;
}

async fn send(socket: &AsyncFd<OwnedFd>, packet: &Packet) -> io::Result<()> {
    loop {
        let mut ready = socket.writable().await?;
        if let Ok(sent) = ready.try_io(|socket| packet.send(socket)) {
            return sent;
        }
    }
}

async fn hear(socket: &AsyncFd<OwnedFd>) -> io::Result<Received<FromSink>> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(received) = ready.try_io(receive) {
            return received;
        }
    }
}

/// How the socket at `path` is named, however long the path is. The folder has to be open as long as the name is used.
pub(super) fn address(path: &Path) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
    let short = Path::new("/proc/self/fd").join(number.to_string()).join(name);
    Ok((folder, SocketAddrUnix::new(short)?))
}
