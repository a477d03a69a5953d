//! From what the files say together to a [`Config`] that is valid.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::health;
use super::layer::{Layer, LogLayer, OptionsLayer};
use super::paths::{Surroundings, join, plain, shown};
use super::placeholder;
use super::problem::{Place, Problem};
use super::request_path::request_path;
use super::section::{Given, Report, Set};
use super::setting::{Command, EnvFiles, Metrics, OutputTo, Workers};
use super::{
    Companion, Config, Env, LEAST_BOOTS, Limits, Listen, Log, MetricsAddress, Options, Output, PatternError,
    Program, Ready, SocketPattern,
};
use crate::env_file::EnvFile;

/// The longest path of a unix socket: `sun_path` of unix(7) has 108 bytes, the last of them a NUL.
const MAX_SOCKET_PATH: usize = 107;

/// Makes the configuration of what `files` say, if nothing is missing; reports what is wrong.
pub(super) fn config(
    layer: Layer,
    files: &[PathBuf],
    around: &Surroundings,
    report: &mut Report,
) -> Option<Config> {
    let Layer { schema: _, extends: _, script, command, node, node_args, .. } = layer;
    let Layer { tmp_dir, name, socket_file, ipc_file, .. } = layer;
    let Layer { workers, slots, standby, env, env_file, dev_server, debug, limits, log, health, .. } = layer;
    let Layer { metrics, options, .. } = layer;
    let first = files.first()?;
    utf8(&[&around.cwd, first], report);
    let base = Base { folder: first.parent().unwrap_or(first), file: Place::whole(&shown(first, around)) };

    let program = base.program(script, command, node.value(), node_args.value(), report);
    let env = env.get();
    if let Some(Set { value: Env { set, .. }, place }) = &env {
        placeholder::check("env", set.iter().map(|(_, value)| value.as_str()), place.as_ref(), report);
    }
    let names = base.names(tmp_dir, socket_file, ipc_file, report);
    let name = name.value();
    let log = base.log(log, name.as_deref(), &options, report);
    let options = base.options(options, around.cpus, report);
    let workers = workers.value().map(|workers| match workers {
        Workers::Auto => around.cpus,
        Workers::Count(count) => count,
    });
    let slots = slots.get();
    if let Some((slots, workers)) = slots.as_ref().zip(workers) {
        enough_slots(slots, workers, report);
    }
    let names = names?;
    let metrics = metrics.get().map(|metrics| metrics_address(metrics, &names, report));
    let Names { tmp_dir, socket_dir, socket_file, ipc_file } = names;
    Some(Config {
        files: files.to_vec(),
        cwd: around.cwd.clone(),
        name: name?,
        program: program?,
        tmp_dir,
        socket_file,
        socket_dir,
        ipc_file,
        workers: workers?,
        slots: slots.map(|slots| slots.value),
        standby: standby.value()?,
        env: env?.value,
        env_files: base.env_files(env_file.value()?),
        dev_server: dev_server.value()?.0,
        metrics: match metrics {
            Some(address) => Some(address?),
            None => None,
        },
        debug: debug.value()?,
        limits: Limits { memory: limits.memory.value(), age: limits.age.value() },
        log,
        health: health::build(health, options.as_ref()?.listen, report)?,
        options: options?,
    })
}

/// Workers learn paths from their environment, clients and the next daemon from JSON: all of that is text. What the files say is, too.
fn utf8(paths: &[&Path], report: &mut Report) {
    if let Some(path) = paths.iter().find(|path| path.to_str().is_none()) {
        let shown = crate::text::escape(&path.to_string_lossy(), 300);
        report.problems.push(Problem {
            place: None,
            message: format!(
                "the path {shown} is no UTF-8, so neither workers nor clients can be told of it"
            ),
            help: Some("rename the file or folder in it that is not".to_owned()),
        });
    }
}

/// Each worker has a link of its own.
fn enough_slots(slots: &Set<NonZeroU32>, workers: NonZeroU32, report: &mut Report) {
    if slots.value < workers {
        report.problems.push(Problem {
            place: slots.place.clone(),
            message: format!("`slots` is {}, but there are {workers} `workers`", slots.value),
            help: Some(format!("each worker needs a slot: set it to {workers} or more, or leave it out")),
        });
    }
}

