//! What a deploy promises: old workers stay until the new ones have been watched, and a deploy that fails leaves everything as
//! it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nodesockd_core::Time;
use nodesockd_core::config::Health;
use nodesockd_core::event::Failure;
use nodesockd_core::history::{Entry, Facts, Outcome, What};
use nodesockd_core::id::{Peer, RequestRef, SlotIndex, WorkerId};
use nodesockd_core::wire::{Body, Code, DeployNews, DeployOptions, DeployStep, Reply};

use super::Slot;
use super::migrations::stays_suspended;
use crate::world::process::Proc;
use crate::world::releases::number_of;
use crate::world::{Worker, World};

/// A deploy that is in progress, as far as its client knows.
#[derive(Debug)]
pub(crate) struct Deploy {
    to: RequestRef,
    /// The release, if another one was named.
    pub release: Option<usize>,
    asked: Time,
    watch: Duration,
    /// It has a migration: the old workers go before that.
    migrates: bool,
    /// Workers are replaced in batches: old ones go before the last of them.
    batched: bool,
    /// Who served one slot only, by slot.
    former: BTreeMap<SlotIndex, Worker>,
    /// What the symlink named before.
    pub before: usize,
    /// What workers were started with before, by the state file: the symlink may have been switched by somebody else since.
    in_force: Option<usize>,
    /// Somebody else has switched the symlink since, or it could not be switched.
    pub moved: bool,
    /// The history says how it ended. The answer may wait for a worker's last lines.
    over: Option<Time>,
    /// Something else was asked for since. It may begin while the answer to this one waits for a worker's last lines.
    overtaken: bool,
    /// The new workers serve since then.
    watching: Option<Time>,
    /// Workers of earlier generations that there were then: some may have been started after the deploy was asked for.
    kept: BTreeSet<Worker>,
    confirmed: bool,
    /// The checks of its new workers, if it has any.
    checks: Option<BTreeMap<Worker, Check>>,
}

/// What a worker has said to the checks of a deploy.
#[derive(Debug, Default)]
struct Check {
    /// It has not answered since then.
    open: Option<Time>,
    passed: bool,
    failed: bool,
    /// It has answered later than it may.
    late: bool,
}

impl Check {
    /// It has failed, or has been silent for longer than it may be, and so much more.
    fn has_failed(&self, now: Time, more: Duration) -> bool {
        let limit = Health::default().timeout + more;
        self.failed || self.open.is_some_and(|since| now.since(since) >= limit)
    }
}

/// A check that the daemon hears of so much too late is not held against it.
const LATE: Duration = Duration::from_secs(1);

impl World {
    /// Somebody asks for a deploy, and nobody waits for another one.
    pub(crate) fn deploy_asked(&mut self, to: &RequestRef, options: &DeployOptions) {
        let release = options.release.as_deref().and_then(number_of);
        self.oracle.unfinished = None;
        // One whose workers serve for good waits for the old ones only, and the next may begin.
        let open = |deploy: &Deploy| deploy.migrates || !deploy.confirmed && !deploy.watch.is_zero();
        if let Some(deploy) = self.oracle.deploy.as_mut().filter(|deploy| open(deploy)) {
            // The symlink of one that only its answer is missing of is the next one's.
            deploy.moved |= deploy.over.is_some();
            self.releases.deploys_beside(release);
            return;
        }
        self.releases.deployed(true);
        self.releases.deploys(release);
        // Of several links that name one worker, all but its own slot's go elsewhere as they like.
        let slots = &self.oracle.slots;
        let alone = |worker: Worker| slots.values().filter(|its| its.worker == Some(worker)).count() == 1;
        let floor = self.oracle.floor();
        // One that is being replaced already is not kept, nor one of a slot that there is no more, whatever link has been lent to it.
        let unwanted = |worker: Worker| {
            self.processes.get(worker).is_some_and(|its| {
                let slot = self.recorded(its).and_then(|record| record.slot);
                its.known.unwanted || slot.is_some_and(|slot| slot.0 >= floor)
            })
        };
        // One whose link could not be swapped back has been given up before.
        // The link of a slot that there is no more could not be removed.
        let stays =
            |slot: SlotIndex, its: &Slot| slot.0 < floor && !self.oracle.unswapped.contains(&its.link);
        let served = slots.iter().filter(|(slot, its)| stays(**slot, its));
        let served = served.filter_map(|(slot, its)| Some((*slot, its.worker?)));
        let served: BTreeMap<_, _> =
            served.filter(|(_, worker)| alone(*worker) && !unwanted(*worker)).collect();
        self.oracle.deploy = Some(Deploy {
            to: to.clone(),
            release,
            asked: self.agenda.now(),
            watch: options.watch,
            migrates: options.migration.is_some(),
            batched: self.oracle.batch > 0 && options.migration.is_none(),
            former: served,
            before: self.releases.current(),
            in_force: self.release_in_force(),
            moved: false,
            over: None,
            overtaken: false,
            watching: None,
            kept: BTreeSet::new(),
            confirmed: false,
            checks: options.health.as_ref().map(|_| BTreeMap::new()),
        });
        if !self.reachable(&to.peer) {
            // It had hung up before the daemon heard of it.
            self.deploy_left(to.peer);
        }
    }

