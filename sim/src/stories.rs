//! Histories with a name: what the documentation tells in words, played.

use crate::faults::{
    Call, CallFault, Errno, ExternalFault, ExternalFaultKind, FaultPlan, Trouble, WorkerFault,
};
use crate::scenario::{
    Act, Ask, Behaviour, Death, Errand, Finish, Hang, Load, Purpose, Readiness, Release, Scenario, Settings,
    Signal, Step,
};

/// A history with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Its name, good for a file.
    pub name: &'static str,
    /// What is played.
    pub scenario: Scenario,
    /// What goes wrong.
    pub faults: FaultPlan,
}

/// All of them.
#[must_use]
pub fn stories() -> Vec<Story> {
    vec![
        cold_start(),
        deploy(),
        deploy_with_migration(),
        deploy_behind_wrappers(),
        deploy_by_the_daemon(),
        deploy_rolled_back(),
        deploy_that_does_not_start(),
        restart_in_batches(),
        deploy_in_batches_rolled_back(),
        migration(),
        migration_that_fails(),
        migration_undone_after_all(),
        migration_that_nobody_can_undo(),
        rollback(),
        broken(),
        crash_loop(),
        boot_storm(),
        slow_machine(),
        standby_promotion(),
        slow_death(),
        failed_restart(),
        scale(),
        scale_within_slots(),
        neighbour_serves(),
        reload(),
        stop_and_start(),
        terminate_under_load(),
        upgrade(),
        upgrade_by_respawn(),
        upgrade_that_fails(),
        cleaner(),
        hang_with_a_standby(),
        hang_without_a_heartbeat(),
        hang_of_the_standby(),
        limit_of_memory(),
        resume_of_a_hung_worker(),
    ]
}

fn story(name: &'static str, length_ms: u64, steps: Vec<(u64, Act)>) -> Story {
    let script = steps.into_iter().map(|(at_ms, act)| Step { at_ms, act }).collect();
    Story {
        name,
        scenario: Scenario {
            settings: Settings::default(),
            releases: vec![Release::good()],
            script,
            load: Load::default(),
            leftovers: Vec::new(),
            length_ms,
            jitter: 1,
        },
        faults: FaultPlan { until_ms: length_ms, ..FaultPlan::default() },
    }
}

fn ask(ask: Ask) -> Act {
    Act::Ask { client: 1, ask, twice: false, hang_up_ms: None }
}

fn suspended_restart() -> Act {
    ask(Ask::Restart { suspended: true, attempts: None, wait: false, until_swap: false })
}

fn workers(count: u32) -> Act {
    ask(Ask::SetWorkers(std::num::NonZeroU32::new(count).unwrap_or(std::num::NonZeroU32::MIN)))
}

/// The daemon finds what an earlier one left, and brings two workers and a standby up.
fn cold_start() -> Story {
    let mut story = story("cold_start", 300, Vec::new());
    story.scenario.settings.standby = 1;
    story.scenario.leftovers = vec!["app.0.sock".into(), ".app.1.sock.new".into(), "notes.txt".into()];
    story
}

/// New code is in place; the workers are replaced under load.
fn deploy() -> Story {
    let mut story = story("deploy", 1000, vec![(300, Act::Deploy { release: 1 }), (310, ask(Ask::RESTART))]);
    story.scenario.releases.push(Release { boot_ms: 60, ..Release::good() });
    story
}

/// New workers wait while the database is migrated; one of them dies meanwhile, and its replacement waits as well.
fn deploy_with_migration() -> Story {
    let mut story =
        story("deploy_with_migration", 2000, vec![(300, suspended_restart()), (1500, ask(Ask::Resume))]);
    story.faults.external.push(ExternalFault { at_ms: 800, what: ExternalFaultKind::Kill { nth: 0 } });
    story
}

fn deploy_of(release: usize) -> Act {
    ask(Ask::Deploy { release: Some(release), watch_ms: 600 })
}

