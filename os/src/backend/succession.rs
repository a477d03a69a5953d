//! Becoming the installed program without letting go of anything.
//!
//! Frozen, this program hears of nothing that the next one could not hear as well: signals are blocked, so they stay
//! pending; what peers write stays in the sockets, and half a line that was read goes along. Exits are heard again,
//! because nobody has collected them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::config::{Companion, Config};
use nodesockd_core::event::ExitStatus;
use nodesockd_core::frame::Decoder;
use nodesockd_core::id::WorkerId;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::Sender;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use tokio::net::{UnixListener, UnixStream};

use super::control::Control;
use super::workers::Worker;
use super::{Backend, Setup, places};
use crate::error::OpenError;
use crate::files::claims::Claims;
use crate::files::lock::Lock;
use crate::handoff::fds::{ClientFds, FdCollector, FdNumber, HandoffFds, PausedStream, WorkerFds};
use crate::handoff::handoff_file::{self, HandoffFile};
use crate::handoff::preflight;
use crate::log;
use crate::metrics::scrape::Scrape;
use crate::peers::asker::Asker;
use crate::peers::channel;
use crate::peers::channel::Channel;
use crate::peers::ipc;
use crate::peers::notify;
use crate::peers::outbox::{Outbox, outbox};
use crate::peers::session::{Fact, Paused, Session, Stopped};
use crate::processes::children;
use crate::processes::descriptors;
use crate::processes::pidfd::Pidfd;
use crate::processes::spawn;
use crate::processes::survivors;
use crate::signals;

impl Backend {
    /// Asks the installed program whether it could take over; the answer comes as [`Event::Preflighted`].
    pub(super) fn start_preflight(&mut self, handoff: &Handoff, limit: Duration) {
        let question = HandoffFile { supervisor: handoff.clone(), backend: None }.seal();
        let (program, cwd, facts) = (self.program.clone(), self.cwd.clone(), self.facts.clone());
        tokio::spawn(async move {
            let result = preflight::run(&program, preflight::arguments(), &cwd, question, limit).await;
            let _ = facts.send(Fact::Event(Event::Preflighted { result })).await;
        });
    }

    /// Stops all that brings facts; [`Event::Frozen`] is the last of them.
    pub(super) async fn pause_all(&mut self) {
        if let Err(error) = signals::hold() {
            tracing::warn!("signals cannot be held back: {error}");
        }
        // Those that came before are heard of first.
        let _ = turn_of_the_reactor().await;
        self.pause.request();
        self.gather().await;
        self.backlog.push_back(Event::Frozen);
    }

    /// Continues all that [`pause_all`](Self::pause_all) stopped.
    pub(super) async fn resume_all(&mut self) {
        self.gather().await;
        if let Err(error) = self.start_hearing() {
            tracing::error!("signals are not heard any more: {error}; restart the daemon");
        }
        for Paused(stopped) in std::mem::take(&mut self.paused) {
            self.resume(stopped);
        }
        self.workers.iter().for_each(|(id, _)| self.hear_notices(id));
    }

    /// Becomes the installed program, with everything that this one holds. Returns on failure only.
    pub(super) async fn become_successor(&mut self, handoff: &Handoff) -> io::Result<Infallible> {
        // Channels of workers that were started since.
        self.gather().await;
        let mut fds = FdCollector::default();
        let backend = self.pack(&mut fds);
        let handoff = HandoffFile { supervisor: handoff.clone(), backend: Some(backend) };
        self.become_program(&handoff, fds.descriptors())
    }

