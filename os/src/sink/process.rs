//! The sink's own loop.
//!
//! This thread reads pipes and talks to the daemon, and waits for nothing else. Others write, and wait for whoever reads, or for
//! the disk: that of the [`Log`](crate::log::Log), and that of the [`Writer`](super::writer::Writer). The sink ends when there is
//! neither a daemon nor a pipe.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use nodesockd_core::action::{Destination, Stream};
use nodesockd_core::id::WorkerId;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt::socket_peercred,
};
use rustix::process::geteuid;

use super::input::{Input, Reading};
use super::keeper;
use super::last_lines::LastLines;
use super::next_program::{self, InputFds, Legacy, inherited};
use super::outlets::Outlets;
use super::wire::{FromSink, Packet, Received, ToSink, receive};
use super::writer::Room;
use crate::files::identity::{self, Identity};
use crate::files::own;
use crate::handoff::fds::FdCollector;

/// What the program is called when it is to be a sink. Its one argument is the path of its socket.
pub(super) const NAME: &str = "nodesockd-sink";

/// What became of a worker whose pipes have ended may be asked a moment later. So many are remembered.
const REMEMBERED: usize = 64;
/// So much is read from a pipe at once.
const CHUNK: usize = 64 << 10;
/// How long whoever reads what is passed on, or the disk, may take at the end.
const PATIENCE: Duration = Duration::from_millis(500);
/// So often a pipe is read at most for one answer: whoever writes all the time may not hold it up.
const READS: usize = 256;
/// The beginning of a line waits for so long, at least, for what follows.
const REST: Duration = Duration::from_secs(1);
/// More messages than wait for a daemon that reads.
const MOST_WAITING: usize = 20_000;

/// Daemons that may wait to be heard.
const BACKLOG: i32 = 8;

const LISTENER: u64 = 0;
const DAEMON: u64 = 1;
/// Pipes of the log have something.
const LOGGED: u64 = 2;
/// The log has room, or news.
const WRITER: u64 = 3;
const FIRST_INPUT: u64 = 4;

/// Becomes the sink that the daemon wants this process to be, if it does; then there is no return. To be called before anything
/// else in `main`. `version`: that of this program.
pub fn become_sink_if_asked(version: &str) {
    if std::env::args_os().next().as_deref() != Some(OsStr::new(NAME)) {
        return;
    }
    // Its daemon reports its end.
    std::process::exit(i32::from(run(version).is_err()))
}

fn run(version: &str) -> io::Result<()> {
    // What is meant for the daemon, or for a whole control group, is not meant for the sink: it ends when it is not needed.
    SigSet::all().thread_set_mask()?;
    let (path, legacy) = next_program::arguments()?;
    let mut sink = Sink::new(path, version)?;
    match legacy {
        None => {
            sink.bind();
            sink.serve(io::stdin().as_fd().try_clone_to_owned()?)?;
        }
        Some(legacy) => sink.inherit(legacy)?,
    }
    while !sink.is_done() {
        sink.step()?;
    }
    sink.leave();
    Ok(())
}

struct Sink {
    path: PathBuf,
    /// The version of this program.
    version: String,
    epoll: OwnedFd,
    /// An epoll of its own for the pipes of the log: they are not read while there is no room for more.
    logged: OwnedFd,
    /// They are not read now.
    holds: bool,
    /// By which the next daemon finds it, and the file of that; without it, each daemon has a sink of its own.
    listener: Option<(OwnedFd, Identity)>,
    daemon: Option<Daemon>,
    inputs: BTreeMap<u64, Input>,
    next: u64,
    ended: VecDeque<(WorkerId, LastLines)>,
    outlets: Outlets,
    buffer: Vec<u8>,
    /// The daemon that is there waits for the end of this process.
    leaves: bool,
}

/// The connection to the daemon.
struct Daemon {
    socket: OwnedFd,
    waiting: VecDeque<Packet>,
}

