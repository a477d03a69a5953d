//! Serving metrics by HTTP, on a TCP port or a unix socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use nodesockd_core::config::MetricsAddress;
use nodesockd_core::event::Failure;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::handoff::fds::{FdCollector, FdNumber, MetricsServerFds, ScrapeFds};
use crate::handoff::pause::PauseToken;
use crate::metrics::scrape::Scrape;
use crate::peers::accept::{Acceptor, stop_listening};
use crate::peers::ipc::{self, ControlSocket, IpcFile};
use crate::peers::session::Fact;

/// Connections served at once. More have to wait in the kernel.
const MOST: usize = 8;

/// Connections that may wait in the kernel.
const BACKLOG: u32 = 64;

/// The server, running or not.
#[derive(Debug, Default)]
pub(crate) struct MetricsServer {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    address: MetricsAddress,
    listener: Arc<Listener>,
    places: Arc<Semaphore>,
    task: Option<JoinHandle<()>>,
    /// The file of a unix socket, while it is there.
    file: Option<IpcFile>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who is asked for the numbers, by way of what, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub control: ControlSocket,
    pub facts: mpsc::Sender<Fact>,
    pub token: PauseToken,
}

impl MetricsServer {
    /// Serves at `address`, or stops. Connections already made go on.
    pub(crate) fn serve(
        &mut self,
        address: Option<&MetricsAddress>,
        sources: Sources,
    ) -> Result<(), Failure> {
        if let (Some(running), Some(address)) = (&self.running, address)
            && running.address == *address
        {
            return Ok(());
        }
        self.stop();
        let Some(address) = address else { return Ok(()) };
        let (listener, file) = listen(address).map_err(|why| refused(address, &why))?;
        self.run(address.clone(), listener, file, sources);
        Ok(())
    }

    fn run(&mut self, address: MetricsAddress, listener: Listener, file: Option<IpcFile>, sources: Sources) {
        let places = Arc::new(Semaphore::new(MOST));
        self.running = Some(Running { address, listener: Arc::new(listener), places, task: None, file });
        self.go_on(sources);
    }

    /// Serves from now on, after a pause.
    pub(crate) fn go_on(&mut self, sources: Sources) {
        if let Some(running) = &mut self.running {
            let task = accept(Arc::clone(&running.listener), Arc::clone(&running.places), sources);
            if let Some(before) = running.task.replace(tokio::spawn(task)) {
                before.abort();
            }
        }
    }

    /// The socket at which it serves, if that is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match &self.running.as_ref()?.address {
            MetricsAddress::Unix(path) => Some(path),
            MetricsAddress::Tcp(_) => None,
        }
    }

    /// The file of that socket, if somebody has removed or replaced it.
    pub(crate) fn lost(&self) -> Option<&Path> {
        let file = self.running.as_ref()?.file.as_ref();
        self.socket().filter(|_| file.is_none_or(IpcFile::is_lost))
    }

    /// Serves at a new socket if the file of the old one is lost. Connections already made go on.
    pub(crate) fn restore(&mut self, sources: Sources) -> Result<(), Failure> {
        if self.lost().is_none() {
            return Ok(());
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        // First: it would remove the new file if that got the number of the old one.
        running.file = None;
        let address = running.address.clone();
        let (listener, file) = listen(&address).map_err(|why| refused(&address, &why))?;
        self.stop();
        self.run(address, listener, file, sources);
        Ok(())
    }

    /// Serves nobody any more.
    pub(crate) fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if let Some(task) = running.task {
            task.abort();
        }
        if let Listener::Tcp(listener) = &*running.listener {
            stop_listening(listener);
        }
    }

    /// A server that an earlier program of this process ran.
    pub(crate) fn take_over(&mut self, fds: MetricsServerFds, sources: Sources) -> io::Result<()> {
        let socket = fds.socket.open();
        let (listener, file) = match &fds.address {
            MetricsAddress::Tcp(_) => (Listener::Tcp(TcpListener::from_std(socket.into())?), None),
            MetricsAddress::Unix(path) => {
                (Listener::Unix(UnixListener::from_std(socket.into())?), IpcFile::of(path).ok())
            }
        };
        self.run(fds.address, listener, file, sources);
        Ok(())
    }

    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> Option<MetricsServerFds> {
        let Running { address, listener, .. } = self.running.as_ref()?;
        let socket = match &**listener {
            Listener::Tcp(listener) => fds.add(listener),
            Listener::Unix(listener) => fds.add(listener),
        };
        Some(MetricsServerFds { address: address.clone(), socket })
    }
}

