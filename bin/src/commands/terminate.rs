//! `terminate`

use std::time::Duration;

use nodesockd_core::wire::Request;
use nodesockd_os::Watched;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::out::Console;

use super::succession::hang_up;

/// How long a process may live on after it has closed its connections, if it is ending.
const ENDING: Duration = Duration::from_secs(1);

/// Ends the daemon, and returns when its process is gone.
pub(super) async fn terminate(
    mut client: Client<UnixStream>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    // Watched from before it is asked to go: afterwards the pid could be another's.
    let watched = client.daemon_pid().and_then(Watched::new);
    match client.request(&Request::Terminate).await {
        Ok(_) | Err(ClientError::Closed { begun: true }) => {}
        Err(error) => {
            return if gone_anyway(&error, watched).await { said(console) } else { Err(error.into()) };
        }
    }
    hang_up(client, watched, None).await;
    said(console)
}

/// Whether the connection was closed without an answer because the daemon was on its way out already.
async fn gone_anyway(error: &ClientError, watched: Option<Watched>) -> bool {
    match (error, watched) {
        (ClientError::Closed { begun: false }, Some(watched)) => {
            timeout(ENDING, watched.gone()).await.is_ok()
        }
        _ => false,
    }
}

fn said(console: &mut Console) -> Result<Exit, Failure> {
    console.err.line("Terminated: the daemon and its workers are gone.")?;
    Ok(Exit::Done)
}
