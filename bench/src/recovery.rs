//! What happens to users after what machines and people do: `cargo run --release -p nodesockd-bench -- recovery`

mod build;
mod outage;
mod stage;
mod storm;
mod troubles;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nodesockd_bench::Sample;

use build::Build;
use stage::{Outcome, Stage};
use troubles::{TROUBLES, Trouble};

/// Does something to a running app and measures what is lost, and how long a slot does not answer; prints a Markdown table.
#[derive(Debug, Args)]
pub struct Options {
    /// How often each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Only what has this in its name.
    #[arg(long)]
    only: Option<String>,

    /// A checkout of another version, built with `cargo build --release`, that is measured in turns with this one.
    #[arg(long, value_name = "FOLDER")]
    against: Option<PathBuf>,

    /// What takes longer than this many seconds is not waited for; start-ups are given three times as long.
    #[arg(long, default_value_t = 60)]
    limit: u64,
}

/// Runs the bench.
pub fn run(options: &Options) {
    let builds = Build::all(options.against.as_deref());
    let columns =
        |what: &str| builds.iter().map(|build| format!(" {what}, {} |", build.name())).collect::<String>();
    let (lost, away) = (columns("lost"), columns("a slot does not answer for"));
    println!("| what happens | standbys |{lost}{away}");
    println!("| --- | ---: |{}{}", " ---: |".repeat(builds.len()), " --- |".repeat(builds.len()));
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for trouble in TROUBLES.iter().filter(|trouble| wanted(trouble.name)) {
        row(trouble, &in_turns(&builds, trouble, options));
    }
    if wanted(storm::NAME) {
        let limit = Duration::from_secs(3 * options.limit);
        let took: String = builds.iter().map(|build| format!(" {} |", storm::play(build, limit))).collect();
        println!("| {} | 0 |{}{took}", storm::NAME, " |".repeat(builds.len()));
    }
}

/// What happens with each build, round after round. What is not over within the limit is not tried again.
fn in_turns(builds: &[Build], trouble: &Trouble, options: &Options) -> Vec<Vec<Outcome>> {
    let limit = Duration::from_secs(options.limit);
    let mut all: Vec<Vec<Outcome>> = builds.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (build, outcomes) in builds.iter().zip(&mut all) {
            if outcomes.last().is_none_or(|outcome| outcome.away.is_some()) {
                outcomes.extend(Stage::new(build, trouble).play(limit));
            }
        }
    }
    all
}

fn row(trouble: &Trouble, builds: &[Vec<Outcome>]) {
    let lost = builds.iter().map(|rounds| {
        let sum = |count: fn(&Outcome) -> usize| rounds.iter().map(count).sum::<usize>();
        format!(" {} + {} of {} |", sum(|it| it.with_it), sum(|it| it.beyond), sum(|it| it.requests))
    });
    let away = builds.iter().map(|rounds| {
        let over: Option<Vec<Duration>> = rounds.iter().map(|outcome| outcome.away).collect();
        let times = match over {
            Some(times) if times.is_empty() => "cannot be tried here".to_owned(),
            Some(times) => Sample::of(times).show(),
            None => "not within the limit".to_owned(),
        };
        let note = rounds.last().and_then(|outcome| outcome.note).map(|note| format!("; {note}"));
        format!(" {times}{} |", note.unwrap_or_default())
    });
    let cells: String = lost.chain(away).collect();
    println!("| {} | {} |{cells}", trouble.name, trouble.standbys);
}