/// The daemon switches the release; the old workers go when the new ones have been watched.
fn deploy_by_the_daemon() -> Story {
    let mut story = story("deploy_by_the_daemon", 2000, vec![(300, deploy_of(1))]);
    story.scenario.releases.push(Release { boot_ms: 60, ..Release::good() });
    story.scenario.load.users = 1;
    story
}

/// A worker of the new release dies while it is watched: the links name the old workers again, and nothing is started.
fn deploy_rolled_back() -> Story {
    let mut story = story("deploy_rolled_back", 2000, vec![(300, deploy_of(1))]);
    story.scenario.releases.push(Release::good());
    story.scenario.settings.standby = 1;
    story.scenario.load.users = 1;
    let dies = Behaviour::Dies { after_ms: 400, how: Death::Code(1) };
    story.faults.workers.push(WorkerFault { nth: 4, behaviour: dies });
    story
}

/// The new release does not start: the symlink is switched back, and the old workers never stopped serving.
fn deploy_that_does_not_start() -> Story {
    let mut story = story("deploy_that_does_not_start", 2000, vec![(300, deploy_of(1))]);
    let dies = Behaviour::Dies { after_ms: 10, how: Death::Code(1) };
    story.scenario.releases.push(Release { defects: vec![dies], ..Release::good() });
    story
}

/// Three workers and a standby are replaced one by one.
fn restart_in_batches() -> Story {
    let mut story = story("restart_in_batches", 2000, vec![(300, ask(Ask::RESTART))]);
    (story.scenario.settings.workers, story.scenario.settings.standby) = (3, 1);
    story.scenario.settings.batch = 1;
    (story.scenario.load.users, story.scenario.load.upstreams) = (1, 3);
    story
}

/// The third batch of the new release does not start: the first two are rolled back.
fn deploy_in_batches_rolled_back() -> Story {
    let mut story = story("deploy_in_batches_rolled_back", 3000, vec![(300, deploy_of(1))]);
    story.scenario.settings.workers = 3;
    story.scenario.settings.batch = 1;
    story.scenario.releases.push(Release::good());
    (story.scenario.load.users, story.scenario.load.upstreams) = (1, 3);
    let dies = Behaviour::Dies { after_ms: 10, how: Death::Code(1) };
    story.faults.workers.push(WorkerFault { nth: 5, behaviour: dies });
    story
}

/// Workers that know only SIGTERM, started by wrappers that do not pass it on, are replaced while they are busy; one wrapper lives on when
/// its server has ended.
fn deploy_behind_wrappers() -> Story {
    let mut story = story("deploy_behind_wrappers", 1500, vec![(300, ask(Ask::RESTART))]);
    story.scenario.settings.ready = Readiness::Notify;
    story.scenario.releases = vec![Release { service_ms: 80, ..Release::good() }];
    story.scenario.load = Load { users: 4, pause_ms: 10, ..Load::default() };
    story.faults.workers =
        (0..8).map(|nth| WorkerFault { nth, behaviour: Behaviour::Wrapped { lingers: nth == 1 } }).collect();
    story
}

/// The migration fails; the old code comes back and takes over from the suspended workers.
fn rollback() -> Story {
    let mut story = story(
        "rollback",
        2000,
        vec![
            (300, Act::Deploy { release: 1 }),
            (310, suspended_restart()),
            (1000, Act::Deploy { release: 0 }),
            (1010, ask(Ask::RESTART)),
        ],
    );
    story.scenario.releases.push(Release::good());
    story
}

fn errand(purpose: Purpose, for_ms: u64, finish: Finish) -> Errand {
    Errand { purpose, for_ms, finish }
}

