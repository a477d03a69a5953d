//! The daemon that runs, and its workers.

use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::id::SlotIndex;
use semver::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::VERSION;
use crate::render;
use crate::setup::check::Finding;
use crate::setup::check::socket::Running;
use crate::view::{self, StatusView, VacantView};

/// How long a worker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of an answer's head that are read.
const HEAD: usize = 16 << 10;

/// How the daemon is.
pub(super) fn look(running: &Running, config: &Config) -> Vec<Finding> {
    match running {
        Running::Nobody => vec![Finding::warning(
            format!("no daemon is running: nobody listens on {}", render::path(&config.ipc_file)),
            "start the service, or `nodesockd daemon`",
        )],
        Running::Trouble(finding) => vec![finding.clone()],
        Running::Daemon(status, _) => {
            let checks = [version(status), slots(status, config), states(status), standby(status)];
            let mut findings: Vec<Finding> = checks.into_iter().flatten().collect();
            if findings.is_empty() {
                findings.push(Finding::good(format!(
                    "nodesockd {} runs, pid {}, and all slots are served",
                    render::word(&status.version),
                    status.pid
                )));
            }
            findings
        }
    }
}

fn version(status: &StatusView) -> Option<Finding> {
    let daemon = Version::parse(&status.version).ok()?;
    let ours = Version::parse(VERSION).ok()?;
    let message = format!("the daemon is nodesockd {daemon}, this command {ours}");
    if daemon < ours {
        Some(Finding::warning(message, "`nodesockd restart --upgrade` replaces the daemon"))
    } else if daemon > ours {
        Some(Finding::warning(message, "use the command that was installed with the daemon"))
    } else {
        None
    }
}

/// `set-workers` holds until the next reload, and so does what a configuration said before.
fn slots(status: &StatusView, config: &Config) -> Option<Finding> {
    let served = status.workers.iter().filter_map(|worker| worker.idx);
    let slots = served.chain(status.vacant.iter().map(|slot| slot.idx)).max().map_or(0, |last| last + 1);
    (slots > 0 && slots != config.workers.get()).then(|| {
        // With `slots`, nginx lists links for any number of workers.
        let nginx = if config.slots.is_some() { "" } else { ", and nginx" };
        Finding::warning(
            format!("the daemon serves {slots} slots, `workers` is {}", config.workers),
            format!("`nodesockd reload` goes by the configuration; or change `workers`{nginx}"),
        )
    })
}

fn states(status: &StatusView) -> Option<Finding> {
    if status.workers.is_empty() && status.vacant.is_empty() {
        return Some(Finding::bad("no workers are running", "`nodesockd start` starts them"));
    }
    let alone = |slot: &&VacantView| slot.served_by.is_none();
    if let Some(slot) = status.vacant.iter().find(alone).or(status.vacant.first()) {
        let reason = render::because(slot.reason.as_deref(), render::SENTENCE);
        let finding = if alone(&slot) { Finding::bad } else { Finding::warning };
        return Some(finding(format!("{}{reason}", slot.words()), "see the app's log"));
    }
    let words = render::suspension(status, view::now())?;
    Some(Finding::warning(format!("the app {words}"), "`nodesockd resume` when the migration is over"))
}

fn standby(status: &StatusView) -> Option<Finding> {
    let standby = status.failing_standby.as_ref()?;
    let reason = render::because(standby.reason.as_deref(), render::SENTENCE);
    Some(Finding::bad(
        format!("standbys keep failing, {} times in a row{reason}", standby.failures),
        "a standby is started suspended: the app must boot without its database; see the app's log",
    ))
}

/// After which a worker closes an idle connection, as it says itself. It is asked by `OPTIONS *`, the request that is
/// about nothing (RFC 9110, 9.3.7); only Node says it.
pub(super) async fn keep_alive(config: &Config) -> Option<Duration> {
    let link = config.socket_dir.join(config.socket_file.link(SlotIndex(0)));
    let asked = async {
        let mut stream = UnixStream::connect(link).await.ok()?;
        stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").await.ok()?;
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        promised(&String::from_utf8_lossy(&head))
    };
    timeout(ANSWER_LIMIT, asked).await.ok()?
}

/// `Keep-Alive: timeout=75`
fn promised(head: &str) -> Option<Duration> {
    let mut headers =
        head.lines().skip(1).take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("keep-alive"))?;
    let timeout = value.split(',').find_map(|part| part.trim().strip_prefix("timeout="))?;
    timeout.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_timeout_is_parsed() {
        let head = "HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\nkeep-alive: timeout=1";
        assert_eq!(promised(head), Some(Duration::from_secs(75)));
        assert_eq!(
            promised("HTTP/1.1 200 OK\r\nkeep-alive: max=3, timeout=5\r\n\r\n"),
            Some(Duration::from_secs(5))
        );
        assert_eq!(promised("HTTP/1.1 200 OK\r\n\r\nKeep-Alive: timeout=75"), None);
    }
}