    /// The release that workers are started with, by the state file.
    fn release_in_force(&self) -> Option<usize> {
        let release = self.state.as_ref()?.release.as_ref()?;
        number_of(&release.dir)
    }

    /// The history says how something has ended, or what has happened. Workers that have come to a limit are replaced, and those of a
    /// generation that was given up.
    pub(crate) fn note_unwanted(&mut self, facts: &Facts) {
        let given_up = facts.generation.filter(|generation| {
            let failed = facts.outcome.is_some_and(|outcome| outcome != Outcome::Done);
            failed && self.state.as_ref().is_some_and(|state| state.generation != *generation)
        });
        let of_it = |process: &Proc| {
            given_up.is_some() && self.recorded(process).map(|record| record.generation) == given_up
        };
        let limited = facts.slot.filter(|_| facts.what == What::Limit);
        let limited = limited.and_then(|slot| self.oracle.slots.get(&slot)?.worker);
        let unwanted =
            self.processes.iter().filter(|(worker, process)| limited == Some(*worker) || of_it(process));
        let unwanted: Vec<Worker> = unwanted.map(|(worker, _)| worker).collect();
        for worker in unwanted {
            if let Some(process) = self.processes.get_mut(worker) {
                process.known.unwanted = true;
            }
        }
    }

    /// Somebody asks for something while a deploy is in progress, as far as its client knows.
    pub(crate) fn deploy_overtaken(&mut self, from: &RequestRef) {
        if let Some(deploy) = self.oracle.deploy.as_mut().filter(|deploy| deploy.to != *from) {
            deploy.overtaken = true;
        }
    }

    /// The daemon notes in the history how a deploy has ended. It may have tried to for some time, while another one was asked for.
    pub(crate) fn deploy_noted(&mut self, entry: &Entry) {
        let Entry { began, facts, .. } = entry;
        let now = self.agenda.now();
        let Some(deploy) = self.oracle.deploy.as_mut().filter(|deploy| deploy.asked <= *began) else {
            return;
        };
        let noted = deploy.over.is_some();
        deploy.over.get_or_insert(now);
        let failed = matches!(facts.outcome, Some(Outcome::RolledBack | Outcome::NotRolledBack));
        if deploy.migrates && !noted && failed {
            let to = deploy.to.clone();
            self.migration_noted(&to, facts.reason.as_deref().is_some_and(stays_suspended));
        }
    }

    /// The client of a deploy is told a step of it.
    pub(crate) fn deploy_news(&mut self, to: &RequestRef, news: &DeployNews) {
        let now = self.agenda.now();
        let kept =
            if news.step == DeployStep::Watching { self.of_earlier_generations() } else { BTreeSet::new() };
        let Some(deploy) = self.oracle.deploy.as_mut().filter(|deploy| deploy.to == *to) else { return };
        match news.step {
            DeployStep::Switched
            | DeployStep::Migrating
            | DeployStep::Output
            | DeployStep::Migrated
            | DeployStep::Reverting
            | DeployStep::RollingBack => {}
            DeployStep::Watching => (deploy.watching, deploy.kept) = (Some(now), kept),
            DeployStep::Confirmed => {
                deploy.confirmed = true;
                let (since, watch, asked) = (deploy.watching, deploy.watch, deploy.asked);
                self.check_confirmed(since, watch, asked);
                self.check_fit();
            }
        }
    }

    /// Those that the state file calls workers of a generation that is not in force.
    fn of_earlier_generations(&self) -> BTreeSet<Worker> {
        let Some(state) = &self.state else { return BTreeSet::new() };
        let earlier = |process: &Proc| {
            self.recorded(process).is_some_and(|record| record.generation != state.generation)
        };
        self.processes.iter().filter(|(_, its)| earlier(its)).map(|(worker, _)| worker).collect()
    }

