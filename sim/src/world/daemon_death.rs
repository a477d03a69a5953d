//! What the daemon's death does to the world, what the next one finds, and what it may make of it.
//!
//! Facts on their way are lost, clients are cut off, workers lose their channel and go on. What was promised and not in
//! progress stands.

use std::collections::BTreeSet;

use nodesockd_core::Time;
use nodesockd_core::config::{Config, Named, PatternError, SocketPattern, Symlinks};
use nodesockd_core::event::{Caller, Event};
use nodesockd_core::id::{ConnId, SlotIndex, WorkerId};
use nodesockd_core::state::{
    FoundLink, Leftovers, RecordedStage, State, Survivor, SuspensionRecord, WorkerRecord,
};
use nodesockd_core::wire::{Claim, FromWorker, Status};

use super::agenda::{Happening, Lane};
use super::process::{Channel, Proc};
use super::{Worker, WorkerStep, World, ms};

/// The library tries to reach a daemon again at least so often, in ms.
const REDIAL_MS: u64 = 1000;

/// What has become of daemons.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    /// There is no daemon.
    pub down: bool,
    /// How many there were before this one.
    pub count: u32,
    /// Workers that serve and that nobody wants to go: they stay.
    pub kept: BTreeSet<Worker>,
    /// The state file could not be written when that was last tried.
    pub stale: bool,
    /// A daemon died while it was, or it was removed before the next one, which knew too little therefore.
    pub forgot: bool,
    /// The `socketFile` that the last daemon found, if it has read no configuration since.
    pub pattern: Option<SocketPattern>,
}

impl World {
    /// What draws all that nobody decides.
    pub fn jitter(&self) -> u64 {
        self.scenario.jitter
    }

    /// The daemon is killed; `busy` with an operation, or not.
    pub fn daemon_dies(&mut self, busy: bool, torn: bool) {
        self.tally.count("daemon dies");
        self.trace.line(self.agenda.now(), "fault", "kill -9 the daemon");
        self.lose_daemon(busy);
        let socket_file = self.state.as_ref().and_then(|state| state.socket_files.first());
        let pattern = socket_file.and_then(|name| SocketPattern::parse(name).ok());
        if let Some(pattern) = pattern.filter(|_| torn) {
            self.tally.count("torn swap");
            let link = pattern.link(SlotIndex(0));
            self.files.link(&SocketPattern::temporary(&link), "gone.sock", Symlinks::Relative);
        }
    }

    /// There is no daemon any more; it was `busy` with an operation, or not.
    pub(super) fn lose_daemon(&mut self, busy: bool) {
        self.upgrades.interrupted();
        self.dev_server = None;
        self.page = None;
        self.deaths.down = true;
        self.deaths.count += 1;
        self.deaths.forgot |= self.deaths.stale;
        self.agenda.lose_daemon();
        self.deploy_interrupted();
        self.migration_interrupted();
        if self.clients.has_waiting_operation() {
            // It may have replaced the suspension that was to end by itself: the state file tells.
            self.oracle.expiry_promised = Time::ZERO;
        }
        self.clients.forget_all();
        // The next daemon does not know when this one has ordered workers.
        self.oracle.orders.clear();
        for process in self.processes.iter_mut() {
            process.lose_daemon();
        }
        // One that died before it knew what its predecessor had left unfinished leaves that unfinished, too.
        let unfinished = busy
            || self.state.as_ref().is_some_and(|state| state.rollout.is_some() || state.deploy.is_some());
        self.deaths.kept = if unfinished || self.deaths.stale { BTreeSet::new() } else { self.untroubled() };
        self.let_go();
    }

