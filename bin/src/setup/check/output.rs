//! Files that workers write to, and who may command the daemon: is it possible as configured?

use std::path::Path;

use nodesockd_core::config::{Config, Output};
use nodesockd_os::accounts::{Account, group_id};
use nodesockd_os::rights::Right;

use super::{Finding, may};
use crate::render;

/// Only what is wrong.
pub(crate) fn look(config: &Config, account: &Account) -> Vec<Finding> {
    let outputs = [("stdout", &config.options.stdout), ("stderr", &config.options.stderr)];
    let files = outputs.into_iter().filter_map(|(key, output)| match output {
        Output::File(path) => Some((format!("options.{key}"), path.clone())),
        Output::Inherit | Output::Discard => None,
    });
    let logged = config.log.as_ref().map(|log| ("log.dir".to_owned(), log.file()));
    let files = files.chain(logged);
    let mut findings: Vec<Finding> = files.filter_map(|(key, path)| log(&key, &path, account)).collect();
    findings.extend(config.log.as_ref().and_then(|log| rotation(&log.dir, account)));
    // stderr follows stdout.
    findings.dedup_by(|one, other| one.help == other.help);
    findings.extend(config.options.ipc_group.as_deref().and_then(group));
    findings
}

fn log(key: &str, file: &Path, account: &Account) -> Option<Finding> {
    let (shown, user) = (render::path(file), render::word(&account.name));
    let folder = file.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        return Some(Finding::bad(
            format!("workers cannot write to `{key}` {shown}: its folder does not exist"),
            format!("mkdir -p {0} && chown {user} {0}", render::path(folder)),
        ));
    }
    let writable = if file.exists() {
        may(account, file, Right::Write)
    } else {
        may(account, folder, Right::Write) && may(account, folder, Right::Execute)
    };
    (!writable).then(|| {
        Finding::bad(
            format!("{user} may not write to `{key}` {shown}"),
            format!("give {user} the permission, or name another file"),
        )
    })
}

/// Files of the log get other names.
fn rotation(folder: &Path, account: &Account) -> Option<Finding> {
    let may = may(account, folder, Right::Write) && may(account, folder, Right::Execute);
    (folder.is_dir() && !may).then(|| {
        let user = render::word(&account.name);
        Finding::bad(
            format!("{user} may not rotate the log in `log.dir` {}", render::path(folder)),
            format!("chown {user} {}", render::path(folder)),
        )
    })
}

fn group(name: &str) -> Option<Finding> {
    match group_id(name) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Finding::bad(
            format!("`options.ipcGroup`: there is no group `{}`", render::word(name)),
            format!("groupadd --system {}, or name another one", render::word(name)),
        )),
        Err(error) => Some(Finding::warning(
            format!("`options.ipcGroup` cannot be looked up: {error}"),
            "is /etc/group readable?",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::check::Verdict;

    #[test]
    fn log_needs_a_writable_folder() {
        let dir = tempfile::tempdir().unwrap();
        let us = Account::current();
        assert_eq!(log("options.stdout", &dir.path().join("shop.log"), &us), None);
        let missing = log("options.stdout", &dir.path().join("log/shop.log"), &us).unwrap();
        assert!(missing.message.contains("its folder does not exist"), "{missing:?}");
        let stranger = Account { name: "eve".into(), uid: 3_999_999, gid: 3_999_999, groups: Vec::new() };
        let closed = log("options.stderr", &dir.path().join("shop.log"), &stranger).unwrap();
        assert!(closed.message.starts_with("eve may not write to `options.stderr`"), "{closed:?}");
    }

    #[test]
    fn unknown_group_is_found() {
        assert_eq!(group("root"), None);
        assert_eq!(group("no-such-group").unwrap().verdict, Verdict::Bad);
    }
}
