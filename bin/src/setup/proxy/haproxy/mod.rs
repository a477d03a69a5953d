//! `HAProxy`: the sections that are printed, and a file that is compared.

mod backends;
mod compare;
mod print;
mod syntax;

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

pub(super) use print::print;

use crate::exit::{Exit, Failure};
use crate::render;
use crate::setup::check::Finding;
use crate::setup::external;
use crate::setup::proxy::served::Served;
use crate::setup::proxy::text;

/// The file of Debian's package, and of most.
const USUAL: &str = "/etc/haproxy/haproxy.cfg";

/// How long `haproxy -c` may take: it looks up the names of its servers.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// What `HAProxy` does otherwise than a daemon serves, by its file.
///
/// # Errors
///
/// Exit code 1: the file cannot be read; 3: it is no configuration.
pub(super) async fn check(file: Option<&Path>, served: &Served) -> Result<Vec<Finding>, Failure> {
    let file = file.unwrap_or(Path::new(USUAL));
    let text = text(file, "name its configuration: `nodesockd proxy haproxy --check FILE`")?;
    if file != Path::new("-") {
        valid(file).await?;
    }
    let sections = syntax::parse(&text);
    Ok(compare::compare(&backends::Site::of(&sections, &file.display().to_string()), served))
}

/// Asks `HAProxy` itself, where there is one.
async fn valid(file: &Path) -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let Some(haproxy) = folders.map(|folder| folder.join("haproxy")).find(|path| path.is_file()) else {
        return Ok(());
    };
    let mut command = Command::new(haproxy);
    let Ok(answer) = external::ask(command.args(["-c", "-q", "-f"]).arg(file), CHECK_LIMIT).await else {
        return Ok(());
    };
    if answer.status.success() {
        return Ok(());
    }
    let said = answer.stderr.lines().find(|line| line.contains("[ALERT]")).unwrap_or("it does not say why");
    let said = said.split_once(" : ").map_or(said, |(_, reason)| reason);
    let message = format!("HAProxy refuses {}: {}", render::path(file), render::sentence(said));
    Err(Failure::new(Exit::InvalidConfig, message).help("`haproxy -c -f FILE` says more"))
}
