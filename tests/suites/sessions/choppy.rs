//! Streams as they are in the worst case.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use crate::sim_network::Trace;

/// A connection that takes and gives at most so many bytes at a time, drawn from a seed, and records what it gives.
#[derive(Debug)]
pub struct Choppy {
    stream: TcpStream,
    most: u64,
    dice: u64,
    name: String,
    trace: Trace,
}

impl Choppy {
    pub fn new(stream: TcpStream, most: u64, seed: u64, name: String, trace: Trace) -> Self {
        Self { stream, most, dice: seed, name, trace }
    }

    /// From 1 to `most`.
    fn draw(&mut self) -> usize {
        // Knuth's MMIX: its upper bits are good enough to cut with.
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(1 + (self.dice >> 33) % self.most).unwrap_or(1)
    }
}

impl AsyncRead for Choppy {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let length = this.draw().min(buffer.remaining());
        let mut chunk = vec![0; length];
        let mut part = ReadBuf::new(&mut chunk);
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
        if matches!(read, Poll::Ready(Ok(()))) {
            this.trace.read(&this.name, part.filled());
            buffer.put_slice(part.filled());
        }
        read
    }
}

impl AsyncWrite for Choppy {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = this.draw().min(bytes.len());
        Pin::new(&mut this.stream).poll_write(cx, bytes.get(..length).unwrap_or(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
