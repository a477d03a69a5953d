//! The keys of a configuration file.

use std::num::NonZeroU32;
use std::time::Duration;

use super::section::{Field, Given, Report, section};
use super::setting::{Command, DevServer, EnvFiles, Metrics, OutputTo, Workers};
use super::source::Source;
use super::tree::Node;
use super::{
    Age, Config, Env, Health, Limits, Listen, Log, LogFormat, LogSize, MemoryLimit, Options, Output, Program,
    Ready, StopSignal, Symlinks, Upgrade,
};

section! {
    /// The configuration of nodesockd.
    struct Layer {
        /// For editors: where the JSON Schema of this file is.
        schema: "$schema" => Given<String>,
        /// Another configuration file to start from; what this file says wins. A path that starts with `.` or `/` is
        /// relative to this file; any other is looked for in `node_modules`, then relative to this file.
        extends: "extends" => Given<String>,
        /// The worker's entry point, run with Node. Relative to the folder of the first loaded file.
        script: "script" => Given<String>,
        /// Instead of `script`: the program and arguments of a worker in any language. `{slot}`, `{socket}` and
        /// `{release}` are filled in.
        command: "command" => Given<Command>,
        /// Which Node runs `script`.
        node: "node" => Given<String> = "node".to_owned(),
        /// Arguments of Node itself, before `script`.
        node_args: "nodeArgs" => Given<Vec<String>> = Vec::new(),
        /// The folder of links, sockets, the IPC socket, the lock and the state file. Relative to the folder of the
        /// first loaded file.
        tmp_dir: "tmpDir" => Given<String>,
        /// The application's name in process titles.
        name: "name" => Given<String> = "app".to_owned(),
        /// The names of links and sockets: `{worker}` becomes the index of the slot or the id of the worker. Relative to
        /// `tmpDir`; another folder has to exist.
        socket_file: "socketFile" => Given<String> = "app.{worker}.sock".to_owned(),
        /// The control socket, relative to `tmpDir`; lock and state files are named after it.
        ipc_file: "ipcFile" => Given<String> = "nodesockd.ipc".to_owned(),
        /// How many workers serve at a time; `auto` is the number of usable CPUs.
        workers: "workers" => Given<Workers> = Workers::Count(NonZeroU32::MIN),
        /// How many links there are, which is what nginx lists: not fewer than `workers`. A link without a worker of its
        /// own leads to one of another slot. Without it, as many as workers.
        slots: "slots" => Given<NonZeroU32>,
        /// How many spare workers wait to take over from one that fails.
        standby: "standby" => Given<u32> = 0,
        /// What workers get from the daemon's environment (a list of names), or are given (a table of names and
        /// values, in which `{slot}`, `{socket}` and `{release}` are filled in). `NODE_ENV`, `PATH`, `HOME`, `LANG` and
        /// `TZ` always pass through.
        env: "env" => Given<Env> = Env::default(),
        /// Files of `NAME=value` lines, a path or a list of them, relative to the folder of the first loaded file: variables of the
        /// workers, which win over those of `env`. They are read for each start and restart. `-` before a path: the file may be missing.
        env_file: "envFile" => Given<EnvFiles> = EnvFiles(Vec::new()),
        /// A front server for development: its port on the loopback interface, `true` for 8000, or an address and a port
        /// such as `"0.0.0.0:8000"`.
        dev_server: "devServer" => Given<DevServer> = DevServer(None),
        /// Where Prometheus finds metrics by HTTP: an address and a port such as `"127.0.0.1:9464"`, or the name of a socket in
        /// `tmpDir`. Without it, workers count nothing.
        metrics: "metrics" => Given<Metrics>,
        /// Whether the daemon's log is verbose.
        debug: "debug" => Given<bool> = false,
        /// What a worker may come to before it is replaced, without losing a request.
        limits: "limits" => LimitsLayer = LimitsLayer::defaults(),
        /// Files that everything is written to that workers write, each line with its time, its slot and its worker.
        log: "log" => LogLayer = LogLayer::defaults(),
        /// When a worker counts as hung or ill, and is replaced.
        health: "health" => HealthLayer = HealthLayer::defaults(),
        /// How workers are started, watched and replaced.
        options: "options" => OptionsLayer = OptionsLayer::defaults(),
    }
}

section! {
    /// What a worker may come to before it is replaced, without losing a request.
    struct LimitsLayer {
        /// How much memory a worker may have, with all that it has started: a size such as `"512M"`, or a share such as
        /// `"25%"` of what its control group, or the machine, has.
        memory: "memory" => Given<MemoryLimit>,
        /// How old a worker may become, such as `"24h"`. Up to a tenth is taken off, so that workers do not go together.
        age: "age" => Given<Age>,
    }
}

