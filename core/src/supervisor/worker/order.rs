//! The order to start a worker: program, arguments, environment.

use crate::action::{CommandOrder, HookOrder, Route, SpawnOrder};
use crate::config::{Config, Program, fill};
use crate::id::WorkerId;
use crate::occurrence::Occurrence;
use crate::release::Release;

use super::{Place, Worker};
use crate::supervisor::sink::stdout_route;

/// Variables that every worker gets if the daemon has them.
const ALWAYS_PASSED: [&str; 5] = ["NODE_ENV", "PATH", "HOME", "LANG", "TZ"];

/// What a service manager told the daemon is not for its workers: they would speak to it in the daemon's place.
const NEVER_PASSED: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The order to start `worker` under `config`; it runs `release`, or what the configuration names by then, and its standard
/// error goes this way.
pub(in crate::supervisor) fn spawn_order(
    id: WorkerId,
    worker: &Worker,
    config: &Config,
    release: Option<&Release>,
    stderr: Route,
) -> SpawnOrder {
    let release = release.filter(|_| !defect!(ReplacementRunsNewestRelease));
    let (slot, socket) = (slot_word(worker), socket_path(worker, config));
    let argv = match &config.program {
        Program::Command(argv) => argv.iter().map(|word| fill(word, &slot, &socket)).collect(),
        Program::Script { node, node_args, script } => {
            let mut argv = vec![node.clone()];
            argv.extend_from_slice(node_args);
            let script = release.map_or_else(|| script.clone(), |release| release.script(config, script));
            argv.push(script.to_string_lossy().into_owned());
            argv
        }
    };
    SpawnOrder {
        worker: id,
        argv,
        cwd: release.map_or_else(|| config.cwd.clone(), |release| release.dir.clone()),
        pass: passed(config),
        set: set(config, &slot, &socket),
        env_files: if release.is_some() { Vec::new() } else { config.env_files.clone() },
        overrides: overrides(id, worker, config, release, &socket),
        stdout: stdout_route(config),
        stderr,
        listeners: worker.listeners().to_vec(),
        ready: config.options.ready,
    }
}

/// The order to run a command with the environment that workers of `release` get, but for what each of them is told about itself.
pub(in crate::supervisor) fn command_order(
    command: &str,
    config: &Config,
    release: Option<&Release>,
) -> CommandOrder {
    CommandOrder {
        command: command.to_owned(),
        cwd: release.map_or_else(|| config.cwd.clone(), |release| release.dir.clone()),
        pass: passed(config),
        set: set(config, "migration", ""),
        env_files: if release.is_some() { Vec::new() } else { config.env_files.clone() },
        overrides: release.map(|release| release.env.clone()).unwrap_or_default(),
    }
}

/// The order to run the command of `options.onEvent`, with an environment as a migration has it.
pub(in crate::supervisor) fn hook_order(
    config: &Config,
    seq: u64,
    occurrence: Occurrence,
    missed: u64,
) -> HookOrder {
    let mut set = set(config, "event", "");
    set.extend([
        ("NODESOCKD_APP_NAME".to_owned(), config.name.clone()),
        ("NODESOCKD_IPC_PATH".to_owned(), config.ipc_file.to_string_lossy().into_owned()),
        ("NODESOCKD_EVENT".to_owned(), occurrence.name().to_owned()),
        ("NODESOCKD_EVENTS_MISSED".to_owned(), missed.to_string()),
    ]);
    HookOrder {
        argv: config.options.on_event.clone(),
        cwd: config.cwd.clone(),
        pass: passed(config),
        set,
        occurrence,
        seq,
    }
}

/// Names of variables that are passed on from the daemon's environment.
fn passed(config: &Config) -> Vec<String> {
    let named = config.env.pass.iter().map(String::as_str);
    let passed = ALWAYS_PASSED.into_iter().chain(named).filter(|name| !NEVER_PASSED.contains(name));
    passed.map(str::to_owned).collect()
}

/// Variables that the configuration sets.
fn set(config: &Config, slot: &str, socket: &str) -> Vec<(String, String)> {
    config.env.set.iter().map(|(name, value)| (name.clone(), fill(value, slot, socket))).collect()
}

/// What `{slot}` stands for.
fn slot_word(worker: &Worker) -> String {
    match worker.role().place() {
        Some(Place::Slot(slot)) => slot.to_string(),
        Some(Place::Standby) | None => "standby".to_owned(),
    }
}

/// The socket that the worker has to listen on. A standby does not know yet which of the sockets that it inherits will be its own;
/// all of them are there.
fn socket_path(worker: &Worker, config: &Config) -> String {
    let socket = worker.socket().map(AsRef::as_ref).or(worker.listeners().first().map(String::as_str));
    let socket = socket.map(|socket| config.socket_dir.join(socket)).unwrap_or_default();
    socket.to_string_lossy().into_owned()
}

/// What the files of the release said, and what every worker is told: that wins.
fn overrides(
    id: WorkerId,
    worker: &Worker,
    config: &Config,
    release: Option<&Release>,
    socket: &str,
) -> Vec<(String, String)> {
    let listeners = worker.listeners();
    let suspended = if worker.start().suspended { "true" } else { "" };
    let ours = [
        ("NODESOCKD_APP_NAME", config.name.clone()),
        ("NODESOCKD_WORKER_ID", id.to_string()),
        ("NODESOCKD_SUSPENDED", suspended.to_owned()),
        ("NODESOCKD_SLOT", worker.slot().map(|slot| slot.to_string()).unwrap_or_default()),
        ("NODESOCKD_SOCKET_PATH", socket.to_owned()),
        ("NODESOCKD_IPC_PATH", config.ipc_file.to_string_lossy().into_owned()),
        ("NODESOCKD_SHUTDOWN_TIMEOUT", config.options.shutdown_timeout.as_millis().to_string()),
    ];
    let counts = config.metrics.is_some().then(|| ("NODESOCKD_COUNT".to_owned(), "true".to_owned()));
    let mut set = release.map(|release| release.env.clone()).unwrap_or_default();
    set.extend(ours.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(counts));
    if !listeners.is_empty() {
        let names: Vec<String> = match worker.role().place() {
            Some(Place::Slot(slot)) => vec![slot.to_string()],
            Some(Place::Standby) | None => (0..listeners.len()).map(|slot| slot.to_string()).collect(),
        };
        set.push(("LISTEN_FDS".to_owned(), listeners.len().to_string()));
        set.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
    }
    set
}