    /// Workers that serve and have no reason to go.
    fn untroubled(&self) -> BTreeSet<Worker> {
        // An age may be reached at any time.
        let aging = self.in_force.limit_age_ms.is_some();
        if !self.oracle.wanted || self.oracle.in_doubt() || aging {
            return BTreeSet::new();
        }
        let fine = |(worker, process): (Worker, &Proc)| {
            let accepts = process.traffic.queue.is_some() || !process.sockets.accepts.is_empty();
            let serves = process.known.published && process.known.unlinked.is_none() && accepts;
            let sound = process.plan.behaviours.is_empty()
                && process.known.online
                && !process.stopped
                && !process.asked_to_go();
            // Of slots that were asked for there may be fewer.
            let wanted = self.oracle.slots.range(..SlotIndex(self.oracle.floor()));
            let recorded = self.recorded(process);
            // Spares that hear nothing accept as well, from all sockets.
            let seated = |socket: &String| {
                recorded.is_some_and(|record| record.slot.is_some() && record.socket.as_ref() == Some(socket))
            };
            let needed = wanted.into_iter().any(|(index, slot)| {
                // The link of another slot leaves it when there is a worker of that slot.
                let own = recorded.and_then(|record| record.slot).is_none_or(|own| own == *index);
                let its = slot.worker == Some(worker)
                    || seated(&slot.socket) && process.sockets.accepts.contains(&slot.socket);
                own && its && !self.oracle.unswapped.contains(&slot.link)
            });
            // One that can be told nothing is replaced unless it is known to need nothing.
            let active = recorded.is_some_and(|record| record.stage == RecordedStage::Online);
            let reports = process.speaks() && self.has_library(worker);
            let reachable = reports || active;
            // Not so what a daemon has to retire, or to replace after an unfinished rollout, by its own account.
            let going = |stage: RecordedStage| stage == RecordedStage::Broken || stage.is_going();
            // Nor what may lead, so that nobody else can.
            let doubtful = !reports && self.leads_by_record(process.id);
            // Nor is a worker known to serve that boots by the record: the link names a socket which others may have served before.
            let inherits = !process.sockets.accepts.is_empty();
            let known = |stage: RecordedStage| !going(stage) && (!inherits || !stage.is_booting());
            let current = recorded.is_none_or(|record| known(record.stage)) && !doubtful;
            let mut sockets = process.sockets.own.iter().chain(&process.sockets.accepts);
            let spoiled = sockets.any(|socket| self.oracle.has_spoiled(socket));
            (process.alive() && serves && sound && current && needed && reachable && !spoiled)
                .then_some(worker)
        };
        self.processes.iter().filter_map(fine).collect()
    }

    /// Nobody can be sure any more that these stay.
    pub(super) fn may_go(&mut self) {
        self.deaths.kept.clear();
    }

    pub(super) fn check_kept(&mut self, worker: Worker, what: &str) {
        let alive = self.processes.get(worker).is_some_and(Proc::alive);
        if alive && self.deaths.kept.contains(&worker) {
            self.violated(format_args!(
                "{worker} is {what}, although nothing happened but that its daemon died"
            ));
        }
    }

    /// The configuration that the next daemon reads. One that cannot be read is mended first.
    pub fn configuration(&mut self) -> Result<Config, PatternError> {
        let settings = self.file.get_or_insert_with(|| self.in_force.clone()).clone();
        let config = settings.config()?;
        let mut links = self.oracle.slots.iter();
        if links.any(|(index, slot)| slot.link != config.socket_file.link(*index)) {
            // A link of the new name that could not be removed long ago may name another worker.
            self.may_go();
        }
        self.promise_on_load(&config);
        self.in_force = settings;
        Ok(config)
    }

