//! `events`

use nodesockd_core::wire::{Json, Request};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{Client, ClientError};
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::{render, view};

/// A part of the answer.
#[derive(Deserialize)]
struct Part {
    event: Option<Json>,
}

/// Prints what happens, as it happens, until the daemon quits or the reader goes.
pub(super) async fn events<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut answers = client.ask(&Request::WatchEvents).await?;
    while !console.out.is_closed() {
        let data = match answers.next().await {
            Ok(Some(data)) => data,
            Ok(None) => {
                console.err.line("The daemon has quit.")?;
                return Ok(Exit::Done);
            }
            Err(ClientError::Closed { begun: true }) => return Err(cut_off()),
            Err(error) => return Err(error.into()),
        };
        let Part { event: Some(event) } = view::read(&data)? else { continue };
        if json {
            console.out.line(&render::json_line(event.get()))?;
        } else {
            console.out.line(&render::event(&view::read(&event)?, console.out.style()))?;
        }
    }
    Ok(Exit::Done)
}

fn cut_off() -> Failure {
    Failure::new(
        Exit::Unreachable,
        "the daemon has closed the connection: it has died, or what it told was not read fast enough",
    )
    .help(
        "ask again: `seq` in what comes then shows how much was missed; `nodesockd history` has what matters",
    )
}
