//! Without `[log]`: the journal, the files of `options.stdout` and `options.stderr`, or where to look.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nodesockd_core::config::{Config, Output};
use nodesockd_core::text::escape;
use nodesockd_os::tail;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{LINES, LONGEST};
use crate::cli::LogsArgs;
use crate::exit::{Exit, Failure};
use crate::out::{Console, Out};
use crate::setup::doctor::unit::Unit;
use crate::{locate, render, view};

/// How long until the next look at what follows.
const PAUSE: Duration = Duration::from_millis(100);

/// What helps those who want to know more of a line.
const HELP: &str = "with `log.dir`, each line has its time, its slot and its worker";

/// Prints what workers wrote, or says where to look.
pub(super) async fn logs(args: &LogsArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    let outputs = [&config.options.stdout, &config.options.stderr];
    let mut files: Vec<&Path> = Vec::new();
    for output in outputs {
        if let Output::File(path) = output
            && !files.contains(&path.as_path())
        {
            files.push(path);
        }
    }
    if !files.is_empty() {
        return print(args, &files, console).await;
    }
    if outputs.iter().all(|output| **output == Output::Discard) {
        let words = "workers' output is thrown away: `options.stdout` says so";
        return Err(Failure::new(Exit::Unexpected, words).help("set `log.dir` to keep it"));
    }
    if let Some(unit) = Unit::of(config).await
        && matches!(unit.get("StandardError"), "" | "journal" | "inherit")
    {
        return journal(args, &unit.name).await;
    }
    Err(somewhere(args))
}

/// Nothing but the line itself is known.
fn refuse(what: &[(&str, bool)], why: &str) -> Result<(), Failure> {
    let Some((option, _)) = what.iter().find(|(_, given)| *given) else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("{option} cannot be answered: {why}")).help(HELP))
}

/// The ends of files that workers write to by themselves.
async fn print(args: &LogsArgs, files: &[&Path], console: &mut Console) -> Result<Exit, Failure> {
    let asked = [("-w", args.workers.is_some()), ("--since", args.since.is_some()), ("--json", args.json)];
    refuse(&asked, "workers write to files by themselves, which say nothing but what was written")?;
    let count = usize::try_from(args.count.map_or(LINES, |count| count.get())).unwrap_or(usize::MAX);
    let mut shown = None;
    for file in files {
        let lines = match tail::last_lines(file, count) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(file, &error)),
        };
        for line in lines {
            show(&mut console.out, files, file, &mut shown, &line)?;
        }
    }
    if args.follow { follow(files, shown, &mut console.out).await } else { Ok(Exit::Done) }
}

/// Prints a line, and before it of which file it is, if that is another one than before.
fn show(
    out: &mut Out,
    files: &[&Path],
    file: &Path,
    shown: &mut Option<PathBuf>,
    line: &str,
) -> Result<(), Failure> {
    if files.len() > 1 && shown.as_deref() != Some(file) {
        out.line(&format!("==> {} <==", render::path(file)))?;
        *shown = Some(file.to_owned());
    }
    let line = if out.is_terminal() { escape(line, LONGEST) } else { line.to_owned() };
    out.line(&line)
}

/// Prints what comes.
async fn follow(files: &[&Path], mut shown: Option<PathBuf>, out: &mut Out) -> Result<Exit, Failure> {
    let end = |file: &&Path| file.metadata().map_or(0, |found| found.len());
    let mut ends: Vec<(u64, Vec<u8>)> = files.iter().map(|file| (end(file), Vec::new())).collect();
    while !out.is_closed() {
        for (file, (at, begun)) in files.iter().zip(&mut ends) {
            // Somebody has emptied it, or begun another one.
            *at = (*at).min(end(file));
            let Ok(mut open) = std::fs::File::open(file) else { continue };
            let read = open.seek(SeekFrom::Start(*at)).and_then(|_| open.read_to_end(begun));
            *at += read.map_or(0, |count| u64::try_from(count).unwrap_or(0));
            let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let rest = begun.split_off(whole);
            let lines = std::mem::replace(begun, rest);
            for line in String::from_utf8_lossy(&lines).lines() {
                show(out, files, file, &mut shown, line)?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Exit::Done)
}

/// What the journal has of the unit.
async fn journal(args: &LogsArgs, unit: &str) -> Result<Exit, Failure> {
    refuse(&[("-w", args.workers.is_some())], "the journal does not know workers")?;
    let mut command = tokio::process::Command::new("journalctl");
    command.arg("--unit").arg(unit).stdin(Stdio::null());
    let count = args.count.map(|count| count.get()).or(args.since.is_none().then_some(LINES));
    command.args(count.map(|count| format!("--lines={count}")));
    if let Some(since) = args.since {
        command.arg(format!("--since=@{}", since.millis(view::now()) / 1000));
    }
    command.args(args.follow.then_some("--follow")).args(args.json.then_some("--output=json"));
    let status = command.status().await.map_err(|error| {
        let words = format!("cannot run journalctl, which shows what {} writes: {error}", render::word(unit));
        Failure::new(Exit::Unexpected, words)
    })?;
    if status.success() || has_no_reader(&io::stdout()) {
        Ok(Exit::Done)
    } else {
        Err(Failure::new(Exit::Unexpected, format!("journalctl has failed: {status}")))
    }
}

/// Nobody reads what is written there any more, as after `nodesockd logs | head -1` (poll(2): `POLLERR` of a pipe).
fn has_no_reader(out: &impl AsFd) -> bool {
    let mut watched = [PollFd::new(out, PollFlags::empty())];
    poll(&mut watched, Some(&Timespec::default())).is_ok() && watched[0].revents().contains(PollFlags::ERR)
}

/// Where to look.
fn somewhere(args: &LogsArgs) -> Failure {
    let ipc = locate::control_socket(&args.target).ok();
    let holder = ipc.as_deref().and_then(nodesockd_os::lock_holder);
    let place = holder.and_then(|holder| std::fs::read_link(format!("/proc/{}/fd/2", holder.pid)).ok());
    let place = place
        .map_or_else(String::new, |place| format!(", {} for the daemon that runs", render::path(&place)));
    let words =
        format!("workers write where the daemon writes{place}, and no systemd unit of this app is found");
    Failure::new(Exit::Unexpected, words).help(
        "look where whoever starts the daemon sends its output; or set `log.dir`, and `nodesockd logs` shows what workers write",
    )
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let words = format!("cannot read {}: {error}", render::path(file));
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    Failure::new(if denied { Exit::NotPermitted } else { Exit::Unexpected }, words)
}