impl Scrape {
    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> ScrapeFds {
        ScrapeFds { stream: fds.add(&self.stream), head: self.head.clone() }
    }

    /// A connection that the program before has not answered.
    pub(crate) fn unpack(ScrapeFds { stream, head }: ScrapeFds) -> io::Result<Self> {
        Ok(Self { stream: as_stream(stream)?, head })
    }

    /// Goes on with it.
    pub(crate) fn go_on(self, Sources { control, facts, token }: Sources) {
        tokio::spawn(self.attend(control, facts, token));
    }
}

fn as_stream(number: FdNumber) -> io::Result<UnixStream> {
    UnixStream::from_std(number.open().into())
}

fn listen(address: &MetricsAddress) -> Result<(Listener, Option<IpcFile>), String> {
    match address {
        MetricsAddress::Tcp(address) => {
            listen_tcp(*address).map(|tcp| (Listener::Tcp(tcp), None)).map_err(|error| error.to_string())
        }
        MetricsAddress::Unix(path) => {
            let (file, listener) = listen_unix(path)?;
            Ok((Listener::Unix(listener), Some(file)))
        }
    }
}

/// A port whose connections of before are not quite closed may be had again.
fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// As workers' sockets, for the group of the folder.
fn listen_unix(path: &Path) -> Result<(IpcFile, UnixListener), String> {
    ipc::clear_the_way(path)?;
    let listener = UnixListener::bind(path).map_err(|error| error.to_string())?;
    let file = IpcFile::of(path).map_err(|error| error.to_string())?;
    Ok((file, listener))
}

fn refused(address: &MetricsAddress, why: &str) -> Failure {
    Failure(format!(
        "cannot listen on {address}: {why}; end whatever has it, or set another `metrics`; it is tried again"
    ))
}

async fn accept(listener: Arc<Listener>, places: Arc<Semaphore>, sources: Sources) {
    let mut acceptor = Acceptor::default();
    let mut token = sources.token.clone();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            let stream = acceptor.check(listener.accept().await).await?;
            Some((place, stream))
        };
        let next = tokio::select! {
            biased;
            () = token.requested() => return,
            next = next => next,
        };
        let Some((place, stream)) = next else { continue };
        let Sources { control, facts, token } = sources.clone();
        let scrape = Scrape { stream, head: Vec::new() };
        tokio::spawn(async move {
            scrape.attend(control, facts, token).await;
            drop(place);
        });
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<UnixStream> {
        match self {
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                UnixStream::from_std(OwnedFd::from(stream.into_std()?).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_address_with_the_same_port_is_free_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (_file, control) = ipc::open(&folder.path().join("nodesockd.ipc"), None).unwrap();
        let (facts, _inbox) = mpsc::channel(1);
        let sources = Sources { control, facts, token: PauseToken::never() };
        let mut server = MetricsServer::default();
        let at = |host: [u8; 4], port| MetricsAddress::Tcp(SocketAddr::from((host, port)));
        server.serve(Some(&at([127, 0, 0, 1], 0)), sources.clone()).unwrap();
        let Listener::Tcp(listener) = &*server.running.as_ref().unwrap().listener else { panic!() };
        let port = listener.local_addr().unwrap().port();
        server.serve(Some(&at([0, 0, 0, 0], port)), sources).unwrap();
    }
}
