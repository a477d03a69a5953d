//! Bugs that people write, each as what it changes in the supervisor.
//!
//! An edit names a text that occurs once in its file and what stands there instead. `BUG` in it is true where the bug is
//! planted, and false for all others, so that one build holds them all.

/// A bug.
#[derive(Debug)]
pub struct Bug {
    /// Its name.
    pub name: &'static str,
    /// The file in `core/src/supervisor` that it is in.
    pub file: &'static str,
    /// What stands there.
    pub right: &'static str,
    /// What the bug makes of it.
    pub wrong: &'static str,
}

const fn bug(name: &'static str, file: &'static str, right: &'static str, wrong: &'static str) -> Bug {
    Bug { name, file, right, wrong }
}

/// All of them.
pub const BUGS: &[Bug] = &[
    bug(
        "links are swapped before all workers are online",
        "rollout.rs",
        "rollout.seats.iter().all(ready) &&",
        "(rollout.seats.iter().all(ready) || BUG && rollout.seats.iter().any(ready)) &&",
    ),
    bug(
        "an old worker is retired before the swap",
        "rollout.rs",
        "swap.before.insert(slot, owner);",
        "swap.before.insert(slot, owner); if BUG { self.retire(owner); }",
    ),
    bug(
        "a failed restart keeps the new configuration",
        "rollout.rs",
        "let errors: Vec<String> = match failure {",
        "if BUG { self.config = (*rollout.config).clone(); self.desired = rollout.desired; }
        let errors: Vec<String> = match failure {",
    ),
    bug(
        "the workers of an abandoned restart stay",
        "rollout.rs",
        "        self.release(&rollout);",
        "        if !BUG { self.release(&rollout); }",
    ),
    bug(
        "a replacement in a suspended app is not suspended",
        "slots.rs",
        "self.spawn(Seat::Slot(index), self.desired.suspended, None);",
        "self.spawn(Seat::Slot(index), self.desired.suspended && !BUG, None);",
    ),
    bug(
        "a worker that takes over in a suspended app is resumed",
        "slots.rs",
        "if !self.desired.suspended {",
        "if BUG || !self.desired.suspended {",
    ),
    bug(
        "a standby is resumed before the swap",
        "slots.rs",
        "slot.link_backoff.tried();",
        "slot.link_backoff.tried(); if BUG && promoted && !self.desired.suspended { self.resume(id); }",
    ),
    bug(
        "two slots take the same standby",
        "slots.rs",
        "worker.seat = Seat::Slot(index);",
        "if !(BUG && promoted) { worker.seat = Seat::Slot(index); }",
    ),
    bug("surplus standbys are leaked", "slots.rs", "Seat::Standby => false,", "Seat::Standby => BUG,"),
    bug(
        "a slot gets a second worker while the first one boots",
        "slots.rs",
        "if !coming && slot.backoff.permits(self.now) {",
        "if (BUG || !coming) && slot.backoff.permits(self.now) {",
    ),
    bug(
        "a link is removed before it is swapped",
        "slots.rs",
        "self.act(Action::Publish {",
        "if BUG { self.act(Action::Withdraw { slot: index, link: link.clone() }); }
        self.act(Action::Publish {",
    ),
    bug(
        "the old link of a renamed slot is left",
        "slots.rs",
        "if let Some(link) = old_link {",
        "if let Some(link) = old_link.filter(|_| !BUG) {",
    ),
    bug(
        "a stop leaves the links",
        "slots.rs",
        "} else if (!wanted || !served) &&",
        "} else if (!wanted && !BUG || !served) &&",
    ),
    bug(
        "one slot too many is kept",
        "slots.rs",
        "let wanted = serving && index.0 < self.desired.slots;",
        "let wanted = serving && index.0 < self.desired.slots + u32::from(BUG);",
    ),
    bug(
        "the daemon quits before its workers are gone",
        "slots.rs",
        "if workers_gone && links_gone",
        "if BUG || workers_gone && links_gone",
    ),
    bug(
        "a failed start is tried again at once",
        "backoff.rs",
        "self.retry_at.is_none_or(|at| at <= now)",
        "BUG || self.retry_at.is_none_or(|at| at <= now)",
    ),
    bug(
        "a worker is told to shut down without being drained",
        "retire.rs",
        "State::Ready { .. } if !worker.served && !named =>",
        "State::Ready { .. } if BUG || !worker.served && !named =>",
    ),
    bug(
        "a drain ends when the queue is first seen empty",
        "retire.rs",
        "if now.since(since) >= QUIET {",
        "if BUG || now.since(since) >= QUIET {",
    ),
    bug(
        "a queue that cannot be seen counts as empty",
        "retire.rs",
        "if now.since(since) >= BLIND {",
        "if BUG || now.since(since) >= BLIND {",
    ),
    bug(
        "SIGKILL follows SIGTERM at once",
        "retire.rs",
        "deadline: self.now + KILL_AFTER }",
        "deadline: self.now + if BUG { Duration::ZERO } else { KILL_AFTER } }",
    ),
    bug(
        "SIGKILL comes in the place of SIGTERM",
        "lifecycle.rs",
        "Timer::Shutdown => self.terminate(id),",
        "Timer::Shutdown if BUG => self.kill(id), Timer::Shutdown => self.terminate(id),",
    ),
    bug(
        "drainTimeout is ignored",
        "lifecycle.rs",
        "Timer::Drain => self.drain_timed_out(id),",
        "Timer::Drain if BUG => {} Timer::Drain => self.drain_timed_out(id),",
    ),
    bug(
        "a process that nobody wants any more is not killed",
        "lifecycle.rs",
        "None => self.end_at_once(id),",
        "None => if !BUG { self.end_at_once(id) },",
    ),
    bug(
        "a broken worker is retired before its replacement serves",
        "lifecycle.rs",
        "broken: false } if !replaceable => {",
        "broken: false } if !replaceable && !BUG => {",
    ),
    bug(
        "a pid is signalled after it was reaped",
        "lifecycle.rs",
        "Some(Action::Reap { worker: id, process })",
        "if BUG {
            self.act(Action::Reap { worker: id, process });
            let signal = crate::action::WorkerSignal::KillGroup;
            return Some(Action::Signal { worker: id, process, signal });
        }
        Some(Action::Reap { worker: id, process })",
    ),
    bug(
        "a dead worker is not reaped",
        "mod.rs",
        "self.actions.extend(reap);",
        "if !BUG { self.actions.extend(reap); }",
    ),
    bug(
        "the socket of a dead worker is left",
        "lifecycle.rs",
        "self.act(Action::Remove { worker: id, socket });",
        "if BUG { self.workers.remove(&id); } else { self.act(Action::Remove { worker: id, socket }); }",
    ),
    bug(
        "a request is answered twice",
        "operation.rs",
        "let open = if reply.done { self.open.remove(to) }",
        "let open = if reply.done && !BUG { self.open.remove(to) }",
    ),
    bug(
        "a command that is pre-empted is never answered",
        "operation.rs",
        "self.reply_to_all(operation.askers, &Reply::failed(Some(Code::Busy), vec![words]));",
        "if !BUG { self.reply_to_all(operation.askers, &Reply::failed(Some(Code::Busy), vec![words])); }",
    ),
    bug(
        "a restart that waits is lost",
        "operation.rs",
        "if let Some(Queued { to, options, version }) = self.queue.pop_front() {",
        "if BUG { self.queue.clear(); }
        if let Some(Queued { to, options, version }) = self.queue.pop_front() {",
    ),
    bug(
        "a restart is complete before the old workers are gone",
        "operation.rs",
        "Phase::Retiring { leaving } if !leaving",
        "Phase::Retiring { leaving } if BUG || !leaving",
    ),
    bug(
        "a second restart is accepted while one is in progress",
        "commands.rs",
        "if self.refuse_while_busy(&to) {\n            return;\n        }\n        let asker = asker(to, &options);",
        "if !BUG && self.refuse_while_busy(&to) {\n            return;\n        }\n        let asker = asker(to, &options);",
    ),
    bug(
        "a hand-off forgets that the app is suspended",
        "handoff.rs",
        "supervisor.desired = left.desired;",
        "supervisor.desired = left.desired; supervisor.desired.suspended &= !BUG;",
    ),
    bug(
        "a hand-off loses the requests that wait for workers",
        "handoff.rs",
        "supervisor.relays = left.relays;",
        "if !BUG { supervisor.relays = left.relays; }",
    ),
    bug(
        "the daemon stays frozen when it could not hand off",
        "upgrade.rs",
        "            self.act(Action::Thaw);\n            self.refuse_upgrade(&failure.0);",
        "            if !BUG { self.act(Action::Thaw); }\n            self.refuse_upgrade(&failure.0);",
    ),
    bug(
        "a daemon that leaves its workers removes the state file",
        "persist.rs",
        "(self.life != Life::Quit { detached: false })",
        "(self.life != Life::Quit { detached: false } && !(BUG && self.has_quit()))",
    ),
    bug(
        "a request to a worker that dies is never answered",
        "relay.rs",
        "self.finish_if_answered(&origin);",
        "if !BUG { self.finish_if_answered(&origin); }",
    ),
    bug(
        "the service manager is told ready while a slot is not served",
        "announce.rs",
        "self.served() == self.desired.slots",
        "(self.served() == self.desired.slots || BUG && self.served() > 0)",
    ),
    bug(
        "the service manager is told that the daemon is alive half as often",
        "announce.rs",
        "limit / 2",
        "limit / if BUG { 1 } else { 2 }",
    ),
    bug(
        "a hand-off forgets the workers",
        "handoff.rs",
        "supervisor.workers = left.workers;",
        "if !BUG { supervisor.workers = left.workers; }",
    ),
    bug(
        "a hand-off loses the commands that wait",
        "handoff.rs",
        "supervisor.queue = left.queue.into();",
        "if !BUG { supervisor.queue = left.queue.into(); }",
    ),
    bug(
        "a hand-off forgets which sockets the daemon holds",
        "handoff.rs",
        "supervisor.listeners = left.listeners;",
        "if !BUG { supervisor.listeners = left.listeners; }",
    ),
    bug(
        "a hand-off forgets who asked for it",
        "handoff.rs",
        "askers.iter_mut().for_each(|asker| asker.upgraded_from",
        "if BUG { askers.clear(); }\n                askers.iter_mut().for_each(|asker| asker.upgraded_from",
    ),
    bug(
        "the daemon hands off while facts still come",
        "upgrade.rs",
        "                self.enter_step(Step::Freezing);\n                self.act(Action::Freeze);",
        "                self.enter_step(if BUG { Step::Frozen } else { Step::Freezing });\n                if !BUG { self.act(Action::Freeze); }",
    ),
    bug(
        "the sockets of an earlier daemon are forgotten",
        "adopt.rs",
        "supervisor.inherit_listeners(&left);",
        "if !BUG { supervisor.inherit_listeners(&left); }",
    ),
];
