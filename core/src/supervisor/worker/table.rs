//! The table of workers, with what is needed to answer questions about them without looking at all.
//!
//! Workers are changed through [`Workers::change`] alone, which keeps every index in step and notes what the change may
//! concern ([`Touched`]): so an event costs the same with 10 workers and with 1000.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::id::{ConnId, SlotIndex, WorkerId};
use crate::supervisor::timer::{Deadlines, Timer};
use crate::time::Time;

use super::health::Health;
use super::{Channel, Place, Role, State, Worker};

/// All workers.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Workers {
    /// Each in a place of its own: a worker is large, and a tree moves what it holds.
    table: BTreeMap<WorkerId, Box<Worker>>,
    /// Deadlines, but those of workers that are being spawned.
    deadlines: Deadlines<WorkerId>,
    /// Workers that are being spawned, by the deadline that each was given.
    spawning: BTreeSet<(Time, WorkerId)>,
    /// No worker that is being spawned is late before this.
    spawning_until: Time,
    /// Who holds which place. One set for all: most places have one worker, and nothing is allocated for each.
    holders: BTreeSet<(Place, WorkerId)>,
    connections: BTreeMap<ConnId, WorkerId>,
    sockets: BTreeMap<Arc<str>, BTreeSet<WorkerId>>,
    /// Workers that wait for their turn to boot, the next one first.
    waiting: BTreeSet<(Turn, WorkerId)>,
    booting: usize,
    joining_healthy: usize,
    coming: usize,
    alive: usize,
    touched: Touched,
    /// Those that were forgotten last, the latest one last.
    forgotten: VecDeque<WorkerId>,
    nobody: Nobody,
}

/// What stands in for a worker that ought to be known and is not.
#[derive(Debug, Clone)]
struct Nobody(Worker);

impl Default for Nobody {
    fn default() -> Self {
        Self(Worker::nobody())
    }
}

/// How many workers that are gone are known as such: a report that one of them sent may be read after its end.
const REMEMBERED: usize = 256;

/// What changes of workers may concern, since it was last taken.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Touched {
    places: Places,
    /// Workers whose process is gone.
    pub gone: Vec<WorkerId>,
    /// Workers that were suspended, or had not confirmed that they were resumed.
    pub resumed: Vec<WorkerId>,
    /// The workers themselves.
    pub workers: BTreeSet<WorkerId>,
}

/// The slots, standbys and sockets that changes of workers may concern.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Places {
    /// Slots of these workers.
    pub slots: BTreeSet<SlotIndex>,
    /// A standby has changed.
    pub standbys: bool,
    /// Whether a standby can take a slot over may have changed.
    pub standbys_health: bool,
    /// Sockets of the daemon that these workers hold.
    pub listeners: BTreeSet<String>,
}

impl Touched {
    /// The places that changes may concern since this was called last.
    pub fn take_places(&mut self) -> Places {
        std::mem::take(&mut self.places)
    }

    fn note(&mut self, id: WorkerId, worker: &Worker) {
        self.workers.insert(id);
        self.places.slots.extend(worker.slot());
        self.places.standbys |= worker.is_standby();
        self.places.listeners.extend(worker.listeners().iter().cloned());
    }
}

/// Whose turn it is to boot: slots before standbys, and before a rollout what replaces a worker that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    standby: bool,
    joining: bool,
    place: Option<Place>,
}

impl Turn {
    fn of(worker: &Worker) -> Option<Self> {
        let (standby, joining, place) = (worker.is_standby(), worker.is_joining(), worker.role().place());
        worker.is_waiting().then_some(Self { standby, joining, place })
    }
}

/// What the indexes are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    deadline: Option<(Time, Timer)>,
    place: Option<Place>,
    connection: Option<ConnId>,
    socket: Option<Arc<str>>,
    turn: Option<Turn>,
    booting: bool,
    joining_healthy: bool,
    coming: bool,
    alive: bool,
    /// It is suspended, or has not confirmed that it was resumed.
    unresumed: bool,
    /// What matters of a standby to a slot that it could take: that it is healthy, and suspended; how it can be reached; and its
    /// signs of life.
    standby: Option<(bool, bool, Channel, Health)>,
}

