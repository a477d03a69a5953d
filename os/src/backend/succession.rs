//! Becoming the installed program without letting go of anything.
//!
//! Frozen, this program hears of nothing that the next one could not hear as well: signals are blocked, so they stay
//! pending; what peers write stays in the sockets, and half a line that was read goes along. Exits are heard again,
//! because nobody has collected them.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nodesockd_core::Event;
use nodesockd_core::backend::Succession;
use nodesockd_core::event::{ExitStatus, Failure};
use nodesockd_core::frame::Decoder;
use nodesockd_core::id::WorkerId;
use nodesockd_core::supervisor::Handoff;
use nodesockd_core::wire::Sender;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;
use tokio::net::{UnixListener, UnixStream};

use super::{Backend, Setup, Worker};
use crate::baggage::{Baggage, ClientBaggage, Number, Porter, Talk, WorkerBaggage};
use crate::channel::Channel;
use crate::error::OpenError;
use crate::lock::Lock;
use crate::outbox::{Outbox, outbox};
use crate::parcel::{self, Parcel};
use crate::pidfd::Pidfd;
use crate::session::{Fact, Paused, Session, Stopped};
use crate::{channel, children, ipc, notify, signals, spawn, survivors, trial};

#[async_trait(?Send)]
impl Succession for Backend {
    async fn preflight(&mut self, handoff: &Handoff, limit: Duration) {
        let question = Parcel { supervisor: handoff.clone(), backend: None }.seal();
        let (program, cwd, facts) = (self.program.clone(), self.cwd.clone(), self.facts.clone());
        tokio::spawn(async move {
            let result = trial::run(&program, trial::arguments(), &cwd, question, limit).await;
            let _ = facts.send(Fact::Event(Event::Preflighted { result })).await;
        });
    }

    async fn freeze(&mut self) {
        if let Err(error) = signals::hold() {
            tracing::warn!("signals cannot be held back: {error}");
        }
        // Those that came before are heard of first.
        let _ = turn_of_the_reactor().await;
        self.freezer.order();
        self.gather().await;
        self.backlog.push_back(Event::Frozen);
    }

    async fn thaw(&mut self) {
        self.gather().await;
        if let Err(error) = self.start_hearing() {
            tracing::error!("signals are not heard any more: {error}; restart the daemon");
        }
        for Paused(stopped) in std::mem::take(&mut self.paused) {
            self.go_on(stopped);
        }
        let workers: Vec<_> = self.workers.keys().copied().collect();
        workers.into_iter().for_each(|worker| self.hear_notices(worker));
    }

    async fn hand_off(&mut self, handoff: &Handoff) -> Result<(), Failure> {
        // Channels of workers that were started since.
        self.gather().await;
        let mut porter = Porter::default();
        let backend = self.pack(&mut porter);
        let parcel = Parcel { supervisor: handoff.clone(), backend: Some(backend) };
        let Err(error) = self.become_program(&parcel, porter.descriptors());
        Err(Failure(format!("cannot become `{}`: {error}", self.program.display())))
    }
}

