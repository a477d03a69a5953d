//! Names of things: workers, slots, connections, requests, processes.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A worker's name: a version 4 UUID, unique for all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Uuid);

impl Ord for WorkerId {
    /// The order of the text. Most that a table of workers does is comparing: as numbers, that takes no call.
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_u128().cmp(&other.0.as_u128())
    }
}

impl PartialOrd for WorkerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl WorkerId {
    /// No worker's name is before this one.
    pub(crate) const FIRST: Self = Self(Uuid::nil());

    /// The worker named by `text`, if that is a UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Whether this is how the worker's name is written.
    #[must_use]
    pub fn is_written(self, text: &str) -> bool {
        self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text
    }

    /// A number below `below` that belongs to the worker, and is as good as drawn.
    #[must_use]
    pub fn lot(self, below: u32) -> u32 {
        u32::try_from(self.0.as_u128() % u128::from(below.max(1))).unwrap_or(0)
    }

    /// The last five characters, by which people tell workers apart.
    #[must_use]
    pub fn short(self) -> String {
        self.to_string().split_off(31)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Index of a slot, from 0; nginx lists one upstream server for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotIndex(pub u32);

impl fmt::Display for SlotIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One connection to the IPC socket, numbered by the backend; a number is never used twice by one daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// The other end of a conversation: who sent a request, who gets its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Peer {
    /// A client on the IPC socket.
    Client(ConnId),
    /// A worker on its channel.
    Worker(WorkerId),
}

/// Where a reply goes: the peer, and the id it gave its request (a UUID from our own libraries, any text of at
/// most [`crate::wire::MAX_REQUEST_ID`] bytes from others).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestRef {
    /// Who asked.
    pub peer: Peer,
    /// The request's id, echoed as `requestId`.
    pub id: String,
}

/// The identity of a process. A pid alone is not one: pids are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When the kernel started it: clock ticks since boot, `/proc/PID/stat` field 22 (`proc(5)`).
    pub started: u64,
}

/// One life of a daemon: 128 random bits from the backend, the only randomness the core ever gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u128);

/// Derives the ids of a daemon's life from its [`BootId`], so that the same life gives the same ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ids {
    boot: BootId,
    next: u64,
}

impl Ids {
    /// The ids of the life `boot`.
    #[must_use]
    pub fn new(boot: BootId) -> Self {
        Self { boot, next: 0 }
    }

    /// The next worker's id.
    pub fn worker(&mut self) -> WorkerId {
        WorkerId(self.uuid())
    }

    /// The next id for a request of ours.
    pub fn request(&mut self) -> String {
        self.uuid().as_hyphenated().to_string()
    }

    fn uuid(&mut self) -> Uuid {
        self.next += 1;
        let high = mix((self.boot.0 >> 64) as u64 ^ mix(self.next));
        let low = mix(self.boot.0 as u64 ^ mix(high));
        uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes()).into_uuid()
    }
}

/// A bijective mixer (the finalizer of SplitMix64): neighbouring numbers give unrelated ones.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_4_distinct_and_the_same_for_the_same_life() {
        let mut a = Ids::new(BootId(7));
        let mut b = Ids::new(BootId(7));
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| a.worker()).collect();
        assert_eq!(ids.len(), 1000);
        assert_eq!(ids, (0..1000).map(|_| b.worker()).collect());
        assert!(ids.iter().all(|id| id.0.get_version_num() == 4));
        assert!(ids.iter().all(|id| id.short().len() == 5 && id.to_string().ends_with(&id.short())));
    }

    #[test]
    fn each_bit_of_a_boot_makes_other_ids() {
        let boots = (0..128).map(|bit| BootId(1 << bit)).chain([BootId(0), BootId(u128::MAX)]);
        let ids: std::collections::BTreeSet<_> = boots.map(|boot| Ids::new(boot).worker()).collect();
        assert_eq!(ids.len(), 130);
    }

    #[test]
    fn connections_are_told_from_numbers() {
        assert_eq!(ConnId(7).to_string(), "c7");
    }
}
