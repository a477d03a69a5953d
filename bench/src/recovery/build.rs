//! The programs that are compared.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nodesockd_tests::daemon::Launch;
use nodesockd_tests::{App, cli, program};

/// How columns of this version are headed.
const THIS: &str = "this";

/// A version of nodesockd: the program, and the library that its workers run.
#[derive(Debug)]
pub struct Build {
    name: &'static str,
    program: PathBuf,
    library: PathBuf,
    /// Whether it has a heartbeat.
    has_health: bool,
}

impl Build {
    /// This version, and the one in the folder `against`.
    pub fn all(against: Option<&Path>) -> Vec<Self> {
        let this = Self::new(THIS, program::nodesockd().to_owned(), program::root());
        let other =
            against.map(|folder| Self::new("before", folder.join("target/release/nodesockd"), folder));
        [this].into_iter().chain(other).collect()
    }

    fn new(name: &'static str, program: PathBuf, folder: &Path) -> Self {
        let library = folder.join("node").canonicalize().expect("a checkout of nodesockd");
        let program = program.canonicalize().expect("a program that is built");
        let mut build = Self { name, program, library, has_health: true };
        let app = build.app(App::new()).set("health.hangTimeout", 1000);
        app.save();
        let mut check = Command::new(&build.program);
        cli::in_folder(check.arg("check"), app.folder());
        // 3 is the exit code for an invalid configuration.
        build.has_health = cli::spawn(&mut check).finish().code != 3;
        build
    }

    /// How its columns are headed.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is this version.
    pub fn is_this(&self) -> bool {
        self.name == THIS
    }

    /// Has an app run with its library.
    pub fn app(&self, app: App) -> App {
        let library = app.path("node_modules/nodesockd");
        fs::remove_file(&library).unwrap();
        symlink(&self.library, library).unwrap();
        app
    }

    /// Sets when a worker hangs, if this version can be told.
    pub fn hang_timeout(&self, app: App, milliseconds: i64) -> App {
        if self.has_health { app.set("health.hangTimeout", milliseconds) } else { app }
    }

    /// How its daemon is started for an app.
    pub fn launch(&self, app: &App) -> Launch {
        app.launch().from(&self.program)
    }

    /// Starts a second daemon of it in the folder of an app, with the file `config` there.
    pub fn second(&self, app: &App, config: &str) -> Child {
        let log = File::create(app.path("second.log")).unwrap();
        let mut command = Command::new(&self.program);
        cli::in_folder(command.args(["daemon", "--config", config]), app.folder());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }
}
