//! Sockets: are their paths short enough, is a daemon there already, can accept queues be measured?

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nodesockd_core::config::Config;
use nodesockd_core::id::{BootId, Ids};
use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use tokio::time::timeout;

use super::Finding;
use crate::client::connect;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::view::{self, StatusView};

/// Bytes of a socket's path that the kernel takes (`unix(7)`: `sun_path` holds 108 with its terminator).
const LONGEST: usize = 107;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    vec![lengths(config), daemon(config).await, queues()]
}

/// The configuration is refused when a path is too long; how much room is left is worth knowing.
fn lengths(config: &Config) -> Finding {
    let worker = Ids::new(BootId(0)).worker();
    let socket = config.tmp_dir.join(config.socket_file.socket(worker));
    let longest = [&socket, &config.ipc_file].map(|path| path.as_os_str().as_bytes().len()).into_iter().max();
    Finding::good(format!("socket paths need at most {} of {LONGEST} bytes", longest.unwrap_or(0)))
}

async fn daemon(config: &Config) -> Finding {
    let shown = render::path(&config.ipc_file);
    let ask = async {
        let mut client = connect(&config.ipc_file).await?;
        let answer = client.request(&Request::Status).await?;
        answer.as_ref().map_or_else(|| Err(empty()), view::read::<StatusView>)
    };
    match timeout(PATIENCE, ask).await {
        Ok(Ok(status)) => Finding::warning(
            format!("a daemon runs already: nodesockd {}, pid {}", escape(&status.version, 40), status.pid),
            "another one needs an `ipcFile` of its own",
        ),
        Ok(Err(failure)) if failure.exit == Exit::Unreachable => {
            Finding::good(format!("no daemon runs on {shown} yet"))
        }
        Ok(Err(failure)) => Finding::warning(
            format!("something is wrong with {shown}: {failure}"),
            failure.help.unwrap_or_else(|| "find out what holds it".into()),
        ),
        Err(_) => Finding::warning(
            format!("what listens on {shown} has not answered within {}", render::span(PATIENCE)),
            "a daemon that is stopped or stuck? `fuser` names its process",
        ),
    }
}

fn empty() -> Failure {
    Failure::new(Exit::Unexpected, "the answer is empty")
}

fn queues() -> Finding {
    match nodesockd_os::diag_available() {
        Ok(()) => Finding::good("the kernel tells accept queues (UNIX_DIAG)"),
        Err(reason) => Finding::warning(
            format!("the kernel does not tell accept queues: {reason}"),
            "load the module `unix_diag`; without it they are read from /proc/net/unix, which is slower",
        ),
    }
}
