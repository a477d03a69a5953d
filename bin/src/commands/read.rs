//! `status`, `config`

use std::time::{Duration, SystemTime};

use nodesockd_core::wire::{Json, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::StatusArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::{render, view};

/// Prints what the daemon and its workers are doing; fails if something is wrong with that and somebody wants to know.
pub(super) async fn status<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    args: &StatusArgs,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let data = answer(client, &Request::Status).await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis);
    if args.read.json {
        console.out.line(&render::json_line(data.get()))?;
    } else {
        console.out.text(&render::status(&view::read(&data)?, now, console.out.style()))?;
    }
    let messages = if args.check { render::troubles(&view::read(&data)?, now) } else { Vec::new() };
    if messages.is_empty() {
        Ok(Exit::Done)
    } else {
        Err(Failure { exit: Exit::Unexpected, messages, help: None })
    }
}

/// Prints the configuration in force.
pub(super) async fn config<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let data = answer(client, &Request::Config).await?;
    if json {
        console.out.line(&render::json_line(data.get()))?;
    } else {
        console.out.text(&render::config(&view::read(&data)?, console.out.style()))?;
    }
    Ok(Exit::Done)
}

/// The answer to a request that is for nothing but its data.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    request: &Request,
) -> Result<Json, Failure> {
    let answer = client.request(request).await?;
    answer.ok_or_else(|| Failure::new(Exit::Unexpected, "the daemon's answer is empty"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
