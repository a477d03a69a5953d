//! Workers in a hand-off.

use std::sync::Arc;

use crate::handoff::{ChannelRecord, DrainRecord, SeatRecord, StateRecord, WatchRecord, WorkerRecord};
use crate::supervisor::worker::drain::Drain;
use crate::supervisor::worker::health::Health;
use crate::supervisor::worker::watch::Watch;

use super::limits::Looks;
use super::queue::AcceptQueue;
use super::talk::Talk;
use super::{Channel, Exposure, Place, Protocol, Role, Start, State, Worker};

impl From<&Worker> for WorkerRecord {
    fn from(worker: &Worker) -> Self {
        // The next program looks at sockets by itself. A reason that is put right too late is all that is lost of a worker that
        // is dying.
        let Worker {
            role,
            state,
            since,
            start,
            ready,
            talk: Talk { protocol, channel, speaker, said_pid, disbelieved, can_lead },
            queue: AcceptQueue { socket, listeners, exposure, lost: _ },
            died_in: _,
            looks: _,
            health,
            // Checks begin anew.
            check: _,
            counts,
        } = worker;
        let Start {
            ordered,
            suspended,
            ready_by,
            ready_path,
            online_timeout,
            stop_signal,
            stderr,
            generation,
        } = start;
        let (seat, in_rollout) = match *role {
            Role::Joining(place) => (SeatRecord::from(place), true),
            // No hand-off happens while a deploy is watched.
            Role::Holding(place) | Role::Kept(place) => (SeatRecord::from(place), false),
            Role::Retired { from } => (SeatRecord::Retired { from }, false),
        };
        Self {
            seat,
            in_rollout,
            state: StateRecord::from(state),
            since: *since,
            ordered: *ordered,
            online_timeout: *online_timeout,
            ready: *ready,
            started_suspended: *suspended,
            ready_by: *ready_by,
            ready_path: ready_path.clone(),
            speaks: *protocol == Protocol::Speaks,
            socket: socket.as_ref().map(ToString::to_string),
            listeners: listeners.clone(),
            served: *exposure != Exposure::Unseen,
            drained: *exposure == Exposure::Drained,
            channel: ChannelRecord::from(*channel),
            speaker: *speaker,
            said_pid: *said_pid,
            disbelieved: disbelieved.clone(),
            stop_signal: *stop_signal,
            stderr: stderr.clone(),
            generation: *generation,
            heartbeat: health.has_heartbeat(),
            asked: health.seq(),
            unconfirmed: health.owes_confirmation(),
            can_lead: *can_lead,
            counts: counts.into(),
        }
    }
}

impl From<WorkerRecord> for Worker {
    fn from(record: WorkerRecord) -> Self {
        let WorkerRecord {
            seat,
            in_rollout,
            state,
            since,
            ordered,
            online_timeout,
            ready,
            started_suspended,
            ready_by,
            ready_path,
            speaks,
            socket,
            listeners,
            served,
            drained,
            channel,
            speaker,
            said_pid,
            disbelieved,
            stop_signal,
            stderr,
            generation,
            heartbeat,
            asked,
            unconfirmed,
            can_lead,
            counts,
        } = record;
        let place = |place| if in_rollout { Role::Joining(place) } else { Role::Holding(place) };
        Self {
            role: match seat {
                SeatRecord::Slot(slot) => place(Place::Slot(slot)),
                SeatRecord::Standby => place(Place::Standby),
                SeatRecord::Retired { from } => Role::Retired { from },
            },
            state: State::from(state),
            since,
            start: Start {
                ordered,
                suspended: started_suspended,
                ready_by,
                ready_path,
                online_timeout,
                stop_signal,
                stderr,
                generation,
            },
            ready,
            talk: Talk {
                protocol: if speaks { Protocol::Speaks } else { Protocol::Mute },
                channel: Channel::from(channel),
                speaker,
                said_pid,
                disbelieved,
                can_lead,
            },
            queue: AcceptQueue {
                exposure: match (served, drained) {
                    (_, true) => Exposure::Drained,
                    (true, false) => Exposure::Named,
                    (false, false) => Exposure::Unseen,
                },
                ..AcceptQueue::unseen(socket.map(Arc::from), listeners)
            },
            died_in: None,
            looks: Looks::default(),
            // Its time begins anew: the other program may have been in the way of its answers.
            health: Health::restored(heartbeat, asked, unconfirmed),
            check: None,
            counts: counts.into(),
        }
    }
}

impl From<Place> for SeatRecord {
    fn from(place: Place) -> Self {
        match place {
            Place::Slot(slot) => Self::Slot(slot),
            Place::Standby => Self::Standby,
        }
    }
}

impl From<&State> for StateRecord {
    fn from(state: &State) -> Self {
        match state {
            // What waits for its turn is left out; the next program orders it anew, for the same reason.
            State::Waiting => Self::Exited,
            State::Spawning { deadline } => Self::Spawning { deadline: *deadline },
            State::Unwanted => Self::Unwanted,
            // A hand-off happens between two orders: the kernel is not being asked.
            State::Booting { process, deadline, watch, late: _ } => Self::Booting {
                process: *process,
                deadline: *deadline,
                watch: watch.as_ref().map(WatchRecord::from),
            },
            State::Ready { process, suspended, broken } => {
                Self::Ready { process: *process, suspended: *suspended, broken: *broken }
            }
            State::Draining(drain) => Self::Draining(DrainRecord::from(drain)),
            State::ShuttingDown { process, deadline } => {
                Self::ShuttingDown { process: *process, deadline: *deadline }
            }
            State::Terminating { process, deadline } => {
                Self::Terminating { process: *process, deadline: *deadline }
            }
            State::Killed { process } => Self::Killed { process: *process },
            State::Exited => Self::Exited,
            State::Reaped { removal } => Self::Reaped { removal: removal.into() },
        }
    }
}

impl From<StateRecord> for State {
    fn from(record: StateRecord) -> Self {
        match record {
            StateRecord::Spawning { deadline } => Self::Spawning { deadline },
            StateRecord::Unwanted => Self::Unwanted,
            StateRecord::Booting { process, deadline, watch } => {
                Self::Booting { process, deadline, watch: watch.map(Watch::from), late: false }
            }
            StateRecord::Ready { process, suspended, broken } => Self::Ready { process, suspended, broken },
            StateRecord::Draining(drain) => Self::Draining(Drain::from(drain)),
            StateRecord::ShuttingDown { process, deadline } => Self::ShuttingDown { process, deadline },
            StateRecord::Terminating { process, deadline } => Self::Terminating { process, deadline },
            StateRecord::Killed { process } => Self::Killed { process },
            StateRecord::Exited => Self::Exited,
            StateRecord::Reaped { removal } => Self::Reaped { removal: removal.into() },
        }
    }
}

impl From<Channel> for ChannelRecord {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Open => Self::Open,
            Channel::Socket(conn) => Self::Socket(conn),
            Channel::Expected { until } => Self::Expected { until },
            Channel::Lost { at } => Self::Lost { at },
            Channel::Closed => Self::Closed,
        }
    }
}

impl From<ChannelRecord> for Channel {
    fn from(record: ChannelRecord) -> Self {
        match record {
            ChannelRecord::Open => Self::Open,
            ChannelRecord::Socket(conn) => Self::Socket(conn),
            ChannelRecord::Expected { until } => Self::Expected { until },
            ChannelRecord::Lost { at } => Self::Lost { at },
            ChannelRecord::Closed => Self::Closed,
        }
    }
}
