//! The daemon is killed, and another one takes over: the app serves all the time, and nobody is doubled or orphaned.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod sweep;
mod tracer;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nodesockd_core::state::State;
use nodesockd_tests::daemon::Launch;
use nodesockd_tests::nginx::KEEPALIVE_TIMEOUT;
use nodesockd_tests::{App, Connection, Daemon, Load, Process, Status, Upstream, cli, http, until};
use serde_json::{Value, json};

use crate::tracer::Tracer;

/// An app whose workers use our library, and are told how long nginx keeps connections.
fn echo() -> App {
    let milliseconds = (KEEPALIVE_TIMEOUT * 1000).to_string();
    App::new().script("echo.js").workers(2).env("UPSTREAM_KEEP_ALIVE", &milliseconds)
}

/// Each worker's process, slot and state.
type Crew = BTreeMap<String, (Process, Option<u32>, String)>;

fn crew(status: &Status) -> Crew {
    let one = |worker: &nodesockd_tests::Worker| (worker.process(), worker.idx, worker.state.clone());
    status.workers.iter().map(|worker| (worker.id.clone(), one(worker))).collect()
}

/// Everything that runs and everything in `tmpDir` is the daemon's.
fn assert_in_order(app: &App, daemon: &Daemon) -> Status {
    let in_order = |status: &Status| {
        let alive = daemon.descendants().into_iter().chain(app.inhabitants()).map(|process| process.pid);
        let alive: BTreeSet<u32> = alive.filter(|pid| *pid != daemon.pid()).collect();
        let links = || status.workers.iter().filter_map(|worker| worker.idx).map(|slot| app.link(slot));
        let sockets = links().filter_map(|link| std::fs::read_link(link).ok());
        let standbys = status.standbys().into_iter().map(|worker| format!("app.{}.sock", worker.id).into());
        let mut names: Vec<PathBuf> = links().chain(sockets).chain(standbys).chain([app.ipc()]).collect();
        names.iter_mut().for_each(|path| *path = path.file_name().unwrap_or_default().into());
        names.sort();
        names.dedup();
        let found: Vec<PathBuf> = app.sockets().into_iter().map(PathBuf::from).collect();
        // What the last migration wrote stays until the daemon quits.
        let left: Vec<String> =
            app.leftovers().into_iter().filter(|name| !name.ends_with(".ipc.migration")).collect();
        alive == BTreeSet::from_iter(status.pids()) && found == names && left.is_empty()
    };
    daemon.until("all that is there is known, and all that is known is there", in_order)
}

#[test]
fn killed_daemons_under_load_lose_no_request() {
    let app = echo().standby(1);
    let mut daemon = app.start();
    let nginx = Upstream::of(&app, 2).keepalive(4).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    let before = crew(&daemon.status());
    for _ in 0..20 {
        load.flows();
        daemon.die();
        load.flows();
        assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
    }
    assert_eq!(crew(&assert_in_order(&app, &daemon)), before);

    // The last daemon is as good as the first.
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 0, "{output}{}", daemon.log());
    load.flows();
    assert!(before.keys().all(|id| !crew(&daemon.settled()).contains_key(id)));
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!((app.sockets(), daemon.descendants()), (Vec::<String>::new(), Vec::new()));
}

#[test]
fn workers_outlive_the_reader_of_their_output() {
    let app = echo().standby(1);
    // As under a manager that reads by a pipe what the daemon says, until that ends.
    let deaf = "exec \"$0\" \"$@\" 2> >(head -c 1 > /dev/null)";
    let mut daemon = app.launch().through(&["bash", "-c", deaf]).start();
    let before = crew(&daemon.status());
    for _ in 0..2 {
        daemon.die();
        assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
        for slot in 0..2 {
            assert_eq!(http::get(&app.link(slot), "/1").status, 200);
        }
    }
}

