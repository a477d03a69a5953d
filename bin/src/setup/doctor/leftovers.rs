//! What is in `tmpDir` that nobody uses, or in the way.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nodesockd_core::config::{Config, Named};

use crate::render;
use crate::setup::check::Finding;

/// What the files in `tmpDir` tell; `running` is whether there is a daemon.
pub(super) fn look(config: &Config, running: bool) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(&config.socket_dir) else { return Vec::new() };
    let (mut dead, mut alive) = (Vec::new(), 0);
    let mut findings = in_the_way(config);
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let named = entry.file_name().to_str().and_then(|name| config.socket_file.matches(name));
        let blocked = named.is_some_and(|named| !fits(named, kind));
        if !blocked && (kind.is_socket() || named.is_some()) {
            match nodesockd_os::listens(&path) {
                Ok(true) => alive += u32::from(matches!(named, Some(Named::Socket(_)))),
                Ok(false) => dead.push(path),
                Err(_) => {}
            }
        }
    }
    dead.sort();
    findings.extend(dead.first().map(|first| stale(first, dead.len(), running)));
    if alive > 0 && !running {
        findings.push(Finding::warning(
            format!(
                "no daemon runs, but {alive} {} do: nobody replaces them if they die",
                count(alive, "worker")
            ),
            "start the daemon: it takes them over as they are",
        ));
    }
    findings
}

/// What has the name of a link or socket and is none: a slot that it is for stays without a link.
pub(crate) fn in_the_way(config: &Config) -> Vec<Finding> {
    let entries = std::fs::read_dir(&config.socket_dir).into_iter().flatten().flatten();
    let in_the_way = entries.filter_map(|entry| {
        let named = config.socket_file.matches(entry.file_name().to_str()?)?;
        (!fits(named, entry.file_type().ok()?)).then(|| blocked(&entry.path()))
    });
    let control = std::fs::symlink_metadata(&config.ipc_file).ok();
    let control = control.filter(|found| !found.file_type().is_socket()).map(|_| blocked(&config.ipc_file));
    in_the_way.chain(control).collect()
}

fn fits(named: Named, kind: FileType) -> bool {
    match named {
        Named::Link(_) | Named::TemporaryLink => kind.is_symlink(),
        Named::Socket(_) => kind.is_socket(),
    }
}

fn blocked(path: &Path) -> Finding {
    let shown = render::path(path);
    Finding::bad(
        format!("{shown} is in the way: it is none of nodesockd's, but has the name of one"),
        format!("rm {shown}"),
    )
}

fn stale(first: &Path, total: usize, running: bool) -> Finding {
    let more = if total > 1 { format!(" and {} more in `tmpDir`", total - 1) } else { String::new() };
    let help = if running {
        "remove what no worker uses"
    } else {
        "the next daemon removes what was an earlier one's"
    };
    Finding::warning(format!("nobody listens on {}{more}", render::path(first)), help)
}

fn count(number: u32, noun: &str) -> String {
    if number == 1 { noun.to_owned() } else { format!("{noun}s") }
}
