//! The protocol's client side: requests out, replies in (docs/05-ipc.md).

use std::io;
use std::path::Path;

use nodesockd_core::frame::Decoder;
use nodesockd_core::text::escape;
use nodesockd_core::wire::{Code, Json, MAX_FRAME, Request};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use uuid::Uuid;

use crate::exit::{Exit, Failure};

/// Characters of one error message from a daemon that a person gets to see.
const SHOWN: usize = 2000;

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    decoder: Decoder,
}

/// Why a request got no proper answer.
#[derive(Debug)]
pub enum ClientError {
    /// The daemon said no.
    Refused(Refusal),
    /// The connection ended before the answer did.
    Closed {
        /// Whether a part of the answer had come.
        begun: bool,
    },
    /// What came is not the protocol.
    Garbage(String),
    /// The request does not fit into a frame.
    TooLong,
    /// The operating system's refusal.
    Io(io::Error),
}

/// A daemon's no.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What kind of failure it is; daemons before 3.0 do not say.
    pub code: Option<Code>,
    /// Why, in the daemon's words. Not escaped.
    pub errors: Vec<String>,
    /// More about it, depending on the request.
    pub data: Option<Json>,
}

/// Connects to the daemon that listens on `path`.
///
/// # Errors
///
/// Exit code 4 when nobody listens there, 9 when we may not ask (`connect(2)`: EACCES, EPERM), 1 otherwise.
pub async fn connect(path: &Path) -> Result<Client<UnixStream>, Failure> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Client::over(stream)),
        Err(error) => Err(not_connected(path, &error)),
    }
}

fn not_connected(path: &Path, error: &io::Error) -> Failure {
    let shown = escape(&path.display().to_string(), SHOWN);
    let start = "start its service, or `nodesockd daemon`, or name another one with --config or --ipc";
    let kind = error.kind();
    let nobody = matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    if let Some(holder) = nobody.then(|| nodesockd_os::lock_holder(path)).flatten() {
        return unreachable(&shown, kind, holder.pid);
    }
    if kind == io::ErrorKind::NotFound {
        Failure::new(Exit::Unreachable, format!("no daemon is running: {shown} does not exist")).help(start)
    } else if kind == io::ErrorKind::ConnectionRefused {
        Failure::new(Exit::Unreachable, format!("no daemon is running: nobody listens on {shown}"))
            .help(start)
    } else if kind == io::ErrorKind::PermissionDenied {
        Failure::new(Exit::NotPermitted, format!("not permitted to connect to {shown}"))
            .help("only the daemon's own user, root and the group `options.ipcGroup` may command it")
    } else {
        Failure::new(Exit::Unexpected, format!("cannot connect to {shown}: {error}"))
    }
}

/// A daemon runs, as its lock says, and does not listen. To start another one would be refused; to end this one by a command
/// is not possible.
fn unreachable(socket: &str, kind: io::ErrorKind, pid: u32) -> Failure {
    let what = if kind == io::ErrorKind::NotFound { "does not exist" } else { "is nobody's" };
    let message = format!("a daemon runs, process {pid}, but cannot be reached: {socket} {what}");
    Failure::new(Exit::Unreachable, message).help(format!(
        "it makes its socket again within a moment; if it does not, it is stopped or stuck: look at its log, `kill -CONT {pid}` \
         lets it go on, `kill {pid}` ends it with its workers, `kill -9 {pid}` ends it alone: the next daemon takes its \
         workers over"
    ))
}

