//! An app whose daemon is killed in the midst of an operation, again and again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nodesockd_tests::cli::{self, Running};
use nodesockd_tests::daemon::Launch;
use nodesockd_tests::program::{self, NEWER};
use nodesockd_tests::releases::current;
use nodesockd_tests::{App, Daemon, Process, Status, Visitors, http, until, wait};

use super::deploy::{FAILS, Ran, SUCCEEDS};
use super::{Play, Point, count};
use crate::tracer::Tracer;
use crate::{Crew, assert_in_order, crew};

/// How long a visitor looks at an answer.
const GLANCE: Duration = Duration::from_millis(5);

pub(super) struct Stage<'a> {
    play: &'a Play,
    app: App,
    daemon: Daemon,
}

impl<'a> Stage<'a> {
    /// With a daemon of its own program, and all workers online.
    pub fn set(play: &'a Play) -> Self {
        let app = (play.app)();
        program::install(program::nodesockd(), &app.path("nodesockd"));
        let daemon = launch(&app).start();
        Self { play, app, daemon }
    }

    /// The calls that the daemon makes; `None` where nobody can see that.
    pub fn survey(mut self) -> Option<Vec<Point>> {
        let tracer = Tracer::list(&self.app, &self.daemon)?;
        let mut command = self.begin();
        until("the command ends", || command.has_ended());
        self.rests();
        let output = command.finish();
        assert_eq!(output.code, self.expected(), "{output}{}", self.log());
        Some(count(tracer.listed(&self.app).into_iter()))
    }

    /// Kills the daemon at `point` of the operation, if it gets there, and has all that should be the case afterwards. Tells
    /// whether it got there.
    pub fn strike(&mut self, point: &Point) -> bool {
        let before = crew(&self.daemon.settled());
        let (ran, release) = (Ran::of(&self.app), self.deploys().then(|| current(&self.app)));
        let visitors = (!self.stops()).then(|| self.visitors());
        let tracer = Tracer::ambush(&self.app, &self.daemon, &point.call, point.nth);
        let mut command = self.begin();
        let mut died = false;
        until("the command ends", || {
            died |= self.succeeded();
            command.has_ended()
        });
        died |= self.rests();
        tracer.detach();
        let output = command.finish();
        died |= self.succeeded();
        assert!(died || output.code == self.expected(), "{output}");

        let status = self.settled();
        assert_in_order(&self.app, &self.daemon);
        match release {
            Some(release) => {
                let ran = Ran::of(&self.app).since(ran);
                self.assert_deployed(&before, &release, ran, &status, output.code);
            }
            None => self.assert_all_or_nothing(&before, &status, output.code == 0),
        }
        self.activate(&status);
        self.assert_served();
        if let Some(visitors) = visitors {
            visitors.come();
            visitors.leave();
        }
        self.set_back();
        died
    }

    /// What the daemons have said.
    pub fn log(&self) -> String {
        self.app.read("daemon.log")
    }

    fn upgrades(&self) -> bool {
        self.play.command.contains(&"--upgrade")
    }

    fn deploys(&self) -> bool {
        self.play.command[0] == "deploy"
    }

    /// The exit code of the command if nobody dies.
    fn expected(&self) -> i32 {
        if self.play.command == FAILS { 7 } else { 0 }
    }

    fn stops(&self) -> bool {
        self.play.command == ["stop"]
    }

    fn begin(&self) -> Running {
        let program = if self.upgrades() { program::newer() } else { program::nodesockd() };
        program::install(program, &self.app.path("nodesockd"));
        let mut command = Command::new(program);
        cli::in_folder(command.args(self.play.command), self.app.folder());
        if self.deploys() {
            // The one that does not serve.
            let first = current(&self.app).ends_with("1");
            command.args(["--release", if first { "releases/2" } else { "releases/1" }]);
        }
        cli::spawn(&mut command)
    }

    /// Each asks the worker of a slot all the time. No request is tried again.
    fn visitors(&self) -> Visitors {
        let links = [self.app.link(0), self.app.link(1)];
        Visitors::start(2, move |user| {
            let answer = http::get(&links[user as usize], "/1");
            assert_eq!(answer.status, 200, "slot {user}: {answer:?}");
            std::thread::sleep(GLANCE);
        })
    }

    /// Starts another daemon if this one has died, as a manager does. Tells whether it had.
    fn succeeded(&mut self) -> bool {
        let died = self.daemon.has_ended();
        if died {
            self.daemon.take_place(launch(&self.app));
        }
        died
    }

    /// Waits until the daemon has nothing to do, or has died and another one was started; tells whether that is so.
    fn rests(&mut self) -> bool {
        let mut died = false;
        until("the daemon rests", || {
            died = self.succeeded();
            died || Process::of(self.daemon.pid()).is_some_and(Process::sleeps)
        });
        died
    }