section! {
    /// Files that everything is written to that workers write, each line with its time, its slot and its worker.
    struct LogLayer {
        /// The folder of the files, relative to the folder of the first loaded file. It has to exist. Without it, there are no
        /// such files, and output goes where `options.stdout` and `options.stderr` say.
        dir: "dir" => Given<String>,
        /// How a line looks: `text` for people, or `json` for programs.
        format: "format" => Given<LogFormat> = LogFormat::Text,
        /// How large a file may become, such as `"100M"`, before another one is begun.
        rotate: "rotate" => Given<LogSize> = LogSize::DEFAULT,
        /// How many files are kept besides the one that is written to.
        keep: "keep" => Given<NonZeroU32> = Log::KEEP,
    }
}

section! {
    /// When a worker counts as hung or ill, and is replaced.
    struct HealthLayer {
        /// Milliseconds without a sign of life after which a worker counts as hung; 0 turns that off. Without the key it is
        /// 30000 for workers that report with our library, and off for others, which are judged by their accept queues. Off with
        /// `devServer`.
        hang_timeout: "hangTimeout" => Given<Duration>,
        /// What each active worker is sent a GET for, through its own socket. A worker that answers with 2xx or 3xx is fit.
        path: "path" => Given<String>,
        /// Milliseconds from one GET to the next.
        interval: "interval" => Given<Duration> = Health::default().interval,
        /// Milliseconds in which a GET has to be answered.
        timeout: "timeout" => Given<Duration> = Health::default().timeout,
        /// After so many failures in a row the worker is replaced.
        failures: "failures" => Given<NonZeroU32> = Health::default().failures,
    }
}

section! {
    /// How workers are started, watched and replaced.
    struct OptionsLayer {
        /// Milliseconds that creating a process may take.
        spawn_timeout: "spawnTimeout" => Given<Duration> = Options::default().spawn_timeout,
        /// Milliseconds from a worker's start until it must have reported online. A worker that waits for its turn to
        /// boot (`boots`) has not been started.
        online_timeout: "onlineTimeout" => Given<Duration> = Options::default().online_timeout,
        /// Milliseconds a retiring worker may take to accept the connections that wait at its socket.
        drain_timeout: "drainTimeout" => Given<Duration> = Options::default().drain_timeout,
        /// Milliseconds from asking a worker to shut down to `stopSignal`; SIGKILL follows 5000 ms later.
        shutdown_timeout: "shutdownTimeout" => Given<Duration> = Options::default().shutdown_timeout,
        /// The signal on which a worker finishes its requests and exits: for one that hears nothing else, or has not shut down in time.
        stop_signal: "stopSignal" => Given<StopSignal> = Options::default().stop_signal,
        /// Milliseconds in which the daemon quits, less than the grace time of whoever stops it. Workers that have not finished get
        /// `stopSignal` 5000 ms before the end, and SIGKILL at the end. Without it, workers have their own time-outs.
        quit_timeout: "quitTimeout" => Given<Duration>,
        /// How often a start that a person asked for is tried before it counts as failed.
        max_start_attempts: "maxStartAttempts" => Given<NonZeroU32> = Options::default().max_start_attempts,
        /// How many sets of old workers may finish at a time, each of an operation of its own; beyond that, the oldest
        /// set gets `stopSignal`.
        retiring: "retiring" => Given<NonZeroU32> = Options::default().retiring,
        /// How many new workers there may be beside the full set while workers are replaced; 0 replaces all of them at
        /// once.
        batch: "batch" => Given<u32> = Options::default().batch,
        /// Milliseconds for which the app may be suspended before the log says so, and from then on how often it is said
        /// again; 0 for never.
        suspend_warning: "suspendWarning" => Given<Duration> = Options::default().suspend_warning,
        /// A program and its arguments, run for what somebody has to know, with the event as a line of JSON on its standard input: crash
        /// loops, workers that hang or come to a limit, deploys that fail, a forgotten suspension, links that somebody had removed.
        on_event: "onEvent" => Given<Vec<String>> = Vec::new(),
        /// How many workers may boot at a time, slots before standbys. Without it, the number of usable CPUs, and at
        /// least 2.
        boots: "boots" => Given<NonZeroU32>,
        /// Whether links hold the relative or the absolute path of the socket.
        symlinks: "symlinks" => Given<Symlinks> = Options::default().symlinks,
        /// The file that the workers' output is appended to; `discard` or null throws it away. Without it, output goes
        /// where the daemon's goes.
        stdout: "stdout" => Given<OutputTo>,
        /// As `stdout`, for the workers' error output; without it, it follows `stdout`.
        stderr: "stderr" => Given<OutputTo>,
        /// How the daemon is replaced by a newer version: by `exec` under the same pid, or by `respawn` through the
        /// service manager.
        upgrade: "upgrade" => Given<Upgrade> = Options::default().upgrade,
        /// Who owns the listening sockets: each worker its own, or the daemon for all.
        listen: "listen" => Given<Listen> = Options::default().listen,
        /// How a worker shows that it is ready: by its own `report`, `notify` (`READY=1` to `NOTIFY_SOCKET`), because it
        /// does `listen`, or because it answers a GET by `http`.
        ready: "ready" => Given<Ready> = Options::default().ready,
        /// What the GET of `ready = "http"` asks for.
        ready_path: "readyPath" => Given<String> = Options::default().ready_path,
        /// A group whose members may command the daemon too.
        ipc_group: "ipcGroup" => Given<String>,
    }
}

