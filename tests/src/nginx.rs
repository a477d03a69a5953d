//! A real nginx, in a folder of its own and behind a unix socket of its own.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{App, program, wait};

/// How long nginx keeps an idle connection to a worker, in seconds. Short, because a retiring worker waits for that.
pub const KEEPALIVE_TIMEOUT: u32 = 1;

/// What nginx is told of the servers it proxies to.
#[derive(Debug, Clone)]
pub struct Upstream {
    servers: Vec<String>,
    keepalive: Option<u32>,
    max_fails: Option<u32>,
    next: Option<String>,
    wrapper: Vec<String>,
}

impl Upstream {
    /// The first `slots` links of an app, each with `max_fails=0`, connections closed after each request.
    #[must_use]
    pub fn of(app: &App, slots: u32) -> Self {
        Self::to((0..slots).map(|slot| format!("unix:{}", app.link(slot).display())).collect())
    }

    /// Servers as nginx spells them.
    #[must_use]
    pub fn to(servers: Vec<String>) -> Self {
        Self { servers, keepalive: None, max_fails: Some(0), next: None, wrapper: Vec::new() }
    }

    /// `keepalive`: how many idle connections are kept for later requests.
    #[must_use]
    pub fn keepalive(self, connections: u32) -> Self {
        Self { keepalive: Some(connections), ..self }
    }

    /// nginx's own `max_fails`.
    #[must_use]
    pub fn default_max_fails(self) -> Self {
        Self { max_fails: None, ..self }
    }

    /// `proxy_next_upstream`: after which failures another server is tried. Without it, nginx's own.
    #[must_use]
    pub fn next(self, failures: &str) -> Self {
        Self { next: Some(failures.to_owned()), ..self }
    }

    /// Runs nginx by a program that changes something and then runs its arguments, for instance `nice`.
    #[must_use]
    pub fn through(self, wrapper: &[&str]) -> Self {
        Self { wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    /// Starts nginx, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn start(&self) -> Nginx {
        let site = Site::new();
        site.configure(&self.blocks(&site.front()));
        site.start(&self.wrapper)
    }

    fn blocks(&self, front: &Path) -> String {
        let mut servers = String::new();
        for server in &self.servers {
            let max_fails = self.max_fails.map(|count| format!(" max_fails={count}")).unwrap_or_default();
            let _ = writeln!(servers, "    server {server}{max_fails};");
        }
        let mut proxy = String::new();
        if let Some(connections) = self.keepalive {
            let _ = writeln!(
                servers,
                "    keepalive {connections};\n    keepalive_timeout {KEEPALIVE_TIMEOUT}s;"
            );
            proxy.push_str("proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n");
        }
        if let Some(failures) = &self.next {
            let _ = writeln!(proxy, "      proxy_next_upstream {failures};");
        }
        format!(
            r#"  upstream app {{
{servers}  }}
  server {{
    listen unix:{front} backlog=1024;
    location / {{
      proxy_pass http://app;
      {proxy}    }}
  }}
"#,
            front = front.display()
        )
    }
}

/// A folder of its own for an nginx and its configuration.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("nsd-nginx-").tempdir_in("/tmp").expect("a folder of its own");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("our own folder");
        Self { folder }
    }

    /// A socket to listen on.
    #[must_use]
    pub fn front(&self) -> PathBuf {
        self.folder.path().join("front.sock")
    }

    /// Writes a file that the configuration may include by its name.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("our own folder");
    }

    /// Reads such a file.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("a file that was written")
    }

    /// Writes the configuration, with `blocks` in `http`.
    ///
    /// One process, so that nothing of it is left when that is killed. Started as root it stays root, because the sockets
    /// in an app's folder are open to its own user and group.
    pub fn configure(&self, blocks: &str) {
        self.configure_for("root", blocks);
    }

    /// The same, run by another user if this is started as root.
    pub fn configure_for(&self, user: &str, blocks: &str) {
        let user = if nix::unistd::geteuid().is_root() { format!("user {user};") } else { String::new() };
        let folder = self.folder.path().display();
        let text = format!(
            r#"daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  map $status $failed {{ ~^2 0; default 1; }}
  log_format failed '$msec $request_method $uri: $status; $upstream_addr answered $upstream_status after $request_time s';
  access_log {folder}/failed.log failed if=$failed;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{blocks}}}
"#
        );
        self.write("nginx.conf", &text);
    }

    /// `nginx` with this configuration.
    fn command(&self, wrapper: &[String]) -> Command {
        let words: Vec<&str> = wrapper.iter().map(String::as_str).chain(["nginx"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["-p", ".", "-c", "nginx.conf", "-e", "error.log"]);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// What `nginx -T` prints.
    ///
    /// # Panics
    ///
    /// When nginx refuses the configuration.
    #[must_use]
    pub fn dump(&self) -> String {
        let output = self.command(&[]).arg("-T").output().expect("nginx, Debian's package of that name");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("what was written here")
    }

    /// A program by the name of `nginx` in a folder of its own, for `PATH`: nginx itself, with this configuration.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        let (folder, bin) = (self.folder.path(), self.folder.path().join("bin"));
        std::fs::create_dir_all(&bin).expect("our own folder");
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
        let nginx = nginx.expect("nginx, Debian's package of that name");
        let script = format!(
            "#!/bin/sh\nexec {nginx} -p {0} -c {0}/nginx.conf -e {0}/error.log \"$@\"\n",
            folder.display()
        );
        let program = bin.join("nginx");
        if !program.exists() {
            program::write_script(&program, &script);
        }
        bin
    }

    /// Starts nginx through `wrapper`, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not: it is not installed, or refuses its configuration.
    #[must_use]
    pub fn start(self, wrapper: &[String]) -> Nginx {
        let mut command = self.command(wrapper);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; install Debian's nginx"));
        let nginx = Nginx { child, folder: self.folder };
        wait::found("nginx listens", || UnixStream::connect(nginx.front()).ok(), || nginx.log());
        nginx
    }
}

/// A running nginx. Dropped, it is killed.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: TempDir,
}

impl Nginx {
    /// Where it listens.
    #[must_use]
    pub fn front(&self) -> PathBuf {
        self.folder.path().join("front.sock")
    }

    /// What it had to complain of, and the requests that it did not answer with 2xx: the first of both.
    #[must_use]
    pub fn log(&self) -> String {
        let mut log = String::new();
        for name in ["error.log", "failed.log"] {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let _ = writeln!(log, "{name}, {} lines:", text.lines().count());
            for line in text.lines().take(20) {
                let _ = writeln!(log, "  {line}");
            }
        }
        log
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
