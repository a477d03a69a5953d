//! Sockets: are their paths short enough, is a daemon there already, can accept queues be measured?

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nodesockd_core::config::{Config, MetricsAddress};
use nodesockd_core::id::{BootId, Ids};
use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use tokio::time::timeout;

use super::Finding;
use crate::client::connect;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::view::{self, StatusView};

/// Bytes of a socket's path that the kernel takes (`unix(7)`: `sun_path` holds 108 with its terminator).
const LONGEST: usize = 107;

/// How long a daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let running = ask(config).await;
    let nobody = matches!(running, Running::Nobody);
    let mut findings = vec![lengths(config), running.another(config)];
    findings.extend(port(config).filter(|_| nobody));
    findings.extend(metrics(config, nobody));
    findings.push(queues());
    findings
}

/// The configuration is refused when a path is too long; how much room is left is worth knowing.
pub(crate) fn lengths(config: &Config) -> Finding {
    let worker = Ids::new(BootId(0)).worker();
    let socket = config.socket_dir.join(config.socket_file.socket(worker));
    let longest = [&socket, &config.ipc_file].map(|path| path.as_os_str().as_bytes().len()).into_iter().max();
    Finding::good(format!("socket paths need at most {} of {LONGEST} bytes", longest.unwrap_or(0)))
}

/// Who listens on the control socket.
#[derive(Debug)]
pub(crate) enum Running {
    /// Nobody.
    Nobody,
    /// A daemon: what it says, and its user, as far as the kernel tells.
    Daemon(Box<StatusView>, Option<(u32, u32)>),
    /// Somebody who does not answer as a daemon does, or not us.
    Trouble(Finding),
}

/// Asks whoever listens on the control socket for a daemon's status.
pub(crate) async fn ask(config: &Config) -> Running {
    let shown = render::path(&config.ipc_file);
    let status = async {
        let mut client = connect(&config.ipc_file).await?;
        let answer = client.request(&Request::Status).await?;
        let status: StatusView = answer.as_ref().map_or_else(|| Err(empty()), view::read)?;
        Ok::<_, Failure>((status, client.daemon_user()))
    };
    match timeout(ANSWER_LIMIT, status).await {
        Ok(Ok((status, user))) => Running::Daemon(Box::new(status), user),
        Ok(Err(failure)) if failure.exit == Exit::Unreachable => Running::Nobody,
        Ok(Err(failure)) => Running::Trouble(Finding::warning(
            format!("something is wrong with {shown}: {failure}"),
            failure.help.unwrap_or_else(|| "find out what holds it".into()),
        )),
        Err(_) => Running::Trouble(Finding::warning(
            format!("what listens on {shown} has not answered within {}", render::span(ANSWER_LIMIT)),
            "a daemon that is stopped or stuck? `fuser` names its process",
        )),
    }
}

impl Running {
    /// What it means for another daemon.
    fn another(self, config: &Config) -> Finding {
        match self {
            Self::Nobody => {
                Finding::good(format!("no daemon runs on {} yet", render::path(&config.ipc_file)))
            }
            Self::Daemon(status, _) if status.version.starts_with("2.") => Finding::warning(
                format!(
                    "a daemon of 2.x runs: nodesockd {}, pid {}",
                    escape(&status.version, 40),
                    status.pid
                ),
                "`nodesockd restart --upgrade` puts this version in its place",
            ),
            Self::Daemon(status, _) => Finding::warning(
                format!(
                    "a daemon runs already: nodesockd {}, pid {}",
                    escape(&status.version, 40),
                    status.pid
                ),
                "another one needs an `ipcFile` of its own",
            ),
            Self::Trouble(finding) => finding,
        }
    }
}

/// Whether the dev server gets its port, if there is to be one.
pub(crate) fn port(config: &Config) -> Option<Finding> {
    let address = config.dev_server?;
    let host = address.host.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let shown = if address.host.is_some() { address.to_string() } else { format!("port {address}") };
    Some(match TcpListener::bind((host, address.port)) {
        Ok(_) => Finding::good(format!("{shown} is free for the dev server")),
        Err(error) => Finding::bad(
            format!("the dev server cannot have {shown}: {error}"),
            "give `devServer` another port; `ss -ltnp` shows who has this one",
        ),
    })
}

/// Whether metrics can be served where they are to be, which keeps nobody from running; and who can read them. `free`: no daemon
/// serves them already.
fn metrics(config: &Config, free: bool) -> Vec<Finding> {
    let Some(MetricsAddress::Tcp(address)) = &config.metrics else { return Vec::new() };
    let mut findings = Vec::new();
    if free {
        findings.push(match TcpListener::bind(address) {
            Ok(_) => Finding::good(format!("{address} is free for metrics")),
            Err(error) => Finding::warning(
                format!("metrics cannot be served at {address}: {error}"),
                "set another `metrics`; `ss -ltnp` shows who has this port",
            ),
        });
    }
    if !address.ip().is_loopback() {
        findings.push(Finding::warning(
            format!("metrics are served at {address}, to everybody who reaches it, without a password"),
            "let only Prometheus reach it, by a firewall, or serve them on 127.0.0.1",
        ));
    }
    findings
}

fn empty() -> Failure {
    Failure::new(Exit::Unexpected, "the answer is empty")
}

/// How the daemon finds out that a retiring worker has accepted all that waits.
pub(crate) fn queues() -> Finding {
    let Err(reason) = nodesockd_os::diag_available() else {
        return Finding::good("the kernel tells accept queues (UNIX_DIAG)");
    };
    let message = format!("the kernel does not tell accept queues by UNIX_DIAG: {reason}");
    let help = "load the module `unix_diag`, or let the sandbox allow netlink sockets (a unit's \
                `RestrictAddressFamilies=` needs AF_NETLINK)";
    match nodesockd_os::table_available() {
        Ok(()) => Finding::warning(
            message,
            format!("{help}; without it they are read from /proc/self/net/unix, which is slower"),
        ),
        Err(error) => Finding::bad(
            format!(
                "{message}; nor can /proc/self/net/unix be read: {error}. So retiring workers get half a second to accept \
                 what waits, and restarts may lose requests"
            ),
            format!("{help}, or mount /proc there"),
        ),
    }
}