impl Client<UnixStream> {
    /// The daemon's process id, as the kernel knows it; `None` if it is in a pid namespace that we cannot see.
    #[must_use]
    pub fn daemon_pid(&self) -> Option<u32> {
        let pid = self.stream.peer_cred().ok()?.pid()?;
        u32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    /// The daemon's user and group, as the kernel knows them.
    #[must_use]
    pub fn daemon_user(&self) -> Option<(u32, u32)> {
        let peer = self.stream.peer_cred().ok()?;
        Some((peer.uid(), peer.gid()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Says that nothing will be asked any more, and returns when the daemon has closed the connection.
    pub async fn hang_up(mut self) {
        let _ = self.stream.shutdown().await;
        self.closed().await;
    }

    /// A client that talks over `stream`.
    pub fn over(stream: S) -> Self {
        Self { stream, decoder: Decoder::new() }
    }

    /// Sends a request; its answers are read from what is returned.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. A daemon that has closed its end is noticed when the answer is read: it may have said why.
    pub async fn ask(&mut self, request: &Request) -> Result<Answers<'_, S>, ClientError> {
        let id = Uuid::new_v4().to_string();
        let line = request.encode(&id);
        if line.len() > MAX_FRAME {
            return Err(ClientError::TooLong);
        }
        match self.stream.write_all(line.as_bytes()).await {
            Ok(()) => {}
            Err(error) if is_closed(&error) => {}
            Err(error) => return Err(ClientError::Io(error)),
        }
        Ok(Answers { client: self, id, begun: false, ended: false })
    }

    /// Sends a request that has a single answer, and waits for it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn request(&mut self, request: &Request) -> Result<Option<Json>, ClientError> {
        let mut answers = self.ask(request).await?;
        let mut last = None;
        while let Some(data) = answers.next().await? {
            last = Some(data);
        }
        Ok(last)
    }

    /// Sends a request that is for nothing but its data, and waits for that.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; or the answer has no data.
    pub async fn answer(&mut self, request: &Request) -> Result<Json, Failure> {
        let answer = self.request(request).await?;
        answer.ok_or_else(|| Failure::new(Exit::Unexpected, "the daemon's answer is empty"))
    }

    /// Waits until the daemon closes the connection, whatever else it may say.
    pub async fn closed(&mut self) {
        let mut buffer = [0; 4096];
        while matches!(self.stream.read(&mut buffer).await, Ok(count) if count > 0) {}
    }

    /// The next reply to the request `id`, or to none: that is how the daemon says why it closes the connection. What is
    /// anything else is passed over.
    async fn reply(&mut self, id: &str) -> Result<Option<Frame>, ClientError> {
        let mut buffer = [0; 16 * 1024];
        loop {
            while let Some(line) = self.decoder.next_line() {
                let line = line.map_err(|error| ClientError::Garbage(error.to_string()))?;
                let frame: Frame = serde_json::from_str(line)
                    .map_err(|error| ClientError::Garbage(format!("{error}: {}", escape(line, 60))))?;
                let ours = frame.request_id.as_deref().is_some_and(|to| to == id || to.is_empty());
                if frame.r#type.as_deref() == Some("reply") && ours {
                    return Ok(Some(frame));
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Ok(None),
                Ok(count) => self.decoder.feed(&buffer[..count]),
                Err(error) if is_closed(&error) => return Ok(None),
                Err(error) => return Err(ClientError::Io(error)),
            }
        }
    }
}

/// A frame from a daemon. `code` stays text: a newer daemon may know codes that we do not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    r#type: Option<String>,
    request_id: Option<String>,
    data: Option<Json>,
    errors: Option<Vec<String>>,
    code: Option<String>,
    done: Option<bool>,
}

/// The answers to one request, as they come.
#[derive(Debug)]
pub struct Answers<'a, S> {
    client: &'a mut Client<S>,
    id: String,
    begun: bool,
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Answers<'_, S> {
    /// The `data` of the next reply that has some; `None` when the answer is complete.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn next(&mut self) -> Result<Option<Json>, ClientError> {
        while !self.ended {
            let Some(frame) = self.client.reply(&self.id).await? else {
                return Err(ClientError::Closed { begun: self.begun });
            };
            self.begun = true;
            let errors = frame.errors.unwrap_or_default();
            if !errors.is_empty() {
                let code = frame.code.and_then(|code| serde_json::from_value(code.into()).ok());
                return Err(ClientError::Refused(Refusal { code, errors, data: frame.data }));
            }
            self.ended = frame.done.unwrap_or(false);
            if frame.data.is_some() {
                return Ok(frame.data);
            }
        }
        Ok(None)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::Closed { begun: false } => {
                Self::new(Exit::Unreachable, "the daemon closed the connection without an answer")
                    .help("if it was stopped just now, this is why; its log may say more")
            }
            ClientError::Closed { begun: true } => {
                Self::new(Exit::Unexpected, "the daemon closed the connection in the middle of its answer")
                    .help("see its log, and `nodesockd status` for what is running")
            }
            ClientError::Garbage(what) => Self::new(
                Exit::Unexpected,
                format!("the answer is not nodesockd's protocol: {what}"),
            )
            .help(
                "is it a nodesockd daemon that listens where --ipc or the configuration's `ipcFile` points?",
            ),
            ClientError::TooLong => {
                Self::new(Exit::Usage, format!("the request is longer than {MAX_FRAME} bytes"))
                    .help("send less data, or the path of a file that holds it")
            }
            ClientError::Io(error) => {
                Self::new(Exit::Unexpected, format!("the connection to the daemon failed: {error}"))
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            exit: refusal.code.map_or(Exit::Unexpected, Exit::from),
            messages: refusal.errors.iter().map(|error| shown(error)).collect(),
            help: match refusal.code {
                Some(Code::Busy) => {
                    Some("`nodesockd status` shows it; `restart --wait` waits for its end".into())
                }
                _ => None,
            },
        }
    }
}

