//! `doctor`: is everything set up as it should be, from the configuration to nginx? Looks, and changes nothing.

pub(crate) mod leftovers;
mod links;
pub(crate) mod reach;
pub(crate) mod service;
pub(crate) mod unit;
mod workers;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nodesockd_core::config::Config;
use nodesockd_os::accounts::Account;
use serde::Serialize;
use serde_json::json;

use self::unit::Unit;
use crate::cli::DoctorArgs;
use crate::configuration;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render;
use crate::setup::check::program::Runner;
use crate::setup::check::socket::{self, Running, ask};
use crate::setup::check::{self, Finding, Verdict};
use crate::setup::nginx::{self, Installed, Known, compare};
use crate::setup::proxy::served::Served;
use crate::setup::report;
use crate::setup::service::USUAL_PATH;

/// How long the queues of listening sockets may be at least: what daemon and library ask for.
const BACKLOG: u32 = 4096;

/// What was found in one area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Area {
    /// Which.
    pub name: &'static str,
    /// What.
    pub findings: Vec<Finding>,
}

/// Prints all that is found: exit code 0, or 3 if something is wrong.
///
/// # Errors
///
/// Exit code 1: there is no working directory, a file cannot be read, or the output not be written.
pub async fn run(args: &DoctorArgs, console: &mut Console) -> Result<Exit, Failure> {
    let areas = areas(args).await?;
    let count = |verdict| {
        areas.iter().flat_map(|area| &area.findings).filter(|found| found.verdict == verdict).count()
    };
    let (bad, warnings) = (count(Verdict::Bad), count(Verdict::Warning));
    if args.json {
        let report = json!({ "areas": areas, "bad": bad, "warnings": warnings });
        console.out.line(&render::json_line(&report.to_string()))?;
    } else {
        console.out.text(&report::doctor(&areas, console.out.style()))?;
    }
    Ok(if bad > 0 { Exit::InvalidConfig } else { Exit::Done })
}

async fn areas(args: &DoctorArgs) -> Result<Vec<Area>, Failure> {
    let around = configuration::surroundings()?;
    let config = match configuration::read(args.config.as_deref(), &around) {
        Ok(config) => config,
        Err(problems) => {
            let findings = problems.iter().map(check::problem).collect();
            return Ok(vec![Area { name: "configuration", findings }]);
        }
    };
    let unit = Unit::of(&config).await;
    let running = ask(&config).await;
    let (known, installed) = nginx_of(args).await?;
    let daemon = daemon_account(&running, unit.as_ref(), &config);
    let nginx = reach::nginx_account(known.as_ref().ok().map(|known| &known.site), installed.as_ref());
    let mut areas = vec![Area { name: "configuration", findings: vec![check::valid(&config)] }];
    areas.push(Area { name: "service", findings: service(unit.as_ref(), &running, &daemon, &config) });
    areas.push(Area { name: "app", findings: app(&config, unit.as_ref(), &daemon).await });
    areas.push(Area { name: "tmpDir", findings: tmp_dir(&config, &running, &daemon, nginx.as_ref()) });
    areas.push(Area { name: "daemon", findings: running_daemon(&running, &config).await });
    areas.push(Area { name: "kernel", findings: kernel() });
    areas.push(Area { name: "nginx", findings: front(known, &config, &running).await });
    Ok(areas)
}

/// nginx's configuration, or why it is not known, and the nginx that is installed.
async fn nginx_of(args: &DoctorArgs) -> Result<(Result<Known, Failure>, Option<Installed>), Failure> {
    match &args.nginx {
        Some(file) => Ok((Ok(nginx::given(file)?), None)),
        None => Ok((nginx::installed().await, Installed::find().await)),
    }
}

/// The daemon's user: of the one that runs, else what its unit says, else who owns `tmpDir`, else ourselves.
fn daemon_account(running: &Running, unit: Option<&Unit>, config: &Config) -> Account {
    if let Running::Daemon(_, Some((uid, gid))) = running {
        return Account::numbered(*uid, *gid);
    }
    if let Some(unit) = unit {
        let user = Some(unit.get("User")).filter(|user| !user.is_empty()).unwrap_or("root");
        if let Some(account) = Account::named(user) {
            return account;
        }
    }
    match std::fs::metadata(&config.tmp_dir) {
        Ok(found) if found.uid() != 0 => Account::numbered(found.uid(), found.gid()),
        Ok(_) | Err(_) => Account::current(),
    }
}