    /// The backend of a program that follows another one in the same process, with everything that the earlier program had.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn take_over(setup: Setup, handoff: HandoffFile) -> Result<(Self, Handoff), OpenError> {
        let HandoffFile { supervisor, backend: Some(fds) } = handoff else {
            let error = io::Error::other("the hand-off is incomplete");
            return Err(OpenError::System { what: "take over", error });
        };
        log::take_over(fds.lines_missed);
        let config = &setup.config;
        let sockets = places::open_folders(config)?;
        let system = |error| OpenError::System { what: "take over", error };
        let control = std::os::unix::net::UnixListener::from(fds.control.open());
        let control = UnixListener::from_std(control).map_err(system)?;
        let lock = Lock::from_handoff(Companion::Lock.path(&config.ipc_file), fds.lock.open());
        let names = fds.claims.into_iter().map(|(pattern, file)| (pattern, file.open()));
        let claims = Claims::take_over(&config.socket_dir, &config.ipc_file, &config.socket_file, names)?;
        let control = Control::take_over(config, control, fds.connections)?;
        let mut backend = Self::assemble(setup, sockets, (lock, claims), control)?;
        backend.listeners.take_over(fds.listeners.into_iter().map(|(name, socket)| (name, socket.open())));
        backend.sink.take_over(fds.pipes);
        backend.logs.take_over(fds.logs.into_iter().map(|(path, file)| (path, file.open())));
        if let Some(server) = fds.dev_server {
            backend.dev_server.take_over(server).map_err(system)?;
        }
        if let Some(server) = fds.metrics_server {
            let sources = backend.sources();
            backend.metrics_server.take_over(server, sources).map_err(system)?;
            backend.watch_metrics();
        }
        for scrape in fds.scrapes {
            Scrape::unpack(scrape).map_err(system)?.go_on(backend.sources());
        }
        for worker in fds.workers {
            backend.unpack_worker(worker).map_err(system)?;
        }
        for client in fds.clients {
            backend.unpack_client(client).map_err(system)?;
        }
        // What others have removed in between, nobody has told.
        let survey = backend.look_at_all();
        backend.backlog.push_back(Event::Surveyed(survey));
        Ok((backend, supervisor))
    }

    /// Takes in facts until all tasks have stopped.
    async fn gather(&mut self) {
        loop {
            let fact = tokio::select! {
                biased;
                Some(fact) = self.inbox.recv() => fact,
                () = self.pause.stopped() => break,
            };
            self.keep(fact);
        }
        while let Ok(fact) = self.inbox.try_recv() {
            self.keep(fact);
        }
    }

    fn keep(&mut self, fact: Fact) {
        if let Some(event) = self.take_in(fact) {
            self.backlog.push_back(event);
        }
    }

    /// Continues a paused conversation.
    fn resume(&mut self, stopped: Stopped) {
        let (facts, token) = (self.facts.clone(), self.pause.token());
        match stopped {
            Stopped::Worker(channel) => {
                tokio::spawn(channel::serve(channel, facts, token));
            }
            Stopped::Client(session) => ipc::resume(self.control.socket(), session, facts, token),
            Stopped::Scrape(scrape) => scrape.go_on(self.sources()),
        }
    }

    fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> HandoffFds {
        let channels: BTreeMap<WorkerId, &Channel> = self
            .paused
            .iter()
            .filter_map(|Paused(stopped)| match stopped {
                Stopped::Worker(channel) => Some((channel.worker, channel)),
                Stopped::Client(_) | Stopped::Scrape(_) => None,
            })
            .collect();
        let workers = self.workers.iter().map(|(id, worker)| WorkerFds {
            id,
            process: worker.process,
            child: worker.child,
            channel: channels.get(&id).map(|channel| channel.pack(fds)),
            notices: worker.notices.as_ref().map(|socket| fds.add(socket)),
        });
        let workers = workers.collect();
        let clients = self.paused.iter().filter_map(|Paused(stopped)| match stopped {
            Stopped::Client(session) if !session.outgoing.is_closing() => Some(session.pack(fds)),
            Stopped::Client(_) | Stopped::Worker(_) | Stopped::Scrape(_) => None,
        });
        let clients = clients.collect();
        let scrapes = self.paused.iter().filter_map(|Paused(stopped)| match stopped {
            Stopped::Scrape(scrape) => Some(scrape.pack(fds)),
            Stopped::Client(_) | Stopped::Worker(_) => None,
        });
        let scrapes = scrapes.collect();
        HandoffFds {
            lock: fds.add(&self.lock),
            claims: self.claims.pack(fds),
            control: fds.add(&*self.control.socket().listener),
            connections: self.control.socket().count(),
            workers,
            clients,
            listeners: self.listeners.pack(fds),
            logs: self.logs.pack(fds),
            dev_server: self.dev_server.pack(fds),
            metrics_server: self.metrics_server.pack(fds),
            scrapes,
            pipes: self.sink.pack(fds),
            lines_missed: log::leave(),
        }
    }

    /// Becomes the program at `self.program`, with these descriptors open. Returns on failure only.
    fn become_program(
        &self,
        handoff: &HandoffFile,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Infallible> {
        let file = handoff.seal()?;
        let kept = || descriptors.iter().copied().chain([file.as_fd()]);
        let marked = kept().try_for_each(|descriptor| fcntl_setfd(descriptor, FdFlags::empty()));
        let done = marked
            .map_err(io::Error::from)
            .and_then(|()| std::env::set_current_dir(&self.cwd))
            .and_then(|()| run(&self.program, Some(&file)));
        for descriptor in kept() {
            let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
        }
        done
    }

    fn unpack_worker(&mut self, fds: WorkerFds) -> io::Result<()> {
        let WorkerFds { id, process, child, channel, notices } = fds;
        let found = if child { open_child(process.pid) } else { survivors::open(process) };
        let (pid, pidfd) = match found {
            Ok(found) => found,
            // It was not our child, and has ended meanwhile.
            Err(_) => {
                self.backlog.push_back(Event::Exited { worker: id, status: ExitStatus::Unknown });
                return Ok(());
            }
        };
        if child {
            children::workers().insert(pid);
        }
        let outbox = channel.map(|stream| self.unpack_channel(id, stream)).transpose()?;
        let notices = notices.map(notify::from_handoff).transpose()?;
        self.workers.add(id, Worker { pid, process, pidfd, child, outbox, notices });
        self.hear_notices(id);
        Ok(())
    }

    fn unpack_channel(&mut self, worker: WorkerId, paused: PausedStream) -> io::Result<Outbox> {
        let (outbox, outgoing) = outbox(paused.unwritten);
        let decoder = Decoder::resume(paused.unread);
        let stream = stream(paused.stream)?;
        self.resume(Stopped::Worker(Channel { worker, stream, decoder, outbox: outbox.clone(), outgoing }));
        Ok(outbox)
    }

    fn unpack_client(&mut self, fds: ClientFds) -> io::Result<()> {
        let ClientFds { conn, pid, uid, survivor, stream: paused } = fds;
        let (outbox, outgoing) = outbox(paused.unwritten);
        self.clients.insert(conn, outbox.clone());
        let sender = if survivor { Sender::Survivor } else { Sender::Client };
        let decoder = Decoder::resume(paused.unread);
        let stream = stream(paused.stream)?;
        let asker = Some(Asker { pid, uid });
        let permit = None;
        let session = Session { stream, conn, asker, sender, decoder, outbox, outgoing, permit };
        self.resume(Stopped::Client(session));
        Ok(())
    }
}