/// A message from a daemon, line by line: a configuration's problem comes with the line it is about.
fn shown(message: &str) -> String {
    message.lines().map(|line| escape(line, SHOWN)).collect::<Vec<_>>().join("\n")
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, duplex};

    use super::*;

    /// Asks a scripted daemon for its status: `lines` are its answer, `ID` stands for the request's id.
    async fn answered(script: &'static [&'static str]) -> (Vec<String>, Result<(), ClientError>) {
        let (ours, theirs) = duplex(64);
        let daemon = daemon(theirs, script);
        let client = async {
            let mut client = Client::over(ours);
            let mut answers = client.ask(&Request::Status).await.unwrap();
            let mut got = Vec::new();
            loop {
                match answers.next().await {
                    Ok(Some(data)) => got.push(data.get().to_owned()),
                    Ok(None) => return (got, Ok(())),
                    Err(error) => return (got, Err(error)),
                }
            }
        };
        tokio::join!(daemon, client).1
    }

    async fn daemon(stream: DuplexStream, script: &[&str]) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let request: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(request["type"], "status");
        for part in script {
            let part = part.replace("ID", request["id"].as_str().unwrap());
            // The client may have had enough already.
            let _ = stream.write_all(part.as_bytes()).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_stream_of_replies_ends_with_the_one_that_is_done() {
        let (got, end) = answered(&[
            "{\"type\":\"reply\",\"requestId\":\"ID\",\"data\":1}\n{\"type\":\"rep",
            "ly\",\"requestId\":\"ID\",\"data\":{\"a\": 2.0}}\n",
            "{\"type\":\"reply\",\"requestId\":\"ID\",\"done\":true}\n",
        ])
        .await;
        assert_eq!(got, ["1", "{\"a\": 2.0}"]);
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn what_is_meant_for_others_is_passed_over() {
        let (got, end) = answered(&[
            "{\"type\":\"set-name\",\"data\":{\"name\":\"x\"}}\n",
            "{\"type\":\"reply\",\"requestId\":\"other\",\"errors\":[\"no\"],\"done\":true}\n",
            "{\"type\":\"reply\",\"requestId\":\"ID\",\"data\":\"mine\",\"done\":true}\n",
        ])
        .await;
        assert_eq!(got, ["\"mine\""]);
        assert!(end.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_code_and_its_data() {
        let line = "{\"type\":\"reply\",\"requestId\":\"ID\",\"errors\":[\"a\",\"b\"],\"code\":\"busy\",\"data\":7}\n";
        let (_, end) = answered(Box::leak(Box::new([line]))).await;
        let Err(ClientError::Refused(refusal)) = end else { panic!("{end:?}") };
        assert_eq!((refusal.code, refusal.errors.len()), (Some(Code::Busy), 2));
        assert_eq!(refusal.data.unwrap().get(), "7");
    }

    #[tokio::test]
    async fn who_is_turned_away_learns_why() {
        let line = "{\"type\":\"reply\",\"requestId\":\"\",\"errors\":[\"not you\"],\"code\":\"not-permitted\",\"done\":true}\n";
        let (_, end) = answered(Box::leak(Box::new([line]))).await;
        assert_eq!(Failure::from(end.unwrap_err()).exit, Exit::NotPermitted);
    }

    #[tokio::test]
    async fn a_code_from_the_future_is_a_plain_failure() {
        let (_, end) = answered(&[
            "{\"type\":\"reply\",\"requestId\":\"ID\",\"errors\":[\"\\u001b[2Jno\"],\"code\":\"new\"}\n",
        ])
        .await;
        let failure = Failure::from(end.unwrap_err());
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Unexpected, "\\x1b[2Jno"));
    }

    #[tokio::test]
    async fn garbage_is_named_and_escaped() {
        for script in [&["\u{1b}]0;HTTP/1.1 400\n"][..], &["\n"], &["[]\n"]] {
            let script: &'static [&'static str] = Box::leak(script.to_vec().into_boxed_slice());
            let (_, end) = answered(script).await;
            let failure = Failure::from(end.unwrap_err());
            assert_eq!(failure.exit, Exit::Unexpected);
            assert!(failure.to_string().starts_with("the answer is not nodesockd's protocol"), "{failure}");
            assert!(!failure.to_string().contains('\u{1b}'));
        }
    }

    #[tokio::test]
    async fn a_line_without_end_does_not_fill_the_memory() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let mut client = Client::over(ours);
        let flood = async {
            let chunk = [b'x'; 64 * 1024];
            while theirs.write_all(&chunk).await.is_ok() {}
        };
        let ask = async {
            let error = client.request(&Request::Status).await.unwrap_err();
            drop(client);
            error
        };
        let (error, ()) = tokio::join!(ask, flood);
        assert!(matches!(error, ClientError::Garbage(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_early_is_said_to() {
        let (_, end) = answered(&[]).await;
        assert_eq!(Failure::from(end.unwrap_err()).exit, Exit::Unreachable);
        let (_, end) = answered(&["{\"type\":\"reply\",\"requestId\":\"ID\",\"data\":1}\n{\"type\""]).await;
        assert_eq!(Failure::from(end.unwrap_err()).exit, Exit::Unexpected);
    }

    #[tokio::test]
    async fn a_request_that_fits_into_no_frame_is_not_sent() {
        let (ours, _theirs) = duplex(64);
        let request = Request::SendMessage { message: "x".repeat(MAX_FRAME), data: None, workers: None };
        let error = Client::over(ours).request(&request).await.unwrap_err();
        assert_eq!(Failure::from(error).exit, Exit::Usage);
    }

    #[tokio::test]
    async fn nobody_there_is_exit_4_with_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let missing = connect(&dir.path().join("no.ipc")).await.unwrap_err();
        assert_eq!(missing.exit, Exit::Unreachable);
        assert!(missing.to_string().contains("no.ipc does not exist"));
        let dead = dir.path().join("dead.ipc");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        assert_eq!(connect(&dead).await.unwrap_err().exit, Exit::Unreachable);
    }
}