    /// A daemon starts, and finds this.
    pub fn inherit(&mut self, config: &Config) -> Leftovers {
        self.deaths.down = false;
        // Somebody may have removed the file while nobody was there to write it again.
        self.deaths.forgot |= self.deaths.stale;
        self.deaths.pattern = Some(config.socket_file.clone());
        self.trace.line(self.agenda.now(), "daemon", "start again");
        self.look_around();
        let survivors: Vec<Survivor> = self
            .processes
            .iter()
            .filter(|(_, process)| process.alive())
            .map(|(_, process)| Survivor { id: process.id, process: process.process })
            .collect();
        let recorded = |id| self.state.as_ref().and_then(|state| state.worker(id));
        let (now, at_once) = (self.agenda.now(), self.oracle.kill_allowed());
        for process in self.processes.iter_mut() {
            let record = recorded(process.id);
            if at_once && record.is_some_and(|record| record.stage == RecordedStage::Leaving) {
                // The earlier daemon was told to end all at once. It may have died after it wrote that down.
                process.known.terminates(now);
            }
            let goes = record.is_some_and(|record| record.stage.is_going());
            process.known.told_unrecorded = process.known.told_to_go() && !goes;
        }
        // Of one that does not speak, nothing is written down but that.
        let ready = self.in_force.ready.into();
        let mute = self.processes.iter_mut().filter(|process| process.alive() && !process.speaks());
        mute.for_each(|process| process.known.shows = Some(ready));
        // Children of those that died meanwhile are no worker's any more.
        self.processes
            .iter_mut()
            .filter(|process| !process.alive())
            .for_each(|process| process.children.clear());
        let former = self.state.iter().flat_map(|state| state.former_patterns(&config.socket_file));
        let patterns: Vec<SocketPattern> = former.chain([config.socket_file.clone()]).collect();
        let links: Vec<FoundLink> = self.found_links(&patterns);
        if self.deaths.stale {
            self.lose_names(&patterns);
        }
        // A link to nobody says nothing any more.
        let lives = |link: &&FoundLink| match self.bound(&link.socket) {
            Some((_, process)) => process.alive(),
            None => self.is_ours(&link.socket),
        };
        let alive: Vec<FoundLink> = links.iter().filter(lives).cloned().collect();
        self.follow_names(&alive, config);
        self.promise_on_adoption(&alive);
        // Those that neither the file nor a link knows cannot be told apart, and go.
        let known = |id| {
            self.record_of(id).is_some()
                || links.iter().any(|link| self.bound(&link.socket).is_some_and(|(_, its)| its.id == id))
        };
        let unknown: Vec<Worker> = self
            .processes
            .live()
            .into_iter()
            .filter(|worker| self.processes.get(*worker).is_some_and(|process| !known(process.id)))
            .collect();
        let now = self.agenda.now();
        for worker in &unknown {
            if let Some(process) = self.processes.get_mut(*worker) {
                process.known.draining.get_or_insert(now);
            }
        }
        // Nobody can say what they have inherited, nor what those have whom an earlier daemon did not know: the daemon after this one
        // finds those files.
        let told = |process: &Proc| {
            let record = self.record_of(process.id);
            let listeners = record.map(|record| &record.listeners);
            process.sockets.inherits.iter().all(|its| listeners.is_some_and(|all| all.contains(its)))
        };
        let live = self.processes.iter().filter(|(_, process)| process.alive());
        let untold = live.filter(|(worker, process)| unknown.contains(worker) || !told(process));
        let sockets: BTreeSet<String> = untold
            .flat_map(|(_, process)| process.sockets.inherits.iter().chain(&process.sockets.own))
            .cloned()
            .collect();
        let naming = links.iter().filter(|link| sockets.contains(&link.socket)).map(|link| link.name.clone());
        let lost: Vec<String> = naming.chain(sockets.clone()).collect();
        lost.iter().for_each(|name| self.stuck(name));
        for worker in self.processes.live() {
            if self.has_library(worker) {
                let moment = self.draw_us(REDIAL_MS * 1000);
                self.after(moment, Happening::Worker(worker, WorkerStep::Dial));
            }
        }
        if self.state.is_none() || self.deaths.stale {
            self.history.forgets();
        }
        let (state, command, history) = (self.state.clone(), self.commands.left(), self.history());
        Leftovers { state, survivors, links, command, history }
    }

    /// Names of a `socketFile` that the state file could not say are nobody's to find.
    fn lose_names(&mut self, patterns: &[SocketPattern]) {
        let foreign = |name: &str| !patterns.iter().any(|pattern| pattern.matches(name).is_some());
        let lost: Vec<String> =
            self.files.iter().filter(|(name, _)| foreign(name)).map(|(name, _)| name.to_owned()).collect();
        lost.iter().for_each(|name| self.stuck(name));
    }

    /// nginx follows the names of the configuration that is in force now.
    fn follow_names(&mut self, links: &[FoundLink], config: &Config) {
        for link in links.iter().filter(|link| link.name == config.socket_file.link(link.slot)) {
            let worker = self.bound(&link.socket).map(|(worker, _)| worker);
            if let Some(process) = worker.and_then(|worker| self.processes.get_mut(worker)) {
                process.known.unlinked = None;
            }
            let slot = super::oracle::Slot { link: link.name.clone(), socket: link.socket.clone(), worker };
            if let Some(before) = self.oracle.slots.insert(link.slot, slot) {
                self.unlinked(&before);
            }
        }
    }

    /// Who bound a socket, dead or alive.
    pub(super) fn bound(&self, socket: &str) -> Option<(Worker, &Proc)> {
        self.processes.iter().find(|(_, process)| process.sockets.own.as_deref() == Some(socket))
    }

