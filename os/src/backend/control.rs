//! The daemon's control socket: its file, and the task that accepts clients.

use std::path::{Path, PathBuf};

use nodesockd_core::config::Config;
use nodesockd_core::event::Failure;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::OpenError;
use crate::handoff::pause::Pause;
use crate::peers::ipc;
use crate::peers::ipc::{ControlSocket, IpcFile};
use crate::peers::session::Fact;

/// The control socket at `ipcFile`.
pub(super) struct Control {
    path: PathBuf,
    /// Who may use it.
    group: Option<String>,
    /// None: it is not there, or is another daemon's by now.
    file: Option<IpcFile>,
    socket: ControlSocket,
    /// The task that brings connections.
    accepting: Option<JoinHandle<()>>,
}

impl Control {
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let (file, socket) = ipc::open(&config.ipc_file, config.options.ipc_group.as_deref())?;
        Ok(Self::with(config, Some(file), socket))
    }

    /// The socket on which an earlier program in this process has served; `connections`: how many it has accepted.
    pub fn take_over(config: &Config, listener: UnixListener, connections: u64) -> Result<Self, OpenError> {
        let group = config.options.ipc_group.as_deref();
        let (file, socket) = ipc::from_handoff(&config.ipc_file, group, listener, connections)?;
        Ok(Self::with(config, file, socket))
    }

    fn with(config: &Config, file: Option<IpcFile>, socket: ControlSocket) -> Self {
        let (path, group) = (config.ipc_file.clone(), config.options.ipc_group.clone());
        Self { path, group, file, socket, accepting: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn socket(&self) -> &ControlSocket {
        &self.socket
    }

    /// Serves clients from now on.
    pub fn serve(&mut self, facts: &mpsc::Sender<Fact>, pause: &Pause) {
        let serve = ipc::serve(self.socket.clone(), facts.clone(), pause.token());
        if let Some(before) = self.accepting.replace(tokio::spawn(serve)) {
            before.abort();
        }
    }

    /// Where the socket ought to be and is not.
    pub fn lost(&self) -> Option<&Path> {
        self.file.as_ref().is_none_or(IpcFile::is_lost).then_some(&self.path)
    }

    /// Makes the socket again, if somebody has removed it.
    pub fn restore(&mut self, facts: &mpsc::Sender<Fact>, pause: &Pause) -> Result<(), Failure> {
        if self.lost().is_none() {
            return Ok(());
        }
        // First: it would remove the new file if that got the number of the old one.
        self.file = None;
        let opened = ipc::open_again(&self.path, self.group.as_deref(), &self.socket);
        let (file, socket) = opened.map_err(|error| Failure(error.to_string()))?;
        (self.file, self.socket) = (Some(file), socket);
        self.serve(facts, pause);
        Ok(())
    }

    /// Removes the socket, and accepts nobody any more.
    pub fn close(&mut self) {
        self.file = None;
        if let Some(task) = self.accepting.take() {
            task.abort();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}
