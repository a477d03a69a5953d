//! A real nginx, Caddy or HAProxy in front of an app, as `nodesockd proxy` configures it, in a folder of its own and behind a
//! unix socket of its own.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::nginx::Nginx;
use crate::{App, servers, wait};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's package `nginx`.
    Nginx,
    /// Debian's package `caddy`.
    Caddy,
    /// Debian's package `haproxy`.
    Haproxy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Caddy, Self::Haproxy];

    /// As `nodesockd proxy` calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// Starts it with what `nodesockd proxy` prints for an app, changed by `edit`, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn printed(self, app: &App, edit: impl Fn(String) -> String) -> Front {
        self.printed_with(app, &[], edit)
    }

    /// The same with further arguments of `nodesockd proxy`.
    ///
    /// # Panics
    ///
    /// When it does not: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn printed_with(self, app: &App, args: &[&str], edit: impl Fn(String) -> String) -> Front {
        if self == Self::Nginx {
            return Front::Nginx(servers::printed(app, args, edit));
        }
        app.save();
        let site = Site::new(self);
        let output = app.cli(&[&["proxy", self.name(), "--listen", &site.listen()], args].concat());
        assert_eq!(output.code, 0, "{output}");
        site.configure(&edit(output.stdout));
        Front::Other(site.start())
    }
}

/// One that runs. Dropped, it is killed.
#[derive(Debug)]
pub enum Front {
    /// nginx.
    Nginx(Nginx),
    /// Caddy or `HAProxy`.
    Other(Proxy),
}

impl Front {
    /// Where it listens.
    #[must_use]
    pub fn front(&self) -> PathBuf {
        match self {
            Self::Nginx(nginx) => nginx.front(),
            Self::Other(proxy) => proxy.site.front(),
        }
    }

    /// What it had to complain of: the first of it.
    #[must_use]
    pub fn log(&self) -> String {
        match self {
            Self::Nginx(nginx) => nginx.log(),
            Self::Other(proxy) => proxy.site.log(),
        }
    }
}

/// A folder of its own for a Caddy or an `HAProxy`, and its configuration.
#[derive(Debug)]
pub struct Site {
    kind: Kind,
    folder: TempDir,
}

impl Site {
    /// An empty one.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("nsd-front-").tempdir_in("/tmp");
        Self { kind, folder: folder.expect("a folder of its own") }
    }

    /// A socket to listen on.
    #[must_use]
    pub fn front(&self) -> PathBuf {
        self.folder.path().join("front.sock")
    }

    /// The same, as the front spells it.
    #[must_use]
    pub fn listen(&self) -> String {
        let front = self.front();
        match self.kind {
            Kind::Nginx => format!("unix:{}", front.display()),
            Kind::Caddy => format!("unix/{}", front.display()),
            Kind::Haproxy => format!("unix@{}", front.display()),
        }
    }

    /// Where it is asked for its configuration, as Caddy spells it (`CADDY_ADMIN`).
    #[must_use]
    pub fn admin(&self) -> String {
        format!("unix/{}", self.folder.path().join("admin.sock").display())
    }

    /// The file with the configuration.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("front.conf")
    }

    /// Writes the configuration, `site` after what a whole one needs besides.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn configure(&self, site: &str) {
        let whole = match self.kind {
            Kind::Nginx => String::new(),
            Kind::Caddy => {
                let servers = "servers {\n    protocols h1 h2c\n  }";
                format!("{{\n  admin {}\n  auto_https off\n  {servers}\n}}\n\n", self.admin())
            }
            Kind::Haproxy => "global\n  log stdout format raw local0\n\ndefaults\n  log global\n  mode http\n  \
                              option httplog\n  option dontlog-normal\n  timeout connect 5s\n  timeout client 60s\n  \
                              timeout server 60s\n\n"
                .to_owned(),
        };
        std::fs::write(self.file(), whole + site).expect("our own folder");
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(self.kind.name());
        match self.kind {
            Kind::Nginx => {}
            Kind::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(name, folder);
                }
            }
            Kind::Haproxy => {
                command.args(["-db", "-q", "-f"]);
            }
        }
        command.arg(self.file()).current_dir(folder).stdin(Stdio::null());
        command
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn start(self) -> Proxy {
        let log = || File::options().create(true).append(true).open(self.log_file()).expect("our own folder");
        let mut command = self.command();
        let child =
            command.stdout(log()).stderr(log()).spawn().unwrap_or_else(|error| {
                panic!("{command:?}: {error}; install Debian's package of that name")
            });
        let proxy = Proxy { child, site: self };
        wait::found(
            "the front listens",
            || UnixStream::connect(proxy.site.front()).ok(),
            || proxy.site.log(),
        );
        proxy
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let uneventful = |line: &&str| !line.contains("\"level\":\"info\"");
        let lines: Vec<&str> = text.lines().filter(uneventful).take(20).collect();
        format!("{}:\n  {}\n", self.kind.name(), lines.join("\n  "))
    }
}

/// A running Caddy or `HAProxy`. Dropped, it is killed.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    site: Site,
}

impl Proxy {
    /// Where its files are.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Its folder's path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.site.folder.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
