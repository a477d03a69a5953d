//! `start`, `restart`

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nodesockd_core::expiry::{Ending, Expiry};
use nodesockd_core::text::escape;
use nodesockd_core::wire::{Code, Request, Stage, StartOptions};
use nodesockd_os::tail::last_lines;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::VERSION;
use crate::cli::{RestartArgs, Starting, Then};
use crate::client::{Client, ClientError, Refusal};
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::out::Console;
use crate::render::{Transcript, batch_line, last_lines_of, log_end, span};
use crate::view::{self, BatchView, DaemonView, FailedView, ProgressView, StatusView, WorkerView};

use super::succession::Leaving;

/// A version is shown up to this many characters.
const SHOWN: usize = 40;

/// What comes after the news of a start or restart that leaves the app suspended.
const SUSPENDED: &str = "\nThe app is suspended: requests wait until `nodesockd resume`.";

/// Lines of a failed worker's log file that are shown.
const LAST_LINES: usize = 20;

/// Starts the workers.
pub(super) async fn start<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    starting: &Starting,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let request = Request::Start(options(starting));
    let before = running(client).await?;
    let (transcript, took, _) =
        follow(client, &request, starting.suspended, &Cell::new(true), console).await?;
    console.err.line(&if transcript.is_empty() {
        without_progress(&before, &running(client).await?)
    } else {
        summary("Started", &transcript, took, starting.suspended)
    })?;
    Ok(Exit::Done)
}

/// The workers that there are.
async fn running<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Result<Vec<WorkerView>, Failure> {
    let answer = client.request(&Request::Status).await?;
    Ok(answer
        .as_ref()
        .map(view::read::<StatusView>)
        .transpose()?
        .map(|status| status.workers)
        .unwrap_or_default())
}

/// What a daemon has done that does not tell of its steps, as those before 3.0 do not: nothing, if all workers were there.
fn without_progress(before: &[WorkerView], after: &[WorkerView]) -> String {
    let started: Vec<&WorkerView> =
        after.iter().filter(|worker| before.iter().all(|known| known.id != worker.id)).collect();
    if started.is_empty() {
        return "The workers are running.".to_owned();
    }
    let suspended =
        started.iter().filter(|worker| worker.state == "suspended" && worker.idx.is_some()).count();
    let workers = if started.len() == 1 { "worker" } else { "workers" };
    let wait = if suspended > 0 { SUSPENDED } else { "" };
    format!("Started {} {workers}.{wait}", started.len())
}

/// Replaces all workers, after an upgrade of the daemon if that is wanted. `path` is where the daemon listens. `begun`
/// becomes true as soon as the restart is known not to wait for its turn.
pub(super) async fn restart(
    mut client: Client<UnixStream>,
    path: &Path,
    args: &RestartArgs,
    begun: &Cell<bool>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let version = args.upgrade.then(|| VERSION.to_owned());
    let (wait, until_swap, batch) = (args.wait, args.no_wait, args.batch);
    let options = StartOptions { wait, until_swap, batch, expiry: expiry(args), ..options(&args.starting) };
    let request = Request::Restart { options, version };
    let leaving = if args.upgrade { Some(Leaving::of(&mut client, path).await?) } else { None };
    let suspended = args.starting.suspended;
    let (mut transcript, mut took, mut daemon) =
        follow(&mut client, &request, suspended, begun, console).await?;
    if let (Some(leaving), true) = (leaving, daemon.upgrading) {
        console.err.line("The daemon leaves its workers to its successor.")?;
        let mut successor = leaving.successor(client, console).await?;
        (transcript, took, daemon) = follow(&mut successor, &request, suspended, begun, console).await?;
        if daemon.upgrading {
            return Err(Failure::new(
                Exit::Unexpected,
                "the daemon that was started is older than this program, too",
            )
            .help("see which program its service manager starts"));
        }
        console.err.line(&format!("The daemon has been replaced by one of version {VERSION} or newer."))?;
    } else if let Some(version) = &daemon.upgraded_from {
        let version = escape(version, SHOWN);
        console.err.line(&format!("The daemon has been upgraded: it was version {version}."))?;
    } else if args.upgrade {
        console.err.line("The daemon is up to date.")?;
    }
    console.err.line(&summary("Restarted", &transcript, took, suspended))?;
    Ok(Exit::Done)
}

