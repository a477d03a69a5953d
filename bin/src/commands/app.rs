//! `send-msg`, `send-req`

use std::time::Duration;

use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::{SendMsgArgs, SendReqArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render::{json_line, span};
use crate::view::{self, AnswerView, short};

/// How long workers may take to the first answer, and from one to the next. The same as with the library.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
const NEXT_ANSWER: Duration = Duration::from_secs(10);

/// Characters of an error in an answer that are shown.
const SHOWN: usize = 2000;

/// Sends a message to workers.
pub(super) async fn send_message<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    args: SendMsgArgs,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let SendMsgArgs { workers, message, data, .. } = args;
    client.request(&Request::SendMessage { message, data, workers }).await?;
    console.err.line("Sent.")?;
    Ok(Exit::Done)
}

/// Sends a request to workers and prints their answers as they come. Exit code 1 if one of them has errors, 8 if a worker
/// does not answer: its handler may hang. `--timeout` is for the whole, and lifts the other limits.
pub(super) async fn send_request<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    args: SendReqArgs,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let SendReqArgs { target, workers, request, data, json } = args;
    let mut answers = client.ask(&Request::SendRequest { request, data, workers }).await?;
    let (mut exit, mut limit) = (Exit::Done, FIRST_ANSWER);
    loop {
        let next = match target.timeout {
            None => in_time(limit, answers.next()).await?,
            Some(_) => answers.next().await,
        };
        let Some(data) = next? else { break };
        limit = NEXT_ANSWER;
        let answer: AnswerView = view::read(&data)?;
        if !answer.errors.is_empty() {
            exit = Exit::Unexpected;
        }
        if json {
            console.out.line(&json_line(data.get()))?;
        } else {
            print(&answer, console)?;
        }
        if console.out.is_closed() {
            break;
        }
    }
    Ok(exit)
}

/// What comes of `answer`, unless it takes longer than `limit`.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, answer).await.map_err(|_| {
        Failure::new(Exit::TimeOut, format!("no worker has answered within {}", span(limit)))
            .help("a handler may hang; `--timeout` sets another limit")
    })
}

/// `a1b2c 4711: {"json": …}` for each answer; its errors go to standard error.
fn print(answer: &AnswerView, console: &mut Console) -> Result<(), Failure> {
    let pid = answer.pid.map_or_else(String::new, |pid| format!(" {pid}"));
    let worker = format!("{}{pid}", escape(short(&answer.id), 5));
    for error in &answer.errors {
        console.err.line(&format!("{worker}: {}", escape(error, SHOWN)))?;
    }
    if answer.errors.is_empty() {
        let data = answer.data.as_ref().map_or("null", |data| data.get());
        console.out.line(&format!("{worker}: {}", json_line(data)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answer_that_does_not_come_is_a_time_out() {
        let failure = in_time(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(failure.exit, Exit::TimeOut);
        assert_eq!(in_time(FIRST_ANSWER, std::future::ready(5)).await.unwrap(), 5);
    }
}
