//! The control socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodesockd_core::id::ConnId;
use nodesockd_core::wire::{Code, Reply, Sender};
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::geteuid;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clock;
use crate::error::OpenError;
use crate::files::identity::{self, Identity};
use crate::files::queue::answers;
use crate::files::tmp_dir::TmpDir;
use crate::handoff::pause::PauseToken;
use crate::machine::accounts;
use crate::peers::accept::Acceptor;
use crate::peers::asker::Asker;
use crate::peers::policy::PeerPolicy;
use crate::peers::session::{self, Fact, LAST_WORDS, Session};

/// Clients served at once. More have to wait in the kernel until one of these has gone. Workers that outlived their daemon are
/// not counted: each stays for as long as it lives.
const MOST: usize = 256;

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 128;

/// The file of the bound socket; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct IpcFile {
    path: PathBuf,
    /// Device and inode: the file may have been replaced, and is not ours to remove then.
    identity: Identity,
}

impl IpcFile {
    /// The socket that is there.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity::named(path)? })
    }

    /// Whether somebody else has removed or replaced it.
    pub(crate) fn is_lost(&self) -> bool {
        !identity::named(&self.path).is_ok_and(|found| found == self.identity)
    }
}

impl Drop for IpcFile {
    fn drop(&mut self) {
        if identity::named(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The control socket, and how many clients it serves.
#[derive(Debug, Clone)]
pub(crate) struct ControlSocket {
    pub(crate) listener: Arc<UnixListener>,
    policy: PeerPolicy,
    /// Connections made so far.
    connections: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
}

/// A client's place among those that are served at once.
pub(crate) type Permit = OwnedSemaphorePermit;

impl ControlSocket {
    /// The number of the next connection.
    pub(crate) fn next(&self) -> ConnId {
        ConnId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Connections made so far.
    pub(crate) fn count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    fn new(listener: UnixListener, group: Option<u32>, connections: u64) -> Self {
        Self {
            listener: Arc::new(listener),
            policy: PeerPolicy { group },
            connections: Arc::new(connections.into()),
            permits: Arc::new(Semaphore::new(MOST)),
        }
    }
}

/// The control socket of the program that was this process before, to which `connections` connections were made. There is no
/// file if somebody has removed it.
pub(crate) fn from_handoff(
    path: &Path,
    group: Option<&str>,
    listener: UnixListener,
    connections: u64,
) -> Result<(Option<IpcFile>, ControlSocket), OpenError> {
    let group = group.map(gid).transpose()?;
    Ok((IpcFile::of(path).ok(), ControlSocket::new(listener, group, connections)))
}

/// Binds the control socket: mode 0600, or 0660 and of that group. The caller holds the lock.
pub(crate) fn open(path: &Path, group: Option<&str>) -> Result<(IpcFile, ControlSocket), OpenError> {
    let refused = |reason: String| OpenError::Ipc { file: path.to_owned(), reason };
    if let Some(folder) = path.parent() {
        TmpDir::open(folder).map_err(|reason| OpenError::TmpDir { path: folder.to_owned(), reason })?;
    }
    let group = group.map(|name| gid(name).map(|gid| (name, gid))).transpose()?;
    clear_the_way(path).map_err(refused)?;
    let (file, listener) = bind_private(path).map_err(|error| refused(error.to_string()))?;
    if let Some((name, gid)) = group {
        let shared = std::os::unix::fs::chown(path, None, Some(gid))
            .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(0o660)));
        shared.map_err(|error| OpenError::Group {
            name: name.to_owned(),
            reason: format!("{error}; the daemon's user must be a member of it"),
        })?;
    }
    Ok((file, ControlSocket::new(listener, group.map(|(_, gid)| gid), 0)))
}

/// Binds the control socket again whose file is gone. Those who are connected are not disturbed.
pub(crate) fn open_again(
    path: &Path,
    group: Option<&str>,
    control: &ControlSocket,
) -> Result<(IpcFile, ControlSocket), OpenError> {
    let (file, opened) = open(path, group)?;
    Ok((file, ControlSocket { listener: opened.listener, policy: opened.policy, ..control.clone() }))
}

/// Serves clients until it is to stop where it is.
pub(crate) async fn serve(control: ControlSocket, facts: mpsc::Sender<Fact>, mut token: PauseToken) {
    let mut acceptor = Acceptor::default();
    loop {
        let next = async {
            let permit = Arc::clone(&control.permits).acquire_owned().await.ok()?;
            let (stream, _) = acceptor.check(control.listener.accept().await).await?;
            Some((permit, stream))
        };
        let next = tokio::select! {
            biased;
            () = token.requested() => return,
            next = next => next,
        };
        let Some((permit, stream)) = next else { continue };
        let conn = control.next();
        let (facts, token, policy) = (facts.clone(), token.clone(), control.policy);
        tokio::spawn(async move {
            match policy.admit(&stream) {
                Ok(()) => {
                    let asker = Asker::of(&stream);
                    if let Some(session) = Session::begin(stream, conn, asker, &facts).await {
                        session::attend(Session { permit: Some(permit), ..session }, facts, token).await;
                    }
                }
                Err(reason) => {
                    drop(token);
                    refuse(stream, reason).await;
                    drop(permit);
                }
            }
        });
    }
}

/// Serves a client whose session was paused. If it had a permit then, it has one now.
pub(crate) fn resume(
    control: &ControlSocket,
    session: Session<UnixStream>,
    facts: mpsc::Sender<Fact>,
    token: PauseToken,
) {
    let counts = session.sender != Sender::Survivor;
    let permit = counts.then(|| Arc::clone(&control.permits).try_acquire_owned().ok()).flatten();
    tokio::spawn(session::attend(Session { permit, ..session }, facts, token));
}

/// Tells the peer why, and reads until it closes: closed at once, the peer's first write would fail before it has read the
/// reason.
async fn refuse(mut stream: UnixStream, reason: String) {
    tracing::warn!("a connection to the control socket was refused: {reason}");
    let line = Reply::failed(Some(Code::NotPermitted), vec![reason]).encode("", clock::wall_ms);
    let told = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LAST_WORDS, told).await;
}

/// The socket has its mode before it has a name: `bind(2)` gives the file the mode of the socket's own inode, less
/// the umask (`unix_bind` in the kernel). So there is no moment at which others could connect, whatever the umask.
fn bind_private(path: &Path) -> io::Result<(IpcFile, UnixListener)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = IpcFile::of(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
    Ok((file, listener))
}

/// Removes the socket file of a daemon that is gone.
pub(crate) fn clear_the_way(path: &Path) -> Result<(), String> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(found) => found,
    };
    if !found.file_type().is_socket() {
        return Err("something that is no socket is in the way; remove it, or name another file".into());
    }
    let us = geteuid().as_raw();
    if found.uid() != us && us != 0 {
        return Err(format!(
            "a socket of user {} is in the way; remove it, or name another file",
            found.uid()
        ));
    }
    // We hold the lock, but a 2.x daemon knows no lock.
    if answers(path).unwrap_or(false) {
        return Err(
            "a process that does not hold our lock listens on it: nodesockd 2.x? End that one first".into()
        );
    }
    std::fs::remove_file(path).map_err(|error| error.to_string())
}

/// The number of `options.ipcGroup`.
pub(crate) fn gid(name: &str) -> Result<u32, OpenError> {
    let unknown = |reason: String| OpenError::Group { name: name.to_owned(), reason };
    match accounts::group_id(name) {
        Ok(Some(id)) => Ok(id),
        Ok(None) => Err(unknown("there is no such group".into())),
        Err(error) => Err(unknown(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_time::in_time;

    #[test]
    fn socket_whose_queue_is_full_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 0).unwrap();
        let _waits = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let cleared = in_time(move || clear_the_way(&path));
        assert!(cleared.is_err(), "somebody listens");
    }
}
