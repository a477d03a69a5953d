//! `resume`, `stop`, `set-workers`, `set-standby`, `reload`

use std::num::NonZeroU32;

use nodesockd_core::id::WorkerId;
use nodesockd_core::wire::Request;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::Console;

/// Resumes suspended workers.
pub(super) async fn resume<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    #[derive(Deserialize, Default)]
    struct Resumed {
        #[serde(default)]
        unconfirmed: Vec<WorkerId>,
    }
    let data = client.request(&Request::Resume).await?;
    let resumed = data.and_then(|data| serde_json::from_str(data.get()).ok());
    let Resumed { unconfirmed } = resumed.unwrap_or_default();
    console.err.line("Resumed: no worker in a slot is suspended.")?;
    if !unconfirmed.is_empty() {
        let names: Vec<String> = unconfirmed.iter().map(|id| id.short().to_string()).collect();
        let names = names.join(", ");
        console.err.line(&format!("Told, but unable to confirm it, having no heartbeat: {names}."))?;
    }
    Ok(Exit::Done)
}

/// Stops the workers.
pub(super) async fn stop<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    client.request(&Request::Stop).await?;
    said(console, "Stopped: no worker is running; the daemon is.")
}

/// Sets the number of slots.
pub(super) async fn set_workers<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    count: NonZeroU32,
    console: &mut Console,
) -> Result<Exit, Failure> {
    client.request(&Request::SetWorkers { count }).await?;
    said(console, &format!("Workers: {count}, until the next reload."))
}

/// Sets the number of standby workers.
pub(super) async fn set_standby<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    count: u32,
    console: &mut Console,
) -> Result<Exit, Failure> {
    client.request(&Request::SetStandby { count }).await?;
    said(console, &format!("Standby workers: {count}, until the next reload."))
}

/// Reloads the configuration.
pub(super) async fn reload<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    client.request(&Request::Reload).await?;
    said(console, "Reloaded: the configuration is in force.")
}

fn said(console: &mut Console, sentence: &str) -> Result<Exit, Failure> {
    console.err.line(sentence)?;
    Ok(Exit::Done)
}