fn migrating(name: &'static str, migrate: Finish, revert: Option<Finish>) -> Story {
    let step = ask(Ask::Migrate {
        release: 1,
        watch_ms: 600,
        migrate: errand(Purpose::Migrate, 300, migrate),
        revert: revert.map(|finish| errand(Purpose::Revert, 200, finish)),
        limit_ms: None,
    });
    let mut story = story(name, 2500, vec![(300, step)]);
    story.scenario.releases.push(Release { boot_ms: 60, ..Release::good() });
    story.scenario.load.users = 1;
    story
}

/// The new workers wait while the migration of the deploy runs, and are watched after it.
fn migration() -> Story {
    migrating("migration", Finish::Succeeds, None)
}

/// The migration fails: it is undone, and the old release serves again.
fn migration_that_fails() -> Story {
    migrating("migration_that_fails", Finish::Fails, Some(Finish::Succeeds))
}

/// A worker fails after the migration: workers of the old release wait while the migration is undone.
fn migration_undone_after_all() -> Story {
    let mut story = migrating("migration_undone_after_all", Finish::Succeeds, Some(Finish::Succeeds));
    story.faults.workers.push(WorkerFault { nth: 2, behaviour: Behaviour::Breaks { after_ms: 700 } });
    story
}

/// The migration fails, and so does what undoes it: a person decides that the new release goes on.
fn migration_that_nobody_can_undo() -> Story {
    let mut story = migrating("migration_that_nobody_can_undo", Finish::Fails, Some(Finish::Fails));
    story.scenario.script.push(Step { at_ms: 2000, act: ask(Ask::Resume) });
    story
}

/// A worker asks to be replaced.
fn broken() -> Story {
    let mut story = story("broken", 1000, Vec::new());
    story.faults.workers.push(WorkerFault { nth: 0, behaviour: Behaviour::Breaks { after_ms: 300 } });
    story
}

/// A worker dies again and again while it boots; the pauses between attempts grow.
fn crash_loop() -> Story {
    let mut story = story("crash_loop", 4000, Vec::new());
    story.scenario.settings.workers = 1;
    story.scenario.load.upstreams = 1;
    story.scenario.load.users = 0;
    story.faults.workers = (1..6)
        .map(|nth| WorkerFault { nth, behaviour: Behaviour::Dies { after_ms: 3, how: Death::Code(1) } })
        .collect();
    story.faults.external.push(ExternalFault { at_ms: 300, what: ExternalFaultKind::Kill { nth: 0 } });
    story
}

/// Six workers and a standby are to boot on two cores: two at a time, the standby last.
fn boot_storm() -> Story {
    let mut story = story("boot_storm", 1500, Vec::new());
    let settings = &mut story.scenario.settings;
    (settings.workers, settings.standby, settings.boots) = (6, 1, 2);
    story.scenario.load = Load { users: 1, pause_ms: 400, upstreams: 6, ..Load::default() };
    story.faults.cores = 2;
    story
}

/// Workers need five times as long as they are given: fewer boot at a time, and they are given longer, until all serve.
fn slow_machine() -> Story {
    let mut story = story("slow_machine", 4000, Vec::new());
    let settings = &mut story.scenario.settings;
    (settings.boots, settings.online_timeout_ms) = (2, 200);
    story.scenario.load.users = 0;
    story.faults.slow = 25;
    story
}

/// A worker is killed; the standby takes its slot, and a new standby follows.
fn standby_promotion() -> Story {
    let mut story = story("standby_promotion", 1000, Vec::new());
    story.scenario.settings.standby = 1;
    story.faults.external.push(ExternalFault { at_ms: 400, what: ExternalFaultKind::Kill { nth: 0 } });
    story
}

/// A worker is killed and takes long to die; the standby takes its slot as soon as the first sign of that is seen.
fn slow_death() -> Story {
    let mut story = story("slow_death", 1500, Vec::new());
    story.scenario.settings.standby = 1;
    story.faults.external.push(ExternalFault { at_ms: 400, what: ExternalFaultKind::Kill { nth: 0 } });
    (story.faults.dying_ms, story.faults.first_signs) = (30_000, true);
    story
}

