//! Who asks the daemon for something.

use nodesockd_core::asker::Asker as Named;
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

    /// With its command, if the request may change something: that is what people want to know of it later.
    pub(crate) fn named(self, request: &Request) -> Named {
        let Self { pid, uid } = self;
        let command = pid.filter(|_| request.changes_something()).and_then(command);
        Named { worker: None, pid, uid, command }
    }
}

/// The command line of a process, which waits with that until there is an answer.
fn command(pid: u32) -> Option<String> {
    let arguments = about(Pid::from_raw(pid.cast_signed())?, "cmdline").ok()?;
    let words: Vec<_> = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let command = words.join(" ");
    Some(command.trim_end()).filter(|command| !command.is_empty()).map(|command| escape(command, SHOWN))
}
