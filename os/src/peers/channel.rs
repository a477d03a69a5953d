//! A worker's channel: the daemon's end of the socketpair.

use std::pin::pin;

use nodesockd_core::Event;
use nodesockd_core::frame::Decoder;
use nodesockd_core::id::{Peer, RequestRef, WorkerId};
use nodesockd_core::text::escape;
use nodesockd_core::wire::{Incoming, Rejection, Reply, Sender};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::handoff::pause::PauseToken;
use crate::peers::conversation::{Conversation, Heard, Held, Line};
use crate::peers::outbox::{Outbox, Outgoing};
use crate::peers::session::{Fact, Paused, Stopped, tell};

/// How much of what a worker said last is taken in after its channel has ended. The kernel's buffer holds less.
const LAST_WORDS: usize = 1 << 20;

/// How much of a bad line is logged, in characters.
const SHOWN: usize = 120;

/// The daemon's end of it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) worker: WorkerId,
    pub(crate) stream: UnixStream,
    pub(crate) decoder: Decoder,
    pub(crate) outbox: Outbox,
    pub(crate) outgoing: Outgoing,
}

/// Serves a worker's channel until it hangs up, does not read, its outbox is closed, or it is to stop where it is.
pub(crate) async fn serve(channel: Channel, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
    let Channel { worker, mut stream, decoder, outbox, mut outgoing } = channel;
    let mut bad_lines = 0u64;
    let hear = |line: Line<'_>| hear(worker, line, &mut bad_lines);
    let mut conversation = Conversation::new(decoder, outbox.clone(), facts.clone(), hear);
    let held = {
        let (mut reader, writer) = stream.split();
        let writing = pin!(outgoing.write_to(writer));
        conversation.hold(&mut reader, writing, &mut token).await
    };
    if held == Held::Frozen {
        let decoder = conversation.into_decoder();
        let channel = || Channel { worker, stream, decoder, outbox, outgoing };
        tell(&facts, || Fact::Paused(Paused(Stopped::Worker(channel())))).await;
        return;
    }
    // The end may have been noticed by writing, before everything was read that was sent before it.
    let mut taken = 0;
    while taken < LAST_WORDS
        && let length @ 1.. = conversation.take_in(&stream).await
    {
        taken += length;
    }
    drop(stream);
    conversation.report(|| Fact::Event(Event::ChannelClosed { worker })).await;
}

fn hear(worker: WorkerId, line: Line<'_>, bad_lines: &mut u64) -> Heard {
    match line.decode(Sender::Worker) {
        Ok(Incoming::Request { id, request }) => {
            let from = RequestRef { peer: Peer::Worker(worker), id };
            Heard::Fact(Fact::Event(Event::Requested { from, asker: None, request }))
        }
        Ok(Incoming::Message(message)) => Heard::Fact(Fact::Event(Event::Received { worker, message })),
        // On its own channel nobody has to say who it is.
        Ok(Incoming::Introduction { .. } | Incoming::Foreign) => Heard::Nothing,
        Err(Rejection::Answer { id, code, error }) => {
            Heard::Answer { id, reply: Reply::failed(Some(code), vec![error]) }
        }
        Err(Rejection::Unusable(error)) => {
            *bad_lines += 1;
            let shown = if let Line::Whole(line) = line { line } else { "" };
            // A worker gone mad must not fill the log: the 1st, 2nd, 4th, 8th … bad line is told.
            if bad_lines.is_power_of_two() {
                tracing::warn!(
                    "worker {} sent {} on its channel ({bad_lines} so far), which is ignored: {}",
                    worker.short(),
                    escape(&error, SHOWN),
                    escape(shown, SHOWN),
                );
            }
            Heard::Nothing
        }
    }
}
