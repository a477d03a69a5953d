//! Who may use the control socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use rustix::process::geteuid;
use tokio::net::UnixStream;

/// Admits those who may command the daemon: its own user, root, and the members of `ipcGroup`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerPolicy {
    /// `options.ipcGroup`
    pub(crate) group: Option<u32>,
}

impl PeerPolicy {
    /// Whether the peer is admitted; the reason, if not. Credentials are those of `connect(2)` (`unix(7)`,
    /// `SO_PEERCRED`), so they are not what the peer says of itself.
    pub(crate) fn admit(self, stream: &UnixStream) -> Result<(), String> {
        let peer = stream.peer_cred().map_err(|error| format!("cannot tell who you are: {error}"))?;
        let us = geteuid().as_raw();
        if peer.uid() == us || peer.uid() == 0 {
            return Ok(());
        }
        match self.group {
            None => Err(format!("user {} may not command this daemon, which runs as user {us}", peer.uid())),
            Some(group)
                if peer.gid() == group || groups(stream).is_ok_and(|groups| groups.contains(&group)) =>
            {
                Ok(())
            }
            Some(group) => {
                Err(format!("user {} is not in group {group}, which may command this daemon", peer.uid()))
            }
        }
    }
}

/// The peer's supplementary groups (`SO_PEERGROUPS`, kernel 4.13).
#[expect(unsafe_code, reason = "no library wraps this socket option")]
fn groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut bytes =
            libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `bytes` bytes to the buffer, which has that many, and the number it needs
        // to `bytes`; every bit pattern is a gid.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}
