//! A machine on which one service manager runs the daemon of an app.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nodesockd_tests::cli::Output;
use nodesockd_tests::machine::Machine;
use nodesockd_tests::nginx::{KEEPALIVE_TIMEOUT, Nginx};
use nodesockd_tests::{Connection, Load, Status, Upstream, app, program, wait};

/// Scripts that have a manager do what an operator does.
#[derive(Debug)]
pub struct Manager {
    /// As `nodesockd service` knows it.
    pub name: &'static str,
    /// The file for what that prints.
    pub file: &'static str,
    /// Makes the manager notice the file and run the service, for the first time or after it was stopped.
    pub start: &'static str,
    /// Stops the service, and returns when it is down.
    pub stop: &'static str,
    /// What the service has said.
    pub log: &'static str,
}

pub const SYSTEMD: Manager = Manager {
    name: "systemd",
    file: "/etc/systemd/system/shop.service",
    start: "systemctl daemon-reload; systemctl start shop",
    stop: "systemctl stop shop",
    log: "journalctl --no-pager -u shop",
};

pub const SUPERVISORD: Manager = Manager {
    name: "supervisord",
    file: "/etc/supervisor/conf.d/shop.conf",
    start: "install -d -o shop /var/log/shop; systemctl start supervisor; supervisorctl start shop || true",
    stop: "supervisorctl stop shop",
    log: "cat /var/log/shop/shop.log; journalctl --no-pager -u supervisor",
};

pub const DAEMONTOOLS: Manager = Manager {
    name: "daemontools",
    file: "/etc/service/shop/run",
    start: "systemctl --quiet is-active manager || systemd-run --quiet --unit=manager --setenv=PATH=\"$PATH\" svscan /etc/service; svc -u /etc/service/shop || true",
    stop: "svc -d /etc/service/shop; until svstat /etc/service/shop | grep -q ': down'; do sleep 0.1; done",
    log: "journalctl --no-pager -u manager",
};

pub const RUNIT: Manager = Manager {
    name: "runit",
    file: "/etc/service/shop/run",
    start: "systemctl --quiet is-active manager || systemd-run --quiet --unit=manager --setenv=PATH=\"$PATH\" runsvdir /etc/service; sv up /etc/service/shop || true",
    stop: "sv -w 60 down /etc/service/shop",
    log: "journalctl --no-pager -u manager",
};

pub const S6: Manager = Manager {
    name: "s6",
    file: "/etc/s6/shop/run",
    start: "systemctl --quiet is-active manager || systemd-run --quiet --unit=manager --setenv=PATH=\"$PATH\" s6-svscan /etc/s6; s6-svc -u /etc/s6/shop || true",
    stop: "s6-svc -wD -d /etc/s6/shop",
    log: "journalctl --no-pager -u manager",
};

/// Its user is `shop`, its folder `/srv/shop`, `tmpDir` is `/run/shop`; it has two slots and a standby.
#[derive(Debug)]
pub struct Managed {
    pub machine: Machine,
    manager: &'static Manager,
}

impl Managed {
    /// Prepares everything but the service; `None` if we cannot have a machine.
    pub fn install(manager: &'static Manager, settings: &str) -> Option<Self> {
        let Some(machine) = Machine::boot() else {
            println!("skipped: only root can boot a machine");
            return None;
        };
        machine.must("useradd --system --user-group --home-dir /srv/shop shop && install -d -m 2750 -o shop -g shop /run/shop");
        let node = program::root().join("node").display().to_string();
        machine.must(&format!(
            "mkdir -p /srv/shop/node_modules/nodesockd && cp -r {node}/lib {node}/package.json /srv/shop/node_modules/nodesockd"
        ));
        let managed = Self { machine, manager };
        managed.install_program(program::nodesockd());
        fs::copy(app::fixture("echo.js"), managed.path("/srv/shop/app.js")).unwrap();
        managed.configure(settings);
        managed.machine.must("chown -R shop:shop /srv/shop");
        Some(managed)
    }

