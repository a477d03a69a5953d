//! A client's session on the control socket, over any stream of bytes.

use std::pin::pin;
use std::time::Duration;

use nodesockd_core::Event;
use nodesockd_core::frame::Decoder;
use nodesockd_core::id::{ConnId, Peer, RequestRef};
use nodesockd_core::wire::{Claim, Code, FromWorker, Incoming, Rejection, Reply, Sender};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::files::watch::Stir;
use crate::handoff::pause::PauseToken;
use crate::metrics::scrape::Scrape;
use crate::peers::asker::Asker;
use crate::peers::channel::Channel;
use crate::peers::conversation::{Conversation, Heard, Held, Line};
use crate::peers::ipc::Permit;
use crate::peers::outbox::{Outbox, Outgoing, outbox};
use crate::sink::keeper::Word;

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
    /// A peer speaks as a worker does on its channel. What the kernel says of its process is still to be asked.
    Claimed {
        /// The connection.
        conn: ConnId,
        /// The process at its other end (`SO_PEERCRED`, unix(7)).
        pid: Option<u32>,
        /// Who it says it is; none in what it says after that.
        claims: Option<Claim>,
        /// What it says.
        message: FromWorker,
    },
    /// Entries of watched folders have gone, or were replaced. What that means is still to be looked at.
    Stirred(Stir),
    /// A process of this machine begins to dump core.
    DumpsCore {
        /// Which.
        pid: u32,
    },
    /// The sink has said something, or is gone. What that means for its pipes is still to be seen to.
    Sink(SinkWord),
    /// A conversation has stopped where it was, as it was to.
    Paused(Paused),
}

/// Tells a fact, which is made only when there is room for it: one that waited would have to be kept, together with room for it in
/// each task that may ever tell one. Returns `false` when there is nobody left to tell.
pub(crate) async fn tell(facts: &mpsc::Sender<Fact>, fact: impl FnOnce() -> Fact) -> bool {
    let Ok(room) = facts.reserve().await else { return false };
    room.send(fact());
    true
}

/// A word of the sink.
#[derive(Debug)]
pub struct SinkWord(pub(crate) Word);

/// A conversation between two bytes.
#[derive(Debug)]
pub struct Paused(pub(crate) Stopped);

/// With whom.
#[derive(Debug)]
pub(crate) enum Stopped {
    Worker(Channel),
    Client(Session<UnixStream>),
    Scrape(Scrape),
}

/// A conversation with a client.
#[derive(Debug)]
pub(crate) struct Session<S> {
    pub(crate) stream: S,
    pub(crate) conn: ConnId,
    pub(crate) asker: Option<Asker>,
    pub(crate) sender: Sender,
    pub(crate) decoder: Decoder,
    pub(crate) outbox: Outbox,
    pub(crate) outgoing: Outgoing,
    /// Its place among the clients that are served at once, if it takes one. It is given back when the session is paused.
    pub(crate) permit: Option<Permit>,
}

/// Serves one client until it hangs up, says something that is no request, or does not read its replies.
///
/// A request with something wrong in it is answered here and goes no further; a line that is not one of the
/// protocol's is answered with `requestId: ""`, and the connection closed. Replies that wait when the client closes
/// its sending side are delivered; later ones lead nowhere.
///
/// A worker that outlived its daemon says who it is first, and then all that a worker may say on its channel; `pid` is
/// the process at the other end, as far as the kernel tells.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    conn: ConnId,
    asker: Option<Asker>,
    facts: mpsc::Sender<Fact>,
) {
    if let Some(session) = Session::begin(stream, conn, asker, &facts).await {
        session.hold(&facts, &mut PauseToken::never()).await;
    }
}

/// Serves a client until its session ends, or is to stop where it is.
pub(crate) async fn attend(session: Session<UnixStream>, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
    if let Some(session) = session.hold(&facts, &mut token).await {
        let _ = facts.send(Fact::Paused(Paused(Stopped::Client(session)))).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session with a new client; `None` if there is nobody to tell of it.
    pub(crate) async fn begin(
        stream: S,
        conn: ConnId,
        asker: Option<Asker>,
        facts: &mpsc::Sender<Fact>,
    ) -> Option<Self> {
        let (outbox, outgoing) = outbox(Vec::new());
        facts.send(Fact::Connected(conn, outbox.clone())).await.ok()?;
        let (sender, decoder) = (Sender::Client, Decoder::new());
        Some(Self { stream, conn, asker, sender, decoder, outbox, outgoing, permit: None })
    }

    /// Holds it until it ends. Returned is one that was to stop.
    async fn hold(self, facts: &mpsc::Sender<Fact>, token: &mut PauseToken) -> Option<Self> {
        let Self { mut stream, conn, asker, mut sender, decoder, outbox, mut outgoing, mut permit } = self;
        let decoder = {
            let (mut reader, writer) = tokio::io::split(&mut stream);
            let hear = |line: Line<'_>| {
                let heard = hear(conn, asker, &mut sender, line);
                if sender == Sender::Survivor {
                    drop(permit.take());
                }
                heard
            };
            let mut conversation = Conversation::new(decoder, outbox.clone(), facts.clone(), hear);
            let mut writing = pin!(outgoing.write_to(writer));
            match conversation.hold(&mut reader, writing.as_mut(), token).await {
                Held::Frozen => conversation.into_decoder(),
                held @ (Held::HeardOut | Held::Silent) => {
                    conversation.report(|| Fact::Event(Event::Disconnected { conn })).await;
                    if held == Held::HeardOut {
                        tokio::select! {
                            biased;
                            _ = tokio::time::timeout(LAST_WORDS, writing) => {}
                            () = token.requested() => {}
                        }
                    }
                    return None;
                }
            }
        };
        Some(Self { stream, conn, asker, sender, decoder, outbox, outgoing, permit: None })
    }
}

fn hear(conn: ConnId, asker: Option<Asker>, sender: &mut Sender, line: Line<'_>) -> Heard {
    let pid = asker.and_then(|asker| asker.pid);
    match line.decode(*sender) {
        Ok(Incoming::Request { id, request }) => {
            let asker = asker.map(|asker| asker.named(&request));
            let from = RequestRef { peer: Peer::Client(conn), id };
            Heard::Fact(Fact::Event(Event::Requested { from, asker, request }))
        }
        Ok(Incoming::Introduction { claim, message }) => {
            *sender = Sender::Survivor;
            Heard::Fact(Fact::Claimed { conn, pid, claims: Some(claim), message })
        }
        Ok(Incoming::Message(message)) => Heard::Fact(Fact::Claimed { conn, pid, claims: None, message }),
        Ok(Incoming::Foreign) => Heard::Nothing,
        Err(Rejection::Answer { id, code, error }) => {
            Heard::Answer { id, reply: Reply::failed(Some(code), vec![error]) }
        }
        Err(Rejection::Unusable(error)) => Heard::Farewell(Reply::failed(Some(Code::Usage), vec![error])),
    }
}
