//! A daemon that quits, and the one that its service manager starts in its place.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nodesockd_core::text::escape;
use nodesockd_core::wire::Request;
use nodesockd_os::Watched;
use tokio::net::UnixStream;

use crate::client::{Client, connect};
use crate::exit::{Exit, Failure};
use crate::out::Console;
use crate::render::span;
use crate::view::{self, StatusView};

/// How long a daemon may take to quit, and a service manager to start one again.
const SUCCESSION: Duration = Duration::from_secs(60);

/// How often the socket of the new daemon is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// A path is shown up to this many characters.
const SHOWN: usize = 2000;

/// A daemon that is asked to leave its workers to another one.
pub(super) struct Leaving<'a> {
    /// Where it listens.
    path: &'a Path,
    /// Its process, if that is visible from here.
    watched: Option<Watched>,
    /// It is older than 3.0.
    is_2x: bool,
}

impl<'a> Leaving<'a> {
    /// The daemon that `client` talks to and that listens on `path`. To be called before it is asked to leave: afterwards, its
    /// pid could be another's.
    pub(super) async fn of(client: &mut Client<UnixStream>, path: &'a Path) -> Result<Self, Failure> {
        let watched = client.daemon_pid().and_then(Watched::new);
        let status = client.request(&Request::Status).await?;
        let status = status.map(|data| view::read::<StatusView>(&data)).transpose()?;
        let major = status.and_then(|status| status.version.split('.').next()?.parse::<u32>().ok());
        Ok(Self { path, watched, is_2x: major.is_some_and(|major| major < 3) })
    }

    /// A connection to the daemon that follows. The old one has said that it leaves.
    pub(super) async fn successor(
        self,
        client: Client<UnixStream>,
        console: &mut Console,
    ) -> Result<Client<UnixStream>, Failure> {
        let Self { path, watched, is_2x } = self;
        if is_2x && let Err(error) = remove_socket(path) {
            console.err.line(&format!(
                "cannot remove {}: {error}. Some workers may report to the old daemon and be ended by that.",
                escape(&path.display().to_string(), SHOWN)
            ))?;
        }
        hang_up(client, watched, Some(SUCCESSION)).await;
        let deadline = Instant::now() + SUCCESSION;
        loop {
            match connect(path).await {
                Err(failure) if failure.exit == Exit::Unreachable => {
                    if Instant::now() >= deadline {
                        let words = format!(
                            "the daemon has quit for its successor, and none has come within {}",
                            span(SUCCESSION)
                        );
                        return Err(Failure::new(Exit::Unreachable, words).help(
                            "its workers serve on; start `nodesockd daemon`, or have a service manager do that",
                        ));
                    }
                    tokio::time::sleep(LOOK).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Takes the name of the control socket away from a 2.x daemon that leaves. That daemon goes on listening for half a second,
/// and ends detached workers that report to it; without the name, they wait for its successor. It cannot be gone yet, because
/// it waits until its clients have hung up.
fn remove_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Hangs up, and returns when the daemon is gone, or `limit` has passed. A 2.x daemon does not go before its clients have hung
/// up.
pub(super) async fn hang_up(client: Client<UnixStream>, watched: Option<Watched>, limit: Option<Duration>) {
    let gone = async {
        match watched {
            Some(watched) => {
                drop(client);
                watched.gone().await;
            }
            // Its process is not visible from here; the end of the connection is.
            None => client.hang_up().await,
        }
    };
    match limit {
        Some(limit) => drop(tokio::time::timeout(limit, gone).await),
        None => gone.await,
    }
}