    /// What the daemon has written down of a worker.
    pub(super) fn recorded(&self, process: &Proc) -> Option<&WorkerRecord> {
        self.record_of(process.id)
    }

    /// The same, by its name.
    pub(super) fn record_of(&self, id: WorkerId) -> Option<&WorkerRecord> {
        self.state.as_ref()?.worker(id)
    }

    /// Links whose names, and the names they lead to, are of one of the `patterns`.
    fn found_links(&self, patterns: &[SocketPattern]) -> Vec<FoundLink> {
        let named = |name: &str| patterns.iter().find_map(|pattern| pattern.matches(name));
        let link = |name: &str| {
            let Named::Link(slot) = named(name)? else { return None };
            let socket = self.files.target(name)?.to_owned();
            let Named::Socket(_) = named(&socket)? else { return None };
            Some(FoundLink { slot, name: name.to_owned(), socket })
        };
        self.files.iter().filter_map(|(name, _)| link(name)).collect()
    }

    /// What was promised stands; what was in progress is decided by the file and the links.
    fn promise_on_adoption(&mut self, links: &[FoundLink]) {
        let doubt = self.oracle.in_doubt() || self.deaths.stale;
        let finishes = links.iter().any(|link| self.tells_of_rollout(&link.socket));
        let fate = self.state.as_ref().map_or(Fate::UNKNOWN, |state| Fate::of(state, finishes));
        // A daemon that was left no state file has asked the workers.
        let guesses = self.deaths.forgot || self.oracle.may_be_resumed && !fate.suspended;
        let kept = guesses || self.oracle.suspended == fate.suspended;
        if !doubt && (self.oracle.wanted != fate.running || !kept) {
            self.violated(format_args!("by the state file the app {fate}, which is not what was promised"));
        }
        if !self.oracle.wanted {
            self.oracle.given_up = self.given_up();
        }
        let now = self.agenda.now();
        self.oracle.adopted(now, fate.running, fate.suspended, fate.suspension.as_ref());
        // A daemon tells workers to resume before it writes that down.
        let unrecorded = |its: &Proc| {
            let record = self.recorded(its);
            self.deaths.forgot || record.is_some_and(|record| record.stage == RecordedStage::Suspended)
        };
        let active = |its: &Proc| its.alive() && (!its.suspended || its.known.told_resume.is_some());
        self.oracle.may_be_resumed = self.processes.iter().any(|(_, its)| active(its) && unrecorded(its));
        let rollout = self.state.as_ref().and_then(|state| state.rollout.as_ref());
        let counts = self.state.iter().map(|state| state.slots).chain(rollout.map(|rollout| rollout.slots));
        let counts: Vec<u32> = counts.collect();
        let standby =
            self.state.iter().map(|state| state.standby).chain(rollout.map(|rollout| rollout.standby));
        let standby = standby.max().unwrap_or_default();
        if doubt {
            self.oracle.may_be(&counts, standby);
        }
    }

    /// Slots that a daemon which was told to stop has begun to give up: whoever served them was told to go.
    fn given_up(&self) -> BTreeSet<SlotIndex> {
        let serves = |slot: &super::oracle::Slot| match slot.worker {
            Some(worker) => self.processes.get(worker).is_some_and(|process| {
                process.alive() && !process.known.told_to_go() && !self.goes_by_record(process)
            }),
            None => self.is_tended(&slot.socket, None),
        };
        let slots = self.oracle.slots.iter();
        slots.filter(|(_, slot)| !serves(slot)).map(|(index, _)| *index).collect()
    }

    /// Behind the socket is nobody but new workers of a rollout, so that a link to it was swapped for them.
    fn tells_of_rollout(&self, socket: &str) -> bool {
        let Some(state) = &self.state else { return false };
        if let Some((_, process)) = self.bound(socket) {
            return state.worker(process.id).is_some_and(|record| record.new);
        }
        let alive = |id| {
            self.processes
                .named(id)
                .and_then(|worker| self.processes.get(worker))
                .is_some_and(|its| its.alive())
        };
        let serves = |record: &&WorkerRecord| {
            record.socket.as_deref() == Some(socket)
                && alive(record.id)
                && !record.stage.is_booting()
                && !record.stage.is_going()
        };
        let mut holders =
            state.workers.iter().filter(|record| record.listeners.iter().any(|its| its == socket));
        let new = holders.clone().all(|record| record.new);
        new && holders.any(|record| serves(&record))
    }

