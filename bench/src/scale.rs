//! What many workers cost: `cargo run --release -p nodesockd-bench -- scale`

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nodesockd_bench::{Led, Sample, app, folder, time};
use nodesockd_tests::{App, Connection, Daemon};
use serde_json::json;

/// How long one start or restart may take.
const OPERATION_LIMIT: Duration = Duration::from_secs(600);

/// Before memory is read.
const REST: Duration = Duration::from_secs(1);

/// Between two looks at what is not there yet.
const PAUSE: Duration = Duration::from_micros(200);

/// Options of `scale`.
#[derive(Debug, Args)]
pub struct Options {
    /// Numbers of workers, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = [3, 10, 100, 300, 1000])]
    workers: Vec<u32>,

    /// How many restarts there are with each number of workers
    #[arg(long, default_value_t = 10)]
    restarts: u32,

    /// How often the plain spawns are measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// Runs the bench.
pub fn run(options: &Options) {
    // A daemon has some descriptors for each worker.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit(2)");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("setrlimit(2)");
    println!(
        "| workers | plain spawns | all online | ÷ plain | restart | ÷ plain | memory → after {} restarts | CPU of the daemon: start, each restart |",
        options.restarts
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for workers in &options.workers {
        measure(*workers, options);
    }
}

/// Measures one number of workers, and prints a row.
fn measure(workers: u32, options: &Options) {
    let app = app_of(workers);
    let plain = Sample::of((0..options.rounds).map(|_| spawn_plainly(&app, workers)).collect()).median();
    let led = Led::watch(&app);
    let launch = app.launch();
    let begun = Instant::now();
    let daemon = launch.spawn();
    // Links lead to neighbours until there is the worker of their own slot.
    while led.workers() < workers as usize {
        assert!(begun.elapsed() < OPERATION_LIMIT, "{} workers serve", led.workers());
        sleep(PAUSE);
    }
    let online = begun.elapsed().as_secs_f64() * 1000.0;
    let mut client = settled(&daemon);
    let (cpu, memory) = (cpu_time(&daemon), resident(&daemon));
    let restarts = Sample::of((0..options.restarts).map(|_| time(|| restart(&mut client))).collect());
    let restart = restarts.median();
    let each = (cpu_time(&daemon) - cpu) / options.restarts;
    let memory_after = resident(&daemon);
    println!(
        "| {workers} | {plain:.1} ms | {online:.1} ms | {:.1} | {restart:.1} ms | {:.1} | {} → {} | {}, {} |",
        online / plain,
        restart / plain,
        megabytes(memory),
        megabytes(memory_after),
        milliseconds(cpu),
        milliseconds(each),
    );
}

/// What is resident of the daemon in KiB, once it has come to rest: it gives memory back that it does not need any more.
fn resident(daemon: &Daemon) -> u64 {
    sleep(REST);
    daemon.process().resident()
}

/// An app with a worker of a few kilobytes, which listens and does nothing else.
fn app_of(workers: u32) -> App {
    let limit = i64::try_from(OPERATION_LIMIT.as_millis()).expect("minutes");
    let app = app()
        .unset("script")
        .set("command", vec!["./worker"])
        .set("options.ready", "listen")
        .set("options.onlineTimeout", limit)
        .workers(workers);
    compile(&app.path("worker"));
    app
}

/// Compiles the worker, linked statically: its own boot takes next to nothing.
fn compile(program: &Path) {
    let source = folder().join("apps/worker.c");
    let compiled = Command::new("cc").args(["-O2", "-static", "-o"]).arg(program).arg(source).status();
    assert!(compiled.expect("a C compiler, `cc`").success(), "the worker does not compile");
}

/// From the first spawn of so many workers, without a daemon, until all of them listen.
fn spawn_plainly(app: &App, workers: u32) -> Duration {
    let program = app.path("worker");
    let sockets: Vec<PathBuf> = (0..workers).map(|index| app.path(&format!("plain.{index}"))).collect();
    let spawn = |socket: &PathBuf| {
        let mut command = Command::new(&program);
        command.env_clear().env("NODESOCKD_SOCKET_PATH", socket).stdin(Stdio::null());
        command.process_group(0).spawn().expect("the worker runs")
    };
    let begun = Instant::now();
    let children: Vec<Child> = sockets.iter().map(spawn).collect();
    for socket in &sockets {
        while UnixStream::connect(socket).is_err() {
            assert!(begun.elapsed() < OPERATION_LIMIT, "{} does not listen", socket.display());
            sleep(PAUSE);
        }
    }
    let took = begun.elapsed();
    for mut child in children {
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }
    sockets.iter().for_each(|socket| fs::remove_file(socket).expect("the worker's socket"));
    took
}

/// A connection to the daemon, which has nothing in progress any more.
fn settled(daemon: &Daemon) -> Connection {
    let mut client = daemon.connect();
    client.stream().set_read_timeout(Some(OPERATION_LIMIT)).expect("a socket");
    while !client.status().expect("the daemon runs").is_settled() {
        sleep(Duration::from_millis(50));
    }
    client
}

/// Replaces all workers. The old ones are gone then.
fn restart(client: &mut Connection) {
    let reply = client.request("restart-workers", &json!({}));
    assert!(reply.errors.is_empty(), "{reply:?}");
}

/// What the daemon's only thread has used of a CPU.
fn cpu_time(daemon: &Daemon) -> Duration {
    let text = fs::read_to_string(format!("/proc/{}/schedstat", daemon.pid())).expect("proc(5)");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("proc(5)"))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

fn megabytes(kibibytes: u64) -> String {
    format!("{:.1} MB", f64::from(u32::try_from(kibibytes).expect("less than a terabyte")) * 1.024 / 1000.0)
}
