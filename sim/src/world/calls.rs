//! What the daemon does to `tmpDir` and asks its host for.

use nodesockd_core::config::{Config, Named, Problem, Ready, SocketPattern, Symlinks};
use nodesockd_core::event::{CpuTime, Failure, Queue};
use nodesockd_core::id::{Process, WorkerId};
use nodesockd_core::state::{Entry as StateEntry, State};

use super::{Entry, Worker, World};
use crate::faults::Call;

impl World {
    /// Swaps a link.
    pub fn publish(&mut self, link: &str, socket: &str, symlinks: Symlinks) -> Result<(), Failure> {
        let called = self.call(Call::Publish);
        self.log_file(format_args!("publish {link} → {}", self.owner(socket)), &called);
        if called.is_err() {
            self.oracle.unswapped.insert(link.to_owned());
        }
        called?;
        if let Some(Entry::Socket(_) | Entry::Plain) = self.files.get(link) {
            self.oracle.unswapped.remove(link);
            return Err(Failure(format!("{link} is no symlink")));
        }
        self.published(link, socket);
        self.oracle.unswapped.remove(link);
        self.files.remove(&SocketPattern::temporary(link));
        self.files.link(link, socket, symlinks);
        Ok(())
    }

    /// Removes a link.
    pub fn withdraw(&mut self, link: &str) -> Result<(), Failure> {
        let called = self.call(Call::Withdraw);
        self.log_file(format_args!("withdraw {link}"), &called);
        match self.files.get(link) {
            None => {
                if called.is_ok() {
                    self.withdrawn(link);
                }
                return called;
            }
            Some(Entry::Link(_)) => {}
            Some(Entry::Socket(_) | Entry::Ours | Entry::Plain) => {
                return Err(Failure(format!("{link} is no symlink")));
            }
        }
        if called.is_err() {
            let named = self.files.target(link).map(str::to_owned);
            if let Some(listener) = named.and_then(|socket| self.listeners.get_mut(&socket)) {
                listener.overdue = true;
            }
            self.stuck(link);
            return called;
        }
        self.withdrawn(link);
        self.files.remove(link);
        Ok(())
    }

    /// How many connections wait for a suspended worker.
    pub fn count_waiting(&mut self, id: WorkerId, socket: &str) -> Queue {
        let worker = self.processes.named(id);
        let queue = match self.waiting(worker, socket) {
            Some(length) if length >= self.scenario.load.backlog => Queue::Full(count_of(length)),
            Some(length) => Queue::Length(count_of(length)),
            None => Queue::Closed,
        };
        self.trace.line(
            self.agenda.now(),
            "daemon",
            format_args!("count what waits at {socket} → {queue:?}"),
        );
        queue
    }

