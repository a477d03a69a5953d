//! The sink's own loop.
//!
//! Two threads: this one reads pipes and talks to the daemon, and waits for nothing else; that of the [`Log`] writes, and waits
//! for whoever reads. It ends when there is neither a daemon nor a pipe.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
use super::wire::{FromSink, Packet, Received, ToSink, receive};
use crate::files::identity::{self, Identity};
use crate::log::Log;

/// What the program is called when it is to be a sink. Its one argument is the path of its socket.
pub(super) const NAME: &str = "nodesockd-sink";

/// What became of a worker whose pipes have ended may be asked a moment later. So many are remembered.
const REMEMBERED: usize = 64;
/// So much is read from a pipe at once.
const CHUNK: usize = 64 << 10;
/// How long whoever reads what is passed on may take at the end.
const PATIENCE: Duration = Duration::from_millis(500);
/// The beginning of a line waits for so long, at least, for what follows.
const REST: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// More messages than wait for a daemon that reads.
const MOST_WAITING: usize = 20_000;

/// Daemons that may wait to be heard.
const BACKLOG: i32 = 8;

const LISTENER: u64 = 0;
const DAEMON: u64 = 1;
const FIRST_INPUT: u64 = 2;

/// Becomes the sink that the daemon wants this process to be, if it does; then there is no return. To be called before anything
/// else in `main`.
pub fn become_sink_if_asked() {
    let mut args = std::env::args_os();
    if args.next().as_deref() != Some(OsStr::new(NAME)) {
        return;
    }
    // Its daemon reports its end.
    let ended = args.next().map(PathBuf::from).ok_or(io::ErrorKind::InvalidInput.into()).and_then(run);
    std::process::exit(i32::from(ended.is_err()))
}

fn run(path: PathBuf) -> io::Result<()> {
    // What is meant for the daemon, or for a whole control group, is not meant for the sink: it ends when it is not needed.
    SigSet::all().thread_set_mask()?;
    let daemon = io::stdin().as_fd().try_clone_to_owned()?;
    let mut sink = Sink::new(path, daemon)?;
    while !sink.is_done() {
        sink.step()?;
    }
    sink.leave();
    Ok(())
}

fn missed(lines: u64) -> String {
    format!(
        "nodesockd: {lines} lines that workers wrote to stderr are missing here, because nobody read them in time"
    )
}

struct Sink {
    path: PathBuf,
    epoll: OwnedFd,
    /// By which the next daemon finds it, and the file of that; without it, each daemon has a sink of its own.
    listener: Option<(OwnedFd, Identity)>,
    daemon: Option<Daemon>,
    inputs: BTreeMap<u64, Input>,
    next: u64,
    ended: VecDeque<(WorkerId, LastLines)>,
    stderr: Option<Log>,
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
    fn new(path: PathBuf, daemon: OwnedFd) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let listener = bind_private(&path).ok();
        if let Some((socket, _)) = &listener {
            epoll::add(&epoll, socket, EventData::new_u64(LISTENER), EventFlags::IN)?;
        }
        let mut sink = Self {
            path,
            epoll,
            listener,
            daemon: None,
            inputs: BTreeMap::new(),
            next: FIRST_INPUT,
            ended: VecDeque::new(),
            stderr: None,
            buffer: vec![0; CHUNK],
            leaves: false,
        };
        sink.serve(daemon)?;
        Ok(sink)
    }

    fn is_done(&self) -> bool {
        self.inputs.is_empty() && (self.daemon.is_none() || self.leaves)
    }

    /// Waits for something to happen, and deals with it.
    fn step(&mut self) -> io::Result<()> {
        let begun = self.inputs.values().any(Input::has_begun);
        let mut events = Vec::with_capacity(64);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), begun.then_some(&REST)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if events.is_empty() {
            let stderr = &self.stderr;
            for input in self.inputs.values_mut() {
                let to = input.pipe.to;
                input.rest(|text| pass_on(stderr.as_ref(), to, text));
            }
        }
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept(),
                DAEMON => self.hear(),
                input => drop(self.read(input)),
            }
        }
        Ok(())
    }

    /// Reads from a pipe once.
    fn read(&mut self, key: u64) -> Reading {
        let Some(input) = self.inputs.get_mut(&key) else { return Reading::End };
        let (to, stderr) = (input.pipe.to, self.stderr.as_ref());
        let reading = input.read(&mut self.buffer, |text| pass_on(stderr, to, text)).unwrap_or(Reading::End);
        if reading == Reading::End
            && let Some(Input { pipe, fd, last_lines, .. }) = self.inputs.remove(&key)
        {
            let _ = epoll::delete(&self.epoll, &fd);
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
        while self.read(key) == Reading::Something {}
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

    fn serve(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.lose_daemon();
        epoll::add(&self.epoll, &socket, EventData::new_u64(DAEMON), EventFlags::IN)?;
        self.daemon = Some(Daemon { socket, waiting: VecDeque::new() });
        let reads: Vec<_> = self
            .inputs
            .values()
            .filter_map(|input| Some((input.pipe.clone(), input.fd.try_clone().ok()?)))
            .collect();
        for (pipe, fd) in reads {
            self.say(&FromSink::Reads(pipe), Some(fd));
        }
        self.say(&FromSink::Ready, None);
        Ok(())
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
            (ToSink::Stderr, Some(fd)) => {
                if let Ok(log) = Log::to(&fd, missed)
                    && let Some(before) = self.stderr.replace(log)
                {
                    before.end();
                }
            }
            (ToSink::Take(pipe), Some(fd)) => {
                let key = self.next;
                let data = EventData::new_u64(key);
                let ready = rustix::io::ioctl_fionbio(&fd, true);
                if ready.and_then(|()| epoll::add(&self.epoll, &fd, data, EventFlags::IN)).is_ok() {
                    self.next += 1;
                    self.inputs.insert(key, Input::new(pipe, fd));
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
            (ToSink::Stderr | ToSink::Take(_), None) => {}
        }
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
        if let Some(log) = &self.stderr {
            log.flush(PATIENCE);
        }
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

fn pass_on(stderr: Option<&Log>, to: Destination, text: &[u8]) {
    match to {
        Destination::Stderr => stderr.into_iter().for_each(|log| log.pass_on(text)),
        Destination::Nowhere => {}
    }
}

/// Binds the socket, for its user only, in the place of one that an earlier sink has left.
fn bind_private(path: &Path) -> io::Result<(OwnedFd, Identity)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let (_folder, address) = keeper::address(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    let file = identity::named(path)?;
    listen(&socket, BACKLOG)?;
    Ok((socket, file))
}
