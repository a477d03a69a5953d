//! One connection of somebody who wants the numbers.

use std::time::Duration;

use nodesockd_core::metrics::Metrics;
use nodesockd_core::wire::Request;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, duplex};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::exposition;
use super::exposition::CONTENT_TYPE;
use crate::handoff::pause::PauseToken;
use crate::http::{self, Answer, Refused};
use crate::peers::ipc::ControlSocket;
use crate::peers::session::{self, Fact, Paused, Stopped};

/// How long a client may take for its request, and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the numbers may take. Prometheus waits for ten seconds.
const ANSWER: Duration = Duration::from_secs(8);

/// How long an answer that is on its way may keep the next program waiting.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// What one side passes to the other at a time.
const BUFFER: usize = 16 << 10;

/// A connection that has not been answered.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// Whatever it is connected to: bytes are bytes.
    pub stream: UnixStream,
    /// What has come of the request.
    pub head: Vec<u8>,
}

impl Scrape {
    /// Answers it, and closes it. One that has not been answered when everything is to stop goes to the next program.
    pub async fn attend(mut self, control: ControlSocket, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
        let answered = tokio::select! {
            biased;
            () = token.requested() => None,
            answer = self.answer(&control, &facts) => Some(answer),
        };
        match answered {
            None => {
                let _ = facts.send(Fact::Paused(Paused(Stopped::Scrape(self)))).await;
            }
            Some(answer) => {
                let mut told = std::pin::pin!(timeout(PATIENCE, http::tell(&mut self.stream, &answer)));
                tokio::select! {
                    biased;
                    _ = &mut told => {}
                    () = token.requested() => {
                        let _ = timeout(LAST_BYTES, told).await;
                    }
                }
            }
        }
    }

    /// What is answered; nothing, if there is nobody to be answered.
    async fn answer(&mut self, control: &ControlSocket, facts: &mpsc::Sender<Fact>) -> String {
        let request = match timeout(PATIENCE, self.read_head()).await {
            Ok(Some(Ok(request))) => request,
            Ok(Some(Err(refused))) => return refused.answer(),
            Ok(None) | Err(_) => return String::new(),
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::text("405 Method Not Allowed", "Allow: GET\r\n", "ask with GET\n");
        }
        if request.target.split('?').next() != Some("/metrics") {
            return Answer::text("404 Not Found", "", "the metrics are at /metrics\n");
        }
        match timeout(ANSWER, ask(control, facts.clone())).await {
            Ok(Some(metrics)) => {
                let body = exposition(metrics).await;
                Answer { status: "200 OK", fields: "", kind: CONTENT_TYPE, body: &body }
                    .sent(request.is_head())
            }
            Ok(None) | Err(_) => Answer::text("503 Service Unavailable", "", "the daemon has not answered\n"),
        }
    }

    /// Reads until the request's head is complete, or known to be none; nothing, if the client ends before that.
    async fn read_head(&mut self) -> Option<Result<http::Request, Refused>> {
        loop {
            if let Some(known) = http::Request::read(&self.head).transpose() {
                return Some(known);
            }
            if !matches!(self.stream.read_buf(&mut self.head).await, Ok(1..)) {
                return None;
            }
        }
    }
}

/// What the control socket answers to `metrics`, asked in the same way.
async fn ask(control: &ControlSocket, facts: mpsc::Sender<Fact>) -> Option<Metrics> {
    #[derive(Deserialize)]
    struct Reply {
        data: Option<Metrics>,
    }
    let (mut near, far) = duplex(BUFFER);
    tokio::spawn(session::serve(far, control.next(), None, facts));
    near.write_all(Request::Metrics.encode("metrics").as_bytes()).await.ok()?;
    let mut line = String::new();
    BufReader::new(near).read_line(&mut line).await.ok()?;
    serde_json::from_str::<Reply>(&line).ok()?.data
}
