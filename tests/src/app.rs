//! An application to supervise, in a folder of its own.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use toml::{Table, Value};

use crate::cli::{self, Output};
use crate::daemon::{Daemon, Launch};
use crate::ipc::Connection;
use crate::process::{self, Process};
use crate::program;

/// A folder with a configuration, a worker's script and `node_modules/nodesockd`. Removed when dropped.
///
/// Settings are written when a daemon or a command is started; [`save`](Self::save) writes them for one that runs.
#[derive(Debug)]
pub struct App {
    folder: TempDir,
    settings: Table,
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// One worker that runs the fixture `web.js`, and no time-out that could strike on a busy machine.
    #[must_use]
    pub fn new() -> Self {
        Self::within(Path::new("/tmp"))
    }

    /// The same, with its folder in another one than `/tmp`.
    #[must_use]
    pub fn within(parent: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("nsd-").tempdir_in(parent).expect("a folder of its own");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))
            .expect("open to other users");
        let app = Self { folder, settings: Table::new() }
            .set("script", "app.js")
            .set("tmpDir", "run")
            .set("options.onlineTimeout", 50_000)
            .set("options.drainTimeout", 50_000)
            .set("options.shutdownTimeout", 50_000);
        std::fs::create_dir(app.run()).expect("a fresh folder");
        std::fs::create_dir(app.path("node_modules")).expect("a fresh folder");
        symlink(program::root().join("node"), app.path("node_modules/nodesockd")).expect("a fresh folder");
        app.deploy("web.js");
        app
    }

    /// Sets a key, for instance `options.shutdownTimeout`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.change(key, value);
        self
    }

    /// The same, later on.
    pub fn change(&mut self, key: &str, value: impl Into<Value>) {
        let (table, key) = match key.split_once('.') {
            None => (&mut self.settings, key),
            Some((table, key)) => {
                let table = self.settings.entry(table).or_insert_with(|| Table::new().into());
                (table.as_table_mut().expect("the key of a table"), key)
            }
        };
        table.insert(key.to_owned(), value.into());
    }

    /// Leaves a key of the outermost table to its default.
    #[must_use]
    pub fn unset(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// The number of slots.
    #[must_use]
    pub fn workers(self, count: u32) -> Self {
        self.set("workers", i64::from(count))
    }

    /// The number of standbys.
    #[must_use]
    pub fn standby(self, count: u32) -> Self {
        self.set("standby", i64::from(count))
    }

    /// A variable of the workers' environment.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.set(&format!("env.{name}"), value)
    }

    /// Another fixture than `web.js`: a script for Node.
    #[must_use]
    pub fn script(self, fixture: &str) -> Self {
        self.deploy(fixture);
        self
    }

    /// A package from npm that the npm package is tested with.
    #[must_use]
    pub fn package(self, name: &str) -> Self {
        let installed = program::root().join("node/node_modules").join(name);
        assert!(installed.exists(), "{name} is not installed: npm --prefix node ci");
        let link = self.path("node_modules").join(name);
        // A name may have a scope: `@hapi/hapi`.
        std::fs::create_dir_all(link.parent().expect("within node_modules")).expect("a fresh folder");
        symlink(installed, link).expect("a fresh folder");
        self
    }

    /// A fixture in Python, as a worker that knows no library of ours.
    #[must_use]
    pub fn python(mut self, fixture: &str) -> Self {
        self.settings.remove("script");
        self.set("command", python(fixture).to_vec())
    }

    /// Unsets a key.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// Replaces the script: workers that start from now on run this one.
    pub fn deploy(&self, fixture: &str) {
        let new = self.path("app.js.new");
        std::fs::copy(self::fixture(fixture), &new).expect("a fixture");
        std::fs::rename(new, self.path("app.js")).expect("the script's folder");
    }

    /// Writes the configuration.
    pub fn save(&self) {
        self.write("nodesockd.toml", &self.settings.to_string());
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the app's own folder");
    }

    /// Reads a file in the folder; empty while it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `tmpDir`.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.path("run")
    }

    /// The control socket.
    #[must_use]
    pub fn ipc(&self) -> PathBuf {
        self.path("run/nodesockd.ipc")
    }

    /// The link of a slot.
    #[must_use]
    pub fn link(&self, slot: u32) -> PathBuf {
        self.run().join(format!("app.{slot}.sock"))
    }

    /// The names in `tmpDir` that are sockets or symbolic links, sorted; but for that of the process which takes workers' output.
    #[must_use]
    pub fn sockets(&self) -> Vec<String> {
        let mut names: Vec<String> =
            entries(&self.run()).filter(|(_, is_file)| !is_file).map(|(name, _)| name).collect();
        names.retain(|name| !name.ends_with(".ipc.sink"));
        names.sort();
        names
    }

    /// The names of other files in `tmpDir` than those that a daemon keeps there.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let kept = ["lock", "state", "workers", "history"].map(|ending| format!("nodesockd.ipc.{ending}"));
        let is_kept = |name: &String| kept.contains(name) || name.ends_with(".sock.lock");
        let run = self.run();
        let names = entries(&run).filter(|(name, is_file)| *is_file && !is_kept(name));
        names.map(|(name, _)| name).collect()
    }

    /// The processes whose working directory the folder is: the daemon, its workers, and whom they have started.
    pub fn inhabitants(&self) -> impl Iterator<Item = Process> {
        let here = |process: &Process| {
            std::fs::read_link(format!("/proc/{}/cwd", process.pid)).is_ok_and(|cwd| cwd == self.folder())
        };
        process::all().filter(here)
    }

    /// Starts a daemon and waits until everything it ought to run is there.
    #[must_use]
    pub fn start(&self) -> Daemon {
        self.launch().start()
    }

    /// How a daemon is started, for those who want it otherwise.
    #[must_use]
    pub fn launch(&self) -> Launch {
        self.save();
        Launch::new(self.folder(), &self.ipc())
    }

    /// Runs a client command in the folder, whose configuration names the daemon.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Output {
        cli::run(self.folder(), args)
    }

    /// A connection to the daemon.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(&self.ipc()).expect("the daemon listens")
    }
}

/// The names in a folder, and whether they are regular files.
fn entries(folder: &Path) -> impl Iterator<Item = (String, bool)> {
    let entries = std::fs::read_dir(folder).expect("tmpDir").map(|entry| entry.expect("tmpDir"));
    entries.map(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        (entry.file_name().to_string_lossy().into_owned(), is_file)
    })
}

/// The words that run a fixture in Python. By the system's own, where there is one: a version manager's wrapper would change
/// the environment.
#[must_use]
pub fn python(name: &str) -> [String; 2] {
    let python = if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
    [python, fixture(name).to_str().expect("UTF-8")].map(str::to_owned)
}

/// The path of a file in `fixtures/`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    program::root().join("tests/fixtures").join(name)
}
