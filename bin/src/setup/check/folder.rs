//! `tmpDir`: can it be used and trusted, can nginx reach what is in it?

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nodesockd_os::accounts::Account;
use nodesockd_os::rights::Right;

use super::{Finding, Verdict, may};
use crate::render;

const SETGID: u32 = 0o2000;
const OTHERS_PASS: u32 = 0o001;
const GROUP_PASS: u32 = 0o010;

/// Whether a daemon of `account` can use it, and nginx reach what is in it.
pub(super) fn look(folder: &Path, account: &Account) -> Vec<Finding> {
    let mut findings = usable(folder, account);
    if findings.iter().all(|finding| finding.verdict == Verdict::Good) {
        findings.extend(std::fs::metadata(folder).ok().map(|metadata| reachable(folder, &metadata)));
    }
    findings
}

/// Whether a daemon of `account` can use it.
pub(crate) fn usable(folder: &Path, account: &Account) -> Vec<Finding> {
    let shown = render::path(folder);
    if let Err(reason) = nodesockd_os::tmp_dir_usable(folder, account) {
        let message = format!("`tmpDir` {shown} cannot be used: {reason}");
        return vec![Finding { verdict: Verdict::Bad, message, help: None }];
    }
    let rights = [Right::Read, Right::Write, Right::Execute];
    vec![if rights.into_iter().all(|right| may(account, folder, right)) {
        Finding::good(format!("`tmpDir` {shown} can be written to, and by nobody who should not"))
    } else {
        Finding::bad(
            format!("`tmpDir` {shown} cannot be written to by {}", render::word(&account.name)),
            "it should belong to the daemon's user, on a file system that is not read-only",
        )
    }]
}

/// nginx, another user, reaches the sockets through the folder's group.
fn reachable(folder: &Path, metadata: &Metadata) -> Finding {
    let shown = render::path(folder);
    let (mode, group) = (metadata.mode(), nodesockd_os::accounts::group_name(metadata.gid()));
    if mode & SETGID != 0 && mode & GROUP_PASS != 0 {
        Finding::good(format!("the group {group} of `tmpDir` reaches the sockets in it"))
    } else if mode & (GROUP_PASS | OTHERS_PASS) == 0 {
        Finding::warning(
            format!("only its owner can enter `tmpDir` {shown}: nginx, run by another user, cannot"),
            format!("chgrp www-data {shown} && chmod u=rwx,g=rsx,o= {shown}, if www-data is nginx's group"),
        )
    } else {
        Finding::warning(
            format!("`tmpDir` {shown} does not pass its group on to the sockets in it (no setgid bit)"),
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
        let verdicts = look(dir.path(), &Account::current()).iter().map(|finding| finding.verdict).collect();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        verdicts
    }

    #[test]
    fn the_folder_is_private_but_for_nginx() {
        assert_eq!(verdicts(0o2750), [Good, Good]);
        assert_eq!(verdicts(0o700), [Good, Warning]);
        assert_eq!(verdicts(0o755), [Good, Warning]);
        assert_eq!(verdicts(0o2777), [Bad]);
    }

    #[test]
    fn what_is_no_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(look(&dir.path().join("missing"), &Account::current())[0].message.contains("missing"));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(look(&dir.path().join("file"), &Account::current())[0].verdict, Bad);
    }
}
