//! The folder of links and sockets as nginx sees it: who nginx is, and what it may.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nodesockd_core::config::Config;
use nodesockd_core::id::SlotIndex;
use nodesockd_os::accounts::{Account, group_id, group_name};
use nodesockd_os::rights::{Obstacle, Right, has_default_list, reaches};

use crate::render;
use crate::setup::check::Finding;
use crate::setup::check::folder::called;
use crate::setup::nginx::{Installed, Site};

const SETGID: u32 = 0o2000;

/// Whom packages of nginx run it as.
const USUAL: [&str; 5] = ["www-data", "nginx", "_www", "http", "nobody"];

/// The user of nginx's workers: what its configuration says, else what it was built for, else who usually is.
pub(crate) fn nginx_account(site: Option<&Site>, installed: Option<&Installed>) -> Option<Account> {
    if let Some((user, group)) = site.and_then(|site| site.user.as_ref()) {
        let mut account = Account::named(user)?;
        // nginx takes the group of the user's name, and tells initgroups(3) that one instead of the user's own.
        if let Ok(Some(group)) = group_id(group.as_deref().unwrap_or(user)) {
            account.groups.retain(|known| *known != account.gid);
            account.groups.push(group);
            account.gid = group;
        }
        return Some(account);
    }
    let built_for = installed.and_then(|nginx| nginx.built_for.as_deref());
    built_for.into_iter().chain(USUAL).find_map(Account::named)
}

/// Whether nginx gets to the sockets that there are, and to those to come.
pub(crate) fn look(config: &Config, daemon: &Account, nginx: &Account) -> Vec<Finding> {
    let folder = &config.socket_dir;
    if let Err(obstacle) = reaches(nginx, folder, Right::Execute) {
        return vec![closed(obstacle, config, daemon, nginx)];
    }
    let mut findings: Vec<Finding> = std::fs::metadata(folder)
        .ok()
        .and_then(|found| passes_on(config, &found, daemon, nginx))
        .into_iter()
        .collect();
    if findings.is_empty() {
        findings.extend((0..config.links().get()).find_map(|slot| socket(config, slot, nginx)));
    }
    if findings.is_empty() {
        let (nginx, shown) = (render::word(&nginx.name), render::path(folder));
        findings.push(Finding::good(format!("nginx, run by {nginx}, reaches the sockets in {shown}")));
    }
    findings
}

fn closed(obstacle: Obstacle, config: &Config, daemon: &Account, nginx: &Account) -> Finding {
    let (user, folder, called) = (render::word(&nginx.name), &config.socket_dir, called(config));
    match obstacle {
        Obstacle::Unknown { path, error } => Finding::warning(
            format!("whether nginx gets through {} is not known: {error}", render::path(&path)),
            "run `nodesockd doctor` as root",
        ),
        Obstacle::Closed { path, found } if is_same(&path, folder) => Finding::bad(
            format!(
                "nginx, run by {user}, may not enter {called} {}, {}",
                render::path(folder),
                rights(&found)
            ),
            repair(folder, daemon, nginx),
        ),
        Obstacle::Closed { path, found } => Finding::bad(
            format!(
                "nginx, run by {user}, may not pass through {}, {}, on the way to {called}",
                render::path(&path),
                rights(&found)
            ),
            format!("chmod o+x {}, or another folder, such as one in /run", render::path(&path)),
        ),
    }
}

/// Sockets are made by the daemon's user with umask 007, in the folder's group if it has the setgid bit.
fn passes_on(config: &Config, found: &Metadata, daemon: &Account, nginx: &Account) -> Option<Finding> {
    let (folder, called) = (&config.socket_dir, called(config));
    let setgid = found.mode() & SETGID != 0;
    let group = if setgid { found.gid() } else { daemon.gid };
    let theirs = |gid: u32| nginx.gid == gid || nginx.groups.contains(&gid);
    if nginx.is_root() || nginx.uid == daemon.uid || theirs(group) || has_default_list(folder) {
        return None;
    }
    let (shown, user) = (render::path(folder), render::word(&nginx.name));
    let sockets = format!(
        "sockets in it belong to the group {}, and nginx, run by {user}, may not connect",
        group_name(group)
    );
    Some(if theirs(found.gid()) {
        Finding::bad(format!("{called} {shown} has no setgid bit: {sockets}"), format!("chmod g+s {shown}"))
    } else {
        Finding::bad(
            format!(
                "the group {} of {called} {shown} is none of nginx's: {sockets}",
                group_name(found.gid())
            ),
            repair(folder, daemon, nginx),
        )
    })
}

/// A socket that is there and closed to nginx: the worker has changed it, or the folder was different then.
fn socket(config: &Config, slot: u32, nginx: &Account) -> Option<Finding> {
    let link = config.socket_dir.join(config.socket_file.link(SlotIndex(slot)));
    match reaches(nginx, &link, Right::Write) {
        Err(Obstacle::Closed { found, .. }) => Some(Finding::bad(
            format!(
                "nginx, run by {}, may not connect to the socket of slot {slot}, {}",
                render::word(&nginx.name),
                rights(&found)
            ),
            "does the app change its umask, or the socket's mode? otherwise `nodesockd restart` makes new ones",
        )),
        Ok(()) | Err(Obstacle::Unknown { .. }) => None,
    }
}

fn rights(found: &Metadata) -> String {
    let owner = Account::numbered(found.uid(), found.gid()).name;
    format!("mode {:o} of {}:{}", found.mode() & 0o7777, render::word(&owner), group_name(found.gid()))
}

fn repair(folder: &Path, daemon: &Account, nginx: &Account) -> String {
    let (shown, owner, group) = (render::path(folder), render::word(&daemon.name), group_name(nginx.gid));
    format!("chown {owner}:{group} {shown} && chmod 2750 {shown}")
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || std::fs::canonicalize(other).is_ok_and(|other| other == one)
}
