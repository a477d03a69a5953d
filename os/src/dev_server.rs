//! The dev server: a front for those who have no nginx at hand.
//!
//! It passes bytes on, so whatever HTTP can do works: streaming, upgrades, anything. Only while the core says that no worker can
//! answer, it reads requests, and answers them itself.

mod accept;
mod page;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nodesockd_core::config::DevAddress;
use nodesockd_core::event::Failure;
use nodesockd_core::page::Page;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::handoff::fds::{DevServerFds, FdCollector, FdNumber};
use crate::http::{self, Answer, Request};
use crate::peers::accept::{Acceptor, stop_listening};

/// Connections served at once. More have to wait in the kernel.
const MOST: usize = 1024;

/// How much of a request is taken from a client that has to wait for a worker.
const HELD: usize = 64 << 10;

/// How long a client may take for the head of its request, once it has begun, and for reading its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// When all workers' accept queues are full.
const RESPITE: Duration = Duration::from_millis(20);

/// The server, running or not.
#[derive(Debug, Default)]
pub(crate) struct DevServer {
    slots: Arc<Slots>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    asked: DevAddress,
    port: u16,
    listeners: Vec<Arc<TcpListener>>,
    tasks: Vec<JoinHandle<()>>,
}

/// The slots to spread connections over.
#[derive(Debug, Default)]
struct Slots {
    state: Mutex<Rotation>,
    /// A link was swapped, or there is another page, or none any more: it is worth trying again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Rotation {
    links: Vec<PathBuf>,
    next: usize,
    /// What is answered instead of being passed on.
    page: Option<Arc<Page>>,
}

/// What becomes of a connection.
enum Found {
    Worker(UnixStream),
    /// Nobody serves: this is answered.
    Answer(String),
    /// The client hung up.
    Nobody,
}

/// Why no slot took a connection.
enum Refused {
    /// Nobody listens.
    Nobody,
    /// Somebody does, and has no room in the queue.
    Full,
}

impl DevServer {
    /// Serves at `address` in front of `links`, or stops. Connections already made go on.
    pub(crate) async fn serve(
        &mut self,
        address: Option<DevAddress>,
        links: Vec<PathBuf>,
    ) -> Result<(), Failure> {
        self.slots.change(|state| state.links = links);
        if address.is_some() && self.running.as_ref().map(|running| running.asked) == address {
            return Ok(());
        }
        self.running = None;
        let Some(asked) = address else { return Ok(()) };
        let listeners = listen(asked).await.map_err(|error| refused(asked, &error))?;
        let port = self.run(asked, listeners);
        let host = asked.host.map(|_| DevAddress { port, ..asked }.to_string());
        tracing::info!("dev server: http://{}", host.unwrap_or_else(|| format!("localhost:{port}")));
        Ok(())
    }

    /// A server that an earlier program of this process ran. The connections that it passed on are cut.
    pub(crate) fn take_over(&mut self, fds: DevServerFds) -> io::Result<()> {
        let open = |number: FdNumber| TcpListener::from_std(number.open().into());
        let listeners = fds.sockets.into_iter().map(open).collect::<Result<_, _>>()?;
        self.slots.change(|state| state.links = fds.links);
        self.run(fds.asked, listeners);
        Ok(())
    }

    /// What the next program gets.
    pub(crate) fn pack<'a>(&'a self, fds: &mut FdCollector<'a>) -> Option<DevServerFds> {
        let Running { asked, listeners, .. } = self.running.as_ref()?;
        let sockets = listeners.iter().map(|listener| fds.add(&**listener)).collect();
        Some(DevServerFds { asked: *asked, sockets, links: self.slots.state().links.clone() })
    }

    fn run(&mut self, asked: DevAddress, listeners: Vec<TcpListener>) -> u16 {
        let listeners: Vec<Arc<TcpListener>> = listeners.into_iter().map(Arc::new).collect();
        let port = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .map_or(asked.port, |own| own.port());
        let places = Arc::new(Semaphore::new(MOST));
        let accept = |listener: &Arc<TcpListener>| {
            tokio::spawn(accept(Arc::clone(listener), Arc::clone(&places), Arc::clone(&self.slots)))
        };
        let tasks = listeners.iter().map(accept).collect();
        self.running = Some(Running { asked, port, listeners, tasks });
        port
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> Option<u16> {
        self.running.as_ref().map(|running| running.port)
    }

    /// A slot has got a worker.
    pub(crate) fn published(&self) {
        self.slots.changed.notify_waiters();
    }

    /// Answers with this page from now on, or passes connections on.
    pub(crate) fn show(&self, page: Option<&Page>) {
        self.slots.change(|state| state.page = page.cloned().map(Arc::new));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.listeners.iter().for_each(stop_listening);
    }
}