#[test]
fn suspended_app_stays_suspended_until_resume() {
    let app = echo().standby(1);
    let mut daemon = app.start();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let before = crew(&daemon.settled());
    for _ in 0..2 {
        daemon.die();
        let status = daemon.follow(app.launch());
        assert!(status.suspended);
        assert_eq!(crew(&status), before, "{}", daemon.log());
    }
    // A worker that dies meanwhile is replaced by a suspended one.
    let (victim, ..) = before.values().find(|(_, slot, _)| *slot == Some(0)).unwrap();
    daemon.die();
    victim.signal(Signal::SIGKILL);
    until("it is gone", || !victim.is_alive());
    let status = daemon.follow(app.launch());
    assert!(status.workers.iter().all(|worker| worker.state == "suspended"), "{status:#?}");

    daemon.until("all workers can be resumed", |_| {
        app.cli(&["resume"]).code == 0
            && daemon.status().workers.iter().all(|worker| worker.standby || worker.state == "online")
    });
    assert_eq!(http::get(&app.link(0), "/7").json()["number"], "7");
    assert_eq!(http::get(&app.link(1), "/8").json()["number"], "8");
}

#[test]
fn stopped_app_stays_stopped() {
    let app = echo();
    let mut daemon = app.start();
    assert_eq!(app.cli(&["stop"]).code, 0);
    daemon.die();
    daemon.take_place(app.launch());
    let status = daemon.until("it answers", |_| true);
    assert_eq!(status.workers, []);
    assert_eq!(app.cli(&["start"]).code, 0);
    assert_in_order(&app, &daemon);
}

#[test]
fn workers_without_library_are_adopted() {
    let app = App::new().python("deaf.py").workers(2).set("options.shutdownTimeout", 100);
    let mut daemon = app.start();
    let before = crew(&daemon.status());
    for _ in 0..3 {
        daemon.die();
        assert_eq!(http::get(&app.link(1), "/").status, 200);
        assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
    }
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 0, "{output}{}", daemon.log());
    assert_in_order(&app, &daemon);
    assert_eq!(daemon.quit(), Some(0));
    assert_eq!((app.sockets(), daemon.descendants()), (Vec::<String>::new(), Vec::new()));
}

/// Replaces the state file of a daemon that has died.
fn damage(app: &App, new: impl FnOnce(Value) -> String) {
    let state = State::parse(&app.read("run/nodesockd.ipc.state")).unwrap();
    let new = new(serde_json::to_value(state).unwrap());
    app.write("run/nodesockd.ipc.state", &format!("{new}\n"));
}

/// As when the daemon died between starting workers and writing their pids down.
fn without_processes(mut state: Value) -> String {
    for worker in state["workers"].as_array_mut().unwrap() {
        worker.as_object_mut().unwrap().remove("process");
    }
    state.to_string()
}

#[test]
fn workers_missing_from_state_file_are_found_by_locks() {
    for listen in ["worker", "daemon"] {
        let app = App::new().python("inherits.py").workers(2).env("MASKED", "yes");
        let app = app.set("options.ready", "notify").set("options.listen", listen);
        let mut daemon = app.start();
        let before = crew(&daemon.status());
        assert_eq!(daemon.descendants(), [], "they have overwritten their environment");
        daemon.die();
        damage(&app, without_processes);
        assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
        if listen == "worker" {
            // Then the links say who serves, but not that they are alive.
            daemon.die();
            damage(&app, |_| String::new());
            assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
        }
        let output = app.cli(&["restart"]);
        assert_eq!(output.code, 0, "{output}{}", daemon.log());
        assert!(before.values().all(|(process, ..)| !process.is_alive()), "{}", daemon.log());
        assert_eq!(daemon.quit(), Some(0));
    }
}

