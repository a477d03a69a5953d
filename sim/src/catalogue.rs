//! The faults that a supervisor of processes has to survive, and how each of them is played; the situations that
//! histories are expected to reach.

/// A fault of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Its number.
    pub number: u8,
    /// What goes wrong.
    pub what: &'static str,
    /// How it is tried.
    pub tried: Tried,
}

/// How a fault is tried.
#[derive(Debug, Clone, Copy)]
pub enum Tried {
    /// In simulated histories: these kinds of a [`Tally`](crate::Tally).
    Played(&'static [&'static str]),
    /// Not here; where, or why it cannot happen.
    Elsewhere(&'static str),
}

use Tried::{Elsewhere, Played};

const fn fault(number: u8, what: &'static str, tried: Tried) -> Fault {
    Fault { number, what, tried }
}

/// All of them.
pub const CATALOGUE: &[Fault] = &[
    fault(1, "a worker exits at any moment", Played(&["dies", "dies serving"])),
    fault(2, "a worker exits before it is ready", Played(&["dies booting"])),
    fault(3, "a worker is never ready, or late", Played(&["never reports", "reports late"])),
    fault(
        4,
        "a worker ignores what ends it, or a wrapper keeps it from the worker",
        Played(&["ignores shutdown", "ignores SIGTERM", "wrapped", "leads on"]),
    ),
    fault(5, "a worker is stopped by SIGSTOP", Played(&["stopped"])),
    fault(
        6,
        "a worker's event loop is blocked",
        Played(&["busy", "hangs in a loop", "hangs asleep", "hangs stopped"]),
    ),
    fault(7, "a worker closes its channel, but lives", Played(&["closes channel"])),
    fault(8, "a worker's children outlive it", Played(&["child", "escaped child"])),
    fault(
        9,
        "workers are killed, as for want of memory",
        Played(&["killed", "all killed", "grows too large"]),
    ),
    fault(10, "the daemon is killed at any step", Played(&["daemon dies", "torn swap"])),
    fault(11, "the daemon's upgrade fails", Played(&["preflight", "hand-off"])),
    fault(12, "two daemons are started at once", Elsewhere("the lock, tried with real processes")),
    fault(13, "a pid is used again at once", Played(&["pid reused"])),
    fault(14, "exits are noticed late, many at a time", Played(&["exit noticed late", "all killed"])),
    fault(15, "the daemon gets storms of signals", Played(&["signal coalesced"])),
    fault(
        16,
        "no process can be created",
        Played(&["spawn", "run-command", "run-hook", "EAGAIN", "ENOMEM", "ENOENT", "EACCES"]),
    ),
    fault(17, "there are no more descriptors", Played(&["EMFILE"])),
    fault(
        18,
        "the disk is full, read-only or broken",
        Played(&[
            "publish",
            "withdraw",
            "remove",
            "listen",
            "unlisten",
            "sweep",
            "persist",
            "record",
            "find-release-link",
            "switch-release-link",
            "ENOSPC",
            "EROFS",
            "EIO",
        ]),
    ),
    fault(
        19,
        "what was not synced is lost in a crash",
        Elsewhere("a boot ends all workers: no state is read after it"),
    ),
    fault(
        20,
        "somebody else removes entries of tmpDir",
        Played(&[
            "tmpDir entry removed",
            "tmpDir cleaned",
            "link replaced",
            "file of the daemon's own removed",
            "metrics socket removed",
            "restore",
        ]),
    ),
    fault(21, "an earlier daemon left links and sockets", Played(&["leftover"])),
    fault(22, "a symlink stands at a name to be created", Elsewhere("the backend, on real files")),
    fault(23, "permissions are changed", Played(&["EACCES"])),
    fault(24, "the wall clock jumps", Elsewhere("the core has none; a stalled daemon is a slow call")),
    fault(25, "a client does not read", Elsewhere("sessions, over a simulated network")),
    fault(26, "a client sends half a frame", Elsewhere("sessions, and the fuzzed frame decoder")),
    fault(
        27,
        "a peer sends garbage",
        Played(&[
            "babbles",
            "reports twice",
            "reports unsuspended",
            "answers for others",
            "claims another",
            "child claims",
        ]),
    ),
    fault(28, "a client hangs up, or asks twice", Played(&["client hangs up", "duplicate request"])),
    fault(29, "reads and writes are short or interrupted", Elsewhere("the frame decoder, at any split")),
    fault(30, "commands overlap", Played(&["overlapping commands"])),
    fault(31, "the accept queue is full", Played(&["backlog full"])),
    fault(32, "a kept connection is used while its worker goes", Elsewhere("real nginx")),
    fault(33, "a watched directory loses events", Played(&["tmpDir cleaned"])),
    fault(34, "the kernel does not tell about accept queues", Played(&["measure-queue"])),
    fault(35, "workers are stopped and resumed in any order", Played(&["stopped", "slow call"])),
    fault(
        36,
        "the new code is bad",
        Played(&["bad release", "broken", "mute", "fails checks", "answers checks late"]),
    ),
];

/// Kinds that belong to no number: what an operator's machine adds.
pub const OTHERS: &[&str] = &[
    "load-config",
    "reopen-logs",
    "serve-dev",
    "serve-metrics",
    "starved",
    "slow machine",
    "dies slowly",
    "releases pruned",
    "cannot lead",
    "command of a deploy",
    "start-sink",
    "sink dies",
    "sink hangs",
    "slow sink",
    "command for an event",
    "command for an event hangs",
];

/// Situations worth reaching; each of them is counted under its name.
pub const SITUATIONS: &[&str] = &[
    "a deploy is done",
    "a deploy is done, and all its checks have passed",
    "a deploy is rolled back because of a check",
    "a deploy is rolled back",
    "a deploy in batches is rolled back",
    "a migration is done",
    "a migration is undone",
    "a deploy waits for a person",
    "a deploy fails that cannot be undone",
    "a command is pre-empted",
    "a command is refused while another is in progress",
    "a request that makes no sense is refused",
    "a start fails",
    "a bad configuration is refused",
    "a restart waits for its turn",
    "a suspended restart is done",
    "a suspended app is resumed",
    "a suspended app is replaced",
    "a worker of a suspended app dies",
    "held requests are answered",
    "a standby takes over",
    "a link is swapped back",
    "a link gets another name",
    "a link names a neighbour",
    "another worker leads",
    "a leader goes on under the next daemon",
    "a drain has to wait",
    "a connection arrives after the swap",
    "SIGTERM is needed",
    "another signal than SIGTERM is needed",
    "SIGKILL is needed",
    "the daemon is upgraded",
    "the daemon leaves its workers",
    "an upgrade is called off",
    "the log is directed elsewhere",
    "the dev server shows why workers fail",
    "the dev server shows that the app is stopped",
    "the sink is upgraded",
    "metrics are told",
];