    fn check_confirmed(&mut self, since: Option<Time>, watch: Duration, asked: Time) {
        let Some(since) = since else { return };
        // One that broke while it was suspended has gone in favour of another.
        let migrates = self.oracle.deploy.as_ref().is_some_and(|deploy| deploy.migrates);
        let former = self.oracle.deploy.iter().flat_map(|deploy| deploy.former.values());
        // A slot whose new worker has died before the watch may be taken over within it.
        let unlinked = former.filter_map(|old| self.processes.get(*old)?.known.unlinked);
        let taken = unlinked.filter(|at| *at <= since).max();
        let took = taken.map(|taken| self.agenda.now().since(taken));
        // The daemon counts from the event that it handles, which is told a little later.
        if let Some(took) = took.filter(|took| *took + Duration::from_millis(1) < watch) {
            let (took, watch) = (took.as_millis(), watch.as_millis());
            self.violated(format_args!("new workers are watched for {took} ms instead of {watch} ms"));
        }
        let kept = self.oracle.deploy.iter().flat_map(|deploy| &deploy.kept);
        let kept: BTreeSet<Worker> = kept.copied().collect();
        let died = self.processes.iter().find(|(worker, process)| {
            // One that was started late for the former generation has given its place up, too.
            let lost = self.has_lost_socket(process) && process.known.told_to_go();
            let left = process.known.left_at().is_some_and(|at| at <= since);
            let gave_up = process.known.unlinked.is_some() || process.known.succeeded || lost || left;
            let new = process.plan.spawned >= asked && !gave_up && !kept.contains(worker);
            let replaced = migrates && process.known.told_to_go();
            let known = process.known.published && process.known.exited && !replaced;
            new && known && process.ended_at().is_some_and(|at| at >= since)
        });
        if let Some((worker, _)) = died {
            self.violated(format_args!("a deploy is confirmed although its worker {worker} has died"));
        }
    }

    /// The daemon asks a worker whether it is fit. Its time counts from the order, which a daemon that was held up carries out late.
    pub(crate) fn check_sent(&mut self, worker: Worker) {
        let now = self.agenda.busy_since();
        if let Some(checks) = self.oracle.deploy.as_mut().and_then(|deploy| deploy.checks.as_mut()) {
            checks.entry(worker).or_default().open.get_or_insert(now);
        }
    }

    /// The daemon hears what a worker says to that.
    pub(super) fn check_answered(&mut self, id: WorkerId, result: &Result<u16, Failure>) {
        let now = self.agenda.now();
        let checks = self.oracle.deploy.as_mut().and_then(|deploy| deploy.checks.as_mut());
        let check = self.processes.named(id).and_then(|worker| checks?.get_mut(&worker));
        if let Some(check) = check
            && let Some(since) = check.open.take()
        {
            check.late |= now.since(since) >= Health::default().timeout;
            let passed = matches!(result, Ok(200..=399));
            check.passed |= passed;
            check.failed |= !passed;
        }
    }

    /// Every new worker has shown that it is fit.
    fn check_fit(&mut self) {
        let Some(deploy) = self.oracle.deploy.as_ref().filter(|_| !self.oracle.in_doubt()) else { return };
        let Some(checks) = &deploy.checks else { return };
        let now = self.agenda.now();
        let unfit = checks.iter().find(|(_, check)| check.has_failed(now, LATE)).map(|(worker, _)| *worker);
        // For a vacant slot, a worker of the former generation may have been started since.
        let earlier = self.of_earlier_generations();
        let new = |worker: &Worker| {
            let later = |process: &Proc| process.plan.spawned >= deploy.asked;
            self.processes.get(*worker).is_some_and(later) && !earlier.contains(worker)
        };
        let serving = self.oracle.slots.values().filter_map(|slot| slot.worker).filter(new);
        let passed = |worker: &Worker| checks.get(worker).is_some_and(|check| check.passed);
        let unasked = serving.into_iter().find(|worker| !passed(worker));
        match (unfit, unasked) {
            (Some(worker), _) => self.violated(format_args!(
                "a deploy is confirmed although its worker {worker} has failed its check"
            )),
            (None, Some(worker)) => self.violated(format_args!(
                "a deploy is confirmed although its worker {worker} has passed no check"
            )),
            (None, None) => self.marks.count("a deploy is done, and all its checks have passed"),
        }
    }