/// The new code never comes online; the old workers never stop serving.
fn failed_restart() -> Story {
    let mut story =
        story("failed_restart", 3000, vec![(300, Act::Deploy { release: 1 }), (310, ask(Ask::RESTART))]);
    story.scenario.settings.online_timeout_ms = 1000;
    story.scenario.releases.push(Release { defects: vec![Behaviour::NeverReports], ..Release::good() });
    story
}

/// One more worker, then two fewer.
fn scale() -> Story {
    story("scale", 1500, vec![(300, workers(3)), (800, workers(1))])
}

/// nginx lists four links; the number of workers moves below that, and no link ever leads nowhere.
fn scale_within_slots() -> Story {
    let mut story = story("scale_within_slots", 2000, vec![(300, workers(3)), (1000, workers(1))]);
    story.scenario.settings.slots = 4;
    story.scenario.load.upstreams = 4;
    story
}

/// A worker is killed and there is no standby: its neighbour serves behind both links until a new worker is ready.
fn neighbour_serves() -> Story {
    let mut story = story("neighbour_serves", 1000, Vec::new());
    story.faults.external.push(ExternalFault { at_ms: 400, what: ExternalFaultKind::Kill { nth: 0 } });
    story
}

/// A configuration that cannot be read changes nothing; a good one changes what it has to.
fn reload() -> Story {
    let edited =
        Settings { name: "shop".into(), standby: 1, shutdown_timeout_ms: 3000, ..Settings::default() };
    story(
        "reload",
        1500,
        vec![
            (300, Act::EditBadly),
            (310, ask(Ask::Reload)),
            (700, Act::Edit(Box::new(edited))),
            (710, Act::Signal(Signal::Hup)),
        ],
    )
}

/// The app is down for a while.
fn stop_and_start() -> Story {
    let start = Ask::Start { suspended: false, attempts: None };
    let mut story = story("stop_and_start", 1500, vec![(300, ask(Ask::Stop)), (900, ask(start))]);
    story.scenario.load.users = 1;
    story.scenario.load.pause_ms = 300;
    story
}

/// A worker loops; a standby takes its slot, and the worker is ended.
fn hang_with_a_standby() -> Story {
    let mut story = story("hang_with_a_standby", 10_000, Vec::new());
    story.scenario.settings = Settings { standby: 1, hang_timeout_ms: Some(2000), ..Settings::default() };
    story.scenario.load = Load { users: 1, pause_ms: 400, ..Load::default() };
    story.faults.workers = vec![hangs(0, 1000, Hang::Loops)];
    story
}

/// A worker that has no heartbeat takes nothing from its accept queue any more, and is replaced.
fn hang_without_a_heartbeat() -> Story {
    let mut story = story("hang_without_a_heartbeat", 12_000, Vec::new());
    story.scenario.settings = Settings { hang_timeout_ms: Some(2000), ..Settings::default() };
    story.scenario.load = Load { users: 1, pause_ms: 400, ..Load::default() };
    story.faults.strangers = 100;
    story.faults.workers = vec![hangs(0, 1000, Hang::Sleeps)];
    story
}

/// Both workers have too much memory: the standby takes the place of one, and a new worker that of the other, one at a time.
fn limit_of_memory() -> Story {
    let mut story = story("limit_of_memory", 25_000, Vec::new());
    story.scenario.settings = Settings { standby: 1, limit_memory: true, ..Settings::default() };
    story.scenario.load = Load { users: 1, pause_ms: 400, ..Load::default() };
    let grows = |nth| WorkerFault { nth, behaviour: Behaviour::Grows { after_ms: 1000 } };
    story.faults.workers = vec![grows(0), grows(1)];
    story
}

