//! `deploy`

use std::path::absolute;
use std::time::{Duration, Instant};

use nodesockd_core::text::escape;
use nodesockd_core::wire::{
    DEFAULT_WATCH, DeployNews, DeployOptions, DeployStep, Json, MigrationOptions, Request,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::DeployArgs;
use crate::client::{Client, ClientError, Refusal};
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::out::{Console, Out};
use crate::render::{Transcript, batch_line, json_line, span};
use crate::view::{self, BatchView, DeployView, ProgressView};

use super::start::{refused, summary};

/// Characters of a path or a reason that are shown.
const SHOWN: usize = 300;

/// Deploys a release, or follows the deploy in progress.
pub(super) async fn deploy<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    args: &DeployArgs,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let request = request(args)?;
    let asked = Instant::now();
    let mut news = if args.json {
        News::Lines(&mut console.out, Transcript::new(false))
    } else {
        News::Picture(Live::new(&mut console.err, false))
    };
    let mut answers = client.ask(&request).await?;
    let refusal = loop {
        match answers.next().await {
            Ok(Some(data)) => news.hear(&data)?,
            Ok(None) => break None,
            Err(ClientError::Refused(refusal)) => break Some(refusal),
            Err(error) => return Err(error.into()),
        }
    };
    let transcript = news.end(refusal.as_ref())?;
    if let Some(refusal) = refusal {
        return Err(refused(refusal, console)?);
    }
    console.err.line(&summary("Deployed", &transcript, asked.elapsed(), false))?;
    Ok(Exit::Done)
}

fn request(args: &DeployArgs) -> Result<Request, Failure> {
    if args.attach {
        return Ok(Request::AttachDeploy { progress: true });
    }
    let release = args.release.as_deref().map(absolute).transpose().map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot tell which folder --release means: {error}"))
            .help("give an absolute path: the working directory may have been removed")
    })?;
    let migration = args.migrate.clone().map(|command| MigrationOptions {
        command,
        revert: args.revert.clone(),
        limit: args.migrate_timeout,
    });
    let default = if migration.is_some() { Duration::ZERO } else { DEFAULT_WATCH };
    Ok(Request::Deploy(DeployOptions {
        release,
        watch: args.watch.unwrap_or(default),
        health: args.health.clone(),
        migration,
        max_attempts: args.max_attempts,
        progress: true,
        batch: args.batch,
    }))
}

/// Where the news of a deploy go.
enum News<'a> {
    /// To people.
    Picture(Live<'a>),
    /// To programs, a line of JSON each.
    Lines(&'a mut Out, Transcript),
}

impl News<'_> {
    fn hear(&mut self, data: &Json) -> Result<(), Failure> {
        let step = view::read::<ProgressView>(data);
        match (self, step) {
            (Self::Picture(live), Ok(step)) => live.show(step.progress),
            (Self::Picture(live), Err(_)) => match view::read::<DeployView>(data) {
                Ok(news) => live.say(&sentence(&news.deploy)),
                Err(_) => match view::read::<BatchView>(data) {
                    Ok(news) => live.say(&batch_line(&news.batch)),
                    Err(_) => Ok(()),
                },
            },
            (Self::Lines(out, transcript), step) => {
                if let Ok(step) = step {
                    transcript.record(step.progress);
                }
                out.line(&json_line(data.get()))
            }
        }
    }

    /// Nothing more comes. Returns the steps of all workers, unless it was refused.
    fn end(self, refusal: Option<&Refusal>) -> Result<Transcript, Failure> {
        match (self, refusal) {
            (Self::Picture(live), None) => Ok(live.finish()),
            (Self::Picture(live), Some(_)) => live.give_up().map(|()| Transcript::new(false)),
            (Self::Lines(out, transcript), refusal) => {
                let done = || Json::of(&json!({ "result": "done" }));
                out.line(&json_line(refusal.map_or_else(done, result).get()))?;
                Ok(transcript)
            }
        }
    }
}

/// How it ended that it was refused, or rolled back.
fn result(refusal: &Refusal) -> Json {
    let code = refusal.code.map_or_else(|| json!("failed"), |code| json!(code));
    Json::of(&json!({ "result": code, "errors": refusal.errors, "data": refusal.data }))
}

fn sentence(news: &DeployNews) -> String {
    let shown = |text: &Option<String>| escape(text.as_deref().unwrap_or_default(), SHOWN);
    match news.step {
        DeployStep::Switched => format!("The symlink of the release names {} now.", shown(&news.release)),
        DeployStep::Watching => {
            let time = span(Duration::from_millis(news.watch.unwrap_or_default()));
            let release = shown(&news.release);
            let kept = if news.alone { "" } else { "; the old ones are kept meanwhile" };
            format!("{release} serves. Its workers are watched for {time}{kept}.")
        }
        DeployStep::Migrating => format!("No worker is active. The migration runs: {}", shown(&news.command)),
        DeployStep::Output => format!("  {}", shown(&news.line)),
        DeployStep::Migrated => "The migration is done. The new workers are resumed.".to_owned(),
        DeployStep::Reverting => format!("The migration is undone: {}", shown(&news.command)),
        DeployStep::Confirmed => "The new workers have done well. The old ones go.".to_owned(),
        DeployStep::RollingBack => format!("Rolling back: {}", shown(&news.reason)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_a_migration_writes_moves_no_cursor() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut out = Out::to(Box::new(writer), false);
        let mut news = News::Lines(&mut out, Transcript::new(false));
        let step = json!({ "deploy": { "step": "output", "line": "\u{9b}2J\u{202e}" } });
        news.hear(&Json::of(&step)).unwrap();
        let refusal = Refusal { code: None, errors: vec!["\u{9b}2J".to_owned()], data: None };
        news.end(Some(&refusal)).unwrap();
        drop(out);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], step);
        assert_eq!(lines[1]["errors"], json!(["\u{9b}2J"]));
        assert!(text.is_ascii(), "{text:?}");
    }
}
