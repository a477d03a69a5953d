//! Who asks the daemon for something.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::WorkerId;

/// Who made a request, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asker {
    /// A worker of ours, by its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// The process at the other end of a connection (`SO_PEERCRED`, `unix(7)`); none if it has none in our pid namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its user; none if an earlier program of this process has not handed that on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its command line, made safe for terminals and cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Asker {
    /// A worker of ours.
    #[must_use]
    pub fn worker(id: WorkerId) -> Self {
        Self { worker: Some(id), ..Self::default() }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.worker {
            return write!(f, "worker {}", id.short());
        }
        match self.pid {
            Some(pid) => write!(f, "process {pid} of ")?,
            None => f.write_str("a process outside of our pid namespace, of ")?,
        }
        match self.uid {
            Some(uid) => write!(f, "user {uid}")?,
            None => f.write_str("an unknown user")?,
        }
        self.command.as_ref().map_or(Ok(()), |command| write!(f, ": `{command}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_is_named_as_far_as_it_is_known() {
        let command = Some("nodesockd restart".to_owned());
        let whole = Asker { worker: None, pid: Some(4711), uid: Some(1000), command };
        assert_eq!(whole.to_string(), "process 4711 of user 1000: `nodesockd restart`");
        let unknown = "a process outside of our pid namespace, of an unknown user";
        assert_eq!(Asker::default().to_string(), unknown);
    }
}