    /// Writes the configuration, with more settings, those of the first table first.
    pub fn configure(&self, settings: &str) {
        let keep_alive = KEEPALIVE_TIMEOUT * 1000;
        let (settings, options) = settings.split_once("\n[options]\n").unwrap_or((settings, ""));
        let text = format!(
            "name = 'shop'\nscript = 'app.js'\ntmpDir = '/run/shop'\nworkers = 2\nstandby = 1\n{settings}\n\
             [env]\nUPSTREAM_KEEP_ALIVE = '{keep_alive}'\n[options]\nonlineTimeout = 50000\nshutdownTimeout = 50000\n{options}"
        );
        fs::write(self.path("/srv/shop/nodesockd.toml"), text).unwrap();
    }

    /// Prints the service into the manager's file and starts it; returns when everything is there.
    pub fn start(&self) -> Status {
        let Manager { name, file, start, .. } = self.manager;
        self.machine.must(&format!(
            "mkdir -p $(dirname {file})
             cd /srv/shop && /usr/local/bin/nodesockd service {name} --user shop > {file}.new
             [[ {file} != */run ]] || chmod +x {file}.new
             mv {file}.new {file}
             {start}"
        ));
        self.settled("the app is up", |_| true)
    }

    /// Installs a program of ours in the place of the one there is, as a package manager does.
    pub fn install_program(&self, program: &Path) {
        self.machine.bring(program, "/usr/local/bin/new");
        self.machine.must("mv /usr/local/bin/new/nodesockd /usr/local/bin/nodesockd");
    }

    /// Stops it as the manager does, and sees that nothing is left.
    pub fn stop(&self) {
        self.machine.must(self.manager.stop);
        let left = || self.machine.run("pgrep --list-full --uid shop").stdout;
        // The one that takes what workers write goes after all others.
        wait::found("no process is left", || left().is_empty().then_some(()), || self.log());
        let sockets = self.machine.must("find /run/shop -type s -o -type l");
        assert_eq!(sockets, "", "files are left: {}", self.log());
    }

    /// A path on the machine, for us.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.machine.path(inside)
    }

    /// Runs a command of nodesockd, as the user.
    pub fn cli(&self, arguments: &str) -> Output {
        self.machine.run(&format!(
            "cd /srv/shop && setpriv --reuid=shop --regid=shop --init-groups nodesockd {arguments}"
        ))
    }

    pub fn status(&self) -> Option<Status> {
        Connection::open(&self.path("/run/shop/nodesockd.ipc")).ok()?.status()
    }

    /// Waits until a daemon is there for which `condition` holds, and everything is settled.
    pub fn settled(&self, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
        let look = || self.status().filter(|status| status.is_settled() && condition(status));
        wait::found(what, look, || format!("{:#?}\n{}", self.status(), self.log()))
    }

    /// Requests by way of nginx, outside of the machine.
    pub fn load(&self) -> (Nginx, Load) {
        let link = |slot| format!("unix:{}", self.path(&format!("/run/shop/app.{slot}.sock")).display());
        let nginx = Upstream::to((0..2).map(link).collect()).keepalive(4).next("off").start();
        let load = Load::start(&nginx.front(), 4);
        load.flows();
        (nginx, load)
    }

    /// What the service and the machine have said.
    pub fn log(&self) -> String {
        self.machine.run(self.manager.log).stdout
    }
}

/// Each worker's pid, slot and state.
pub fn crew(status: &Status) -> BTreeMap<String, (Option<u32>, Option<u32>, String)> {
    let one = |worker: &nodesockd_tests::Worker| (worker.pid, worker.idx, worker.state.clone());
    status.workers.iter().map(|worker| (worker.id.clone(), one(worker))).collect()
}

/// Ends a load of which nothing may have been lost; how many requests it was.
pub fn none_lost(managed: &Managed, nginx: &Nginx, load: Load) -> u64 {
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), managed.log());
    ledger.sent
}