impl Facts {
    fn of(worker: &Worker) -> Self {
        Self {
            deadline: worker.deadline(),
            place: if let Role::Holding(place) = worker.role() { Some(place) } else { None },
            connection: worker.connection(),
            socket: worker.socket().cloned(),
            turn: Turn::of(worker),
            booting: worker.is_booting(),
            joining_healthy: worker.is_joining() && worker.is_healthy(),
            coming: worker.is_coming(),
            alive: !worker.is_gone(),
            unresumed: worker.is_unresumed(),
            standby: worker.is_standby().then(|| {
                (worker.is_healthy(), worker.is_suspended(), worker.channel(), worker.health().clone())
            }),
        }
    }
}

impl Workers {
    /// A worker that is known: an event about it has come in, or it was found in this table just now. For an id that somebody has kept,
    /// there is [`get`](Self::get).
    pub fn known(&self, id: WorkerId) -> &Worker {
        self.get(id).unwrap_or_else(|| {
            debug_assert!(false, "worker {} is looked up and not known", id.short());
            &self.nobody.0
        })
    }

    /// The worker, if it is known.
    pub fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.table.get(&id).map(AsRef::as_ref)
    }

    /// All workers, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.table.iter().map(|(id, worker)| (*id, worker.as_ref()))
    }

    pub fn ids(&self) -> Vec<WorkerId> {
        self.table.keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Adds a worker. One of the same id, which only a damaged hand-off can bring, is forgotten.
    pub fn insert(&mut self, id: WorkerId, worker: Worker) {
        self.remove(id);
        let facts = Facts::of(&worker);
        self.touched.note(id, &worker);
        self.table.insert(id, Box::new(worker));
        self.update(id, None, Some(facts));
    }

    /// Changes a worker that is known, and whatever depends on it.
    pub fn change<R: Default>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> R) -> R {
        let Some(worker) = self.table.get_mut(&id) else {
            debug_assert!(false, "worker {} is changed and not known", id.short());
            return R::default();
        };
        let before = Facts::of(worker);
        self.touched.note(id, worker);
        let result = change(worker);
        let after = Facts::of(worker);
        self.touched.note(id, worker);
        self.update(id, Some(before), Some(after));
        result
    }

    /// Forgets a worker whose process is gone.
    pub fn remove(&mut self, id: WorkerId) {
        if let Some(worker) = self.table.remove(&id) {
            self.touched.note(id, &worker);
            self.update(id, Some(Facts::of(&worker)), None);
            if self.forgotten.len() == REMEMBERED {
                self.forgotten.pop_front();
            }
            self.forgotten.push_back(id);
        }
    }

    /// Whether this worker was forgotten not long ago, because its process is gone.
    pub fn has_forgotten(&self, id: WorkerId) -> bool {
        self.forgotten.contains(&id)
    }

    /// Those who hold this place, outside any rollout, in the order of their ids.
    pub fn holding(&self, place: Place) -> impl Iterator<Item = (WorkerId, &Worker)> + Clone {
        let ids = self.holders.range((place, WorkerId::FIRST)..).take_while(move |(its, _)| *its == place);
        ids.filter_map(|(_, id)| Some((*id, self.get(*id)?)))
    }

    /// Those who accept from this socket, or did.
    pub fn accepting_from(&self, socket: &str) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let ids = self.sockets.get(socket).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// The worker that reported over this connection.
    pub fn connected(&self, conn: ConnId) -> Option<WorkerId> {
        self.connections.get(&conn).copied()
    }

    /// How many workers of the rollout can serve.
    pub fn joining_healthy(&self) -> usize {
        self.joining_healthy
    }

    /// The worker whose turn it is to boot next.
    pub fn next_to_boot(&self) -> Option<WorkerId> {
        self.waiting.first().map(|(_, id)| *id)
    }

    /// How many workers are being started, or are not ready yet.
    pub fn booting(&self) -> usize {
        self.booting
    }

    /// Whether any worker will be ready, or fail.
    pub fn any_coming(&self) -> bool {
        self.coming > 0
    }

    /// How many workers have a process, or are about to get one.
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// The next deadline of a worker.
    pub fn next_deadline(&self) -> Option<(Time, Timer)> {
        let spawning = self.spawning.first().map(|(at, _)| (self.spawning_until.max(*at), Timer::Spawn));
        [self.deadlines.next(), spawning].into_iter().flatten().min()
    }

    /// Workers whose deadline has passed at `now`, in the order of their ids.
    pub fn due(&self, now: Time) -> BTreeMap<WorkerId, Timer> {
        let spawning = self.spawning.iter().take_while(|(at, _)| self.spawning_until.max(*at) <= now);
        let spawning = spawning.map(|(_, id)| (*id, Timer::Spawn));
        self.deadlines.due(now).map(|(id, timer)| (*id, timer)).chain(spawning).collect()
    }

    /// Processes are created one after the other. The time that one takes is not the next one's: the others have until
    /// `until`.
    pub fn extend_spawning(&mut self, until: Time) {
        self.spawning_until = self.spawning_until.max(until);
    }

    /// By when the process of a worker that is being spawned must exist.
    pub fn spawn_deadline(&self, worker: &Worker) -> Option<Time> {
        if let State::Spawning { deadline } = worker.state() {
            Some(self.spawning_until.max(*deadline))
        } else {
            None
        }
    }

    /// What has been touched since this was called last.
    pub fn touched(&mut self) -> &mut Touched {
        &mut self.touched
    }

    fn update(&mut self, id: WorkerId, before: Option<Facts>, after: Option<Facts>) {
        if before == after {
            return;
        }
        let count = |counter: &mut usize, was: bool, is: bool| {
            *counter = *counter + usize::from(is) - usize::from(was);
        };
        let (was, is) = (before.as_ref(), after.as_ref());
        let joining = |facts: Option<&Facts>| facts.is_some_and(|facts| facts.joining_healthy);
        count(&mut self.joining_healthy, joining(was), joining(is));
        let booting = |facts: Option<&Facts>| facts.is_some_and(|facts| facts.booting);
        count(&mut self.booting, booting(was), booting(is));
        let turn = |facts: Option<&Facts>| facts.and_then(|facts| facts.turn);
        if let Some(turn) = turn(was) {
            self.waiting.remove(&(turn, id));
        }
        if let Some(turn) = turn(is) {
            self.waiting.insert((turn, id));
        }
        let coming = |facts: Option<&Facts>| facts.is_some_and(|facts| facts.coming);
        count(&mut self.coming, coming(was), coming(is));
        let alive = |facts: Option<&Facts>| facts.is_some_and(|facts| facts.alive);
        count(&mut self.alive, alive(was), alive(is));
        if alive(was) && !alive(is) {
            self.touched.gone.push(id);
        }
        let unresumed = |facts: Option<&Facts>| facts.is_some_and(|facts| facts.unresumed);
        if unresumed(was) && !unresumed(is) {
            self.touched.resumed.push(id);
        }
        let before = was.and_then(|facts| facts.standby.as_ref());
        self.touched.places.standbys_health |= before != is.and_then(|facts| facts.standby.as_ref());

        let spawn = |facts: Option<&Facts>| match facts.and_then(|facts| facts.deadline) {
            Some((at, Timer::Spawn)) => Some(at),
            Some(_) | None => None,
        };
        if let Some(at) = spawn(was) {
            self.spawning.remove(&(at, id));
        }
        if let Some(at) = spawn(is) {
            self.spawning.insert((at, id));
        }
        let other = |facts: Option<&Facts>| facts?.deadline.filter(|(_, timer)| *timer != Timer::Spawn);
        self.deadlines.replace(&id, other(was), other(is));

        let place = |facts: Option<&Facts>| facts.and_then(|facts| facts.place);
        if place(was) != place(is) {
            if let Some(place) = place(was) {
                self.holders.remove(&(place, id));
            }
            if let Some(place) = place(is) {
                self.holders.insert((place, id));
            }
        }
        let socket = |facts: Option<&Facts>| facts.and_then(|facts| facts.socket.clone());
        move_worker(&mut self.sockets, id, socket(was), socket(is));
        let connection = |facts: Option<&Facts>| facts.and_then(|facts| facts.connection);
        if connection(was) != connection(is) {
            if let Some(conn) = connection(was) {
                self.connections.remove(&conn);
            }
            if let Some(conn) = connection(is) {
                self.connections.insert(conn, id);
            }
        }
    }
}

/// `id` is found under `after` from now on, instead of `before`.
fn move_worker(
    index: &mut BTreeMap<Arc<str>, BTreeSet<WorkerId>>,
    id: WorkerId,
    before: Option<Arc<str>>,
    after: Option<Arc<str>>,
) {
    if before == after {
        return;
    }
    if let Some(before) = before
        && let Some(ids) = index.get_mut(&before)
    {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(&before);
        }
    }
    if let Some(after) = after {
        index.entry(after).or_default().insert(id);
    }
}
