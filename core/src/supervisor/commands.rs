//! Requests and signals.

use crate::action::Action;
use crate::config::{MAX_WORKERS, resolved};
use crate::event::DaemonSignal;
use crate::id::{ConnId, Peer, RequestRef, WorkerId};
use crate::wire::{Body, Code, Reply, Request, StartOptions};

use super::operation::{Asker, Kind, Operation, Phase, Queued};
use super::rollout::{Plan, all_seats};
use super::worker::Seat;
use super::{Desired, Life, Supervisor};
use crate::id::SlotIndex;

/// More waiting restarts than this make no sense: each of them replaces the same workers.
const QUEUE: usize = 16;

impl Supervisor {
    pub(super) fn requested(&mut self, to: RequestRef, request: Request) {
        if !self.open.insert(to.clone()) {
            let reply =
                Reply::failed(Some(Code::Usage), vec!["a request with this id is open already".into()]);
            return self.act(Action::Reply { to, reply });
        }
        match request {
            Request::Status => {
                let status = self.status();
                self.reply(&to, Reply::done(Some(Body::Status(status))));
            }
            Request::Config => {
                let body = Body::Config(resolved(&self.config));
                self.reply(&to, Reply::done(Some(body)));
            }
            Request::SendMessage { message, data, workers } => {
                self.send_message(&to, &message, data, workers)
            }
            Request::SendRequest { request, data, workers } => {
                self.send_request(&to, &request, data, workers)
            }
            Request::Terminate => {
                self.done(asker(to, &StartOptions::default()));
                self.quit(false);
            }
            _ if self.life != Life::Serving => {
                self.reply(&to, Reply::failed(Some(Code::Busy), vec!["the daemon is quitting".into()]));
            }
            Request::Stop => self.stop(to),
            Request::Restart { options, version } => self.restart(to, options, version),
            Request::Start(options) => self.start(to, options),
            Request::Resume => self.resume_workers(to),
            Request::SetWorkers { count } => self.set_workers(to, count.get()),
            Request::SetStandby { count } => self.set_standby(to, count),
            Request::Reload => {
                if !self.refuse_while_busy(&to) {
                    self.reload(Some(to));
                }
            }
        }
    }

    pub(super) fn signalled(&mut self, signal: DaemonSignal) {
        match signal {
            DaemonSignal::Terminate => self.quit(false),
            DaemonSignal::Interrupt => self.quit(true),
            DaemonSignal::Hangup if self.operation.is_some() => self.reload_wanted = true,
            DaemonSignal::Hangup if self.life == Life::Serving => self.reload(None),
            DaemonSignal::Hangup => {}
            DaemonSignal::User1 => self.act(Action::ReopenLogs),
            DaemonSignal::User2 if self.operation.is_some() => self.upgrade_wanted = true,
            DaemonSignal::User2 if self.life == Life::Serving => self.upgrade(None),
            DaemonSignal::User2 => {}
        }
    }

    pub(super) fn disconnected(&mut self, conn: ConnId) {
        self.forget(Peer::Client(conn));
        self.parted(conn);
    }

    /// Answers that what was asked for is done.
    pub(super) fn done(&mut self, asker: Asker) {
        let Asker { to, upgraded_from, .. } = asker;
        let body = Body::Daemon { pid: self.daemon.pid, upgrading: false, upgraded_from };
        self.reply(&to, Reply::done(Some(body)));
    }

    /// Answers that another operation is in progress, if one is.
    fn refuse_while_busy(&mut self, to: &RequestRef) -> bool {
        let Some(operation) = &self.operation else { return false };
        let words = format!("{} is in progress; try again when it is complete", operation.kind.words());
        self.reply(to, Reply::failed(Some(Code::Busy), vec![words]));
        true
    }

    /// Answers that so many workers cannot be meant.
    fn refuse_crowd(&mut self, to: &RequestRef, count: u32) -> bool {
        if count > MAX_WORKERS {
            let words = format!("{count} is too many: the most is {MAX_WORKERS}");
            self.reply(to, Reply::failed(Some(Code::Usage), vec![words]));
        }
        count > MAX_WORKERS
    }

    fn start(&mut self, to: RequestRef, options: StartOptions) {
        if self.desired.running {
            self.done(asker(to, &options));
        } else if !self.refuse_while_busy(&to) {
            self.replace_all(Kind::Start, vec![asker(to, &options)], &options);
        }
    }