    /// The length of the accept queue that a worker accepts from.
    pub fn measure_queue(&mut self, id: WorkerId, socket: &str) -> Queue {
        let called = self.call(Call::MeasureQueue);
        let worker = self.processes.named(id);
        let waiting = self.waiting(worker, socket);
        let linked = self.files.iter().any(|(link, _)| self.files.target(link) == Some(socket));
        let beside = self.processes.iter().filter(|(other, its)| Some(*other) != worker && its.tends(socket));
        let beside = beside.map(|(other, _)| other).collect();
        let decided = self.agenda.busy_since();
        if let Some(process) = worker.and_then(|worker| self.processes.get_mut(worker)) {
            // One that boots may be looked at for another reason.
            let shows = matches!(process.plan.ready, Ready::Listen | Ready::Http);
            let known = &mut process.known;
            let drains = known.online || known.late || !shows;
            if drains && known.draining.is_none() {
                (known.draining, known.beside) = (Some(decided), beside);
            }
            if process.known.online {
                process.known.blind_since =
                    called.is_err().then_some(process.known.blind_since.unwrap_or(self.agenda.now()));
            }
            let ready = process.known.shows.unwrap_or(process.plan.ready);
            process.known.online |= called.is_ok() && waiting.is_some() && ready == Ready::Listen;
            process.known.seen_empty = drains && called.is_ok() && waiting == Some(0);
        }
        if let Some(listener) = self.listeners.get_mut(socket) {
            listener.unseen |= called.is_err();
            listener.given_up = listener.given_up.or(linked.then_some(decided));
        }
        let queue = match (called, waiting) {
            (Err(failure), _) => Queue::Unknown(failure.to_string()),
            (Ok(()), Some(length)) => Queue::Length(count_of(length)),
            (Ok(()), None) => Queue::Closed,
        };
        let name = worker.map_or_else(|| id.to_string(), |worker| worker.to_string());
        if matches!(queue, Queue::Length(1..)) {
            self.marks.count("a drain has to wait");
        }
        let words = match &queue {
            Queue::Length(0) => "empty".into(),
            Queue::Length(length) | Queue::Full(length) => format!("{length} waiting"),
            Queue::Closed => "closed".into(),
            Queue::Unknown(reason) => format!("unknown, {reason}"),
        };
        self.trace.line(self.agenda.now(), "daemon", format_args!("measure the queue of {name} → {words}"));
        queue
    }

    /// What waits in the accept queue that a worker accepts from.
    pub fn list_queue(&mut self, id: WorkerId, socket: &str) -> Result<Vec<u64>, Failure> {
        let called = self.call(Call::MeasureQueue);
        let worker = self.processes.named(id);
        let waiting = called.map(|()| self.queue(worker, socket));
        if waiting.as_ref().is_ok_and(Vec::is_empty) {
            self.seen_to_accept(id);
        }
        let name = worker.map_or_else(|| id.to_string(), |worker| worker.to_string());
        self.trace.line(self.agenda.now(), "daemon", format_args!("list the queue of {name} → {waiting:?}"));
        waiting
    }

    /// What a worker that is not ready in time has done so far. One that boots works, or would if it were let; one that has
    /// booted waits for something.
    pub fn measure_cpu(&mut self, id: WorkerId, process: Process) -> Result<CpuTime, Failure> {
        let now = self.agenda.now();
        let (worker, found) = self.living(id, process)?;
        found.known.late = true;
        let worked = now.min(found.plan.boots_at).since(found.plan.spawned);
        let words = format_args!("measure the CPU time of {worker} → {} ms", worked.as_millis());
        self.trace.line(now, "daemon", words);
        Ok(CpuTime { used: worked / 2, waited: worked / 2 })
    }

    /// Removes a dead worker's socket.
    pub fn remove(&mut self, socket: &str) -> Result<(), Failure> {
        let called = self.call(Call::Remove);
        let owner = match self.files.get(socket) {
            None => return called,
            Some(Entry::Socket(owner)) => *owner,
            Some(Entry::Ours) => None,
            Some(Entry::Link(_) | Entry::Plain) => {
                return Err(Failure(format!("{socket} is no socket")));
            }
        };
        self.log_file(format_args!("remove the socket of {}", self.owner(socket)), &called);
        if called.is_err() {
            self.stuck(socket);
            return called;
        }
        if self.is_ours(socket) {
            self.violated(format_args!("{} is removed as a dead worker's, but is open", self.owner(socket)));
        }
        if let Some(worker) = owner
            && self.processes.get(worker).is_some_and(super::process::Proc::alive)
        {
            self.violated(format_args!("the socket of {worker} is removed, which is alive"));
        }
        self.unstuck(socket);
        self.files.remove(socket);
        Ok(())
    }

