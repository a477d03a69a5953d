//! Servers that know nothing of nodesockd, as workers: they are told to end by a signal.

use std::process::{Command, Stdio};

use crate::app::{self, App};
use crate::nginx::{Nginx, Site};

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Plain Node, without the library.
    Node,
    /// Plain Node, started by `npm start`.
    Npm,
    /// Debian's package `python3-uvicorn`.
    Uvicorn,
    /// Debian's package `gunicorn`.
    Gunicorn,
    /// Debian's package `golang-go`.
    Go,
    /// Debian's package `puma`.
    Puma,
    /// [bun.sh](https://bun.sh)
    Bun,
    /// Debian's package `php-fpm`, which speaks `FastCGI` and ends by SIGQUIT. Its daemon has to quit: php-fpm writes its title over its
    /// environment, by which what a killed daemon leaves is found.
    PhpFpm,
}

impl Server {
    /// All that speak HTTP.
    pub const ALL: [Self; 7] =
        [Self::Node, Self::Npm, Self::Uvicorn, Self::Gunicorn, Self::Go, Self::Puma, Self::Bun];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "Node without the library",
            Self::Npm => "`npm start` without the library",
            Self::Uvicorn => "uvicorn",
            Self::Gunicorn => "gunicorn",
            Self::Go => "Go",
            Self::Puma => "puma",
            Self::Bun => "Bun",
            Self::PhpFpm => "php-fpm",
        }
    }

    /// Whether it can be run here.
    #[must_use]
    pub fn is_installed(self) -> bool {
        let words: &[&str] = match self {
            Self::Node | Self::Npm => &["npm", "--version"],
            Self::Uvicorn => &["/usr/bin/python3", "-c", "import uvicorn"],
            Self::Gunicorn => &["gunicorn", "--version"],
            Self::Go => &["go", "version"],
            Self::Puma => &["puma", "--version"],
            Self::Bun => &["bun", "--version"],
            Self::PhpFpm => &["php-fpm8.2", "--version"],
        };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// An app that is run by it, which gives every request its number back.
    ///
    /// # Panics
    ///
    /// When it cannot be built.
    #[must_use]
    pub fn app(self) -> App {
        let mut app = App::new().script("plain.js").without("script").set("options.ready", "http");
        let take = |name: &str| {
            let fixture = app::fixture("servers").join(name);
            std::fs::copy(fixture, app.path(name)).expect("a fixture");
        };
        let words: &[&str] = match self {
            Self::Node => &["node", "app.js"],
            Self::Npm => {
                app.write("package.json", r#"{ "name": "app", "scripts": { "start": "node app.js" } }"#);
                &["npm", "start"]
            }
            Self::Uvicorn => {
                take("asgi.py");
                &[
                    "/usr/bin/python3",
                    "-m",
                    "uvicorn",
                    "--uds",
                    "{socket}",
                    "--log-level",
                    "warning",
                    "asgi:app",
                ]
            }
            Self::Gunicorn => {
                take("wsgi.py");
                &[
                    "gunicorn",
                    "--bind",
                    "unix:{socket}",
                    "--threads",
                    "4",
                    "--log-level",
                    "warning",
                    "wsgi:app",
                ]
            }
            Self::Go => {
                take("main.go");
                build(&app);
                &["{release}/server", "{socket}"]
            }
            Self::Puma => {
                take("config.ru");
                &["puma", "--quiet", "--threads", "1:4", "--bind", "unix://{socket}", "config.ru"]
            }
            Self::Bun => &["bun", "app.js"],
            Self::PhpFpm => {
                take("php-fpm.conf");
                take("index.php");
                app = app.set("options.ready", "listen").set("options.stopSignal", "SIGQUIT");
                &["php-fpm8.2", "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", "php-fpm.conf"]
            }
        };
        app.set("command", words.to_vec())
    }
}

/// Go's own caches are in the app's folder, which goes.
fn build(app: &App) {
    let mut command = Command::new("go");
    command.args(["build", "-o", "server", "main.go"]).current_dir(app.folder());
    command.env("GOCACHE", app.path("gocache")).env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    let output = command.output().expect("go");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(app.path("gocache")).expect("Go's own cache");
}

/// An nginx with the configuration that `nodesockd nginx` prints for an app with these further arguments, changed by `edit`.
///
/// # Panics
///
/// When there is none, or nginx refuses it.
#[must_use]
pub fn printed(app: &App, args: &[&str], edit: impl Fn(String) -> String) -> Nginx {
    app.save();
    let site = Site::new();
    let listen = format!("unix:{}", site.front().display());
    let output = app.cli(&[&["nginx", "--listen", &listen], args].concat());
    assert_eq!(output.code, 0, "{output}");
    site.configure(&edit(output.stdout));
    site.start(&[])
}