/// Until then it has all that the daemon has, and nothing by which it could be told to be a worker.
#[test]
fn worker_before_exec_keeps_other_daemons_out() {
    let app = echo();
    let mut daemon = app.start();
    let before = crew(&daemon.status());
    let Some(tracer) = Tracer::hold_up_children(&app, &daemon) else {
        return println!("skipped: this process may not be traced, or there is no strace");
    };
    let restart = cli::spawn(&mut cli::command(app.folder(), &["restart"]));
    until("a worker is about to become its program", || tracer.has_seen(&app, "execve"));
    daemon.die();
    assert_ne!(restart.finish().code, 0);
    let settled = |status: &Status| status.is_settled();
    until("a daemon that is started again and again takes over", || {
        if daemon.has_ended() {
            daemon.take_place(app.launch());
        }
        daemon.try_status().as_ref().is_some_and(settled)
    });
    tracer.detach();
    assert_eq!(crew(&assert_in_order(&app, &daemon)), before, "{}", daemon.log());
}

#[test]
fn processes_holding_a_dead_workers_lock_are_killed() {
    let script = "env -i setsid sleep 1000 & exec node app.js";
    let app = App::new().without("script").set("command", vec!["sh", "-c", script]);
    let mut daemon = app.start();
    let worker = daemon.status().slot(0).process();
    let child = *worker.children().first().expect("what it has started");
    let child = Process::of(child).unwrap();
    daemon.die();
    worker.signal(Signal::SIGKILL);
    until("it is gone", || !worker.is_alive());
    assert!(child.is_alive() && child.environment().is_empty());
    daemon.follow(app.launch());
    until("its child is gone, too", || !child.is_alive());
    assert_ne!(daemon.status().slot(0).process(), worker);
}

#[test]
fn links_say_who_serves_without_state_file() {
    let app = echo();
    let mut daemon = app.start();
    let before = crew(&daemon.status());
    let other_boot = |mut state: Value| {
        state["bootId"] = json!("another");
        state.to_string()
    };
    let other_version = |mut state: Value| {
        state["version"] = json!(99);
        state.to_string()
    };
    let damages: [fn(Value) -> String; 4] =
        [|_| String::new(), |_| "\0\u{7f}{".into(), other_boot, other_version];
    for new in damages {
        daemon.die();
        damage(&app, new);
        assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
    }
    daemon.die();
    std::fs::remove_file(app.path("run/nodesockd.ipc.state")).unwrap();
    std::fs::create_dir(app.path("run/nodesockd.ipc.state")).unwrap();
    assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
    daemon.until_logged("cannot write the state file");

    // The workers themselves know that they are suspended.
    std::fs::remove_dir(app.path("run/nodesockd.ipc.state")).unwrap();
    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let before = crew(&daemon.settled());
    daemon.die();
    std::fs::remove_file(app.path("run/nodesockd.ipc.state")).unwrap();
    daemon.take_place(app.launch());
    daemon.until("the app is known to be suspended", |status| status.suspended && crew(status) == before);
}

/// 64 KiB over a folder, for this thread and what it starts.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn on(folder: &Path) -> nix::Result<Self> {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        mount(Some("small"), folder, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=755"))?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn full_disk_costs_the_state_file_only() {
    let app = echo();
    let _disk = match SmallDisk::on(&app.run()) {
        Ok(disk) => disk,
        Err(error) => return println!("skipped: this process may not mount a small disk: {error}"),
    };
    let mut daemon = app.start();
    let ballast = app.path("run/ballast");
    Command::new("dd")
        .args(["if=/dev/zero", "bs=1k"])
        .arg(format!("of={}", ballast.display()))
        .output()
        .unwrap();
    // Lines are added to the file while there is room in its last block.
    daemon.until_so("the state file cannot be written", || {
        let output = app.cli(&["restart"]);
        assert_eq!(output.code, 0, "{output}{}", daemon.log());
        daemon.log().contains("cannot write the state file")
    });

    let before = crew(&daemon.settled());
    daemon.die();
    assert_eq!(crew(&daemon.follow(app.launch())), before, "{}", daemon.log());
    std::fs::remove_file(ballast).unwrap();
    daemon.until_logged("the state file is written again");
    let ids = |app: &App| before.keys().all(|id| app.read("run/nodesockd.ipc.state").contains(id));
    daemon.until_so("it names the workers", || ids(&app));
}

