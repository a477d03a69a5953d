//! Groups by name.
//!
//! Not by the C library's `getgrnam`: in a statically linked program that loads whatever modules the system's
//! `nsswitch.conf` lists, which work with the very glibc they were built for and no other. For a name that is not in
//! `/etc/group`, that was a segmentation fault.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

/// The id of a group; `None` if there is none of this name.
///
/// Groups of a directory (LDAP, sssd, systemd) are asked for with `getent(1)`, where that is installed.
///
/// # Errors
///
/// `/etc/group` cannot be read, or `getent` not be run.
pub(crate) fn group_id(name: &str) -> io::Result<Option<u32>> {
    match find(&fs::read_to_string("/etc/group")?, name) {
        Some(id) => Ok(Some(id)),
        None => ask(name),
    }
}

fn ask(name: &str) -> io::Result<Option<u32>> {
    let asked = Command::new("getent").args(["--", "group", name]).stdin(Stdio::null()).output();
    match asked {
        Ok(answer) => Ok(find(&String::from_utf8_lossy(&answer.stdout), name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let lines =
            "root:x:0:\nshop-admin:x:12:eve\n# shop:x:1:\nshop:x:1001:ann,bob\nbroken:x\nodd:x:many:\n";
        assert_eq!(find(lines, "shop"), Some(1001));
        assert_eq!(find(lines, "shop-admin"), Some(12));
        for none in ["", "sho", "ann", "broken", "odd"] {
            assert_eq!(find(lines, none), None, "{none}");
        }
    }

    #[test]
    fn what_is_not_in_the_file_is_asked_for() {
        assert_eq!(ask("root").unwrap(), Some(0));
        for none in ["no-such-group", "", "--help", "x:y", "line\nbreak"] {
            assert_eq!(group_id(none).unwrap(), None, "{none}");
        }
    }
}
