//! `resume`, `stop`, `set-workers`, `set-standby`, `reload`

use std::num::NonZeroU32;

use nodesockd_core::wire::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::Console;

/// Resumes suspended workers.
pub(super) async fn resume<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    client.request(&Request::Resume).await?;
    said(console, "Resumed: no worker in a slot is suspended.")
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