fn service(unit: Option<&Unit>, running: &Running, daemon: &Account, config: &Config) -> Vec<Finding> {
    let mut findings = unit.map(|unit| service::look(unit, config)).unwrap_or_default();
    if unit.is_none() {
        findings.push(nobody_starts_it());
    }
    let known = unit.is_some() || matches!(running, Running::Daemon(..));
    if known && daemon.is_root() {
        findings.push(Finding::warning(
            "the daemon runs as root, and so do all workers",
            "give the app a user of its own: `User=` in the unit, `chown` for `tmpDir`",
        ));
    }
    findings
}

/// systemd runs where its folder is (`sd_booted(3)`).
fn nobody_starts_it() -> Finding {
    if Path::new("/run/systemd/system").is_dir() {
        Finding::warning(
            "no systemd unit runs this app: who starts the daemon when the machine does?",
            "`nodesockd service systemd --user USER` prints one",
        )
    } else {
        Finding::good("systemd does not run here; something else has to start the daemon")
    }
}

async fn app(config: &Config, unit: Option<&Unit>, daemon: &Account) -> Vec<Finding> {
    let path: OsString = match unit {
        Some(unit) => unit.variable("PATH").unwrap_or_else(|| USUAL_PATH.to_owned()).into(),
        None => std::env::var_os("PATH").unwrap_or_default(),
    };
    let runner = Runner { account: daemon, path: &path, cwd: &config.cwd };
    let mut findings = check::program::look(&config.program, &runner).await;
    findings.extend(check::wrapper::look(config));
    findings.extend(check::words::look(config));
    findings.extend(check::library::look(config));
    findings.extend(check::output::look(config, daemon));
    findings
}

fn tmp_dir(config: &Config, running: &Running, daemon: &Account, nginx: Option<&Account>) -> Vec<Finding> {
    let mut findings = check::folder::usable(config, daemon);
    if findings.iter().all(|finding| finding.verdict == Verdict::Good) {
        match nginx {
            Some(nginx) => findings.extend(reach::look(config, daemon, nginx)),
            None => findings.push(Finding::warning(
                "whom nginx runs as is not known, so neither is whether it reaches the sockets",
                "run `nodesockd doctor` where nginx is, or as root",
            )),
        }
        findings.extend(behind_a_symlink(config));
        findings.extend(leftovers::look(config, matches!(running, Running::Daemon(..))));
    }
    findings.push(socket::lengths(config));
    findings.extend(matches!(running, Running::Nobody).then(|| socket::port(config)).flatten());
    findings
}

/// A release's own folder is another one with the next release.
fn behind_a_symlink(config: &Config) -> Option<Finding> {
    let inside = config.tmp_dir.strip_prefix(&config.cwd).ok()?;
    let real = std::fs::canonicalize(&config.cwd).ok()?;
    (real != config.cwd).then(|| {
        Finding::bad(
            format!(
                "`tmpDir` is {} in {}: where that symlink is switched to another release, daemon and nginx lose it",
                render::path(inside),
                render::path(&config.cwd)
            ),
            format!("a folder that stays: `tmpDir = \"/run/{}\"`", render::word(&config.name)),
        )
    })
}

async fn running_daemon(running: &Running, config: &Config) -> Vec<Finding> {
    let mut findings = workers::look(running, config);
    if let Running::Daemon(status, _) = running {
        findings.extend(links::look(status, config).await);
    }
    findings
}

fn kernel() -> Vec<Finding> {
    let mut findings = check::kernel::look();
    findings.extend([socket::queues(), backlog()]);
    findings
}

/// The kernel cuts the queue of a listening socket to this (`listen(2)`).
fn backlog() -> Finding {
    let text = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    match text.trim().parse::<u32>() {
        Ok(most) if most < BACKLOG => Finding::warning(
            format!(
                "the kernel lets {most} connections wait at a socket; a busy app, or a suspended one, needs more"
            ),
            format!("sysctl -w net.core.somaxconn={BACKLOG}, and the same in /etc/sysctl.d"),
        ),
        Ok(most) => Finding::good(format!("{most} connections may wait at a socket (net.core.somaxconn)")),
        Err(_) => Finding::good("the kernel does not say how many connections may wait at a socket"),
    }
}

async fn front(known: Result<Known, Failure>, config: &Config, running: &Running) -> Vec<Finding> {
    let known = match known {
        Ok(known) => known,
        Err(failure) => {
            let help = "sudo nginx -T | nodesockd doctor --nginx -";
            return vec![Finding::warning(failure.to_string(), help)];
        }
    };
    let mut served = Served::by(config);
    if matches!(running, Running::Daemon(..)) {
        served.keep_alive = workers::keep_alive(config).await.unwrap_or(served.keep_alive);
    }
    let mut findings = compare(&known.site, &served, known.version);
    findings.extend(nginx::not_followed(&known.missing));
    findings
}