    /// Whether it reports to another daemon than its first.
    pub(super) fn has_library(&self, worker: Worker) -> bool {
        worker.0.wrapping_mul(37) % 100 >= self.faults.strangers
    }

    /// A worker with our library reaches the daemon again, by the control socket.
    pub(super) fn dial(&mut self, worker: Worker) {
        let conn = self.clients.open();
        let Some(process) = self.processes.get_mut(worker).filter(|process| process.is_orphaned()) else {
            return;
        };
        if self.deaths.down || process.is_shutting_down() || process.conn().is_some() {
            return;
        }
        process.channel = Channel::Orphaned(Some(conn));
        let (reported, broken, leads) = (process.reported, process.broken, process.leading.reported());
        if reported {
            let suspended = process.holds;
            let word = if suspended {
                "online, suspended, over the control socket"
            } else {
                "online, over the control socket"
            };
            let counts = self.counts(worker);
            self.say(
                worker,
                FromWorker::Online { pid: None, suspended, heartbeat: true, leads, counts },
                word,
            );
            self.say_counts(worker);
        }
        if broken {
            self.say(worker, FromWorker::Broken { reason: Some("out of memory soon".into()) }, "broken");
        }
    }

    /// The fact that a worker said something, by whichever way it has.
    pub(super) fn said(&self, worker: Worker, message: FromWorker) -> Option<(Lane, Event)> {
        let process = self.processes.get(worker)?;
        let id = process.id;
        if process.has_own_channel() {
            return Some((Lane::Worker(id), Event::Received { worker: id, message }));
        }
        let conn = process.conn()?;
        let claims = Some(Claim { worker: id, pid: Some(process.process.pid) });
        let caller = Some(Self::caller(process));
        Some((Lane::Client(conn), Event::Claimed { conn, caller, claims, message }))
    }

    /// What the kernel says of a worker's process.
    pub(super) fn caller(process: &Proc) -> Caller {
        Caller {
            process: process.process,
            own_user: true,
            leads: true,
            family: Vec::new(),
            worker: Some(process.id),
            socket: process.sockets.own.clone(),
            link: None,
        }
    }

    /// A worker's connection to the control socket closes.
    pub(super) fn part(&mut self, conn: ConnId) {
        self.deliver(Some(Lane::Client(conn)), ms(0), Event::Disconnected { conn });
    }

    /// Processes that the daemon does not know of, and workers that are not in the mood that was promised.
    pub fn misfits(&self, status: &Status) -> Vec<String> {
        let known: BTreeSet<u32> = status.workers.iter().filter_map(|worker| worker.pid).collect();
        let alive = || self.processes.iter().filter(|(_, process)| process.alive());
        let orphans = alive()
            .filter(|(_, process)| !known.contains(&process.process.pid))
            .map(|(worker, _)| format!("{worker} is alive and nobody's"));
        let wanted = self.oracle.suspended;
        let serves = |process: &Proc| process.known.published && process.known.unlinked.is_none();
        let mood = |process: &Proc| if wanted { !process.suspended } else { process.holds };
        let moods = alive()
            .filter(|(_, process)| {
                self.deaths.count > 0
                    && !self.deaths.forgot
                    && !self.oracle.in_doubt()
                    && serves(process)
                    && !process.asks_to_go()
                    && mood(process)
            })
            .map(|(worker, _)| {
                format!("{worker} is {}suspended, the app is not so", if wanted { "not " } else { "" })
            });
        orphans.chain(moods).chain(self.unsaid(status)).collect()
    }
}

/// What becomes of the app by the state file.
struct Fate {
    running: bool,
    suspended: bool,
    suspension: Option<SuspensionRecord>,
}

impl Fate {
    const UNKNOWN: Self = Self { running: true, suspended: false, suspension: None };

    /// A rollout for which a link was swapped is finished, any other is undone.
    fn of(state: &State, swapped: bool) -> Self {
        match &state.rollout {
            Some(rollout) if swapped => {
                Self { running: true, suspended: rollout.suspended, suspension: rollout.suspension.clone() }
            }
            Some(_) | None => Self {
                running: state.running,
                suspended: state.suspended,
                suspension: state.suspension.clone(),
            },
        }
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.running, self.suspended) {
            (true, true) => "is suspended",
            (true, false) => "runs",
            (false, _) => "is stopped",
        })
    }
}
