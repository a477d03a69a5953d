//! A whole set-up as it should be: an app with a user of its own, its daemon, its unit, and an nginx of another user.
//! Needs root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Group, User};
use nodesockd_tests::nginx::Site;
use nodesockd_tests::{App, Daemon, cli, program};

/// The app's user, and nginx's. Every Debian has both.
const USER: &str = "nobody";
const NGINX: &str = "www-data";

pub struct HealthyHost {
    pub app: App,
    pub nginx: Site,
    pub unit: String,
    /// What runs a command in the namespaces of the host under test; its last argument is a script that ends in `exec "$@"`.
    pub around: Vec<String>,
}

/// What the doctor has to say besides that all is well.
#[derive(Debug)]
pub struct DoctorReport {
    pub code: i32,
    /// `area: message; help`, one each.
    pub findings: Vec<String>,
}

impl HealthyHost {
    /// Healthy, but for its daemon, which does not run yet. `None` for those who are not root.
    pub fn new(change: impl FnOnce(App) -> App) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can have users other than itself");
            return None;
        }
        let app = change(App::new().workers(2).set("options.drainTimeout", 5000));
        // The repository, and what was built from it, may be out of reach for other users.
        let library = app.path("node_modules/nodesockd");
        fs::remove_file(&library).unwrap();
        copy(&program::root().join("node/lib"), &library.join("lib"));
        fs::copy(program::root().join("node/package.json"), library.join("package.json")).unwrap();
        program::copy_to(&app.path("nodesockd"));
        app.save();
        give(app.folder(), USER);
        let (user, group) = (user(USER), Group::from_name(NGINX).unwrap().unwrap());
        chown(app.run(), Some(user.uid.as_raw()), Some(group.gid.as_raw())).unwrap();
        mode(&app.run(), 0o2750);

        let nginx = Site::new();
        let listen = format!("unix:{}", nginx.front().display());
        let printed = app.cli(&["nginx", "--listen", &listen]);
        assert_eq!(printed.code, 0, "{printed}");
        nginx.configure_for(NGINX, &printed.stdout);
        let unit = format!(
            "[Unit]\nDescription=shop\n[Service]\nType=exec\nUser={USER}\nWorkingDirectory={folder}\n\
             Environment=PWD={folder} \"PATH={path}\"\nExecStart={folder}/nodesockd daemon\nKillMode=process\n\
             TimeoutStopSec=90\nRestart=always\nOOMPolicy=continue\n",
            folder = app.folder().display(),
            path = std::env::var("PATH").unwrap(),
        );
        let around = ["unshare", "--mount", "sh", "-ec"].map(str::to_owned).to_vec();
        Some(Self { app, nginx, unit, around })
    }

    /// Starts the daemon as the app's user.
    pub fn start(&self) -> Daemon {
        give(&self.app.path("nodesockd.toml"), USER);
        let group = user(USER).gid.to_string();
        let wrapper =
            ["setpriv", &format!("--reuid={USER}"), &format!("--regid={group}"), "--clear-groups", "--"];
        self.app.launch().from(&self.app.path("nodesockd")).through(&wrapper).start()
    }

    /// Runs `doctor` as root, where systemd seems to run and nginx is this one.
    pub fn doctor(&self) -> DoctorReport {
        self.app.write("shop.service", &self.unit);
        let script = format!(
            "mount -t tmpfs none /run; mkdir -p /run/systemd/system; cp {}/shop.service /run/systemd/system; exec \"$@\"",
            self.app.folder().display()
        );
        let (program, wrapper) = self.around.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(wrapper).arg(script).arg("sh").arg(program::nodesockd()).args(["doctor", "--json"]);
        cli::in_folder(&mut command, self.app.folder());
        let path = format!("{}:{}", self.nginx.program().display(), std::env::var("PATH").unwrap());
        let output = cli::spawn(command.env("PATH", path)).finish();
        assert_eq!(output.stderr, "", "{output}");
        let report = output.json();
        let mut findings = Vec::new();
        for area in report["areas"].as_array().unwrap() {
            let listed = area["findings"].as_array().unwrap();
            for finding in listed.iter().filter(|finding| finding["verdict"] != "good") {
                let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
                findings.push(format!(
                    "{}: {}; {}",
                    area["name"].as_str().unwrap(),
                    text("message"),
                    text("help")
                ));
            }
        }
        DoctorReport { code: output.code, findings }
    }

    /// The only finding is in this area and says all this.
    pub fn finds(&self, what: &str, area: &str, said: &[&str]) {
        let found = self.doctor();
        let [finding] = found.findings.as_slice() else { panic!("{what}: {found:#?}") };
        let fits =
            finding.starts_with(&format!("{area}: ")) && said.iter().all(|part| finding.contains(part));
        assert!(fits, "{what}: {finding}\nlacks some of {said:?}");
    }

    /// There is nothing to find.
    pub fn has_no_findings(&self) {
        let found = self.doctor();
        assert!(found.code == 0 && found.findings.is_empty(), "{found:#?}");
    }

    /// Changes a text of nginx's configuration.
    pub fn nginx_says(&self, from: &str, to: &str) {
        let before = self.nginx.read("nginx.conf");
        assert!(before.contains(from), "{from} is not in\n{before}");
        self.nginx.write("nginx.conf", &before.replace(from, to));
    }

    /// A path in the app's folder that belongs to the app's user.
    pub fn owned(&self, name: &str) -> PathBuf {
        let path = self.app.path(name);
        give(&path, USER);
        path
    }
}

/// Changes a file's mode.
pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A user that exists.
pub fn user(name: &str) -> User {
    User::from_name(name).unwrap().unwrap_or_else(|| panic!("no user {name}"))
}

/// Gives a file, or a folder and all that is in it, to a user.
pub fn give(path: &Path, name: &str) {
    let user = user(name);
    lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), name));
    }
}

/// Copies a folder and all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