/// What paths are relative to, and what to blame for what is missing.
struct Base<'a> {
    folder: &'a Path,
    file: Place,
}

/// Where links and sockets are.
struct Names {
    tmp_dir: PathBuf,
    socket_dir: PathBuf,
    socket_file: SocketPattern,
    ipc_file: PathBuf,
}

impl Base<'_> {
    fn path(&self, path: &str) -> PathBuf {
        join(self.folder, Path::new(path))
    }

    fn env_files(&self, written: EnvFiles) -> Vec<EnvFile> {
        let file = |word: String| {
            let path = word.strip_prefix('-');
            EnvFile { path: self.path(path.unwrap_or(&word)), optional: path.is_some() }
        };
        written.0.into_iter().map(file).collect()
    }

    /// Where output is logged; nowhere without `log.dir`.
    fn log(
        &self,
        layer: LogLayer,
        name: Option<&str>,
        options: &OptionsLayer,
        report: &mut Report,
    ) -> Option<Log> {
        let (format, rotate, keep) = (layer.format.get()?, layer.rotate.get()?, layer.keep.get()?);
        let Given::Set(dir) = layer.dir else {
            let place = format.place.or(rotate.place).or(keep.place);
            if layer.dir.is_unset() && place.is_some() {
                report.problems.push(Problem {
                    place,
                    message: "`log` has no `dir`, so there is no log".to_owned(),
                    help: Some("set `log.dir` to the folder of the files".to_owned()),
                });
            }
            return None;
        };
        let elsewhere = [("stdout", &options.stdout), ("stderr", &options.stderr)];
        let elsewhere = elsewhere.into_iter().filter(|(_, output)| !output.is_unset());
        let elsewhere: Vec<String> = elsewhere.map(|(key, _)| format!("`options.{key}`")).collect();
        if !elsewhere.is_empty() {
            let keys = elsewhere.join(" and ");
            report.problems.push(Problem {
                place: dir.place.clone(),
                message: format!(
                    "`log.dir` and {keys} exclude each other: both say where workers' output goes"
                ),
                help: Some(format!("leave out {keys}: with `log`, the files hold both streams")),
            });
        }
        // A name of a file cannot hold a slash.
        let name = name?.replace('/', "-");
        let (format, rotate, keep) = (format.value, rotate.value, keep.value);
        Some(Log { dir: self.path(&dir.value), format, rotate, keep, name })
    }

    fn missing(&self, key: &str, message: &str, help: &str, report: &mut Report) {
        // What an unreadable file would have said is not known to be missing.
        if !report.unread && !report.meant.contains(key) {
            report.problems.push(Problem {
                place: Some(self.file.clone()),
                message: message.to_owned(),
                help: Some(help.to_owned()),
            });
        }
    }

    fn program(
        &self,
        script: Given<String>,
        command: Given<Command>,
        node: Option<String>,
        node_args: Option<Vec<String>>,
        report: &mut Report,
    ) -> Option<Program> {
        match (script, command) {
            (Given::Unset, Given::Unset) => {
                let help = "set `script` to the worker's entry point, run with Node, or `command` to a list: a program and its arguments";
                self.missing("script", "neither `script` nor `command` is set", help, report);
                None
            }
            (Given::Set(_), Given::Set(Set { place, .. })) => {
                report.problems.push(Problem {
                    place,
                    message: "`script` and `command` exclude each other".to_owned(),
                    help: Some("keep the one that starts your worker".to_owned()),
                });
                None
            }
            (script, Given::Unset) => Some(Program::Script {
                node: node?,
                node_args: node_args?,
                script: self.path(&script.value()?),
            }),
            (_, command) => command.get().map(|Set { value: Command(words), place }| {
                let texts = words.iter().map(String::as_str);
                placeholder::check("command", texts, place.as_ref(), report);
                Program::Command(words)
            }),
        }
    }

    fn names(
        &self,
        tmp_dir: Given<String>,
        socket_file: Given<String>,
        ipc_file: Given<String>,
        report: &mut Report,
    ) -> Option<Names> {
        if tmp_dir.is_unset() {
            let help = "set it to a folder that the daemon and nginx share";
            self.missing("tmpDir", "`tmpDir` is not set", help, report);
        }
        let folder = tmp_dir.get();
        let tmp_dir = folder.as_ref().map(|folder| self.path(&folder.value));
        let sockets = socket_file.get().and_then(|set| sockets(set, tmp_dir.as_deref(), report));
        let (tmp_dir, sockets, ipc_file) = (tmp_dir?, sockets?, ipc_file.get()?);
        let blame = |place: &Option<Place>| place.clone().or_else(|| folder.as_ref()?.place.clone());

        let Sockets { folder: socket_dir, pattern } = sockets.value;
        let socket = socket_dir.join(pattern.to_string());
        let length = socket_dir.as_os_str().len() + "/".len() + pattern.socket_length();
        short_enough(&socket, length, "socketFile", blame(&sockets.place), report);
        let ipc_path = join(&tmp_dir, Path::new(&ipc_file.value));
        short_enough(&ipc_path, ipc_path.as_os_str().len(), "ipcFile", blame(&ipc_file.place), report);
        control_socket(&ipc_path, &socket_dir, &pattern, blame(&ipc_file.place), report);
        Some(Names { tmp_dir, socket_dir, socket_file: pattern, ipc_file: ipc_path })
    }

    fn options(&self, layer: OptionsLayer, cpus: NonZeroU32, report: &mut Report) -> Option<Options> {
        let output = |to: OutputTo| match to {
            OutputTo::Discard => Output::Discard,
            OutputTo::File(path) => Output::File(self.path(&path)),
        };
        let listen = layer.listen.value();
        let ready =
            layer.ready.get().zip(listen).and_then(|(ready, listen)| readiness(ready, listen, report));
        let ready_path =
            layer.ready_path.get().and_then(|path| request_path("options.readyPath", path, report));
        let stdout = layer.stdout.value().map_or(Output::Inherit, output);
        Some(Options {
            spawn_timeout: layer.spawn_timeout.value()?,
            online_timeout: layer.online_timeout.value()?,
            drain_timeout: layer.drain_timeout.value()?,
            shutdown_timeout: layer.shutdown_timeout.value()?,
            stop_signal: layer.stop_signal.value()?,
            quit_timeout: layer.quit_timeout.value(),
            max_start_attempts: layer.max_start_attempts.value()?,
            retiring: layer.retiring.value()?,
            batch: layer.batch.value()?,
            suspend_warning: suspend_warning(layer.suspend_warning, report)?,
            on_event: layer.on_event.value()?,
            boots: layer.boots.value().unwrap_or_else(|| cpus.max(LEAST_BOOTS)),
            symlinks: layer.symlinks.value()?,
            stderr: layer.stderr.value().map_or_else(|| stdout.clone(), output),
            stdout,
            upgrade: layer.upgrade.value()?,
            listen: listen?,
            ready: ready?,
            ready_path: ready_path?,
            ipc_group: layer.ipc_group.value(),
        })
    }
}

