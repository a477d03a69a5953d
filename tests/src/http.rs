//! As little of HTTP as it takes to ask a worker something.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::wait;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body, as JSON.
    ///
    /// # Panics
    ///
    /// When it is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A request that was sent and not yet answered.
#[derive(Debug)]
pub struct Pending<S>(S);

impl<S: Read> Pending<S> {
    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// When the connection ends before the answer does.
    pub fn answer(mut self) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok(Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, body: body.to_owned() })
    }
}

/// Asks the worker behind a socket, or behind a link to one, for `path`.
///
/// # Panics
///
/// When there is no answer.
#[must_use]
pub fn get(socket: &Path, path: &str) -> Answer {
    try_get(socket, path).unwrap_or_else(|error| panic!("{}{path}: {error}", socket.display()))
}

/// The same, where there may be none.
///
/// # Errors
///
/// When nobody listens, or the connection ends before the answer does.
pub fn try_get(socket: &Path, path: &str) -> io::Result<Answer> {
    ask(socket, path)?.answer()
}

/// Asks, and does not wait for the answer.
///
/// # Errors
///
/// When nobody listens.
pub fn ask(socket: &Path, path: &str) -> io::Result<Pending<UnixStream>> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(wait::limit()))?;
    send(stream, path)
}

/// Asks whoever listens on a TCP port of this machine.
///
/// # Errors
///
/// When nobody does.
pub fn ask_port(port: u16, path: &str) -> io::Result<Pending<TcpStream>> {
    let stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(wait::limit()))?;
    send(stream, path)
}

/// A port that nobody else gets as long as this lives: neither another test, in whichever process, nor a connection.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// In the kernel's table of abstract names, which belongs to the same network namespace as ports do.
    _claim: UnixListener,
}

impl Port {
    /// Claims one.
    ///
    /// # Panics
    ///
    /// When none is left.
    #[must_use]
    pub fn claim() -> Self {
        // Below the ports that the kernel gives to whoever does not care.
        let free = |number: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *number)).is_ok();
        (20_000..32_000)
            .find_map(|number| Self::of(number).filter(|port| free(&port.number)))
            .expect("a free port")
    }

    fn of(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("nodesockd-test-port-{number}")).ok()?;
        Some(Self { number, _claim: UnixListener::bind_addr(&name).ok()? })
    }
}

fn send<S: Write>(mut stream: S, path: &str) -> io::Result<Pending<S>> {
    // In one piece: the simplest of our workers read once.
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    Ok(Pending(stream))
}
