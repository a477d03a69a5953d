//! What is in `tmpDir` that nobody uses, or in the way.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nodesockd_core::config::{Config, Named};

use crate::render;
use crate::setup::check::Finding;

/// What the files in `tmpDir` tell; `running` is whether there is a daemon.
pub(super) fn look(config: &Config, running: bool) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(&config.tmp_dir) else { return Vec::new() };
    let (mut dead, mut alive, mut findings) = (Vec::new(), 0, Vec::new());
    for entry in entries.flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let named = entry.file_name().to_str().and_then(|name| config.socket_file.matches(name));
        if let Some(named) = named
            && !fits(named, kind)
        {
            findings.push(in_the_way(&path));
        } else if kind.is_socket() || named.is_some() {
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

fn fits(named: Named, kind: FileType) -> bool {
    match named {
        Named::Link(_) | Named::TemporaryLink => kind.is_symlink(),
        Named::Socket(_) => kind.is_socket(),
    }
}

fn in_the_way(path: &Path) -> Finding {
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