#[test]
fn full_disk_costs_entries_of_the_history_only_while_it_is_full() {
    let app = echo();
    let _disk = match SmallDisk::on(&app.run()) {
        Ok(disk) => disk,
        Err(error) => return println!("skipped: this process may not mount a small disk: {error}"),
    };
    let daemon = app.start();
    let ballast = app.path("run/ballast");
    let of = format!("of={}", ballast.display());
    Command::new("dd").args(["if=/dev/zero", "bs=1k", &of]).output().unwrap();
    daemon.until_so("the history cannot be written", || {
        let output = app.cli(&["reload"]);
        assert_eq!(output.code, 0, "{output}{}", daemon.log());
        daemon.log().contains("cannot write the history")
    });
    let told = daemon.log().matches("cannot write the history").count();
    assert_eq!(told, 1, "{}", daemon.log());
    assert_eq!(app.cli(&["restart"]).code, 0);
    std::fs::remove_file(&ballast).unwrap();
    daemon.until_logged("the history is written again; 0 entries are lost");
    let whole = |app: &App| {
        let shown = app.cli(&["history", "--json", "-n", "1000"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "no line is torn: {shown}");
        shown.stdout.lines().last().is_some_and(|line| line.contains(r#""what":"restart""#))
    };
    daemon.until_so("the restart is there", || whole(&app));
}

/// The entries of the history: what each is about, and how it ended.
fn history(app: &App) -> Vec<(String, String)> {
    let shown = app.cli(&["history", "--json", "-n", "1000"]);
    assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{shown}");
    let word = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let lines = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.map(|line: Value| (word(&line, "what"), word(&line, "outcome"))).collect()
}

#[test]
fn what_a_killed_daemon_had_begun_is_in_the_history_of_the_next_one() {
    let app = echo();
    let mut daemon = app.start();
    app.write("app.js", "setInterval(() => {}, 1000);\n");
    let restart = cli::spawn(&mut cli::command(app.folder(), &["restart"]));
    daemon.until("new workers boot", |status| status.workers.len() == 4);
    daemon.die();
    assert_ne!(restart.finish().code, 0);
    app.deploy("echo.js");
    daemon.follow(app.launch());
    let pair = |what: &str, outcome: &str| (what.to_owned(), outcome.to_owned());
    let expected = [pair("daemon-start", ""), pair("restart", "interrupted"), pair("daemon-start", "")];
    daemon.until_so("each is there once", || history(&app) == expected);
    let shown = app.cli(&["history"]);
    assert!(shown.stdout.contains("by the end of an earlier daemon"), "{shown}");

    // Between two actions anywhere, an entry is written once.
    for _ in 0..8 {
        let reload = cli::spawn(&mut cli::command(app.folder(), &["reload"]));
        daemon.die();
        let _ = reload.finish();
        daemon.follow(app.launch());
    }
    assert_eq!(app.cli(&["reload"]).code, 0);
    let shown = app.cli(&["history", "--json", "-n", "1000"]);
    let lines = shown.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let numbers: Vec<u64> = lines.map(|line| line["number"].as_u64().unwrap()).collect();
    let all: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(BTreeSet::from_iter(numbers.iter().copied()), BTreeSet::from_iter(all), "{numbers:?}");
}

#[test]
fn emptied_tmp_dir_is_filled_again() {
    let app = echo();
    let mut daemon = app.start();
    let empty = |keep: &[&str]| {
        for entry in std::fs::read_dir(app.run()).unwrap().map(Result::unwrap) {
            if !keep.contains(&entry.file_name().to_str().unwrap()) {
                // The daemon makes things again meanwhile: what was listed may have another name by now.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    };
    empty(&["nodesockd.ipc", "nodesockd.ipc.lock"]);
    let output = app.cli(&["restart"]);
    assert_eq!(output.code, 0, "{output}{}", daemon.log());
    assert_in_order(&app, &daemon);

    // Nobody can reach the daemon any more but its service manager.
    empty(&[]);
    assert_eq!(daemon.quit(), Some(0));
    daemon.follow(app.launch());
    assert_in_order(&app, &daemon);

    // Nor can its successor tell which worker served which slot.
    empty(&[]);
    daemon.die();
    daemon.follow(app.launch());
    assert_in_order(&app, &daemon);
    for slot in 0..2 {
        assert_eq!(http::get(&app.link(slot), "/1").status, 200);
    }
}

#[test]
fn only_one_of_two_successors_adopts() {
    let app = echo();
    let mut daemon = app.start();
    let before = crew(&daemon.status());
    daemon.die();
    app.save();
    let mut rivals: Vec<_> =
        (0..2).map(|_| cli::spawn(&mut cli::command(app.folder(), &["daemon"]))).collect();
    until("one has given up", || rivals.iter_mut().any(|rival| rival.has_ended()));
    let loser = rivals.iter_mut().position(|rival| rival.has_ended()).unwrap();
    let output = rivals.remove(loser).finish();
    assert_eq!(output.code, 1, "{output}");
    let status = || Connection::open(&app.ipc()).ok()?.status();
    until("the other one serves", || status().is_some_and(|status| status.is_settled()));
    assert_eq!(crew(&status().unwrap()), before);
    assert_eq!(app.cli(&["terminate"]).code, 0);
    assert_eq!(rivals.remove(0).finish().code, 0);
    drop(daemon);
}

#[test]
fn process_with_reused_pid_is_left_alone() {
    let app = echo();
    let mut daemon = app.start();
    daemon.die();
    let victims = daemon.descendants();
    victims.iter().for_each(|worker| worker.signal(Signal::SIGKILL));
    // Not that nobody has its environment any more: a dying process loses that before it lets go of its socket.
    until("no worker is alive", || victims.iter().all(|worker| !worker.is_alive()));
    // As if the pids had been given to other processes since.
    let mut strangers: Vec<_> =
        (0..2).map(|_| Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()).collect();
    damage(&app, |mut state| {
        for (worker, stranger) in state["workers"].as_array_mut().unwrap().iter_mut().zip(&strangers) {
            worker["process"]["pid"] = json!(stranger.id());
        }
        state.to_string()
    });
    daemon.follow(app.launch());
    assert_in_order(&app, &daemon);
    assert_eq!(app.cli(&["terminate"]).code, 0);
    for stranger in &mut strangers {
        assert_eq!(stranger.try_wait().unwrap(), None, "{}", daemon.log());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

#[test]
fn leftovers_of_workers_dead_without_daemon_are_killed() {
    let app = App::new().set(
        "command",
        vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "setsid sleep 1000 & sleep 1000 & exec node app.js".to_owned(),
        ],
    );
    let app = app.without("script");
    let mut daemon = app.start();
    let worker = daemon.status().slot(0).process();
    daemon.until_so("the worker has its children", || daemon.descendants().len() == 3);
    daemon.die();
    worker.signal(Signal::SIGKILL);
    until("the worker is gone, its children are not", || daemon.descendants().len() == 2);
    daemon.follow(app.launch());
    assert_ne!(daemon.status().slot(0).process(), worker);
    let (slot, all) = (daemon.status().slot(0).process(), daemon.descendants());
    daemon.until_so("only the new worker's children are there", || daemon.descendants().len() == 3);
    assert!(all.contains(&slot));
    assert_eq!(daemon.quit(), Some(0));
    until("nothing is left", || daemon.descendants().is_empty());
}

#[test]
fn nothing_is_adopted_from_an_empty_host() {
    let app = echo();
    let mut daemon = app.start();
    assert_eq!(daemon.quit(), Some(0));
    daemon.follow(Launch::new(app.folder(), &app.ipc()));
    assert!(!daemon.log().contains("adopt"), "{}", daemon.log());
}