/// The standby is stopped when it is needed: a new worker is started for the slot.
fn hang_of_the_standby() -> Story {
    let mut story = story("hang_of_the_standby", 12_000, Vec::new());
    story.scenario.settings =
        Settings { workers: 1, standby: 1, hang_timeout_ms: Some(2000), ..Settings::default() };
    story.scenario.load = Load { users: 1, pause_ms: 400, upstreams: 1, ..Load::default() };
    story.faults.workers = vec![hangs(1, 500, Hang::Stopped)];
    story.faults.external = vec![ExternalFault { at_ms: 1000, what: ExternalFaultKind::Kill { nth: 0 } }];
    story
}

/// `resume` names the worker that hangs; that one is replaced.
fn resume_of_a_hung_worker() -> Story {
    let restart = ask(Ask::Restart { suspended: true, attempts: None, wait: false, until_swap: false });
    let steps = vec![(500, restart), (2000, ask(Ask::Resume))];
    let mut story = story("resume_of_a_hung_worker", 20_000, steps);
    story.scenario.settings.hang_timeout_ms = Some(8000);
    story.scenario.load = Load { users: 1, pause_ms: 800, ..Load::default() };
    story.faults.workers = vec![hangs(2, 500, Hang::Sleeps)];
    story
}

fn hangs(nth: u32, after_ms: u64, how: Hang) -> WorkerFault {
    WorkerFault { nth, behaviour: Behaviour::Hangs { after_ms, how } }
}

/// The daemon is ended while a worker is stopped and requests wait for it.
fn terminate_under_load() -> Story {
    let mut story = story("terminate_under_load", 2000, vec![(500, ask(Ask::Terminate))]);
    story.scenario.load = Load { users: 4, pause_ms: 20, ..Load::default() };
    story
        .faults
        .external
        .push(ExternalFault { at_ms: 450, what: ExternalFaultKind::Stop { nth: 0, for_ms: 400 } });
    story
}

/// A cleaner of temporary files takes a link, then a worker's socket, then a file of the daemon's own, then everything.
fn cleaner() -> Story {
    let mut story = story("cleaner", 2500, Vec::new());
    story.scenario.settings.standby = 1;
    let faults = [
        (400, ExternalFaultKind::Unlink { nth: 0 }),
        (800, ExternalFaultKind::Unlink { nth: 2 }),
        (1200, ExternalFaultKind::RemoveOwn { nth: 1 }),
        (1600, ExternalFaultKind::Redirect { nth: 1 }),
        (2000, ExternalFaultKind::CleanUp),
    ];
    let faults = faults.map(|(at_ms, what)| ExternalFault { at_ms, what });
    story.faults.external.extend(faults);
    story
}

/// A newer daemon is installed and takes over in the same process; the workers that it then starts are suspended, for a
/// migration. A request to a worker is answered across the hand-off.
fn upgrade() -> Story {
    let mut story = story(
        "upgrade",
        3000,
        vec![
            (1000, ask(Ask::Upgrade { suspended: true })),
            (
                1010,
                Act::Ask { client: 2, ask: Ask::Request { workers: None }, twice: false, hang_up_ms: None },
            ),
            (2000, ask(Ask::Resume)),
        ],
    );
    story.scenario.settings.standby = 1;
    story
}

/// The daemon goes without its workers; the one that its service manager starts adopts them, and is asked again.
fn upgrade_by_respawn() -> Story {
    let mut story = story("upgrade_by_respawn", 3000, vec![(1000, ask(Ask::Upgrade { suspended: false }))]);
    story.scenario.settings.respawn = true;
    story
}

/// The installed program is no good; then it is, but cannot be run; the third time it can.
fn upgrade_that_fails() -> Story {
    let upgrade = || ask(Ask::Upgrade { suspended: false });
    let mut story =
        story("upgrade_that_fails", 4000, vec![(1000, upgrade()), (2000, upgrade()), (3000, upgrade())]);
    let fault = |call, errno| CallFault { call, nth: 0, trouble: Trouble::Fails(errno) };
    story.faults.calls = vec![fault(Call::Preflight, Errno::Access), fault(Call::HandOff, Errno::NoMem)];
    story
}
