//! Users and groups, by name and by number.
//!
//! Not by the C library's `getpwnam` and its kin: in a statically linked program those load whatever modules the system's
//! `nsswitch.conf` lists, which work with the very glibc they were built for and no other. For a name that is not in
//! `/etc/group`, that was a segmentation fault.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid, getgroups};

/// A user with all that gives rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name; its number where it has none.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// All its groups, its own included.
    pub groups: Vec<u32>,
}

impl Account {
    /// The user of this name; `None` if there is none, or the system does not tell.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (uid, gid) = lookup("passwd", name, |lines| user(lines, name))?;
        Some(Self { name: name.to_owned(), uid, gid, groups: groups_of(name, gid) })
    }

    /// The user of this number. One that has no name has no groups but `gid`.
    #[must_use]
    pub fn numbered(uid: u32, gid: u32) -> Self {
        let name = name_of(uid);
        name.and_then(|name| Self::named(&name)).unwrap_or_else(|| Self {
            name: uid.to_string(),
            uid,
            gid,
            groups: vec![gid],
        })
    }

    /// Whom this process acts for.
    #[must_use]
    pub fn current() -> Self {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let mut groups: Vec<u32> =
            getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
        groups.push(gid);
        Self { name: name_of(uid).unwrap_or_else(|| uid.to_string()), uid, gid, groups }
    }

    /// Whether it is root, to whom nothing is forbidden.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// The id of a group; `None` if there is none of this name.
///
/// Groups of a directory (LDAP, sssd, systemd) are asked for with `getent(1)`, where that is installed.
///
/// # Errors
///
/// `/etc/group` cannot be read, or `getent` not be run.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    match find(&fs::read_to_string("/etc/group")?, name) {
        Some(id) => Ok(Some(id)),
        None => Ok(find(&ask("group", name)?, name)),
    }
}

/// The name of a group, or its number if it has none.
#[must_use]
pub fn group_name(id: u32) -> String {
    let number = id.to_string();
    let name = |lines: &str| {
        lines.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.get(2) == Some(&number.as_str())).then(|| fields[0].to_owned())
        })
    };
    lookup("group", &number, name).unwrap_or(number)
}

fn name_of(uid: u32) -> Option<String> {
    let number = uid.to_string();
    let name = |lines: &str| {
        let line = lines.lines().find(|line| line.split(':').nth(2) == Some(&number))?;
        line.split(':').next().map(str::to_owned)
    };
    lookup("passwd", &number, name)
}

/// What `found` sees in `/etc/DATABASE`, else in what `getent` says of `key`.
fn lookup<T>(database: &str, key: &str, found: impl Fn(&str) -> Option<T>) -> Option<T> {
    let file = fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    found(&file).or_else(|| found(&ask(database, key).ok()?))
}

/// All groups of a user.
fn groups_of(name: &str, gid: u32) -> Vec<u32> {
    let file = fs::read_to_string("/etc/group").unwrap_or_default();
    let asked = ask("initgroups", name).unwrap_or_default();
    let asked = asked.split_whitespace().skip(1).filter_map(|id| id.parse().ok());
    let mut groups: Vec<u32> = std::iter::once(gid).chain(memberships(&file, name)).chain(asked).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// What `getent(1)` says; nothing where it is not installed.
fn ask(database: &str, key: &str) -> io::Result<String> {
    let asked = Command::new("getent").args(["--", database, key]).stdin(Stdio::null()).output();
    match asked {
        Ok(answer) => Ok(String::from_utf8_lossy(&answer.stdout).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Looks through lines of `group(5)`: name, password, id, members.
fn find(lines: &str, name: &str) -> Option<u32> {
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

/// Looks through lines of `passwd(5)`: name, password, user id, group id, and more.
fn user(lines: &str, name: &str) -> Option<(u32, u32)> {
    lines.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [found, _, uid, gid, ..] = fields.as_slice() else { return None };
        if *found == name { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
    })
}

/// The groups of `group(5)` that have this member.
fn memberships(lines: &str, name: &str) -> Vec<u32> {
    let member = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, id, members] = fields.as_slice() else { return None };
        members.split(',').any(|member| member == name).then(|| id.parse().ok())?
    };
    lines.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_found_by_full_name_only() {
        let lines =
            "root:x:0:\nshop-admin:x:12:eve\n# shop:x:1:\nshop:x:1001:ann,bob\nbroken:x\nodd:x:many:\n";
        assert_eq!(find(lines, "shop"), Some(1001));
        assert_eq!(find(lines, "shop-admin"), Some(12));
        for none in ["", "sho", "ann", "broken", "odd"] {
            assert_eq!(find(lines, none), None, "{none}");
        }
    }

    #[test]
    fn group_absent_from_file_is_asked_of_getent() {
        assert_eq!(find(&ask("group", "root").unwrap(), "root"), Some(0));
        for none in ["no-such-group", "", "--help", "x:y", "line\nbreak"] {
            assert_eq!(group_id(none).unwrap(), None, "{none}");
        }
    }
    #[test]
    fn account_includes_supplementary_groups() {
        let lines = "root:x:0:0:root:/root:/bin/sh\nshop:x:1001:1002::/:/bin/false\n";
        assert_eq!(user(lines, "shop"), Some((1001, 1002)));
        assert_eq!(memberships("a:x:1:shop\nb:x:2:x,shop,y\nc:x:3:shopper\nd:x:4:\n", "shop"), [1, 2]);
        let root = Account::named("root").unwrap();
        assert!(root.is_root() && root.groups.contains(&0), "{root:?}");
        assert_eq!((Account::numbered(0, 0), group_name(0).as_str()), (root, "root"));
        let stranger = Account::numbered(3_999_999, 7);
        assert_eq!((stranger.name.as_str(), stranger.groups), ("3999999", vec![7]));
        assert_eq!((Account::named("no-such-user"), group_name(3_999_999)), (None, "3999999".to_owned()));
    }
}
