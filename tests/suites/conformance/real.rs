//! The real backend, in a folder of its own.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Once;

use nix::sys::stat::{Mode, SFlag, mknod};
use nodesockd_core::config::{Config, Env, Health, Limits, Options, Program};
use nodesockd_core::id::Ids;
use nodesockd_os::{Backend, Setup};
use nodesockd_sim::Left;
use tempfile::TempDir;

use crate::stage::{Errand, Part, Stage, ids, pattern};

/// Plays the parts that talk. Its argument says in which way it deviates.
const WORKER: &str = r#"
import json, os, signal, socket, sys, time
part = sys.argv[1]
channel = socket.socket(fileno=int(os.environ["NODESOCKD_CHANNEL_FD"]))
def say(**frame):
    channel.sendall(json.dumps(frame).encode() + b"\n")
if part == "closes-channel":
    channel.close()
    signal.pause()
if part == "ignores-sigterm":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socket.socket(socket.AF_UNIX)
server.bind(os.environ["NODESOCKD_SOCKET_PATH"])
server.listen(16)
say(type="online", data={"suspended": os.environ["NODESOCKD_SUSPENDED"] == "true", "heartbeat": True, "leader": False})
if part == "breaks":
    say(type="broken", data={"reason": "out of memory soon"})
    sys.exit(3)
for line in channel.makefile():
    frame = json.loads(line)
    if frame["type"] == "app-req":
        say(type="reply", requestId=frame["id"], data={"data": 1}, done=True)
    elif frame["type"] == "ping":
        say(type="pong", data={"seq": frame["data"]["seq"]})
    elif frame["type"] == "leader":
        say(type="leader", data=frame["data"])
    elif frame["type"] == "shutdown":
        sys.exit(0)
"#;

pub struct Real {
    backend: Backend,
    folder: TempDir,
    ids: Ids,
    connections: Vec<UnixStream>,
}

impl Real {
    pub fn new() -> Self {
        static PREPARED: Once = Once::new();
        PREPARED.call_once(nodesockd_os::prepare);
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            files: Vec::new(),
            cwd: folder.path().to_owned(),
            name: "app".into(),
            program: Program::Command(vec!["true".into()]),
            tmp_dir: folder.path().to_owned(),
            socket_file: pattern(),
            socket_dir: folder.path().to_owned(),
            ipc_file: folder.path().join("nodesockd.ipc"),
            workers: NonZeroU32::MIN,
            slots: None,
            standby: 0,
            env: Env::default(),
            env_files: Vec::new(),
            dev_server: None,
            metrics: None,
            debug: false,
            limits: Limits::default(),
            log: None,
            health: Health::default(),
            options: Options::default(),
        };
        let load = config.clone();
        let setup = Setup { config, load: Box::new(move || Ok(load.clone())), program: "true".into() };
        let backend = Backend::open(setup).expect("a backend");
        Self { backend, folder, ids: ids(), connections: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Stage for Real {
    type Backend = Backend;

    fn backend(&mut self) -> &mut Backend {
        &mut self.backend
    }

    fn ids(&mut self) -> &mut Ids {
        &mut self.ids
    }

    fn casts(&mut self, part: Part) -> (Vec<String>, PathBuf) {
        let worker =
            |deviation: &str| vec!["python3".into(), "-c".into(), WORKER.into(), deviation.to_owned()];
        let shell = |script: String| vec!["sh".into(), "-c".into(), script];
        let argv = match part {
            Part::Serves => worker("serves"),
            Part::IgnoresSigterm => worker("ignores-sigterm"),
            Part::Breaks => worker("breaks"),
            Part::ClosesChannel => worker("closes-channel"),
            Part::Wrapped => {
                let script = r#"python3 -c "$1" serves; exec sleep 600"#;
                ["sh", "-c", script, "sh", WORKER].map(str::to_owned).to_vec()
            }
            Part::Exits(code) => shell(format!("exit {code}")),
            Part::DiesOf(signal) => shell(format!("kill -{signal} $$")),
            Part::Missing => vec!["./missing".into()],
        };
        (argv, self.folder.path().to_owned())
    }

    fn command(&self, errand: Errand) -> String {
        let end = match errand {
            Errand::Succeeds => "",
            Errand::Fails => "; exit 1",
            Errand::TakesLong => "; exec sleep 600",
        };
        format!("echo half of it is done{end}")
    }

    fn put(&mut self, name: &str, left: Left<'_>) {
        let path = self.path(name);
        match left {
            Left::Link(target) => symlink(target, path).expect("a link"),
            // Never a listener of ours: a process that another test is just starting would have it open, too.
            Left::Socket => mknod(&path, SFlag::S_IFSOCK, Mode::S_IRWXU, 0).expect("a socket"),
            Left::Plain => fs::write(path, "precious").expect("a file"),
        }
    }

    fn take(&mut self, name: &str) {
        fs::remove_file(self.path(name)).expect("a file");
    }

    fn holds(&mut self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    fn target(&mut self, link: &str) -> Option<String> {
        fs::read_link(self.path(link)).ok()?.to_str().map(str::to_owned)
    }

    fn absolute(&self, socket: &str) -> String {
        self.path(socket).to_string_lossy().into_owned()
    }

    fn connect(&mut self, link: &str) -> bool {
        let connection = UnixStream::connect(self.path(link));
        let connected = connection.is_ok();
        self.connections.extend(connection);
        connected
    }
}
