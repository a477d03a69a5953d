//! What another user may do with a file, found out without being that user: by owner, group, mode and access control
//! list, as the kernel would decide (`path_resolution(7)`, `acl(5)`).

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::machine::accounts::Account;

/// Symlinks that the kernel follows on the way to a file.
const MOST_LINKS: u32 = 40;

/// What one may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read it.
    Read = 4,
    /// Write to it; for a socket, connect to it; for a folder, create and remove files in it.
    Write = 2,
    /// Execute it; for a folder, reach what is in it.
    Execute = 1,
}

/// Why a user does not get to a file.
#[derive(Debug)]
pub enum Obstacle {
    /// A folder on the way, or the file itself, is closed to the user.
    Closed {
        /// Which.
        path: PathBuf,
        /// Its mode, owner and group.
        found: Box<Metadata>,
    },
    /// We cannot tell: the file is not there, or closed to ourselves.
    Unknown {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Whether `account` can reach `path`, all symlinks followed, and has `right` to what it finds there.
///
/// # Errors
///
/// The first obstacle on the way.
pub fn reaches(account: &Account, path: &Path, right: Right) -> Result<(), Obstacle> {
    let mut parts = components(path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        permitted(account, &at, Right::Execute)?;
        let next = at.join(&part);
        let unknown = |error| Obstacle::Unknown { path: next.clone(), error };
        let found = fs::symlink_metadata(&next).map_err(unknown)?;
        if !found.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(unknown(io::Error::other("too many symlinks")));
        }
        let target = fs::read_link(&next).map_err(unknown)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for part in components(&target).into_iter().rev() {
            parts.push_front(part);
        }
    }
    permitted(account, &at, right)
}

/// Whether a folder has an access control list for what is created in it: then modes and groups do not tell everything.
#[must_use]
pub fn has_default_list(folder: &Path) -> bool {
    attribute(folder, "system.posix_acl_default").is_some()
}

fn components(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

fn permitted(account: &Account, path: &Path, right: Right) -> Result<(), Obstacle> {
    let unknown = |error| Obstacle::Unknown { path: path.to_owned(), error };
    let found = fs::metadata(path).map_err(unknown)?;
    let list = acl(path).unwrap_or_default();
    if may(account, (found.uid(), found.gid(), found.mode()), &list, right) {
        Ok(())
    } else {
        Err(Obstacle::Closed { path: path.to_owned(), found: Box::new(found) })
    }
}

/// One entry of an access control list: kind, rights, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    kind: u16,
    rights: u32,
    id: u32,
}

const USER: u16 = 0x02;
const OWN_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// Decides by the first that fits: owner, named user, any of the groups, others. Root may do everything.
fn may(account: &Account, (owner, group, mode): (u32, u32, u32), list: &[Entry], right: Right) -> bool {
    let wanted = right as u32;
    if account.is_root() {
        return true;
    }
    if account.uid == owner {
        return mode >> 6 & wanted != 0;
    }
    let mask = list.iter().find(|entry| entry.kind == MASK).map_or(7, |entry| entry.rights);
    let grants = |entry: &Entry| entry.rights & mask & wanted != 0;
    if let Some(entry) = list.iter().find(|entry| entry.kind == USER && entry.id == account.uid) {
        return grants(entry);
    }
    let ours = |gid: u32| account.gid == gid || account.groups.contains(&gid);
    // With a list, the mode's middle part is the mask.
    let plain = Entry { kind: OWN_GROUP, rights: mode >> 3 & 7, id: group };
    let entries = if list.is_empty() { std::slice::from_ref(&plain) } else { list };
    let of_groups = entries.iter().filter(|entry| match entry.kind {
        OWN_GROUP => ours(group),
        GROUP => ours(entry.id),
        _ => false,
    });
    let mut fitting = of_groups.peekable();
    if fitting.peek().is_some() {
        return fitting.any(grants);
    }
    mode & wanted != 0
}

/// The access control list of a file; `None` if it has none. An extended attribute: a version, then entries of kind,
/// rights and id, in little endian.
fn acl(path: &Path) -> Option<Vec<Entry>> {
    let bytes = attribute(path, "system.posix_acl_access")?;
    let (version, entries) = bytes.split_at_checked(4)?;
    let (entries, _) = entries.as_chunks::<8>();
    (version == 2u32.to_le_bytes()).then(|| {
        let entry = |[k0, k1, r0, r1, id @ ..]: &[u8; 8]| Entry {
            kind: u16::from_le_bytes([*k0, *k1]),
            rights: u16::from_le_bytes([*r0, *r1]).into(),
            id: u32::from_le_bytes(*id),
        };
        entries.iter().map(entry).collect()
    })
}

#[cfg(target_os = "linux")]
fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let length = rustix::fs::getxattr(path, name, bytes.as_mut_slice()).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(not(target_os = "linux"))]
fn attribute(_: &Path, _: &str) -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn account(uid: u32, groups: &[u32]) -> Account {
        Account { name: String::new(), uid, gid: groups[0], groups: groups.to_vec() }
    }

    #[test]
    fn first_matching_class_decides() {
        let file = (1, 10, 0o574);
        let rights = |account: &Account| {
            [Right::Read, Right::Write, Right::Execute].map(|right| may(account, file, &[], right))
        };
        assert_eq!(rights(&account(1, &[10])), [true, false, true], "the owner, though its group may more");
        assert_eq!(rights(&account(2, &[9, 10])), [true, true, true], "a group");
        assert_eq!(rights(&account(2, &[9])), [true, false, false], "others");
        assert_eq!(rights(&account(0, &[0])), [true; 3], "root");
    }

    #[test]
    fn acl_entries_are_limited_by_the_mask() {
        let entry = |kind, rights, id| Entry { kind, rights, id };
        let list = [entry(USER, 7, 5), entry(OWN_GROUP, 0, 0), entry(GROUP, 4, 20), entry(MASK, 5, 0)];
        let rights = |account: &Account| {
            [Right::Read, Right::Write, Right::Execute]
                .map(|right| may(account, (1, 10, 0o657), &list, right))
        };
        assert_eq!(rights(&account(5, &[9])), [true, false, true]);
        assert_eq!(rights(&account(6, &[20])), [true, false, false]);
        assert_eq!(rights(&account(6, &[10])), [false; 3]);
        assert_eq!(rights(&account(6, &[9])), [true; 3], "others are not masked");
    }

    #[test]
    fn reaches_checks_every_folder_and_symlink() {
        let base = tempfile::tempdir().unwrap();
        let (open, closed) = (base.path().join("open"), base.path().join("closed"));
        for folder in [base.path(), &open, &closed] {
            fs::create_dir_all(folder).unwrap();
            fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
        }
        fs::write(closed.join("file"), "").unwrap();
        fs::set_permissions(closed.join("file"), PermissionsExt::from_mode(0o644)).unwrap();
        symlink("../closed/file", open.join("link")).unwrap();
        let nobody = account(65_534, &[65_534]);
        let blocked = |right| match reaches(&nobody, &open.join("link"), right) {
            Ok(()) => None,
            Err(Obstacle::Closed { path, .. } | Obstacle::Unknown { path, .. }) => Some(path),
        };
        assert_eq!(blocked(Right::Read), None);
        assert_eq!(blocked(Right::Write), Some(closed.join("file")));
        fs::set_permissions(&closed, PermissionsExt::from_mode(0o750)).unwrap();
        assert_eq!(blocked(Right::Read), Some(closed.clone()));
        symlink("circle", open.join("circle")).unwrap();
        assert!(matches!(reaches(&nobody, &open.join("circle"), Right::Read), Err(Obstacle::Unknown { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn acl_is_parsed_from_the_kernels_format() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(acl(file.path()), None);
        let mut bytes = 2u32.to_le_bytes().to_vec();
        let entries = [
            (1, 6, u32::MAX),
            (USER, 4, 33),
            (OWN_GROUP, 0, u32::MAX),
            (MASK, 4, u32::MAX),
            (0x20, 0, u32::MAX),
        ];
        for (kind, rights, id) in entries {
            bytes.extend(u16::to_le_bytes(kind));
            bytes.extend(u16::to_le_bytes(rights));
            bytes.extend(u32::to_le_bytes(id));
        }
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::setxattr(file.path(), "system.posix_acl_access", &bytes, flags).is_err() {
            return; // a file system without such lists
        }
        assert_eq!(acl(file.path()).unwrap()[1], Entry { kind: USER, rights: 4, id: 33 });
        let nobody = |uid| account(uid, &[65_534]);
        assert!(permitted(&nobody(33), file.path(), Right::Read).is_ok());
        assert!(permitted(&nobody(34), file.path(), Right::Read).is_err());
    }
}
