//! The daemon is started again by a real systemd, with the two lines that the chapter names.

use std::time::Duration;

use nodesockd_tests::machine::Machine;
use nodesockd_tests::{Connection, Load, Status, Upstream, app, program, wait};

/// A service with `KillMode=process` and `Restart=always`, and both versions of the package.
const SCENE: &str = r#"
useradd --system --user-group --home-dir /srv/shop shop
install -d -m 2750 -o shop -g shop /run/shop
mkdir -p /srv/shop/node_modules/.bin /srv/2 /srv/3
cp -r "$TWO/." /srv/2
cp -r "$THREE/lib" "$THREE/package.json" /srv/3
cp "$APP" /srv/shop/app.js
printf 'script: app.js\ntmpDir: /run/shop\nworkers: 2\n' > /srv/shop/nodesockd.yml
cat > /etc/systemd/system/shop.service <<END
[Service]
User=shop
WorkingDirectory=/srv/shop
Environment=PATH=$PATH
ExecStart=/srv/shop/node_modules/.bin/nodesockd daemon
KillMode=process
Restart=always
RestartSec=100ms
END
systemctl daemon-reload
"#;

/// Starts the service with 2.x installed.
const START_2: &str = "
ln -sfn /srv/2 /srv/shop/node_modules/nodesockd
ln -sfn /srv/2/cli.js /srv/shop/node_modules/.bin/nodesockd
systemctl start shop
until [ -e /run/shop/app.0.sock ] && [ -e /run/shop/app.1.sock ]; do sleep 0.1; done";

const INSTALL_3: &str = "
ln -sfn /srv/3 /srv/shop/node_modules/nodesockd
ln -sfn /usr/local/bin/nodesockd /srv/shop/node_modules/.bin/nodesockd";

struct Service(Machine);

impl Service {
    /// `None` if we cannot have a machine.
    fn install() -> Option<Self> {
        let machine = Machine::boot()?;
        machine.bring(program::nodesockd(), "/usr/local/bin");
        let (two, app) = (app::fixture("nodesockd-2"), app::fixture("app-for-2.js"));
        let three = program::root().join("node");
        let places = format!("TWO={} THREE={} APP={}", two.display(), three.display(), app.display());
        machine.must(&format!("{places}\n{SCENE}"));
        Some(Self(machine))
    }

    /// Runs `change` under load, after which our daemon is to be there. Returns how many requests there were, and how long the
    /// slowest answer took.
    fn changes_over(&self, change: &str) -> (u64, Duration) {
        let Self(machine) = self;
        machine.must(START_2);
        let old: Vec<u32> = self.processes();
        assert_eq!(old.len(), 3, "{}", machine.journal());
        let link = |slot| format!("unix:{}", machine.path(&format!("/run/shop/app.{slot}.sock")).display());
        let nginx = Upstream::to((0..2).map(link).collect()).next("off").start();
        let load = Load::start(&nginx.front(), 4);
        load.flows();
        machine.must(&format!("{INSTALL_3}\n{change}"));
        let status = self.settled();
        load.flows();
        let ledger = load.finish();
        assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), machine.journal());

        let mut known = status.pids();
        known.push(status.pid);
        known.sort_unstable();
        assert_eq!(self.processes(), known, "{}", machine.journal());
        assert!(known.iter().all(|pid| !old.contains(pid)), "{old:?}{}", machine.journal());
        (ledger.sent, ledger.latency(1.0))
    }

    fn stop(&self) {
        self.0.must("systemctl stop shop");
        assert_eq!(self.processes(), [0; 0], "{}", self.0.journal());
    }

    fn settled(&self) -> Status {
        let look = || Connection::open(&self.0.path("/run/shop/nodesockd.ipc")).ok()?.status();
        wait::found("our daemon has settled", || look().filter(Status::is_settled), || self.0.journal())
    }

    /// Everybody who runs as the app's user, sorted.
    fn processes(&self) -> Vec<u32> {
        self.0.processes_of("shop")
    }
}

/// Our command, run by the app's user.
const COMMAND: &str = "setpriv --reuid=shop --regid=shop --init-groups /srv/shop/node_modules/.bin/nodesockd --ipc /run/shop/nodesockd.ipc";

/// As many change-overs as `NODESOCKD_CHANGEOVERS` says, for the figures in `bench/README.md`.
#[test]
fn restart_upgrade_under_systemd_loses_no_request() {
    let Some(service) = Service::install() else { return };
    let count = super::count();
    let (mut sent, mut slowest) = (0, Duration::ZERO);
    for _ in 0..count {
        let (requests, latency) = service.changes_over(&format!("{COMMAND} restart --upgrade"));
        service.stop();
        sent += requests;
        slowest = slowest.max(latency);
    }
    println!("systemd: {}", super::figures(count, sent, slowest));
}

#[test]
fn systemd_starts_the_daemon_that_follows_a_killed_one() {
    let Some(service) = Service::install() else { return };
    let kill = format!(
        "daemon=$(systemctl show --value --property=MainPID shop)
         kill -9 $daemon
         until {COMMAND} status > /dev/null 2>&1; do sleep 0.1; done
         {COMMAND} restart"
    );
    service.changes_over(&kill);
    service.stop();
}