    /// Replaces all workers. Somebody who names a version wants the daemon to be no older than that, and what its
    /// configuration says now.
    pub(super) fn restart(&mut self, to: RequestRef, options: StartOptions, version: Option<String>) {
        if self.operation.is_some() && options.wait && self.queue.len() < QUEUE {
            return self.queue.push_back(Queued { to, options, version });
        }
        if !defect!(SecondRestartAccepted) && self.refuse_while_busy(&to) {
            return;
        }
        let asker = asker(to, &options);
        match version {
            Some(version) if self.is_older_than(&version) => self.upgrade(Some((asker, options))),
            Some(_) => self.load(Kind::Restart, vec![asker], Some(options)),
            None => self.replace_all(Kind::Restart, vec![asker], &options),
        }
    }

    pub(super) fn replace_all(&mut self, kind: Kind, askers: Vec<Asker>, options: &StartOptions) {
        let Desired { slots, standby, .. } = self.desired;
        self.roll_out(Plan {
            kind,
            askers,
            seats: all_seats(slots, standby),
            suspended: options.suspended,
            attempts: options.max_attempts.unwrap_or(self.config.options.max_start_attempts).get(),
            replaces: true,
            desired: Desired { running: true, slots, standby, suspended: options.suspended },
            config: self.config.clone(),
        });
    }

    fn resume_workers(&mut self, to: RequestRef) {
        if self.refuse_while_busy(&to) {
            return;
        }
        self.desired.suspended = false;
        let owners: Vec<WorkerId> = self.slots.values().filter_map(|slot| slot.owner).collect();
        for owner in owners {
            self.resume(owner);
        }
        self.done(asker(to, &StartOptions::default()));
    }

    fn set_workers(&mut self, to: RequestRef, count: u32) {
        if self.refuse_crowd(&to, count) || self.refuse_while_busy(&to) {
            return;
        }
        let seats = (self.desired.slots..count).map(|slot| Seat::Slot(SlotIndex(slot))).collect();
        self.scale(Kind::SetWorkers, to, seats, Desired { slots: count, ..self.desired });
    }

    fn set_standby(&mut self, to: RequestRef, count: u32) {
        if self.refuse_crowd(&to, count) || self.refuse_while_busy(&to) {
            return;
        }
        let seats = (self.desired.standby..count).map(|_| Seat::Standby).collect();
        self.scale(Kind::SetStandby, to, seats, Desired { standby: count, ..self.desired });
    }

    fn scale(&mut self, kind: Kind, to: RequestRef, seats: Vec<Seat>, desired: Desired) {
        self.roll_out(Plan {
            kind,
            askers: vec![asker(to, &StartOptions::default())],
            seats: if desired.running { seats } else { Vec::new() },
            suspended: desired.suspended,
            attempts: self.config.options.max_start_attempts.get(),
            replaces: false,
            desired,
            config: self.config.clone(),
        });
    }

    fn stop(&mut self, to: RequestRef) {
        let mut askers = vec![asker(to, &StartOptions::default())];
        if self.operation.as_ref().is_some_and(|operation| operation.kind == Kind::Stop) {
            if let Some(operation) = &mut self.operation {
                operation.askers.append(&mut askers);
            }
            return;
        }
        self.preempt(Kind::Stop);
        self.desired.running = false;
        self.desired.suspended = false;
        self.retire_everything(Kind::Stop, askers);
    }

    /// Ends the daemon; `interrupt` twice ends its workers the hard way.
    fn quit(&mut self, interrupt: bool) {
        match self.life {
            Life::Serving => {
                tracing::info!("quitting: {} workers have to finish first", self.workers.len());
                self.preempt(Kind::Quit);
                for Queued { to, .. } in std::mem::take(&mut self.queue) {
                    self.reply(&to, Reply::failed(Some(Code::Busy), vec!["the daemon is quitting".into()]));
                }
                self.life = Life::Quitting { interrupted: interrupt };
                self.retire_everything(Kind::Quit, Vec::new());
            }
            Life::Quitting { interrupted: true } if interrupt => {
                tracing::warn!("interrupted again: killing all workers");
                let workers: Vec<WorkerId> = self.workers.keys().copied().collect();
                for worker in workers {
                    self.kill(worker);
                }
            }
            Life::Quitting { interrupted } => {
                self.life = Life::Quitting { interrupted: interrupted || interrupt };
            }
            Life::Quit { .. } => {}
        }
    }

    fn retire_everything(&mut self, kind: Kind, askers: Vec<Asker>) {
        let leaving = self.workers.keys().copied().collect();
        self.operation = Some(Operation { kind, askers, phase: Phase::Retiring { leaving } });
        self.retire_surplus();
    }
}

fn asker(to: RequestRef, options: &StartOptions) -> Asker {
    Asker { to, progress: options.progress, upgraded_from: None }
}
