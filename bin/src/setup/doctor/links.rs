//! The links, followed as nginx follows them: does somebody accept behind each of them, and answer?

use std::io;
use std::path::Path;
use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::id::SlotIndex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::render;
use crate::setup::check::Finding;
use crate::view::StatusView;

/// How long a worker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// A request that is about nothing (RFC 9110, 9.3.7). Whatever comes back, an error as well, shows that somebody is there.
const REQUEST: &[u8] = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What was met behind a link.
#[derive(Debug)]
enum Met {
    Answer,
    Silence,
    Nobody(io::Error),
}

/// Follows the link of every slot.
pub(super) async fn look(status: &StatusView, config: &Config) -> Vec<Finding> {
    let served = status.workers.iter().filter_map(|worker| worker.idx);
    let slots: Vec<u32> = served.chain(status.vacant.iter().map(|slot| slot.idx)).collect();
    let mut tries = JoinSet::new();
    for slot in &slots {
        let (slot, path) = (*slot, config.socket_dir.join(config.socket_file.link(SlotIndex(*slot))));
        tries.spawn(async move { (slot, connect(&path).await, path) });
    }
    let mut met = tries.join_all().await;
    met.sort_by_key(|(slot, ..)| *slot);
    let findings: Vec<Finding> =
        met.iter().filter_map(|(slot, met, path)| finding(*slot, met, path, status)).collect();
    if findings.is_empty() && !slots.is_empty() {
        return vec![Finding::good("somebody accepts behind every link")];
    }
    findings
}

async fn connect(path: &Path) -> Met {
    let mut stream = match timeout(ANSWER_LIMIT, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Met::Nobody(error),
        Err(_) => return Met::Silence,
    };
    let asked = async {
        stream.write_all(REQUEST).await?;
        stream.read(&mut [0; 1]).await
    };
    // One that hangs up has at least accepted.
    if timeout(ANSWER_LIMIT, asked).await.is_ok() { Met::Answer } else { Met::Silence }
}

fn finding(slot: u32, met: &Met, path: &Path, status: &StatusView) -> Option<Finding> {
    let shown = render::path(path);
    let worker = status.workers.iter().find(|worker| worker.idx == Some(slot));
    match met {
        Met::Answer => None,
        // It is to hold requests back.
        Met::Silence if worker.is_some_and(|worker| worker.state == "suspended") => None,
        Met::Silence => Some(Finding::bad(
            format!("whoever listens behind {shown} has not answered within {}", render::span(ANSWER_LIMIT)),
            "the worker hangs, or cannot keep up; `nodesockd restart` replaces it",
        )),
        Met::Nobody(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(Finding::warning(
            format!("whether somebody accepts behind {shown} is not known: {error}"),
            "run `nodesockd doctor` as root, or as the daemon's user",
        )),
        Met::Nobody(error) => Some(Finding::bad(
            format!("nobody can be reached through {shown}, so nginx answers with 502: {error}"),
            "`nodesockd restart` makes links and sockets anew; find out who removed them",
        )),
    }
}