/// `socketFile`: the folder of links and sockets, and their names in it.
struct Sockets {
    folder: PathBuf,
    pattern: SocketPattern,
}

/// `socketFile`, which may be a path from `tmpDir`.
fn sockets(set: Set<String>, tmp_dir: Option<&Path>, report: &mut Report) -> Option<Set<Sockets>> {
    let path = join(tmp_dir.unwrap_or(Path::new("")), Path::new(&set.value));
    let name = path.file_name().unwrap_or_default();
    let parsed = match SocketPattern::parse(&name.to_string_lossy()) {
        Ok(_) if set.value.matches("{worker}").count() > 1 => Err(PatternError::Placeholder),
        parsed => parsed,
    };
    match parsed {
        Ok(pattern) => {
            let folder = path.parent().unwrap_or(Path::new("")).to_owned();
            Some(Set { value: Sockets { folder, pattern }, place: set.place })
        }
        Err(error) => {
            report.problems.push(Problem {
                place: set.place,
                message: format!("`socketFile` {error}"),
                help: Some("for example \"app.{worker}.sock\"".to_owned()),
            });
            None
        }
    }
}

/// `metrics`: an address, or a socket whose name nothing else can have.
fn metrics_address(set: Set<Metrics>, names: &Names, report: &mut Report) -> Option<MetricsAddress> {
    let Set { value: Metrics(text), place } = set;
    if let Some(address) = MetricsAddress::tcp(&text) {
        return Some(MetricsAddress::Tcp(address));
    }
    let path = join(&names.tmp_dir, Path::new(&text));
    let known = report.problems.len();
    short_enough(&path, path.as_os_str().len(), "metrics", place.clone(), report);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = |folder: &Path| path.parent().map(plain) == Some(plain(folder));
    let ipc_name = names.ipc_file.file_name().unwrap_or_default().to_string_lossy();
    let key = if beside(&names.socket_dir) && names.socket_file.matches(&name).is_some() {
        "socketFile"
    } else if names.ipc_file.parent().is_some_and(beside) && name.starts_with(&*ipc_name) {
        "ipcFile"
    } else {
        return (report.problems.len() == known).then_some(MetricsAddress::Unix(path));
    };
    report.problems.push(Problem {
        place,
        message: format!("`metrics` is `{}`, a name that `{key}` takes", crate::text::escape(&name, 100)),
        help: Some("give it another name, such as \"metrics.sock\"".to_owned()),
    });
    None
}

