//! `send-msg`, `send-req`

use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::{SendMsgArgs, SendReqArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render::json_line;
use crate::view::{self, AnswerView, short};

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

/// Sends a request to workers and prints their answers as they come. Exit code 1 if one of them has errors.
pub(super) async fn send_request<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    args: SendReqArgs,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let SendReqArgs { workers, request, data, json, .. } = args;
    let mut answers = client.ask(&Request::SendRequest { request, data, workers }).await?;
    let mut exit = Exit::Done;
    while let Some(data) = answers.next().await? {
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
