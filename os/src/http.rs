//! HTTP as far as the daemon answers it itself: the head of one request, and one answer to it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The head of a request may be so long.
pub(crate) const LONGEST_HEAD: usize = 16 << 10;

/// So many fields it may have.
const MOST_FIELDS: usize = 100;

/// So much of a request is taken in, unread, while its answer is on the way.
const LONGEST_REST: u64 = 16 << 20;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub method: String,
    pub target: String,
    /// What kinds of answers are wanted: all fields `Accept` in one.
    pub accept: String,
}

/// Why what a client has sent is no head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Malformed,
    TooLong,
}

/// One answer, with which its connection ends.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub status: &'static str,
    /// Further fields, each with the end of its line.
    pub fields: &'a str,
    pub kind: &'a str,
    pub body: &'a str,
}

impl Request {
    /// What the head says that `bytes` begin with; nothing, as long as it is not complete.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Refused> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length > LONGEST_HEAD => Err(Refused::TooLong),
            Ok(httparse::Status::Partial) if bytes.len() > LONGEST_HEAD => Err(Refused::TooLong),
            Ok(httparse::Status::Partial) => Ok(None),
            Ok(httparse::Status::Complete(_)) => {
                let accept = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("accept"));
                let accept = accept.map(|field| String::from_utf8_lossy(field.value));
                Ok(Some(Self {
                    method: head.method.unwrap_or_default().to_owned(),
                    target: head.path.unwrap_or_default().to_owned(),
                    accept: accept.collect::<Vec<_>>().join(","),
                }))
            }
            Err(httparse::Error::TooManyHeaders) => Err(Refused::TooLong),
            Err(_) => Err(Refused::Malformed),
        }
    }

    /// The answer is to have no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

impl Refused {
    /// What the client is told.
    pub(crate) fn answer(self) -> String {
        match self {
            Self::Malformed => Answer::text("400 Bad Request", "", "this is no request by HTTP/1.1\n"),
            Self::TooLong => {
                let text = "the head of the request is too long\n";
                Answer::text("431 Request Header Fields Too Large", "", text)
            }
        }
    }
}

impl Answer<'_> {
    /// A few words.
    pub(crate) fn text(status: &'static str, fields: &str, text: &str) -> String {
        Answer { status, fields, kind: "text/plain; charset=utf-8", body: text }.sent(false)
    }

    /// What is sent. `head`: without the body, but with its length.
    pub(crate) fn sent(&self, head: bool) -> String {
        let Answer { status, fields, kind, body } = self;
        format!(
            "HTTP/1.1 {status}\r\n{fields}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
            body.len(),
            if head { "" } else { *body }
        )
    }
}

/// Sends the answer, and reads on until the client has it: closed at once, bytes that nobody has read would cut it off.
pub(crate) async fn tell(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    answer: &str,
) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(LONGEST_REST);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete_and_bounded() {
        let text = "POST /a?b HTTP/1.1\r\nHost: x\r\nACCEPT: text/html\r\nAccept: */*;q=0.1\r\n\r\nbody";
        let whole =
            Request { method: "POST".into(), target: "/a?b".into(), accept: "text/html,*/*;q=0.1".into() };
        assert_eq!(Request::read(text.as_bytes()), Ok(Some(whole)));
        for end in 0..text.len() - "body".len() {
            assert_eq!(Request::read(&text.as_bytes()[..end]), Ok(None), "{end}");
        }
        for malformed in ["\x16\x03\x01", "GET / HTTP/9\r\n\r\n", "GET /\r\n\r\n", "a b c d\r\n\r\n"] {
            assert_eq!(Request::read(malformed.as_bytes()), Err(Refused::Malformed), "{malformed:?}");
        }
        let endless = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(Request::read(endless.as_bytes()), Err(Refused::TooLong));
        assert_eq!(Request::read(format!("{endless}\r\n\r\n").as_bytes()), Err(Refused::TooLong));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_FIELDS + 1));
        assert_eq!(Request::read(many.as_bytes()), Err(Refused::TooLong));
    }
}