/// What answers on a socket that a worker shares with the one before it says nothing about the worker.
fn readiness(set: Set<Ready>, listen: Listen, report: &mut Report) -> Option<Ready> {
    let word = match (set.value, listen) {
        (Ready::Listen, Listen::Daemon) => "listen",
        (Ready::Http, Listen::Daemon) => "http",
        (ready, _) => return Some(ready),
    };
    report.problems.push(Problem {
        place: set.place,
        message: format!(
            "`options.ready` cannot be \"{word}\" with `options.listen = \"daemon\"`: the socket listens before the \
             worker does, and the worker that is to be replaced answers on it, too"
        ),
        help: Some("let workers say it: \"report\" or \"notify\"".to_owned()),
    });
    None
}

fn suspend_warning(given: Given<Duration>, report: &mut Report) -> Option<Duration> {
    let why = "more often than that, the log would be full of it; 0 turns it off";
    health::off_or_a_second("options.suspendWarning", &given, why, report);
    given.value()
}

fn short_enough(path: &Path, length: usize, key: &str, place: Option<Place>, report: &mut Report) {
    if length > MAX_SOCKET_PATH {
        let shown = crate::text::escape(&path.to_string_lossy(), 300);
        report.problems.push(Problem {
            place,
            message: format!(
                "the path of `{key}` is {length} bytes long, a socket's can have {MAX_SOCKET_PATH}: {shown}"
            ),
            help: Some(format!("shorten `tmpDir` or `{key}` by {} bytes", length - MAX_SOCKET_PATH)),
        });
    }
}

/// The control socket needs a name, and one that no link or socket can have.
fn control_socket(
    path: &Path,
    socket_dir: &Path,
    pattern: &SocketPattern,
    place: Option<Place>,
    report: &mut Report,
) {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else {
        let message = "`ipcFile` must end in a file name".to_owned();
        report.problems.push(Problem { place, message, help: None });
        return;
    };
    let beside_sockets = path.parent().map(plain) == Some(plain(socket_dir));
    let endings = [""].into_iter().chain(Companion::ALL.map(Companion::ending));
    let taken = endings.map(|ending| format!("{name}{ending}")).find(|name| pattern.matches(name).is_some());
    if let (true, Some(taken)) = (beside_sockets, taken) {
        report.problems.push(Problem {
            place,
            message: format!(
                "`ipcFile` needs the name `{}`, which `socketFile` gives to a worker",
                crate::text::escape(&taken, 100)
            ),
            help: Some("give `ipcFile` another name".to_owned()),
        });
    }
}
