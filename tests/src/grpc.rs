//! As little of gRPC as it takes to call a method of one argument and one answer. Nothing is called a second time: what a library does of
//! itself about a call that has failed would hide what was lost.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::load::{Caller, Method};
use crate::wait;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A client of a method, with a connection that it keeps.
#[derive(Debug)]
pub struct Client {
    front: PathBuf,
    method: &'static str,
    runtime: Runtime,
    session: Option<SendRequest<Bytes>>,
}

impl Client {
    /// For the method of that path, such as `/Greeter/Greet`, of the server behind the unix socket `front`.
    #[must_use]
    pub fn new(front: &Path, method: &'static str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { front: front.to_owned(), method, runtime, session: None }
    }

    /// Calls the method: the message that it answers.
    ///
    /// # Errors
    ///
    /// What there is instead of an answer with status 0.
    pub fn call(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        // One that has failed is not used again.
        let kept = self.session.take();
        let (front, method) = (&self.front, self.method);
        let (session, answer) = self.runtime.block_on(async {
            let session = open(front, kept).await?;
            let calling = tokio::time::timeout(wait::limit(), call(session, method, message));
            calling.await.map_err(io::Error::other)?.map_err(io::Error::other)
        })?;
        self.session = Some(session);
        let Answer { headers, message, trailers } = answer;
        let status = trailers.get("grpc-status").or_else(|| headers.get("grpc-status"));
        match status.map(|status| status.as_bytes()) {
            Some(b"0") => Ok(message.get(PREFIX..).unwrap_or_default().to_vec()),
            _ => Err(io::Error::other(format!("{headers:?} {trailers:?}"))),
        }
    }
}

impl Caller for Client {
    fn method(&self) -> Method {
        Method::Post
    }

    fn request(&mut self, number: &str) -> io::Result<Vec<u8>> {
        self.call(number.as_bytes())
    }
}

/// What came back.
struct Answer {
    headers: HeaderMap,
    message: BytesMut,
    trailers: HeaderMap,
}

/// The connection that was kept; a new one where there is none, or its other end takes no more streams.
async fn open(front: &Path, kept: Option<SendRequest<Bytes>>) -> io::Result<SendRequest<Bytes>> {
    if let Some(session) = kept
        && let Ok(session) = session.ready().await
    {
        return Ok(session);
    }
    let stream = UnixStream::connect(front).await?;
    let (session, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
    // What it fails of is what the calls on it fail of.
    tokio::spawn(connection);
    session.ready().await.map_err(io::Error::other)
}

async fn call(
    mut session: SendRequest<Bytes>,
    method: &str,
    message: &[u8],
) -> Result<(SendRequest<Bytes>, Answer), h2::Error> {
    let request = Request::post(format!("http://test{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a valid path");
    let (response, mut body) = session.send_request(request, false)?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len().try_into().expect("a small message"));
    framed.put_slice(message);
    body.send_data(framed.freeze(), true)?;
    Ok((session, receive(response).await?))
}

async fn receive(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(Answer { headers: head.headers, message, trailers })
}