    /// A deploy is rolled back because of a check only if one has failed.
    fn check_unfit(&mut self, deploy: &Deploy, reply: &Reply) {
        let blamed = reply.errors.iter().any(|words| words.contains("(--health)"));
        let Some(checks) = deploy.checks.as_ref().filter(|_| blamed) else { return };
        let now = self.agenda.now();
        if checks.values().any(|check| check.late || check.has_failed(now, Duration::ZERO)) {
            return self.marks.count("a deploy is rolled back because of a check");
        }
        self.violated(format_args!("a deploy is rolled back because of a check, and none has failed"));
    }

    /// A deploy is answered.
    pub(crate) fn deploy_ended(&mut self, to: &RequestRef, reply: &Reply) {
        if self.oracle.deploy.as_ref().is_none_or(|deploy| deploy.to != *to) {
            return;
        }
        let Some(deploy) = self.oracle.deploy.take() else { return };
        let failed = matches!(reply.code, Some(Code::StartFailed | Code::RolledBack));
        self.releases.deployed(!failed);
        if deploy.overtaken && matches!(reply.body, Some(Body::Failed(_))) {
            // What it says was true some time ago.
            return;
        }
        if reply.code == Some(Code::NotRolledBack) {
            // The new release serves on, or a person decides.
            return;
        }
        if reply.errors.is_empty() {
            self.marks.count("a deploy is done");
        }
        let Some(release) = deploy.release.filter(|_| !deploy.moved && (failed || reply.errors.is_empty()))
        else {
            return self.check_rolled_back(&deploy, reply);
        };
        let expected = if failed { deploy.before } else { release };
        let current = self.releases.current();
        if current != expected {
            let ended = if failed { "failed" } else { "is done" };
            self.violated(format_args!(
                "a deploy {ended}, and the symlink names release {current} instead of {expected}"
            ));
        }
        self.check_rolled_back(&deploy, reply);
    }

    /// The links name the old workers that are well.
    fn check_rolled_back(&mut self, deploy: &Deploy, reply: &Reply) {
        if reply.code != Some(Code::RolledBack) || deploy.migrates {
            return;
        }
        self.marks.count("a deploy is rolled back");
        self.check_unfit(deploy, reply);
        if deploy.batched {
            return self.check_no_release_mixed(deploy);
        }
        let left = deploy.former.iter().find(|(slot, worker)| {
            let named = self.oracle.slots.get(slot);
            let stuck = named.is_some_and(|named| {
                self.oracle.unswapped.contains(&named.link) || self.oracle.is_removed(named)
            });
            // One that has come to a limit is replaced as soon as its link is swapped back.
            let stays =
                self.processes.get(**worker).is_some_and(|its| self.is_well(its) && !its.known.unwanted);
            // What was asked for next may have come further than the answer to this one.
            let later = |process: &Proc| deploy.over.is_some_and(|over| process.plan.spawned > over);
            let replaced = named.and_then(|named| self.processes.get(named.worker?)).is_some_and(later);
            stays && !stuck && !replaced && named.is_some_and(|named| named.worker != Some(**worker))
        });
        if let Some((slot, worker)) = left.map(|(slot, worker)| (*slot, *worker)) {
            self.violated(format_args!(
                "a deploy is rolled back, and slot {slot} does not name {worker} again"
            ));
        }
    }

    /// No slot is left to the release that was given up.
    fn check_no_release_mixed(&mut self, deploy: &Deploy) {
        let releases =
            || deploy.former.values().filter_map(|worker| Some(self.processes.get(*worker)?.plan.release));
        let known = !deploy.moved && !self.deaths.stale && releases().next().is_some();
        let another = |new: &usize| *new != deploy.before && releases().all(|old| old != *new);
        let Some(new) = deploy.release.filter(|new| known && another(new)) else {
            return;
        };
        // While the successor boots of one that has died or failed by itself, or of one that there was none of when the deploy began,
        // the slot is better served by the new release than by nobody.
        let failed = |slot: &SlotIndex| {
            let former = deploy.former.get(slot).and_then(|worker| self.processes.get(*worker));
            former.is_none_or(|process| {
                !self.is_well(process) && (process.asks_to_go() || !process.known.told_to_go())
            })
        };
        // A spare link may be on its way from one worker to another.
        let spare = |slot: &SlotIndex| slot.0 >= self.oracle.most;
        // A link that could not be swapped back names its worker still, and others may be lent that one meanwhile.
        let stuck = |worker: Option<Worker>| {
            let mut naming = self.oracle.slots.values().filter(|its| its.worker == worker);
            naming.any(|its| self.oracle.unswapped.contains(&its.link))
        };
        let slots = self.oracle.slots.iter().filter(|(slot, _)| !spare(slot) && !failed(slot));
        let slots = slots.filter(|(_, its)| !stuck(its.worker));
        let named = slots.filter_map(|(slot, its)| Some((*slot, its.worker?)));
        let mut of_new = named.filter(|(_, worker)| {
            let process = self.processes.get(*worker);
            process.is_some_and(|process| process.plan.release == new && self.is_well(process))
        });
        let left = of_new.next();
        self.marks.count("a deploy in batches is rolled back");
        if let Some((slot, worker)) = left {
            self.violated(format_args!(
                "a deploy is rolled back, and slot {slot} names {worker} of the new release"
            ));
        }
    }

