//! Making `tmpDir` so that the daemon, its workers and nginx all get along in it.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use nodesockd_os::accounts::{Account, group_name};

use crate::render;
use crate::setup::check::Finding;

/// All for the daemon, the way in for nginx's group, the same group for what is created in it.
const MODE: u32 = 0o2750;

/// Whom the app in `folder` belongs to: whoever runs this, or for root the folder's owner.
pub(super) fn owner(folder: &Path) -> Account {
    let us = Account::current();
    match std::fs::metadata(folder) {
        Ok(found) if us.is_root() => Account::numbered(found.uid(), found.gid()),
        Ok(_) | Err(_) => us,
    }
}

/// Makes the folder for `owner` and nginx, or says which commands do. Leaves one that is there as it is.
pub(super) fn make(folder: &Path, owner: &Account, nginx: Option<&Account>) -> Finding {
    let shown = render::path(folder);
    let group = nginx.map_or(owner.gid, |nginx| nginx.gid);
    let (user, named) = (render::word(&owner.name), group_name(group));
    if let Err(error) = create(folder, owner) {
        if error.kind() == ErrorKind::AlreadyExists {
            return Finding::good(format!("`tmpDir` {shown} is there already"));
        }
        return Finding::warning(
            format!("`tmpDir` {shown} could not be made: {error}"),
            format!("sudo install -d -m 2750 -o {user} -g {named} {shown}"),
        );
    }
    // Whoever is in the group may give a folder to it; a change of owner or group takes the setgid bit away.
    let given = chown(folder, Some(owner.uid), Some(group));
    let set = std::fs::set_permissions(folder, PermissionsExt::from_mode(MODE));
    match given.and(set) {
        Ok(()) if nginx.is_some() => {
            Finding::good(format!("made `tmpDir` {shown}: mode 2750, of {user}, for nginx's group {named}"))
        }
        Ok(()) => Finding::warning(
            format!(
                "made `tmpDir` {shown}: mode 2750, of {user}; nginx's group is not known, as there is no nginx here"
            ),
            format!("once nginx is installed: sudo chown {user}:www-data {shown} && sudo chmod 2750 {shown}"),
        ),
        Err(_) => Finding::warning(
            format!("made `tmpDir` {shown}, but only root may give it to nginx's group {named}"),
            format!("sudo chown {user}:{named} {shown} && sudo chmod 2750 {shown}"),
        ),
    }
}

/// Creates it, closed to everybody else at first, and the folders above it.
fn create(folder: &Path, owner: &Account) -> io::Result<()> {
    if let Some(above) = folder.parent().filter(|above| !above.exists()) {
        std::fs::create_dir_all(above)?;
        chown(above, Some(owner.uid), Some(owner.gid))?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(folder)
}
