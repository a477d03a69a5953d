//! The service that runs the daemon: will systemd let workers finish, and live on?

use std::path::Path;
use std::time::Duration;

use nodesockd_core::config::Config;

use super::unit::Unit;
use crate::render::{self, span};
use crate::setup::check::folder::called;
use crate::setup::check::former::is_of_2x;
use crate::setup::check::{Finding, Verdict};

/// systemd's own `TimeoutStopSec`.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// What is wrong with the unit.
pub(super) fn look(unit: &Unit, config: &Config) -> Vec<Finding> {
    let checks = [
        command(unit),
        kill_mode(unit),
        oom_policy(unit),
        stop_timeout(unit, config),
        restart(unit),
        logical_folder(unit),
        private_tmp(unit, config),
        runtime_directory(unit, config),
    ];
    let mut findings: Vec<Finding> = checks.into_iter().flatten().collect();
    if findings.is_empty() {
        findings.push(Finding::good(format!(
            "{} lets workers finish, and live on if the daemon dies",
            name(unit)
        )));
    }
    findings
}

/// What a unit that was written for 2.x does that ends differently now. A daemon would run all the same, but for the
/// command.
pub(crate) fn of_2x(unit: &Unit) -> Vec<Finding> {
    let killed = kill_mode(unit).map(|finding| Finding { verdict: Verdict::Warning, ..finding });
    [command(unit), killed].into_iter().flatten().collect()
}

fn name(unit: &Unit) -> String {
    format!("the unit {}", render::word(&unit.name))
}

/// `nodesockd` alone prints its help and exits; a path that is not absolute is refused.
fn command(unit: &Unit) -> Option<Finding> {
    let words = unit.command();
    let program = words.first()?;
    if !program.starts_with('/') {
        return Some(Finding::bad(
            format!(
                "{}: systemd refuses `ExecStart={}`, which is no absolute path",
                name(unit),
                render::word(program)
            ),
            "write the whole path; `command -v nodesockd` tells it",
        ));
    }
    if is_of_2x(&words) {
        return Some(Finding::bad(
            format!("{}: `ExecStart` runs a file of 2.x's package, which is not there any more", name(unit)),
            "`nodesockd service systemd` prints the command",
        ));
    }
    (!words.iter().any(|word| word == "daemon")).then(|| {
        Finding::bad(
            format!("{}: `ExecStart` lacks the command `daemon`", name(unit)),
            format!("ExecStart={} daemon", render::word(program)),
        )
    })
}

fn kill_mode(unit: &Unit) -> Option<Finding> {
    let mode = match unit.get("KillMode") {
        "" => "control-group",
        mode => mode,
    };
    (mode != "process").then(|| {
        Finding::bad(
            format!(
                "{}: with `KillMode={}` systemd kills the workers together with the daemon, in the middle of their \
                 requests",
                name(unit),
                render::word(mode)
            ),
            "KillMode=process, in [Service]: the daemon retires its workers itself",
        )
    })
}

fn oom_policy(unit: &Unit) -> Option<Finding> {
    let policy = match unit.get("OOMPolicy") {
        "" => "stop",
        policy => policy,
    };
    (policy != "continue").then(|| {
        Finding::bad(
            format!(
                "{}: with `OOMPolicy={}` systemd ends the whole service when one worker is killed for want of memory",
                name(unit),
                render::word(policy)
            ),
            "OOMPolicy=continue, in [Service]: the daemon replaces the worker",
        )
    })
}

fn stop_timeout(unit: &Unit, config: &Config) -> Option<Finding> {
    let given = match (unit.get("TimeoutStopSec"), unit.get("TimeoutSec")) {
        ("", "") => Some(STOP_TIMEOUT),
        ("", _) => unit.span("TimeoutSec"),
        _ => unit.span("TimeoutStopSec"),
    };
    let needed = config.options.longest_quit();
    let given = given.filter(|given| *given < needed)?;
    Some(Finding::warning(
        format!(
            "{}: systemd kills the daemon {} after it was stopped; its workers may take {}",
            name(unit),
            span(given),
            span(needed)
        ),
        format!("TimeoutStopSec={}, in [Service]", needed.as_secs() + 10),
    ))
}

fn restart(unit: &Unit) -> Option<Finding> {
    let policy = unit.get("Restart");
    matches!(policy, "" | "no" | "on-success").then(|| {
        Finding::warning(
            format!("{}: nobody starts another daemon when this one dies", name(unit)),
            "Restart=always and RestartSec=1, in [Service]",
        )
    })
}

/// A process that was put into a folder does not know which symlinks led to it.
fn logical_folder(unit: &Unit) -> Option<Finding> {
    let folder = Path::new(unit.get("WorkingDirectory"));
    let real = std::fs::canonicalize(folder).ok()?;
    (real != folder && unit.variable("PWD").is_none()).then(|| {
        Finding::warning(
            format!(
                "{}: the daemon does not notice when {}, a symlink, is switched to another release",
                name(unit),
                render::path(folder)
            ),
            format!("Environment=PWD={}, in [Service]", render::path(folder)),
        )
    })
}

fn private_tmp(unit: &Unit, config: &Config) -> Option<Finding> {
    let hidden = |unit: &Unit| !matches!(unit.get("PrivateTmp"), "" | "no" | "false" | "off" | "0");
    // nginx has to see the sockets, and only those.
    let temporary = ["/tmp", "/var/tmp"].iter().any(|folder| config.socket_dir.starts_with(folder));
    let nginx = Unit::named("nginx.service");
    let culprit = [Some(unit), nginx.as_ref()].into_iter().flatten().find(|unit| hidden(unit));
    let culprit = culprit.filter(|_| temporary)?;
    Some(Finding::bad(
        format!(
            "{} {} is in a folder of which {} has one of its own (`PrivateTmp`)",
            called(config),
            render::path(&config.socket_dir),
            name(culprit)
        ),
        format!("a folder in /run: `tmpDir = \"/run/{}\"`", render::word(&config.name)),
    ))
}

/// systemd removes a unit's runtime directories when it stops, also before it starts it again.
fn runtime_directory(unit: &Unit, config: &Config) -> Option<Finding> {
    let mut folders =
        unit.get("RuntimeDirectory").split_whitespace().map(|folder| Path::new("/run").join(folder));
    let ours = folders.any(|folder| config.tmp_dir.starts_with(&folder));
    let preserved = unit.is("RuntimeDirectoryPreserve") || unit.get("RuntimeDirectoryPreserve") == "restart";
    (ours && !preserved).then(|| {
        Finding::bad(
            format!(
                "{}: systemd removes `tmpDir` {} when the daemon dies, and with it the sockets of workers that live on",
                name(unit),
                render::path(&config.tmp_dir)
            ),
            "RuntimeDirectoryPreserve=yes, in [Service]",
        )
    })
}