fn options(starting: &Starting) -> StartOptions {
    let Starting { suspended, max_attempts, .. } = *starting;
    StartOptions { suspended, max_attempts, progress: true, ..StartOptions::default() }
}

fn expiry(args: &RestartArgs) -> Option<Expiry> {
    let then = match args.then? {
        Then::Resume => Ending::Resume,
        Then::Rollback => Ending::Rollback,
    };
    Some(Expiry { after: args.expires?, then })
}

/// Sends `request` and shows what comes back until it is done; the new workers are to be suspended, or not.
async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    request: &Request,
    suspended: bool,
    begun: &Cell<bool>,
    console: &mut Console,
) -> Result<(Transcript, Duration, DaemonView), Failure> {
    let asked = Instant::now();
    let mut live = Live::new(&mut console.err, suspended);
    let mut daemon = DaemonView { pid: None, upgrading: false, upgraded_from: None };
    let mut answers = client.ask(request).await?;
    loop {
        match answers.next().await {
            Ok(Some(data)) => match view::read::<ProgressView>(&data) {
                Ok(step) => {
                    begun.set(true);
                    live.show(step.progress)?;
                }
                Err(_) => match view::read::<BatchView>(&data) {
                    Ok(news) => {
                        begun.set(true);
                        live.say(&batch_line(&news.batch))?;
                    }
                    Err(_) => daemon = view::read(&data)?,
                },
            },
            Ok(None) => return Ok((live.finish(), asked.elapsed(), daemon)),
            Err(ClientError::Refused(refusal)) => {
                live.give_up()?;
                return Err(refused(refusal, console)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Shows what workers that could not be started said last; the daemon's errors say which they are, and why.
pub(super) fn refused(refusal: Refusal, console: &mut Console) -> Result<Failure, Failure> {
    let failed = match &refusal.data {
        Some(data) => view::read::<FailedView>(data)?.failed,
        None => Vec::new(),
    };
    // Most often, all fail for the same reason.
    let mut shown = BTreeSet::new();
    for worker in failed.iter().filter(|worker| !worker.lines.is_empty()) {
        if shown.insert(&worker.lines) {
            console.err.text(&last_lines_of(worker, console.err.style()))?;
        }
    }
    // Most often, workers share their log file.
    let files: BTreeSet<String> = failed.iter().filter_map(|worker| worker.stderr.clone()).collect();
    let lost = files.is_empty() && shown.is_empty();
    for file in files {
        let lines = last_lines(file.as_ref(), LAST_LINES).ok();
        let text = log_end(&file, lines.as_deref(), console.err.style());
        console.err.text(&text)?;
    }
    let code = refusal.code;
    let failure = Failure::from(refusal);
    Ok(if code == Some(Code::RolledBack) {
        failure.help("the workers of the release before serve again; `nodesockd status` shows them")
    } else if code == Some(Code::StartFailed) {
        let log = if lost {
            "what they said is in the daemon's log (`journalctl -u` its service), and "
        } else {
            ""
        };
        failure.help(format!(
            "the workers that served before still do; {log}`nodesockd check` looks for common causes"
        ))
    } else {
        failure
    })
}

pub(super) fn summary(what: &str, transcript: &Transcript, took: Duration, suspended: bool) -> String {
    let count = |stage, one: &str, many: &str| match transcript.count(stage) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let parts = [
        if suspended {
            count(Stage::Serving, "worker waits, suspended", "workers wait, suspended")
        } else {
            count(Stage::Serving, "worker serves", "workers serve")
        },
        count(Stage::Standby, "standby", "standbys"),
        count(Stage::Gone, "old one gone", "old ones gone"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let wait = if suspended { SUSPENDED } else { "" };
    format!("{what} in {}{parts}.{wait}", span(took))
}