impl Slots {
    fn state(&self) -> MutexGuard<'_, Rotation> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Rotation)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    /// The links, beginning with the one whose turn it is.
    fn turn(&self) -> Vec<PathBuf> {
        let mut state = self.state();
        let mut links = state.links.clone();
        if !links.is_empty() {
            let first = state.next % links.len();
            links.rotate_left(first);
            state.next = first + 1;
        }
        links
    }

    async fn connect(&self) -> Result<UnixStream, Refused> {
        let mut refused = Refused::Nobody;
        for link in self.turn() {
            match UnixStream::connect(&link).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => refused = Refused::Full,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

fn refused(address: DevAddress, error: &io::Error) -> Failure {
    let repair = if error.kind() == io::ErrorKind::PermissionDenied {
        "it is for root, set another `devServer`"
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        "set `devServer` to an address of this machine, or to 0.0.0.0"
    } else {
        "end whatever holds the port, or set another `devServer`"
    };
    let place = if address.host.is_some() { "" } else { "port " };
    Failure(format!("the dev server cannot listen on {place}{address}: {error}; {repair}"))
}

/// On the loopback interface unless there is an address; by IPv6 as well, where there is such a thing, as `localhost` may
/// mean either.
async fn listen(DevAddress { host, port }: DevAddress) -> io::Result<Vec<TcpListener>> {
    if let Some(host) = host {
        return Ok(vec![TcpListener::bind((host, port)).await?]);
    }
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = first.local_addr()?.port();
    let second = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await;
    Ok([first].into_iter().chain(second).collect())
}

async fn accept(listener: Arc<TcpListener>, places: Arc<Semaphore>, slots: Arc<Slots>) {
    let mut acceptor = Acceptor::default();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Some((client, _)) = acceptor.check(listener.accept().await).await else { continue };
        let slots = Arc::clone(&slots);
        tokio::spawn(async move {
            pass_on(client, &slots).await;
            drop(place);
        });
    }
}

/// One connection, from its client to a worker and back. Errors end it, and concern nobody else.
async fn pass_on(mut client: TcpStream, slots: &Slots) {
    let _ = client.set_nodelay(true);
    let mut said = Vec::new();
    match find_worker(&mut client, &mut said, slots).await {
        Found::Worker(mut worker) => {
            if worker.write_all(&said).await.is_ok() {
                drop(said);
                let _ = copy_bidirectional(&mut client, &mut worker).await;
            }
        }
        Found::Answer(answer) => {
            let _ = timeout(PATIENCE, http::tell(&mut client, &answer)).await;
        }
        Found::Nobody => {}
    }
}

/// A worker, if there is or comes one, or what is answered while none can. `said`: what the client has said meanwhile.
async fn find_worker(client: &mut TcpStream, said: &mut Vec<u8>, slots: &Slots) -> Found {
    let mut deadline = None;
    loop {
        let mut changed = pin!(slots.changed.notified());
        changed.as_mut().enable();
        let page = slots.state().page.clone();
        let Some(page) = page else {
            match slots.connect().await {
                Ok(worker) => return Found::Worker(worker),
                Err(Refused::Full) => tokio::time::sleep(RESPITE).await,
                Err(Refused::Nobody) => tokio::select! {
                    biased;
                    () = changed => {}
                    () = listen_to(client, said) => return Found::Nobody,
                },
            }
            continue;
        };
        match Request::read(said) {
            Ok(Some(request)) => return Found::Answer(page::answer(&page, &request)),
            Ok(None) => {}
            Err(refused) => return Found::Answer(refused.answer()),
        }
        // A browser connects before it has anything to ask: only one that has begun has to hurry.
        if !said.is_empty() {
            deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        }
        let late = sleep_until(deadline.unwrap_or_else(Instant::now));
        tokio::select! {
            biased;
            () = changed => {}
            more = client.read_buf(said) => if !matches!(more, Ok(1..)) { return Found::Nobody },
            () = late, if deadline.is_some() => {
                let text = "the head of the request has not come in time\n";
                return Found::Answer(Answer::text("408 Request Timeout", "", text));
            }
        }
    }
}

/// Ends when the client hangs up. Reading on is the only way to notice; what has no room is left in the kernel.
async fn listen_to(client: &mut TcpStream, said: &mut Vec<u8>) {
    while said.len() < HELD {
        let mut rest = (&mut *client).take((HELD - said.len()) as u64);
        if !matches!(rest.read_buf(said).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test]
    async fn another_address_with_the_same_port_is_free_at_once() {
        let mut server = DevServer::default();
        let at = |host: [u8; 4], port| Some(DevAddress { host: Some(IpAddr::from(host)), port });
        server.serve(at([127, 0, 0, 1], 0), Vec::new()).await.unwrap();
        let port = server.port().unwrap();
        server.serve(at([0, 0, 0, 0], port), Vec::new()).await.unwrap();
    }
}