    /// A slot's link names a worker. One that was booting for the slot when a deploy was asked for takes it over before those of
    /// the deploy.
    pub(crate) fn succeeds_before_deploy(&mut self, slot: SlotIndex, worker: Worker) {
        let shared = self.oracle.slots.values().filter(|its| its.worker == Some(worker)).count() > 1;
        let spawned = self.processes.get(worker).map(|process| process.plan.spawned);
        if let Some(deploy) = self.oracle.deploy.as_mut().filter(|deploy| deploy.watching.is_none()) {
            let earlier = spawned.is_some_and(|spawned| spawned < deploy.asked);
            let former = deploy.former.get_mut(&slot).filter(|_| earlier && !shared);
            former.into_iter().for_each(|former| *former = worker);
        }
    }

    /// Nothing is wrong with a worker, and nothing ever was.
    fn is_well(&self, process: &Proc) -> bool {
        let spoiled = process.sockets.own.as_ref().is_some_and(|socket| self.oracle.has_spoiled(socket));
        process.alive()
            && !process.dying
            && process.stands_still.is_none()
            && process.plan.behaviours.is_empty()
            && process.known.online
            && process.reachable()
            && !process.adopted
            && !process.asks_to_go()
            && !spoiled
    }

    /// A worker is told to go. Old ones stay as long as the new ones are watched.
    pub(crate) fn check_not_needed(&mut self, worker: Worker, what: &str) {
        let Some(deploy) = &self.oracle.deploy else { return };
        let old = deploy.former.values().any(|old| *old == worker);
        let open = !deploy.watch.is_zero()
            && !deploy.migrates
            && !deploy.batched
            && !deploy.confirmed
            && deploy.over.is_none()
            && !self.oracle.in_doubt();
        let well = self.processes.get(worker).is_some_and(|process| self.is_well(process));
        if old && open && well {
            self.violated(format_args!("{worker} is {what} while it may be needed again"));
        }
    }

    /// The client of a deploy hangs up: nobody knows how it ends.
    pub(crate) fn deploy_left(&mut self, peer: Peer) {
        if self.oracle.deploy.as_ref().is_some_and(|deploy| deploy.to.peer == peer) {
            self.oracle.deploy = None;
            self.releases.deployed(true);
        }
    }

    /// The daemon dies. The next one finishes the deploy or undoes it.
    pub(crate) fn deploy_interrupted(&mut self) {
        let Some(deploy) = self.oracle.deploy.take() else { return };
        self.releases.deployed(true);
        let former = |process: &Proc| {
            process.plan.spawned < deploy.asked && process.ended_at().is_none_or(|at| at >= deploy.asked)
        };
        let ran = |release: usize| {
            self.processes.iter().any(|(_, process)| former(process) && process.plan.release == release)
        };
        let known = !deploy.migrates && !deploy.moved && !self.deaths.stale && !self.deaths.forgot;
        let new = |release: &usize| {
            *release != deploy.before && Some(*release) != deploy.in_force && !ran(*release)
        };
        self.oracle.unfinished = deploy.release.filter(|release| known && new(release));
    }

    /// What is not as it should be when all is quiet after a death of the daemon during a deploy.
    pub(crate) fn half_deployed(&self) -> Option<String> {
        let release = self.oracle.unfinished.filter(|_| self.oracle.wanted && !self.deaths.forgot)?;
        let current = self.releases.current();
        let served = self.oracle.slots.values().filter_map(|slot| self.processes.get(slot.worker?));
        let mut served = served.filter(|process| process.alive());
        let wrong = served.any(|process| (process.plan.release == release) != (current == release));
        wrong.then(|| format!("the symlink names release {current}, and workers run another one"))
    }
}
