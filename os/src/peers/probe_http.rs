//! Asking a worker whether it is ready: one GET through its socket.

use std::path::Path;

use nodesockd_core::event::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::error::failure;

/// Enough for a status line. No more than this is read.
const STATUS_LINE: u64 = 256;

/// The status code of the answer. Waits until there is one, or the connection has ended.
pub(crate) async fn get(socket: &Path, path: &str) -> Result<u16, Failure> {
    let answer = ask(socket, path).await.map_err(|error| failure("ask", socket, error))?;
    let line = String::from_utf8_lossy(&answer);
    status(&line).ok_or_else(|| failure("ask", socket, "the answer is not HTTP"))
}

async fn ask(socket: &Path, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: nodesockd\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut stream = stream.take(STATUS_LINE);
    while !answer.contains(&b'\n') && stream.read_buf(&mut answer).await? > 0 {}
    Ok(answer)
}

/// `HTTP-version SP status-code SP …` (RFC 9112, section 4).
fn status(line: &str) -> Option<u16> {
    let mut words = line.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn status_is_parsed_from_status_line_only() {
        assert_eq!(status("HTTP/1.1 204 No Content\r\nServer: x"), Some(204));
        assert_eq!(status("HTTP/1.0 503\r\n"), Some(503));
        for other in ["", "SSH-2.0-OpenSSH_9.2", "HTTP/1.1", "HTTP/1.1 ok", "HTTP/2 200"] {
            assert_eq!(status(other), None, "{other}");
        }
    }
}