impl Sink {
    fn new(path: PathBuf, version: &str) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let logged = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &logged, EventData::new_u64(LOGGED), EventFlags::IN)?;
        Ok(Self {
            path,
            version: version.to_owned(),
            epoll,
            logged,
            holds: false,
            listener: None,
            daemon: None,
            inputs: BTreeMap::new(),
            next: FIRST_INPUT,
            ended: VecDeque::new(),
            outlets: Outlets::default(),
            buffer: vec![0; CHUNK],
            leaves: false,
        })
    }

    /// Can be found from now on.
    fn bind(&mut self) {
        if let Ok((socket, file)) = bind_private(&self.path) {
            self.listen(socket, file);
        }
    }

    fn listen(&mut self, socket: OwnedFd, file: Identity) {
        if epoll::add(&self.epoll, &socket, EventData::new_u64(LISTENER), EventFlags::IN).is_ok() {
            self.listener = Some((socket, file));
        }
    }

    fn is_done(&self) -> bool {
        self.inputs.is_empty() && (self.daemon.is_none() || self.leaves)
    }

    /// Waits for something to happen, and deals with it.
    fn step(&mut self) -> io::Result<()> {
        let begun = self.inputs.values().any(Input::may_rest).then_some(REST);
        let full = self.await_room().map(|until| until.saturating_duration_since(Instant::now()));
        let limit = begun.into_iter().chain(full).min().and_then(|limit| Timespec::try_from(limit).ok());
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if events.is_empty() {
            let outlets = &self.outlets;
            for input in self.inputs.values_mut() {
                input.rest(|pipe, text, cut| outlets.pass_on(pipe, text, cut));
            }
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept(),
                DAEMON => self.hear(),
                LOGGED => self.read_logged()?,
                WRITER => self.tell_news(),
                input => drop(self.read(input)),
            }
        }
        Ok(())
    }

    /// Reads pipes of the log as long as there is room for more. Returns until when there is none.
    fn await_room(&mut self) -> Option<Instant> {
        let until = match self.outlets.room() {
            Room::Enough => None,
            Room::NotUntil(until) => Some(until),
        };
        if until.is_some() != self.holds {
            self.holds = until.is_some();
            let events = if self.holds { EventFlags::empty() } else { EventFlags::IN };
            let _ = epoll::modify(&self.epoll, &self.logged, EventData::new_u64(LOGGED), events);
        }
        until
    }

    /// Reads each pipe of the log that has something, once.
    fn read_logged(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.logged, spare_capacity(&mut events), Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            if self.outlets.room() != Room::Enough {
                break;
            }
            self.read(event.data.u64());
        }
        Ok(())
    }

    /// The log has room again, or cannot be written, or can.
    fn tell_news(&mut self) {
        if let Some(result) = self.outlets.news() {
            let trouble = result.err().map(|failure| failure.0);
            self.say(&FromSink::Log { trouble }, None);
        }
    }

    /// Reads from a pipe once.
    fn read(&mut self, key: u64) -> Reading {
        let Some(input) = self.inputs.get_mut(&key) else { return Reading::End };
        let outlets = &self.outlets;
        let read = input.read(&mut self.buffer, |pipe, text, cut| outlets.pass_on(pipe, text, cut));
        let reading = read.unwrap_or(Reading::End);
        if reading == Reading::End
            && let Some(Input { pipe, fd, last_lines, .. }) = self.inputs.remove(&key)
        {
            let _ = epoll::delete(self.epoll_of(pipe.to), &fd);
            if self.inputs.values().all(|input| input.pipe.worker != pipe.worker) {
                self.outlets.slots.remove(&pipe.worker);
            }
            if pipe.stream == Stream::Stderr {
                self.ended.push_back((pipe.worker, last_lines));
                self.ended.drain(..self.ended.len().saturating_sub(REMEMBERED));
            }
            self.say(&FromSink::Ended(pipe), None);
        }
        reading
    }

    /// Reads all that is there now.
    fn read_all(&mut self, key: u64) {
        let _ = (0..READS).find(|_| self.read(key) != Reading::Something);
    }

    fn epoll_of(&self, to: Destination) -> &OwnedFd {
        match to {
            Destination::Log => &self.logged,
            Destination::Stderr | Destination::Nowhere => &self.epoll,
        }
    }

    /// A daemon comes. It follows the one before, which has the lock no more.
    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Some(Ok(socket)) = self.listener.as_ref().map(|(listener, _)| accept_with(listener, flags))
        else {
            return;
        };
        let trusted = socket_peercred(&socket).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root());
        if trusted {
            // What the one before has said is not lost.
            self.hear();
            let _ = self.serve(socket);
        }
    }

    /// Talks to a daemon from now on, and tells it what there is.
    fn serve(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.lose_daemon();
        self.talk_to(socket)?;
        let reads: Vec<_> = self
            .inputs
            .values()
            .filter_map(|input| Some((input.pipe.clone(), input.fd.try_clone().ok()?)))
            .collect();
        for (pipe, fd) in reads {
            self.say(&FromSink::Reads(pipe), Some(fd));
        }
        if let Some(trouble) = self.outlets.trouble() {
            self.say(&FromSink::Log { trouble: Some(trouble.0) }, None);
        }
        self.say_ready();
        Ok(())
    }

    fn talk_to(&mut self, socket: OwnedFd) -> io::Result<()> {
        epoll::add(&self.epoll, &socket, EventData::new_u64(DAEMON), EventFlags::IN)?;
        self.daemon = Some(Daemon { socket, waiting: VecDeque::new() });
        Ok(())
    }

    fn say_ready(&mut self) {
        self.say(&FromSink::Version(self.version.clone()), None);
        self.say(&FromSink::Ready, None);
    }

    fn lose_daemon(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let _ = epoll::delete(&self.epoll, &daemon.socket);
        }
    }

    /// The daemon has said something, is gone, or takes in what waits for it.
    fn hear(&mut self) {
        while let Some(daemon) = self.daemon.as_ref().filter(|_| !self.leaves) {
            match receive(&daemon.socket) {
                Ok(Received::Message(message, fd)) => self.heard(message, fd),
                Ok(Received::Unknown) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.send_waiting(),
                Ok(Received::Closed) | Err(_) => self.lose_daemon(),
            }
        }
    }

    fn heard(&mut self, message: ToSink, fd: Option<OwnedFd>) {
        match (message, fd) {
            (ToSink::Stderr, Some(fd)) => self.outlets.stderr_to(fd, 0),
            (ToSink::Log(log), _) => self.log_to(log, 0),
            (ToSink::Label { worker, slot }, _) => drop(self.outlets.slots.insert(worker, slot)),
            (ToSink::Take(pipe), Some(fd)) => self.take(Input::new(pipe, fd)),
            (ToSink::Become, Some(program)) => {
                if self.become_program(&program).is_err() {
                    // It goes on as it is.
                    self.say_ready();
                }
            }
            (ToSink::LastLines { worker }, _) => {
                let lines = self.last_lines(worker);
                self.say(&FromSink::LastLines { worker, lines }, None);
            }
            (ToSink::Finish, _) => {
                let keys: Vec<u64> = self.inputs.keys().copied().collect();
                keys.into_iter().for_each(|key| self.read_all(key));
                self.leaves = self.inputs.is_empty();
                if !self.leaves {
                    self.flush();
                    self.say(&FromSink::Finished, None);
                }
            }
            // A descriptor was lost on the way: there are too many.
            (ToSink::Stderr | ToSink::Take(_) | ToSink::Become, None) => {}
        }
    }

    /// Reads this pipe from now on.
    fn take(&mut self, input: Input) {
        let key = self.next;
        let ready = rustix::io::ioctl_fionbio(&input.fd, true).and_then(|()| {
            let epoll = self.epoll_of(input.pipe.to);
            epoll::add(epoll, &input.fd, EventData::new_u64(key), EventFlags::IN)
        });
        if ready.is_ok() {
            self.next += 1;
            self.inputs.insert(key, input);
        }
    }

    /// What is for the log goes there from now on.
    fn log_to(&mut self, log: nodesockd_core::config::Log, lost: u64) {
        if self.outlets.log_to(log, lost)
            && let Some(wakes) = self.outlets.wakes()
        {
            let _ = epoll::add(&self.epoll, wakes, EventData::new_u64(WRITER), EventFlags::IN);
        }
    }

    /// Becomes another program, with all that it has. Returns on failure only: so it is, too, while the log takes nothing.
    fn become_program(&mut self, program: &OwnedFd) -> io::Result<()> {
        let (written, lost) = self.outlets.flush(PATIENCE);
        if !written {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.daemon.as_ref().is_some_and(|daemon| !daemon.waiting.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut fds = FdCollector::default();
        let inputs = self.inputs.values().map(|input| {
            let (begun, cut) = input.begun();
            let (pipe, begun, last_lines) = (input.pipe.clone(), begun.to_vec(), input.last_lines.clone());
            InputFds { pipe, end: fds.add(&input.fd), begun, cut, last_lines }
        });
        let legacy = Legacy {
            version: Legacy::VERSION,
            inputs: inputs.collect(),
            listener: self.listener.as_ref().map(|(socket, file)| (fds.add(socket), *file)),
            daemon: self.daemon.as_ref().map(|daemon| fds.add(&daemon.socket)),
            ended: self.ended.iter().cloned().collect(),
            stderr: self.outlets.stderr().map(|fd| fds.add(fd)),
            log: self.outlets.log_settings().cloned(),
            slots: self.outlets.slots.iter().map(|(worker, slot)| (*worker, *slot)).collect(),
            lost: (lost.stderr, lost.log),
        };
        legacy.hand_to(program, &self.path, &fds).map(drop)
    }

    /// Goes on with what the program before this one has left.
    fn inherit(&mut self, legacy: Legacy) -> io::Result<()> {
        let (lost_stderr, lost_log) = legacy.lost;
        self.outlets.slots.extend(legacy.slots);
        self.ended.extend(legacy.ended);
        if let Some((socket, file)) = legacy.listener {
            self.listen(inherited(socket)?, file);
        }
        if let Some(stderr) = legacy.stderr {
            self.outlets.stderr_to(inherited(stderr)?, lost_stderr);
        }
        if let Some(log) = legacy.log {
            self.log_to(log, lost_log);
        }
        for InputFds { pipe, end, begun, cut, last_lines } in legacy.inputs {
            self.take(Input::continued(pipe, inherited(end)?, begun, cut, last_lines));
        }
        if let Some(daemon) = legacy.daemon {
            self.talk_to(inherited(daemon)?)?;
            self.say_ready();
        }
        Ok(())
    }

    /// What the worker wrote last, up to now.
    fn last_lines(&mut self, worker: WorkerId) -> Vec<String> {
        let asked = |input: &Input| input.pipe.worker == worker && input.pipe.stream == Stream::Stderr;
        let keys = self.inputs.iter().filter(|(_, input)| asked(input)).map(|(key, _)| *key);
        for key in keys.collect::<Vec<u64>>() {
            self.read_all(key);
        }
        let open = self.inputs.values().filter(|input| asked(input)).map(|input| &input.last_lines);
        let ended = self.ended.iter().rev().filter(|(ended, _)| *ended == worker).map(|(_, lines)| lines);
        open.chain(ended).next().map(LastLines::told).unwrap_or_default()
    }

    fn say(&mut self, message: &FromSink, fd: Option<OwnedFd>) {
        let Some(daemon) = &mut self.daemon else { return };
        if let Ok(packet) = Packet::new(message, fd) {
            daemon.waiting.push_back(packet);
        }
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        while let Some(packet) = daemon.waiting.front() {
            match packet.send(&daemon.socket) {
                Ok(()) => drop(daemon.waiting.pop_front()),
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && daemon.waiting.len() < MOST_WAITING =>
                {
                    break;
                }
                Err(_) => return self.lose_daemon(),
            }
        }
        let out = if daemon.waiting.is_empty() { EventFlags::empty() } else { EventFlags::OUT };
        let _ = epoll::modify(&self.epoll, &daemon.socket, EventData::new_u64(DAEMON), EventFlags::IN | out);
    }

    /// Waits for a moment until what is passed on is written.
    fn flush(&self) {
        self.outlets.flush(PATIENCE);
    }

    /// Nothing is left to do.
    fn leave(&self) {
        self.flush();
        let ours =
            |(_, file): &(OwnedFd, Identity)| identity::named(&self.path).is_ok_and(|named| named == *file);
        if self.listener.as_ref().is_some_and(ours) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds the socket, for its user only, in the place of one that an earlier sink has left.
fn bind_private(path: &Path) -> io::Result<(OwnedFd, Identity)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let (_folder, address) = keeper::address(path)?;
    std::fs::remove_file(path).or_else(own::absent)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    let file = identity::named(path)?;
    listen(&socket, BACKLOG)?;
    Ok((socket, file))
}