impl Channel {
    fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> PausedStream {
        PausedStream {
            stream: fds.add(&self.stream),
            unread: self.decoder.rest(),
            unwritten: self.outgoing.unwritten(),
        }
    }
}

impl Session<UnixStream> {
    fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> ClientFds {
        ClientFds {
            conn: self.conn,
            pid: self.asker.and_then(|asker| asker.pid),
            uid: self.asker.and_then(|asker| asker.uid),
            survivor: self.sender == Sender::Survivor,
            stream: PausedStream {
                stream: fds.add(&self.stream),
                unread: self.decoder.rest(),
                unwritten: self.outgoing.unwritten(),
            },
        }
    }
}

/// Whether [`Backend::take_over`] would find here what it needs beside the hand-off. To be asked before the program that has all of
/// it becomes this one.
///
/// # Errors
///
/// See [`OpenError`].
pub fn could_take_over(config: &Config) -> Result<(), OpenError> {
    places::open_folders(config)?;
    config.options.ipc_group.as_deref().map_or(Ok(()), |group| ipc::gid(group).map(drop))
}

/// Starts this program again, without the hand-off of an earlier program of this process: its descriptors are closed, its
/// workers are adopted as after a crash. Returns on failure only.
#[must_use]
pub fn start_over() -> io::Error {
    let Err(error) = run(Path::new(spawn::OURSELVES), None);
    error
}

/// Runs `program` in this process, with the arguments of this one.
fn run(program: &Path, handoff: Option<&File>) -> io::Result<Infallible> {
    let program = CString::new(program.as_os_str().as_bytes())?;
    let args = strings(std::env::args_os())?;
    let others = std::env::vars_os().filter(|(name, _)| name != handoff_file::VARIABLE);
    let ours = handoff.map(|file| (handoff_file::VARIABLE.into(), HandoffFile::named(file).into()));
    let variables = others.chain(ours).map(|(mut variable, value): (OsString, OsString)| {
        variable.push("=");
        variable.push(value);
        variable
    });
    let variables = strings(variables)?;
    descriptors::put_back();
    let Err(error) = nix::unistd::execve(&program, &args, &variables);
    descriptors::raise();
    Err(error.into())
}

/// A child, alive or not: it has not been collected.
fn open_child(pid: u32) -> io::Result<(Pid, Pidfd)> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok((pid, Pidfd::open(pid)?))
}

fn stream(number: FdNumber) -> io::Result<UnixStream> {
    UnixStream::from_std(std::os::unix::net::UnixStream::from(number.open()))
}

fn strings(words: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    words.map(|word| CString::new(word.into_vec()).map_err(io::Error::from)).collect()
}

/// Returns when the reactor has seen everything that the kernel had to tell before this was called.
async fn turn_of_the_reactor() -> io::Result<()> {
    let (near, far) = UnixStream::pair()?;
    far.writable().await?;
    far.try_write(b"x")?;
    near.readable().await
}