    /// Waits until everything is as it should be, or as it should be after a stop. A daemon that gives up is started again,
    /// as its manager does.
    fn settled(&mut self) -> Status {
        let log = self.app.path("daemon.log");
        let stops = self.stops();
        let rested = |status: &Status| {
            status.is_settled() || stops && status.workers.is_empty() && status.operation.is_none()
        };
        let mut look = || {
            self.succeeded();
            self.daemon.try_status().filter(rested)
        };
        wait::found("everything is settled", &mut look, || format!("see {}", log.display()))
    }

    /// The operation was finished or undone, as the daemon says, and as the command was answered.
    fn assert_all_or_nothing(&self, before: &Crew, status: &Status, answered: bool) {
        let after = crew(status);
        let undone = after == *before;
        let finished = after.keys().all(|id| !before.contains_key(id));
        let story = format!("before: {before:#?}\nafter: {after:#?}\nnote: {:?}", status.note);
        assert!(undone || finished, "something in between\n{story}");
        assert!(finished || !answered, "the command has succeeded, but\n{story}");
        let said = |words: &str| status.note.as_deref().is_some_and(|note| note.contains(words));
        assert!(finished || !said("finished"), "{story}");
        assert!(undone || !said("undone"), "{story}");
        let suspended = finished && self.play.command.contains(&"--suspended");
        assert_eq!(status.suspended, suspended, "{story}");
        let mut slots = status.workers.iter().filter(|worker| worker.idx.is_some());
        assert!(slots.all(|worker| (worker.state == "suspended") == suspended), "{story}");
    }

    /// The deploy was finished or undone, or it waits for a person; a command of it has run once at most, and the workers are of the
    /// release that `current` names.
    fn assert_deployed(&self, before: &Crew, former: &Path, ran: Ran, status: &Status, code: i32) {
        let after = crew(status);
        let named = current(&self.app);
        let story = format!(
            "before: {before:#?}\nafter: {after:#?}\n{} before, {} now; ran: {ran:?}; exit code {code}; note: {:?}",
            former.display(),
            named.display(),
            status.note
        );
        let same = after == *before;
        assert!(same || after.keys().all(|id| !before.contains_key(id)), "something in between\n{story}");
        assert!(ran.migrations <= 1 && ran.reverts <= ran.migrations, "{story}");
        let mut slots = status.workers.iter().filter(|worker| worker.idx.is_some());
        assert!(slots.all(|worker| (worker.state == "suspended") == status.suspended), "{story}");
        if status.suspended {
            assert!(!same && code != 0, "{story}");
            let says = status.note.as_deref().is_some_and(|note| note.contains("the app stays suspended"));
            assert!(says, "it waits, and does not say so\n{story}");
            let attached = self.app.cli(&["deploy", "--attach"]);
            assert_eq!(attached.code, 7, "{attached}\n{story}");
        } else if same {
            assert!(ran.migrations == 0 && named == former && code != 0, "{story}");
        } else if self.play.command == SUCCEEDS {
            assert!(ran.migrations == 1 && named != former, "{story}");
        } else {
            assert!(ran.migrations == 1 && ran.reverts == 1 && named == former, "{story}");
        }
        assert!(status.suspended || self.runs_what_is_named(status), "{story}");
    }

    /// Whether workers run the release that `current` names.
    fn runs_what_is_named(&self, status: &Status) -> bool {
        let folder = self.app.path(&current(&self.app).to_string_lossy());
        let mut slots = status.workers.iter().filter(|worker| worker.idx.is_some());
        slots.all(|worker| worker.process().folder() == folder)
    }

    /// Ends a suspension, and starts what was stopped.
    fn activate(&self, status: &Status) {
        if status.suspended {
            self.daemon.until("all workers are resumed", |_| {
                let resumed = self.app.cli(&["resume"]).code == 0;
                resumed && self.daemon.status().workers.iter().all(|worker| worker.state == "online")
            });
        }
        if self.deploys() && !self.runs_what_is_named(status) {
            // The deploy was on its way back, where the symlink comes before the workers.
            let output = self.app.cli(&["restart"]);
            assert_eq!(output.code, 0, "{output}");
            self.daemon.settled();
        }
        if status.workers.is_empty() {
            assert_eq!(self.app.cli(&["start"]).code, 0);
        }
    }

    /// Each slot is served by the worker that the daemon says.
    fn assert_served(&self) {
        let status = self.daemon.status();
        for slot in 0..2 {
            let worker = status.slot(slot);
            let answer = http::get(&self.app.link(slot), "/1");
            let names = [worker.id.clone(), worker.process().pid.to_string()];
            assert!(
                answer.status == 200 && names.iter().any(|name| answer.body.contains(name)),
                "{answer:?}"
            );
        }
    }

    /// To the version of the beginning.
    fn set_back(&mut self) {
        if self.upgrades() {
            assert_eq!(self.daemon.status().version, NEWER);
            program::install(program::nodesockd(), &self.app.path("nodesockd"));
            self.daemon.die();
            self.daemon.follow(launch(&self.app));
        }
    }
}

/// In the current release, if it is an app of several.
fn launch(app: &App) -> Launch {
    let launch = app.launch().from(&app.path("nodesockd"));
    let current = app.path("current");
    if current.is_symlink() { launch.within(&current) } else { launch }
}
