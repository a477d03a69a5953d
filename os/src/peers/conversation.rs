//! Lines in, facts and answers out: what a worker's channel and a client's session have in common.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Poll, ready};

use nodesockd_core::frame::{Decoder, FrameError};
use nodesockd_core::wire::{Incoming, Rejection, Reply, Sender, decode, decode_oversized};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::clock;
use crate::handoff::pause::PauseToken;
use crate::peers::outbox::Outbox;
use crate::peers::session::{Fact, tell};

/// How many bytes are read at once.
const CHUNK: usize = 8 << 10;

/// A line that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Line<'a> {
    /// The line.
    Whole(&'a str),
    /// How one began that is too long.
    Oversized(&'a [u8]),
    /// One that cannot be read.
    Bad(FrameError),
}

impl Line<'_> {
    /// What it says.
    pub(crate) fn decode(self, from: Sender) -> Result<Incoming, Rejection> {
        match self {
            Self::Whole(line) => decode(line, from),
            Self::Oversized(head) => decode_oversized(head, from),
            Self::Bad(error) => Err(Rejection::Unusable(error.to_string())),
        }
    }
}

/// What comes of a line.
pub(crate) enum Heard {
    /// A fact for the supervisor.
    Fact(Fact),
    /// Something that can be answered here and now.
    Answer { id: String, reply: Reply },
    /// Nothing.
    Nothing,
    /// Nothing good: answer this, then end the conversation.
    Farewell(Reply),
}

/// Why a conversation is not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// There is nobody to read from; writing goes on.
    HeardOut,
    /// Nothing can be written, or nothing is left to be.
    Silent,
    /// It is to stop where it is.
    Frozen,
}

/// One end of a conversation.
pub(crate) struct Conversation<H> {
    decoder: Decoder,
    outbox: Outbox,
    facts: mpsc::Sender<Fact>,
    hear: H,
}

impl<H: FnMut(Line<'_>) -> Heard> Conversation<H> {
    pub(crate) fn new(decoder: Decoder, outbox: Outbox, facts: mpsc::Sender<Fact>, hear: H) -> Self {
        Self { decoder, outbox, facts, hear }
    }

    /// What was heard of a line that is not complete.
    pub(crate) fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// Reads and writes until one of the two has come to its end, or it is to stop. What was read by then has been taken in.
    pub(crate) async fn hold<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        mut writing: Pin<&mut impl Future<Output = ()>>,
        token: &mut PauseToken,
    ) -> Held {
        loop {
            let read = tokio::select! {
                biased;
                () = &mut writing => return Held::Silent,
                () = token.requested() => return Held::Frozen,
                read = feed(&mut self.decoder, reader) => read,
            };
            if !matches!(read, Ok(1..)) || !self.take_lines().await {
                return Held::HeardOut;
            }
        }
    }

    /// Takes in some of what has come already, and returns how many bytes: none, if there is nothing more.
    pub(crate) async fn take_in(&mut self, peer: impl AsFd) -> usize {
        let received = with_chunk(|chunk| {
            let (length, _) = recv(peer, &mut *chunk, RecvFlags::DONTWAIT).ok()?;
            self.decoder.feed(&chunk[..length]);
            Some(length)
        });
        let Some(length @ 1..) = received else { return 0 };
        self.take_lines().await;
        length
    }

    /// Takes in the lines that are complete; `false` ends the conversation.
    async fn take_lines(&mut self) -> bool {
        loop {
            // First room for what may be in the line: nothing has to be kept while that is waited for. When the supervisor is gone there
            // is nobody left to tell, and the conversation is about to end.
            let Ok(room) = self.facts.reserve().await else { return false };
            let Some(line) = self.decoder.next_line() else { return true };
            let heard = match line {
                Ok(line) => (self.hear)(Line::Whole(line)),
                Err(FrameError::TooLong) => (self.hear)(Line::Oversized(self.decoder.head())),
                Err(error) => (self.hear)(Line::Bad(error)),
            };
            match heard {
                Heard::Fact(fact) => room.send(fact),
                Heard::Answer { id, reply } => self.outbox.push(&reply.encode(&id, clock::wall_ms)),
                Heard::Nothing => {}
                Heard::Farewell(reply) => {
                    self.outbox.push(&reply.encode("", clock::wall_ms));
                    return false;
                }
            }
        }
    }

    /// Tells the supervisor.
    pub(crate) async fn report(&self, fact: impl FnOnce() -> Fact) {
        tell(&self.facts, fact).await;
    }
}

/// Reads once, and returns how many bytes.
async fn feed<R: AsyncRead + Unpin>(decoder: &mut Decoder, reader: &mut R) -> io::Result<usize> {
    poll_fn(|context| {
        with_chunk(|chunk| {
            let mut read = ReadBuf::new(chunk);
            ready!(Pin::new(&mut *reader).poll_read(context, &mut read))?;
            decoder.feed(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    })
    .await
}

/// Lends the buffer that is shared by all conversations: most of them are silent most of the time, and many may end at once.
fn with_chunk<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static CHUNK_OF_THREAD: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
    }
    CHUNK_OF_THREAD.with_borrow_mut(|chunk| use_it(chunk))
}
