//! `tmpDir`: can it be used and trusted, can nginx reach what is in it?

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nodesockd_core::config::Config;
use nodesockd_os::accounts::Account;
use nodesockd_os::rights::Right;

use super::{Finding, Verdict, may};
use crate::render;

const SETGID: u32 = 0o2000;
const OTHERS_PASS: u32 = 0o001;
const GROUP_PASS: u32 = 0o010;

/// Whether a daemon of `account` can use `tmpDir` and the folder of `socketFile`, and nginx reach what is in that.
pub(super) fn look(config: &Config, account: &Account) -> Vec<Finding> {
    let mut findings = usable(config, account);
    let folder = &config.socket_dir;
    if findings.iter().all(|finding| finding.verdict == Verdict::Good) {
        let found = std::fs::metadata(folder).ok();
        findings.extend(found.map(|metadata| reachable(called(config), folder, &metadata)));
    }
    findings
}

/// Whether a daemon of `account` can use `tmpDir` and the folder of `socketFile`.
pub(crate) fn usable(config: &Config, account: &Account) -> Vec<Finding> {
    let mut findings = vec![one(TMP_DIR, &config.tmp_dir, account)];
    findings.extend(config.separate_socket_dir().map(|folder| one(called(config), &folder, account)));
    findings
}

const TMP_DIR: &str = "`tmpDir`";

/// What the folder of links and sockets is called.
pub(crate) fn called(config: &Config) -> &'static str {
    if config.separate_socket_dir().is_some() { "the folder of `socketFile`" } else { TMP_DIR }
}

fn one(name: &str, folder: &Path, account: &Account) -> Finding {
    let shown = render::path(folder);
    if let Err(reason) = nodesockd_os::tmp_dir_usable(folder, account) {
        let message = format!("{name} {shown} cannot be used: {reason}");
        return Finding { verdict: Verdict::Bad, message, help: None };
    }
    let rights = [Right::Read, Right::Write, Right::Execute];
    if rights.into_iter().all(|right| may(account, folder, right)) {
        Finding::good(format!("{name} {shown} can be written to, and by nobody who should not"))
    } else {
        Finding::bad(
            format!("{name} {shown} cannot be written to by {}", render::word(&account.name)),
            "it should belong to the daemon's user, on a file system that is not read-only",
        )
    }
}

/// nginx, another user, reaches the sockets through the folder's group.
fn reachable(name: &str, folder: &Path, metadata: &Metadata) -> Finding {
    let shown = render::path(folder);
    let (mode, group) = (metadata.mode(), nodesockd_os::accounts::group_name(metadata.gid()));
    if mode & SETGID != 0 && mode & GROUP_PASS != 0 {
        Finding::good(format!("the group {group} of {name} reaches the sockets in it"))
    } else if mode & (GROUP_PASS | OTHERS_PASS) == 0 {
        Finding::warning(
            format!("only its owner can enter {name} {shown}: nginx, run by another user, cannot"),
            format!("chgrp www-data {shown} && chmod u=rwx,g=rsx,o= {shown}, if www-data is nginx's group"),
        )
    } else {
        Finding::warning(
            format!("{name} {shown} does not pass its group on to the sockets in it (no setgid bit)"),
            format!("chgrp www-data {shown} && chmod u=rwx,g=rsx,o= {shown}, if www-data is nginx's group"),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::setup::check::Verdict::{Bad, Good, Warning};

    fn verdicts(mode: u32) -> Vec<Verdict> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let us = Account::current();
        let mut verdicts = vec![one(TMP_DIR, dir.path(), &us).verdict];
        if verdicts == [Good] {
            let metadata = std::fs::metadata(dir.path()).unwrap();
            verdicts.push(reachable(TMP_DIR, dir.path(), &metadata).verdict);
        }
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        verdicts
    }

    #[test]
    fn tmp_dir_is_open_to_nginx_only() {
        assert_eq!(verdicts(0o2750), [Good, Good]);
        assert_eq!(verdicts(0o700), [Good, Warning]);
        assert_eq!(verdicts(0o755), [Good, Warning]);
        assert_eq!(verdicts(0o2777), [Bad]);
    }

    #[test]
    fn tmp_dir_that_is_no_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let us = Account::current();
        assert!(one(TMP_DIR, &dir.path().join("missing"), &us).message.contains("missing"));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(one(TMP_DIR, &dir.path().join("file"), &us).verdict, Bad);
    }
}