    /// Writes to the state file, or removes it.
    pub fn persist(&mut self, entry: Option<&StateEntry>) -> Result<(), Failure> {
        let adds = matches!(entry, Some(StateEntry::Changes(_)));
        if adds && self.state.is_none() && !self.deaths.stale {
            self.violated("a line is added to a state file that is not there");
        }
        let called = self.call(Call::Persist);
        let refused = adds && self.deaths.stale;
        self.deaths.stale = called.is_err() || refused;
        called?;
        if refused {
            return Err(Failure("the file has to be replaced first".into()));
        }
        if !adds {
            self.state_is_back();
        }
        if entry.is_none() {
            // A daemon that quits takes what it has counted with it.
            self.forget_told();
        }
        self.state = entry.cloned().and_then(|entry| State::after(self.state.take(), entry));
        if let Some(state) = &self.state {
            self.history.promises(&state.history);
        }
        Ok(())
    }

    /// Removes what earlier daemons left.
    pub fn sweep(&mut self, pattern: &SocketPattern) -> Result<u32, Failure> {
        let called = self.call(Call::Sweep);
        if let Err(failure) = called {
            self.trace.line(self.agenda.now(), "daemon", format_args!("sweep tmpDir → {failure}"));
            self.sweep_failed();
            return Err(failure);
        }
        let listens = |worker: Option<Worker>| {
            let process = worker.and_then(|worker| self.processes.get(worker));
            process.is_some_and(|process| process.traffic.queue.is_some())
        };
        let is_stale = |name: &str, entry: &Entry| match (pattern.matches(name), entry) {
            (Some(Named::TemporaryLink), Entry::Link(_)) => true,
            (Some(Named::Link(_)), Entry::Link(_)) => {
                let ours = self.files.target(name).is_some_and(|socket| self.is_ours(socket));
                !ours && !listens(self.files.follow(name))
            }
            (Some(Named::Socket(_)), Entry::Socket(worker)) => !listens(*worker),
            (Some(Named::Socket(_)), Entry::Ours) => !self.is_ours(name),
            _ => false,
        };
        let stale: Vec<String> = self
            .files
            .iter()
            .filter(|(name, entry)| is_stale(name, entry))
            .map(|(name, _)| name.to_owned())
            .collect();
        stale.iter().for_each(|name| self.files.remove(name));
        let count = u32::try_from(stale.len()).unwrap_or(u32::MAX);
        self.trace.line(self.agenda.now(), "daemon", format_args!("sweep tmpDir → {count} removed"));
        Ok(count)
    }

    /// Reads the configuration file.
    pub fn load_config(&mut self) -> Result<Config, Vec<Problem>> {
        let called = self.call(Call::LoadConfig);
        let loaded = match (called, &self.file) {
            (Err(failure), _) => Err(format!("/srv/app/nodesockd.toml: {failure}")),
            (Ok(()), None) => Err("unknown key `worker`".to_owned()),
            (Ok(()), Some(settings)) => settings.config().map_err(|error| error.to_string()),
        };
        let words = if loaded.is_ok() { "good" } else { "bad" };
        self.trace.line(self.agenda.now(), "daemon", format_args!("load the configuration → {words}"));
        match loaded {
            Ok(config) => {
                self.promise_on_load(&config);
                self.oracle.starts.push_back(self.agenda.now());
                if let Some(settings) = &self.file {
                    self.in_force = settings.clone();
                }
                Ok(config)
            }
            Err(message) => Err(vec![Problem::general(message)]),
        }
    }

    pub(super) fn log_file(&mut self, what: std::fmt::Arguments<'_>, called: &Result<(), Failure>) {
        match called {
            Ok(()) => self.trace.line(self.agenda.now(), "daemon", what),
            Err(failure) => {
                self.trace.line(self.agenda.now(), "daemon", format_args!("{what} fails: {failure}"))
            }
        }
    }

    /// Whose socket it is, for people.
    pub(super) fn owner(&self, socket: &str) -> String {
        if let Some(listener) = self.listeners.get(socket) {
            return listener.to_string();
        }
        self.bound(socket).map_or_else(|| socket.to_owned(), |(worker, _)| worker.to_string())
    }
}

fn count_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
