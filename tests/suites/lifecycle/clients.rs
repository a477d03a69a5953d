//! The client of a deploy dies at any line that it prints: the deploy ends as if it had not.
//!
//! Every test run kills it once after each line. `NODESOCKD_SWEEP=all` does so in each way, for both kinds of output.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nodesockd_tests::{App, Daemon, cli};

use super::releases::{current, laid_out};

/// What people read is on stderr, what programs read on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Words,
    Json,
}

/// How a client ends before its deploy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGKILL.
    Killed,
    /// Nobody reads any more what it prints.
    Unread,
}

/// A deploy of a release that is good, or fails in its migration.
#[derive(Debug, Clone, Copy)]
struct Deploy {
    migrate: &'static str,
    revert: &'static str,
}

const GOOD: Deploy = Deploy { migrate: "echo one; echo >> ../../migrated; echo two", revert: "exit 1" };
const BAD: Deploy =
    Deploy { migrate: "echo one; echo >> ../../migrated; exit 3", revert: "echo >> ../../reverted" };

/// How a deploy has ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What `deploy --attach` exits with.
    code: i32,
    switched: bool,
    migrations: usize,
    reverts: usize,
    suspended: bool,
    /// All workers run the release that `current` names.
    runs: bool,
}

#[test]
fn a_deploy_ends_the_same_whenever_its_client_dies() {
    for deploy in [GOOD, BAD] {
        let app = laid_out(App::new().workers(2).set("options.listen", "daemon"));
        let daemon = app.launch().within(&app.path("current")).start();
        let all = std::env::var_os("NODESOCKD_SWEEP").is_some();
        let shown: &[Shown] = if all { &[Shown::Json, Shown::Words] } else { &[Shown::Json] };
        for shown in shown {
            let (lines, expected) = play(&app, &daemon, deploy, *shown, None);
            assert!(lines > 3, "{lines} lines");
            // After the last line there is nothing left to miss.
            for line in 1..lines {
                let ends = match (all, line % 2) {
                    (true, _) => vec![End::Killed, End::Unread],
                    (false, 0) => vec![End::Unread],
                    (false, _) => vec![End::Killed],
                };
                for end in ends {
                    let (_, outcome) = play(&app, &daemon, deploy, *shown, Some((line, end)));
                    assert_eq!(outcome, expected, "{deploy:?} {shown:?}: {end:?} after line {line}");
                }
            }
        }
    }
}

/// Deploys the release that does not serve. Its client ends by itself, or after so many lines. Returns how many lines it has
/// printed, and what has become of the deploy.
fn play(
    app: &App,
    daemon: &Daemon,
    deploy: Deploy,
    shown: Shown,
    ends: Option<(usize, End)>,
) -> (usize, Outcome) {
    let former = current(app);
    let other = if former.ends_with("1") { "releases/2" } else { "releases/1" };
    let before = ["migrated", "reverted"].map(|name| app.read(name).lines().count());
    let mut args = vec!["deploy", "--release", other, "--migrate", deploy.migrate, "--revert", deploy.revert];
    args.extend(["--watch", "1s"]);
    args.extend((shown == Shown::Json).then_some("--json"));
    let mut command = cli::command(app.folder(), &args);
    let piped = |which: Shown| if shown == which { Stdio::piped() } else { Stdio::null() };
    let mut client =
        command.stdin(Stdio::null()).stdout(piped(Shown::Json)).stderr(piped(Shown::Words)).spawn().unwrap();
    let printed = match shown {
        Shown::Json => Box::new(client.stdout.take().unwrap()) as Box<dyn Read>,
        Shown::Words => Box::new(client.stderr.take().unwrap()),
    };
    let lines = follow(&mut client, printed, ends);
    let attached = app.cli(&["deploy", "--attach"]);
    let status = daemon.settled();
    let after = ["migrated", "reverted"].map(|name| app.read(name).lines().count());
    let named: PathBuf = current(app);
    let folder = app.path(&named.to_string_lossy());
    let outcome = Outcome {
        code: attached.code,
        switched: named != former,
        migrations: after[0] - before[0],
        reverts: after[1] - before[1],
        suspended: status.suspended,
        runs: status.workers.iter().all(|worker| worker.process().folder() == folder),
    };
    (lines, outcome)
}

/// Reads what a client prints, until it has ended, by itself or in this way. Returns how many lines that were.
fn follow(client: &mut Child, printed: Box<dyn Read>, ends: Option<(usize, End)>) -> usize {
    let mut reader = BufReader::new(printed);
    let mut lines = 0;
    let mut line = String::new();
    while ends.is_none_or(|(last, _)| lines < last) && reader.read_line(&mut line).unwrap() > 0 {
        lines += 1;
    }
    match ends {
        Some((_, End::Killed)) => client.kill().unwrap(),
        Some((_, End::Unread)) => drop(reader),
        None => {}
    }
    client.wait().unwrap();
    lines
}
