//! `status`, `metrics`, `config`

use nodesockd_core::wire::Request;
use nodesockd_os::exposition;
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
    let data = client.answer(&Request::Status).await?;
    let now = view::now();
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

/// Prints the numbers.
pub(super) async fn metrics<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let data = client.answer(&Request::Metrics).await?;
    if json {
        console.out.line(&render::json_line(data.get()))?;
    } else {
        console.out.text(&exposition(view::read(&data)?).await)?;
    }
    Ok(Exit::Done)
}

/// Prints the configuration in force.
pub(super) async fn config<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let data = client.answer(&Request::Config).await?;
    if json {
        console.out.line(&render::json_line(data.get()))?;
    } else {
        console.out.text(&render::config(&view::read(&data)?, console.out.style()))?;
    }
    Ok(Exit::Done)
}
