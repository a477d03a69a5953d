//! The example of containers, as near to its files as can be without an engine: the image is built as its Dockerfile says, and services run as
//! the compose file says, each in namespaces of its own, with a root file system, users and a network of its own. Only root can do that.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests stop a test as well")]
#![expect(clippy::print_stdout, reason = "says why nothing was tried")]

mod compose;
mod container;
mod host;
mod image;
mod pod;
mod stage;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::process::Command;

use nix::sys::signal::Signal;
use nodesockd_tests::{http, wait};

use compose::Service;
use container::Container;
use pod::Pod;
use stage::{NGINX_STOPS_BY, Stage};

/// The command, as it is called in a container.
const NODESOCKD: &str = "node_modules/.bin/nodesockd";

#[test]
fn nginx_in_another_container_reaches_the_app_and_a_stop_loses_nothing_that_was_begun() {
    let Some(stage) = Stage::set() else { return };
    let mut blue = stage.start("blue");
    let mut front = stage.front();
    assert_eq!(stage.compose.service("nginx").after, ["blue", "green"]);

    let status = blue.must(&[NODESOCKD, "status", "--json"]).json();
    assert_eq!(status["pid"], 1, "the daemon is process 1");
    assert_eq!(blue.init().status("CapBnd"), "0000000000000000");
    assert_eq!(blue.init().status("NoNewPrivs"), "1");
    assert!(blue.exec(&["touch", "/srv/shop/file"]).stderr.contains("Read-only file system"));
    let socket = stage.host.reach(&stage.host.folder("blue")).join("app.0.sock");
    let socket = fs::metadata(socket).unwrap();
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (1000, 101, 0o770));

    let begun: Vec<_> = (0..6).map(|_| http::ask(&front.socket, "/slow").unwrap()).collect();
    wait::until("the requests have begun", || front.connections("/run/shop/") >= begun.len());
    blue.signal(Signal::SIGTERM);
    for request in begun {
        assert_eq!(request.answer().unwrap().status, 200, "{}", front.container.log());
    }
    let ended = blue.ended();
    assert_eq!(ended.code(), Some(0), "{ended:?}\n{}", blue.log());
    assert_eq!(stage.names("blue", ".sock"), [""; 0]);
    let ended = front.container.stop(NGINX_STOPS_BY);
    assert_eq!(ended.code(), Some(0), "{ended:?}\n{}", front.container.log());
}

#[test]
fn containers_replaced_one_after_the_other_lose_nothing() {
    let Some(stage) = Stage::set() else { return };
    let mut containers = ["blue", "green"].map(|name| stage.start(name));
    let front = stage.front();
    let visitors = front.visitors();
    visitors.come();
    for container in &mut containers {
        let name = container.name().to_owned();
        let ended = container.stop(Signal::SIGTERM);
        assert_eq!(ended.code(), Some(0), "{ended:?}\n{}", container.log());
        visitors.come();
        *container = stage.start(&name);
        visitors.come();
    }
    visitors.leave();
}

#[test]
fn releases_in_a_volume_are_restarted_and_deployed_without_a_loss() {
    let Some(stage) = Stage::set() else { return };
    let service = with_releases(&stage);
    let blue = stage.run(&service);
    blue.healthy();
    let front = stage.front();
    let visitors = front.visitors();
    visitors.come();
    blue.must(&[NODESOCKD, "restart"]);
    visitors.come();
    blue.must(&[NODESOCKD, "deploy", "--release", "/srv/shop/releases/2", "--watch", "1s"]);
    visitors.come();
    visitors.leave();
    let answer = http::get(&front.socket, "/");
    assert!(answer.body.starts_with("Good day from worker "), "{answer:?}");
}

#[test]
fn second_daemon_on_a_volume_is_refused_until_the_first_one_has_gone() {
    let Some(stage) = Stage::set() else { return };
    let blue = stage.start("blue");
    let before = stage.names("blue", ".sock");
    let mut second = stage.run(&stage.compose.service("blue"));
    let ended = second.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}\n{}", second.log());
    let said = "a daemon in another container, process 1 there, holds `/run/shop/nodesockd.ipc.lock`";
    assert!(second.log().contains(said), "{}", second.log());
    assert_eq!(stage.names("blue", ".sock"), before);

    // Its grace time was over: nothing was cleared away.
    blue.signal(Signal::SIGKILL);
    drop(blue);
    let next = stage.start("blue");
    let after = stage.names("blue", ".sock");
    assert_eq!(after.len(), before.len(), "{after:?}\n{}", next.log());
}

