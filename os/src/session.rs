//! A client's session on the control socket, over any stream of bytes.

use std::pin::pin;
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::frame::FrameError;
use nodesockd_core::id::{ConnId, Peer, RequestRef};
use nodesockd_core::wire::{Code, Incoming, Rejection, Reply, Sender, decode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::conversation::{Conversation, Heard};
use crate::outbox::{Outbox, outbox};

/// How long a client may take to read its last replies.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);

/// What sessions and watchers send to the one who runs the supervisor.
#[derive(Debug)]
pub enum Fact {
    /// There is a new connection; this is where its replies go. Comes before every event of it. Once
    /// [`Event::Disconnected`] has come, the outbox is to be closed.
    Connected(ConnId, Outbox),
    /// Something for the supervisor.
    Event(Event),
}

/// Serves one client until it hangs up, says something that is no request, or does not read its replies.
///
/// A request with something wrong in it is answered here and goes no further; a line that is not one of the
/// protocol's is answered with `requestId: ""`, and the connection closed. Replies that wait when the client closes
/// its sending side are delivered; later ones lead nowhere.
///
/// A worker that outlived its daemon says who it is first, and then all that a worker may say on its channel; `pid` is
/// the process at the other end, as far as the kernel tells.
pub async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    conn: ConnId,
    pid: Option<u32>,
    facts: mpsc::Sender<Fact>,
) {
    let (outbox, outgoing) = outbox();
    if facts.send(Fact::Connected(conn, outbox.clone())).await.is_err() {
        return;
    }
    let (mut reader, writer) = tokio::io::split(stream);
    let mut sender = Sender::Client;
    let mut conversation = Conversation::new(outbox, facts, |line| hear(conn, pid, &mut sender, line));
    let mut writing = pin!(outgoing.write_to(writer));
    let unwritten = conversation.hold(&mut reader, writing.as_mut()).await;
    conversation.report(Event::Disconnected { conn }).await;
    if unwritten {
        let _ = tokio::time::timeout(LAST_WORDS, writing).await;
    }
}

fn hear(conn: ConnId, pid: Option<u32>, sender: &mut Sender, line: Result<&str, FrameError>) -> Heard {
    let decoded = match line {
        Ok(line) => decode(line, *sender),
        Err(error) => Err(Rejection::Unusable(error.to_string())),
    };
    match decoded {
        Ok(Incoming::Request { id, request }) => {
            Heard::Fact(Event::Requested { from: RequestRef { peer: Peer::Client(conn), id }, request })
        }
        Ok(Incoming::Introduction { worker, message }) => {
            *sender = Sender::Survivor;
            Heard::Fact(Event::Claimed { conn, pid, claims: Some(worker), message })
        }
        Ok(Incoming::Message(message)) => Heard::Fact(Event::Claimed { conn, pid, claims: None, message }),
        Ok(Incoming::Foreign) => Heard::Nothing,
        Err(Rejection::Answer { id, code, error }) => {
            Heard::Answer { id, reply: Reply::failed(Some(code), vec![error]) }
        }
        Err(Rejection::Unusable(error)) => Heard::Farewell(Reply::failed(Some(Code::Usage), vec![error])),
    }
}
