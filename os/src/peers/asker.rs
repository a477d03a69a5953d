//! Who asks the daemon for something.

use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use rustix::process::Pid;
use tokio::net::UnixStream;

use crate::processes::children::about;

/// Characters of a command that the log shows.
const SHOWN: usize = 200;

/// The process at the other end of a connection, as the kernel names it (`SO_PEERCRED`, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Its pid; none if it has none in our pid namespace.
    pub pid: Option<u32>,
    /// Its user; none if an earlier program of this process has not handed that on.
    pub uid: Option<u32>,
}

impl Asker {
    pub(crate) fn of(stream: &UnixStream) -> Option<Self> {
        let peer = stream.peer_cred().ok()?;
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        Some(Self { pid, uid: Some(peer.uid()) })
    }

    /// Says in the log what it asks for. What changes nothing is said to those who look for mistakes only.
    pub(crate) fn log(self, request: &Request) {
        let (name, words) = (request.name(), self.words());
        match request {
            Request::Status
            | Request::Config
            | Request::AttachDeploy { .. }
            | Request::SendMessage { .. }
            | Request::SendRequest { .. } => {
                tracing::debug!("`{name}` was asked for by {words}")
            }
            Request::Start(_)
            | Request::Restart { .. }
            | Request::Deploy(_)
            | Request::Resume
            | Request::Stop
            | Request::SetWorkers { .. }
            | Request::SetStandby { .. }
            | Request::Reload
            | Request::Terminate => tracing::info!("`{name}` was asked for by {words}"),
        }
    }

    /// The process with its user and its command, which it waits with until there is an answer.
    fn words(self) -> String {
        let user = self.uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
        let Some(pid) = self.pid else { return format!("a process of {user} outside of our pid namespace") };
        let command = command(pid).map(|command| format!(": `{command}`")).unwrap_or_default();
        format!("process {pid} of {user}{command}")
    }
}

fn command(pid: u32) -> Option<String> {
    let arguments = about(Pid::from_raw(pid.cast_signed())?, "cmdline").ok()?;
    let words: Vec<_> = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let command = words.join(" ");
    Some(command.trim_end()).filter(|command| !command.is_empty()).map(|command| escape(command, SHOWN))
}
