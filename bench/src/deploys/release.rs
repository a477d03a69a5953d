//! The releases that are deployed.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;

use nodesockd_tests::App;

/// What is wrong with a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Good,
    /// Nothing, and there is a migration.
    Migrated,
    /// Its workers exit before they listen.
    Boot,
    /// Its workers exit 3 s after their first request.
    Crash,
    /// The event loops of its workers stop half a second after their first request.
    Hang,
    /// Its workers answer only the first check of `--health` with 2xx: that one meets cold code.
    Health,
    /// Its workers report broken half a second after their first request.
    Broken,
    /// Its migration fails.
    Migration,
}

impl Kind {
    /// Those that ought to be undone.
    pub const BAD: [Self; 6] =
        [Self::Boot, Self::Crash, Self::Hang, Self::Health, Self::Broken, Self::Migration];

    pub fn is_good(self) -> bool {
        matches!(self, Self::Good | Self::Migrated)
    }

    /// Whether the daemon can know of the failure when it happens: a hang is known after `health.hangTimeout`, and after a
    /// migration or a failed start there is no link to lead back.
    pub fn is_known_at_once(self) -> bool {
        matches!(self, Self::Crash | Self::Health | Self::Broken)
    }

    /// The exit code of its deploy. Where the machine is starved, one worker may fail before the other is online.
    pub fn may_exit_with(self, code: i32) -> bool {
        match self {
            Self::Good | Self::Migrated => code == 0,
            Self::Boot => code == 6,
            Self::Crash | Self::Hang | Self::Broken => code == 6 || code == 7,
            Self::Health | Self::Migration => code == 7,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Good | Self::Migrated => "good",
            Self::Boot => "boot",
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Health => "health",
            Self::Broken => "broken",
            Self::Migration => "migration",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Migrated => "good, with a migration",
            Self::Boot => "exits at boot",
            Self::Crash => "exits after 3 s",
            Self::Hang => "hangs",
            Self::Health => "fails `--health`",
            Self::Broken => "reports broken",
            Self::Migration => "its migration fails",
        })
    }
}

/// A release in a folder of its own: the n-th of an app.
#[derive(Debug, Clone)]
pub struct Release {
    pub kind: Kind,
    name: String,
}

impl Release {
    /// Lays it out.
    pub fn lay_out(app: &App, kind: Kind, number: usize) -> Self {
        let release = Self { kind, name: format!("{number}-{}", kind.word()) };
        let folder = app.path(&release.path());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("app.js"), script()).unwrap();
        fs::copy(app.path("nodesockd.toml"), folder.join("nodesockd.toml")).unwrap();
        release
    }

    /// What `current` names while it is in force.
    pub fn path(&self) -> String {
        format!("releases/{}", self.name)
    }

    /// Makes it the current one of an app that does not run yet.
    pub fn is_current(&self, app: &App) {
        symlink(self.path(), app.path("current")).unwrap();
    }

    /// Whether `current` names it.
    pub fn is_named(&self, app: &App) -> bool {
        fs::read_link(app.path("current")).is_ok_and(|named| named == self.path())
    }

    /// The name of its folder, as its workers give it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The app of the benches, which writes down what it gets, and fails as the name of its folder says. Times are those of the clock
/// that `clock_gettime(2)` calls monotonic, in nanoseconds.
fn script() -> String {
    let app = include_str!("../../apps/app.js");
    let at = "  const number = req.method === 'POST' ? body : req.url.slice(1);\n";
    assert!(app.contains(at), "the script has changed");
    let more = r"
  if (number === 'fit' && fault === 'health' && ++checks > 1) {
    failing();
    res.statusCode = 500;
  }
  fs.writeSync(seen, `${number}\n`);
";
    let begins = r"
const fs = require('node:fs');
const path = require('node:path');
const release = path.basename(__dirname);
const fault = release.split('-')[1];
const { MARKS } = process.env;
const mark = (what, text) => fs.writeFileSync(`${MARKS}/${worker}.${what}`, text);
let checks = 0;
let hasFailed = false;
const failing = () => {
  const now = process.hrtime.bigint();
  if (!hasFailed) mark('failed', String(now));
  hasFailed = true;
};
const failures = {
  crash: [3000, () => process.exit(1)],
  hang: [500, () => { for (;;); }],
  broken: [500, () => nodesockd.reportBroken('it is bad')],
};
mark('worker', `${release} ${process.pid}`);
if (fault === 'boot') process.exit(1);
const seen = fs.openSync(`${MARKS}/${worker}.seen`, 'a');
const server = http.createServer";
    let ends = r"
const fails = failures[fault];
if (fails) {
  const [delay, how] = fails;
  server.once('request', () => setTimeout(() => {
    failing();
    how();
  }, delay));
}
";
    let app = app.replacen(at, &format!("{at}{more}"), 1);
    let app = app.replacen("const server = http.createServer", begins.trim_start(), 1);
    let at = "if (process.env.INTEGRATION";
    app.replacen(at, &format!("{ends}{at}"), 1)
}
