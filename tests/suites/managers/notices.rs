//! What a daemon tells its service manager, read from the socket that it is told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nodesockd_tests::wait;
use nodesockd_tests::{App, Daemon};

/// A manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(wait::limit())).unwrap();
        Self { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// What it is told up to something that begins with `wanted`.
    fn until(&self, wanted: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut heard = vec![self.next()];
        while !heard.last().is_some_and(|notice| notice.starts_with(wanted)) {
            assert!(begun.elapsed() < wait::limit(), "{wanted} was waited for in vain: {heard:?}");
            heard.push(self.next());
        }
        heard
    }

    /// How far the daemon has got, step by step, until it ends.
    fn steps(&self, daemon: &mut Daemon) -> Vec<String> {
        daemon.ended();
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let notices =
            std::iter::from_fn(|| self.socket.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec()));
        let words = notices.map(|notice| String::from_utf8(notice).unwrap());
        let ours = |notice: &String| {
            !["STATUS=", "EXTEND_", "WATCHDOG"].iter().any(|other| notice.starts_with(other))
        };
        words.filter(ours).collect()
    }
}

fn status(heard: &[String]) -> Vec<&str> {
    heard.iter().filter_map(|notice| notice.strip_prefix("STATUS=")).collect()
}

#[test]
fn ready_is_sent_when_all_slots_are_served() {
    let mut app = App::new().script("echo.js").workers(2).standby(1);
    let path = app.path("manager.sock");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let mut daemon = app.launch().env("NOTIFY_SOCKET", path.to_str().unwrap()).spawn();

    let heard = manager.until("READY=1");
    assert!(status(&heard).contains(&"0 of 2 slots are served"), "{heard:?}");
    assert!(heard.contains(&"EXTEND_TIMEOUT_USEC=30000000".to_owned()), "{heard:?}");
    let served = daemon
        .status()
        .workers
        .iter()
        .filter(|worker| worker.idx.is_some() && worker.state == "online")
        .count();
    assert_eq!(served, 2);
    daemon.settled();

    assert_eq!(app.cli(&["restart", "--suspended"]).code, 0);
    let heard = manager.until("STATUS=2 slots are served, suspended");
    assert!(status(&heard).contains(&"2 slots are served; a restart is in progress"), "{heard:?}");
    assert!(
        !heard.iter().any(|notice| notice.contains("READY") || notice.contains("RELOADING")),
        "{heard:?}"
    );

    app.change("workers", 1);
    app.save();
    assert_eq!(app.cli(&["reload"]).code, 0);
    let reloading = manager.until("RELOADING=1").pop().unwrap();
    let since: u64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!(since > 0 && since / 1_000_000 <= uptime as u64, "{since} at {uptime}");
    manager.until("READY=1");

    daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.steps(&mut daemon), ["STOPPING=1"]);
}

#[test]
fn hanging_daemon_sends_no_watchdog_notice() {
    let app = App::new();
    let name = format!("nodesockd-tests-{}", app.folder().display());
    let manager = Manager::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let launch = app.launch().env("NOTIFY_SOCKET", &format!("@{name}")).env("WATCHDOG_USEC", "200000");
    let daemon = launch.start();
    manager.until("READY=1");
    // Nothing else happens, but it is heard of.
    for _ in 0..5 {
        manager.until("WATCHDOG=1");
    }
    daemon.signal(Signal::SIGSTOP);
    nodesockd_tests::until("it stands still", || daemon.process().status("State").starts_with('T'));
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(manager.socket.recv(&mut [0; 4096]).is_err(), "it hangs, and says that it is alive");
    daemon.signal(Signal::SIGCONT);
    manager.socket.set_read_timeout(Some(wait::limit())).unwrap();
    manager.until("WATCHDOG=1");
}

#[test]
fn watchdog_of_another_process_is_ignored_and_not_inherited() {
    let names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
    let app = App::new().set("env", names.map(str::to_owned).to_vec());
    let path = app.path("manager.sock");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let launch = app.launch().env("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut daemon = launch.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1").start();
    let environment = daemon.status().slot(0).process().environment();
    let leaked = environment.iter().filter(|variable| names.iter().any(|name| variable.starts_with(name)));
    assert_eq!(leaked.collect::<Vec<_>>(), Vec::<&String>::new());
    let heard = manager.until("READY=1");
    assert!(!heard.iter().any(|notice| notice == "WATCHDOG=1"), "{heard:?}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(manager.steps(&mut daemon), ["STOPPING=1"]);
}

#[test]
fn dead_or_silent_manager_blocks_nothing() {
    let app = App::new().workers(2);
    let nobody = app.path("nobody.sock");
    let daemon = app.launch().env("NOTIFY_SOCKET", nobody.to_str().unwrap()).start();
    daemon.until_logged("the service manager at");
    drop(daemon);

    let path = app.path("manager.sock");
    let manager = Manager::at(&SocketAddr::from_pathname(&path).unwrap());
    let mut daemon = app.launch().env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    for _ in 0..8 {
        assert_eq!(app.cli(&["restart"]).code, 0);
    }
    drop(manager);
    assert_eq!(daemon.quit(), Some(0));
}