impl Backend {
    /// The backend of a program that follows another one in the same process, with all that this had.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn take_over(setup: Setup, parcel: Parcel) -> Result<(Self, Handoff), OpenError> {
        let Parcel { supervisor, backend: Some(baggage) } = parcel else {
            let error = io::Error::other("the hand-off is incomplete");
            return Err(OpenError::System { what: "take over", error });
        };
        let config = &setup.config;
        let tmp_dir = super::open_tmp_dir(config)?;
        let system = |error| OpenError::System { what: "take over", error };
        let control = std::os::unix::net::UnixListener::from(baggage.control.open());
        let control = UnixListener::from_std(control).map_err(system)?;
        let lock = Lock::go_on(baggage.lock.open());
        let group = config.options.ipc_group.as_deref();
        let (ipc_file, doorway) = ipc::go_on(&config.ipc_file, group, control, baggage.connections)?;
        let mut backend = Self::assemble(setup, tmp_dir, lock, ipc_file, doorway)?;
        backend.listeners.go_on(baggage.listeners.into_iter().map(|(name, socket)| (name, socket.open())));
        backend.logs.go_on(baggage.logs.into_iter().map(|(path, file)| (path, file.open())));
        if let Some(server) = baggage.dev_server {
            backend.dev_server.go_on(server).map_err(system)?;
        }
        for worker in baggage.workers {
            backend.unpack_worker(worker).map_err(system)?;
        }
        for client in baggage.clients {
            backend.unpack_client(client).map_err(system)?;
        }
        Ok((backend, supervisor))
    }

    /// Takes what is told until everybody has stopped.
    async fn gather(&mut self) {
        loop {
            let fact = tokio::select! {
                biased;
                Some(fact) = self.inbox.recv() => fact,
                () = self.freezer.stopped() => break,
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

    /// A conversation goes on where it has stopped.
    fn go_on(&mut self, stopped: Stopped) {
        let (facts, frost) = (self.facts.clone(), self.freezer.frost());
        match stopped {
            Stopped::Worker(channel) => {
                tokio::spawn(channel::serve(channel, facts, frost));
            }
            Stopped::Client(session) => ipc::resume(&self.doorway, session, facts, frost),
        }
    }

    fn pack<'a>(&'a self, porter: &mut Porter<'a>) -> Baggage {
        let workers = self.workers.iter().map(|(id, worker)| WorkerBaggage {
            id: *id,
            process: worker.process,
            child: worker.child,
            channel: self.paused.iter().find_map(|Paused(stopped)| match stopped {
                Stopped::Worker(channel) if channel.worker == *id => Some(channel.pack(porter)),
                Stopped::Worker(_) | Stopped::Client(_) => None,
            }),
            notices: worker.notices.as_ref().map(|socket| porter.take(socket)),
        });
        let workers = workers.collect();
        let clients = self.paused.iter().filter_map(|Paused(stopped)| match stopped {
            Stopped::Client(session) if !session.outgoing.is_closing() => Some(session.pack(porter)),
            Stopped::Client(_) | Stopped::Worker(_) => None,
        });
        let clients = clients.collect();
        Baggage {
            lock: porter.take(&self.lock),
            control: porter.take(&*self.doorway.listener),
            connections: self.doorway.count(),
            workers,
            clients,
            listeners: self.listeners.pack(porter),
            logs: self.logs.pack(porter),
            dev_server: self.dev_server.pack(porter),
        }
    }

    /// Becomes the program at `self.program`, which these descriptors stay open for. Only failure returns.
    fn become_program(&self, parcel: &Parcel, descriptors: &[BorrowedFd<'_>]) -> io::Result<Infallible> {
        let file = parcel.seal()?;
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

    fn unpack_worker(&mut self, baggage: WorkerBaggage) -> io::Result<()> {
        let WorkerBaggage { id, process, child, channel, notices } = baggage;
        let found = if child { open_child(process.pid) } else { survivors::open(process) };
        let (pid, pidfd) = match found {
            Ok(found) => found,
            // It was none of our children, and has gone meanwhile.
            Err(_) => {
                self.backlog.push_back(Event::Exited { worker: id, status: ExitStatus::Unknown });
                return Ok(());
            }
        };
        if child {
            children::workers().insert(pid);
        }
        let outbox = channel.map(|talk| self.unpack_channel(id, talk)).transpose()?;
        let notices = notices.map(notify::go_on).transpose()?;
        let watch = self.watch(id, &pidfd);
        self.workers.insert(id, Worker { pid, process, pidfd, child, outbox, watch, notices });
        self.hear_notices(id);
        Ok(())
    }

    fn unpack_channel(&mut self, worker: WorkerId, talk: Talk) -> io::Result<Outbox> {
        let (outbox, outgoing) = outbox(talk.unwritten);
        let decoder = Decoder::resume(talk.unread);
        let stream = stream(talk.stream)?;
        self.go_on(Stopped::Worker(Channel { worker, stream, decoder, outbox: outbox.clone(), outgoing }));
        Ok(outbox)
    }

    fn unpack_client(&mut self, baggage: ClientBaggage) -> io::Result<()> {
        let ClientBaggage { conn, pid, survivor, talk } = baggage;
        let (outbox, outgoing) = outbox(talk.unwritten);
        self.clients.insert(conn, outbox.clone());
        let sender = if survivor { Sender::Survivor } else { Sender::Client };
        let decoder = Decoder::resume(talk.unread);
        let stream = stream(talk.stream)?;
        self.go_on(Stopped::Client(Session { stream, conn, pid, sender, decoder, outbox, outgoing }));
        Ok(())
    }
}

impl Channel {
    fn pack<'a>(&'a self, porter: &mut Porter<'a>) -> Talk {
        Talk {
            stream: porter.take(&self.stream),
            unread: self.decoder.rest(),
            unwritten: self.outgoing.unwritten(),
        }
    }
}

impl Session<UnixStream> {
    fn pack<'a>(&'a self, porter: &mut Porter<'a>) -> ClientBaggage {
        ClientBaggage {
            conn: self.conn,
            pid: self.pid,
            survivor: self.sender == Sender::Survivor,
            talk: Talk {
                stream: porter.take(&self.stream),
                unread: self.decoder.rest(),
                unwritten: self.outgoing.unwritten(),
            },
        }
    }
}

/// Goes on as this program was started, with nothing of what an earlier program of this process has left: its descriptors
/// are closed, its workers are adopted as after a crash. Only failure returns.
#[must_use]
pub fn start_over() -> io::Error {
    let Err(error) = run(Path::new(spawn::OURSELVES), None);
    error
}

/// Runs `program` in this process, with the arguments of this one.
fn run(program: &Path, parcel: Option<&File>) -> io::Result<Infallible> {
    let program = CString::new(program.as_os_str().as_bytes())?;
    let args = strings(std::env::args_os())?;
    let others = std::env::vars_os().filter(|(name, _)| name != parcel::VARIABLE);
    let ours = parcel.map(|file| (parcel::VARIABLE.into(), Parcel::named(file).into()));
    let variables = others.chain(ours).map(|(mut variable, value): (OsString, OsString)| {
        variable.push("=");
        variable.push(value);
        variable
    });
    let variables = strings(variables)?;
    Ok(nix::unistd::execve(&program, &args, &variables)?)
}

/// A child, alive or not: it has not been collected.
fn open_child(pid: u32) -> io::Result<(Pid, Pidfd)> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    Ok((pid, Pidfd::open(pid)?))
}

fn stream(number: Number) -> io::Result<UnixStream> {
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
