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
use crate::peers::ipc::ControlSocket;
use crate::peers::session::{self, Fact, Paused, Stopped};

/// How long a client may take for its request, and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the numbers may take. Prometheus waits for ten seconds.
const ANSWER: Duration = Duration::from_secs(8);

/// How long an answer that is on its way may keep the next program waiting.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// More bytes than this are no request for metrics.
const LONGEST_HEAD: usize = 16 << 10;

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
                let mut told = std::pin::pin!(timeout(PATIENCE, tell(&mut self.stream, &answer)));
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
        match timeout(PATIENCE, self.read_head()).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return String::new(),
        }
        let words: Vec<&[u8]> = self.head.split(|byte| byte.is_ascii_whitespace()).take(2).collect();
        let is_head = match words.first() {
            Some(&b"GET") => false,
            Some(&b"HEAD") => true,
            _ => return plain("405 Method Not Allowed", "Allow: GET\r\n", "ask with GET\n"),
        };
        let path = words.get(1).and_then(|path| path.split(|byte| *byte == b'?').next());
        if path != Some(b"/metrics") {
            return plain("404 Not Found", "", "the metrics are at /metrics\n");
        }
        match timeout(ANSWER, ask(control, facts.clone())).await {
            Ok(Some(metrics)) => {
                let text = exposition(metrics).await;
                let body = if is_head { "" } else { &text };
                format!("{}{body}", head("200 OK", "", CONTENT_TYPE, text.len()))
            }
            Ok(None) | Err(_) => plain("503 Service Unavailable", "", "the daemon has not answered\n"),
        }
    }

    /// Reads until the request's head is complete. Returns whether it is.
    async fn read_head(&mut self) -> bool {
        while !is_complete(&self.head) {
            if self.head.len() > LONGEST_HEAD
                || !matches!(self.stream.read_buf(&mut self.head).await, Ok(1..))
            {
                return false;
            }
        }
        true
    }
}

/// An empty line ends the head (RFC 9112, section 2.1).
fn is_complete(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n")
}

/// What the control socket answers to `metrics`, asked in the same way.
async fn ask(control: &ControlSocket, facts: mpsc::Sender<Fact>) -> Option<Metrics> {
    #[derive(Deserialize)]
    struct Answer {
        data: Option<Metrics>,
    }
    let (mut near, far) = duplex(BUFFER);
    tokio::spawn(session::serve(far, control.next(), None, facts));
    near.write_all(Request::Metrics.encode("metrics").as_bytes()).await.ok()?;
    let mut line = String::new();
    BufReader::new(near).read_line(&mut line).await.ok()?;
    serde_json::from_str::<Answer>(&line).ok()?.data
}

fn plain(status: &str, headers: &str, text: &str) -> String {
    format!("{}{text}", head(status, headers, "text/plain", text.len()))
}

fn head(status: &str, headers: &str, kind: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// Sends the answer, and reads on until the client has it: closed at once, bytes that nobody has read would cut it off.
async fn tell(stream: &mut UnixStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LONGEST_HEAD as u64);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}