#[test]
fn orphans_are_collected_and_a_worker_with_its_share_of_the_container_s_memory_is_replaced() {
    let Some(stage) = Stage::set() else { return };
    let blue = stage.run(&with_releases(&stage));
    blue.healthy();

    let own = blue.init().children();
    let orphan = blue.must(&["sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!"]).stdout;
    wait::until("process 1 has an orphan", || blue.init().children().len() == own.len() + 1);
    blue.must(&["kill", orphan.trim()]);
    wait::until("the orphan is collected", || blue.init().children() == own);

    if !blue.is_limited() {
        return println!("skipped: no control group can be made here");
    }
    let status = || blue.must(&[NODESOCKD, "status", "--json"]).json();
    let leaking = status()["workers"][0]["pid"].to_string();
    blue.must(&["kill", "-USR2", &leaking]);
    let reason = || {
        let failures = status()["failures"].to_string();
        failures.contains("(limits.memory)").then_some(())
    };
    wait::found("the worker is replaced", reason, || format!("{:#}\n{}", status(), blue.log()));
}

#[test]
fn probes_of_the_pod_tell_a_suspended_app_from_one_that_has_to_be_started_again() {
    let Some(stage) = Stage::set() else { return };
    let pod = Pod::read();
    stage.host.volume("sockets", &pod.volume());
    let mut folder = stage.command(&pod.service("folder"), &pod.command("folder"));
    let ended = folder.ended();
    assert_eq!(ended.code(), Some(0), "{}", folder.log());
    fs::write(stage.host.folder("nginx-conf").join("nginx.conf"), pod.config()).unwrap();

    let mut app = stage.run(&pod.service("app"));
    let probe = |app: &Container, kind: &str| app.exec(&pod.probe("app", kind));
    let started = || (probe(&app, "startupProbe").code == 0).then_some(());
    wait::found("the app has started", started, || app.log());
    let front = stage.front_of(&pod.service("nginx"));
    assert_eq!(["readinessProbe", "livenessProbe"].map(|kind| probe(&app, kind).code), [0, 0]);
    app.must(&[NODESOCKD, "restart", "--suspended"]);
    assert_eq!(["readinessProbe", "livenessProbe"].map(|kind| probe(&app, kind).code), [1, 0]);
    app.must(&[NODESOCKD, "resume"]);
    assert_eq!(["readinessProbe", "livenessProbe"].map(|kind| probe(&app, kind).code), [0, 0]);
    assert_eq!(http::get(&front.socket, "/").status, 200);
    let ended = app.stop(Signal::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{ended:?}\n{}", app.log());
}

#[test]
fn configuration_of_nginx_in_the_pod_is_that_of_the_compose_file_without_the_second_container() {
    let shared = fs::read_to_string(image::example().join("nginx.conf")).unwrap();
    let lines = shared.lines().filter(|line| !line.contains("green"));
    let expected: String =
        lines.map(|line| format!("{}\n", line.replace("/run/blue/", "/run/shop/"))).collect();
    assert_eq!(Pod::read().config(), expected);
}

/// The service whose releases are in a volume: two of them, the first one current. Signal `USR2` has a worker keep 230 MiB.
fn with_releases(stage: &Stage) -> Service {
    let srv = stage.host.folder("./srv");
    for release in ["1", "2"] {
        let folder = srv.join("releases").join(release);
        fs::create_dir_all(folder.parent().unwrap()).unwrap();
        let copied =
            Command::new("cp").arg("-a").arg(stage.built.image.path("/srv/shop")).arg(&folder).status();
        assert!(copied.unwrap().success());
        let script = fs::read_to_string(folder.join("app.js")).unwrap();
        let script = if release == "2" { script.replace("Hello", "Good day") } else { script };
        let leak = "process.on('SIGUSR2', () => (globalThis.leak = Buffer.alloc(230 << 20, 1)));";
        fs::write(folder.join("app.js"), format!("{script}{leak}\n")).unwrap();
    }
    symlink("releases/1", srv.join("current")).unwrap();
    chown(&srv, Some(1000), Some(101)).unwrap();
    stage.compose.service("blue").with("compose.releases.yml")
}
