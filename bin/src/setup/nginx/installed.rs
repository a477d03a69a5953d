//! The nginx of this machine, asked for its configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodesockd_os::accounts::Account;
use nodesockd_os::rights::Right;
use tokio::process::Command;

use super::Version;
use crate::setup::check::may;
use crate::setup::external::{Answer, ask, find};

/// Where nginx is when `PATH` is a person's, not root's.
const FOLDERS: [&str; 6] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/sbin",
    "/usr/local/nginx/sbin",
    "/usr/local/openresty/nginx/sbin",
    "/opt/homebrew/bin",
];

/// How long nginx may take: it looks up the names of its upstreams before it answers.
const NGINX_LIMIT: Duration = Duration::from_secs(30);

/// An nginx that can be run.
#[derive(Debug, Clone)]
pub struct Installed {
    path: PathBuf,
    /// Its version, if it says one.
    pub version: Option<Version>,
    /// The user that it was built to run its workers as.
    pub built_for: Option<String>,
}

impl Installed {
    /// The one in `PATH`, or where it is usually installed.
    pub async fn find() -> Option<Self> {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(OsString::from(format!(":{}", FOLDERS.join(":"))));
        let path =
            find("nginx", &path, Path::new("/"), |path| may(&Account::current(), path, Right::Execute))?;
        let about = ask(Command::new(&path).arg("-V"), NGINX_LIMIT).await.ok()?.stderr;
        Some(Self { path, version: version(&about), built_for: built_for(&about) })
    }

    /// What `nginx -T` prints.
    ///
    /// # Errors
    ///
    /// Why it does not, in its words.
    pub async fn configuration(&self) -> Result<String, String> {
        let Answer { status, stdout, stderr } = ask(Command::new(&self.path).arg("-T"), NGINX_LIMIT).await?;
        if status.success() {
            return Ok(stdout);
        }
        let said =
            stderr.lines().rev().find(|line| line.contains("[emerg]")).or_else(|| stderr.lines().next());
        Err(said.map_or_else(|| status.to_string(), |line| line.trim_start_matches("nginx: ").to_owned()))
    }
}

/// `nginx version: nginx/1.22.1`, or another name before the slash.
fn version(about: &str) -> Option<Version> {
    let line = about.lines().find_map(|line| line.split_once("nginx version: "))?.1;
    let numbers = line.split_once('/')?.1.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    Some(Version(numbers.next()??, numbers.next()??, numbers.next()??))
}

/// The `--user=` among the arguments of the build.
fn built_for(about: &str) -> Option<String> {
    let (_, rest) = about.split_once(" --user=")?;
    rest.split_whitespace().next().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_version_and_paths_are_parsed() {
        let about = "nginx version: nginx/1.29.7 (Ubuntu)\nconfigure arguments: --prefix=/etc --user=nginx --group=nginx\n";
        assert_eq!((version(about), built_for(about).as_deref()), (Some(Version(1, 29, 7)), Some("nginx")));
        let about = "nginx version: openresty/1.25.3.1\nconfigure arguments: --prefix=/usr\n";
        assert_eq!((version(about), built_for(about)), (Some(Version(1, 25, 3)), None));
        assert_eq!(version("Tengine"), None);
    }
}