impl Layer {
    /// `self` where it says something, `base` elsewhere. `script` and `command` are two answers to one question: a file
    /// that gives either overrides both.
    #[must_use]
    pub(super) fn on_top_of(self, mut base: Self) -> Self {
        if !(self.script.is_unset() && self.command.is_unset()) {
            base.script = Given::Unset;
            base.command = Given::Unset;
        }
        self.over(base)
    }
}

/// What a file would say that gives this configuration, wherever it lies.
impl From<&Config> for Layer {
    fn from(config: &Config) -> Self {
        let (script, command, node, node_args) = match &config.program {
            Program::Script { node, node_args, script } => {
                (written(script), Given::Unset, node.clone().into(), node_args.clone().into())
            }
            Program::Command(words) => {
                (Given::Unset, Command(words.clone()).into(), Given::Unset, Given::Unset)
            }
        };
        Self {
            schema: Given::Unset,
            extends: Given::Unset,
            script,
            command,
            node,
            node_args,
            tmp_dir: written(&config.tmp_dir),
            name: config.name.clone().into(),
            socket_file: written(&config.socket_dir.join(config.socket_file.to_string())),
            ipc_file: written(&config.ipc_file),
            workers: Workers::Count(config.workers).into(),
            slots: config.slots.map_or(Given::Unset, Given::from),
            standby: config.standby.into(),
            env: config.env.clone().into(),
            env_file: EnvFiles::from(&config.env_files).into(),
            dev_server: DevServer(config.dev_server).into(),
            metrics: config
                .metrics
                .as_ref()
                .map_or(Given::Unset, |metrics| Metrics(metrics.to_string()).into()),
            debug: config.debug.into(),
            limits: LimitsLayer::from(&config.limits),
            log: config.log.as_ref().map_or_else(LogLayer::default, LogLayer::from),
            health: HealthLayer::from(&config.health),
            options: OptionsLayer::from(&config.options),
        }
    }
}

impl From<&Limits> for LimitsLayer {
    fn from(limits: &Limits) -> Self {
        Self {
            memory: limits.memory.map_or(Given::Unset, Given::from),
            age: limits.age.map_or(Given::Unset, Given::from),
        }
    }
}

impl From<&Log> for LogLayer {
    fn from(log: &Log) -> Self {
        Self {
            dir: written(&log.dir),
            format: log.format.into(),
            rotate: log.rotate.into(),
            keep: log.keep.into(),
        }
    }
}

impl From<&Health> for HealthLayer {
    fn from(health: &Health) -> Self {
        Self {
            hang_timeout: health.hang_timeout.map_or(Given::Unset, Given::from),
            path: health.path.clone().map_or(Given::Unset, Given::from),
            interval: health.interval.into(),
            timeout: health.timeout.into(),
            failures: health.failures.into(),
        }
    }
}

impl From<&Options> for OptionsLayer {
    fn from(options: &Options) -> Self {
        let to = |output: &Output| match output {
            Output::Inherit => Given::Unset,
            Output::Discard => OutputTo::Discard.into(),
            Output::File(path) => OutputTo::File(path.to_string_lossy().into_owned()).into(),
        };
        Self {
            spawn_timeout: options.spawn_timeout.into(),
            online_timeout: options.online_timeout.into(),
            drain_timeout: options.drain_timeout.into(),
            shutdown_timeout: options.shutdown_timeout.into(),
            stop_signal: options.stop_signal.into(),
            quit_timeout: options.quit_timeout.map_or(Given::Unset, Given::from),
            max_start_attempts: options.max_start_attempts.into(),
            retiring: options.retiring.into(),
            batch: options.batch.into(),
            suspend_warning: options.suspend_warning.into(),
            on_event: options.on_event.clone().into(),
            boots: options.boots.into(),
            symlinks: options.symlinks.into(),
            stdout: to(&options.stdout),
            stderr: to(&options.stderr),
            upgrade: options.upgrade.into(),
            listen: options.listen.into(),
            ready: options.ready.into(),
            ready_path: options.ready_path.clone().into(),
            ipc_group: options.ipc_group.clone().map_or(Given::Unset, Given::from),
        }
    }
}

fn written(path: &std::path::Path) -> Given<String> {
    path.to_string_lossy().into_owned().into()
}
