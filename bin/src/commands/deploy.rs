//! `deploy`

use std::path::absolute;
use std::time::Instant;

use nodesockd_core::text::escape;
use nodesockd_core::wire::{DEFAULT_WATCH, DeployNews, DeployOptions, DeployStep, Json, Request};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cli::DeployArgs;
use crate::client::{Client, ClientError, Refusal};
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::out::Console;
use crate::render::{Transcript, span};
use crate::view::{self, DeployView, ProgressView};

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
    let ended = if args.json {
        printed(client, &request, console).await?
    } else {
        shown(client, &request, console).await?
    };
    match ended {
        Ok(transcript) => {
            console.err.line(&summary("Deployed", &transcript, asked.elapsed(), false))?;
            Ok(Exit::Done)
        }
        Err(refusal) => Err(refused(refusal, console)?),
    }
}

fn request(args: &DeployArgs) -> Result<Request, Failure> {
    if args.attach {
        return Ok(Request::AttachDeploy { progress: true });
    }
    let release = args.release.as_deref().map(absolute).transpose().map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot tell which folder --release means: {error}"))
            .help("give an absolute path: the working directory may have been removed")
    })?;
    Ok(Request::Deploy(DeployOptions {
        release,
        watch: args.watch.unwrap_or(DEFAULT_WATCH),
        max_attempts: args.max_attempts,
        progress: true,
    }))
}

/// Shows how it goes, for people.
async fn shown<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    request: &Request,
    console: &mut Console,
) -> Result<Result<Transcript, Refusal>, Failure> {
    let mut live = Live::new(&mut console.err, false);
    let mut answers = client.ask(request).await?;
    loop {
        match answers.next().await {
            Ok(Some(data)) => {
                if let Ok(step) = view::read::<ProgressView>(&data) {
                    live.show(step.progress)?;
                } else if let Ok(news) = view::read::<DeployView>(&data) {
                    live.say(&sentence(&news.deploy))?;
                }
            }
            Ok(None) => return Ok(Ok(live.finish())),
            Err(ClientError::Refused(refusal)) => {
                live.give_up()?;
                return Ok(Err(refusal));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints what comes, one line of JSON each, and at last how it ended.
async fn printed<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    request: &Request,
    console: &mut Console,
) -> Result<Result<Transcript, Refusal>, Failure> {
    let mut transcript = Transcript::new(false);
    let mut answers = client.ask(request).await?;
    loop {
        match answers.next().await {
            Ok(Some(data)) => {
                console.out.line(data.get())?;
                if let Ok(step) = view::read::<ProgressView>(&data) {
                    transcript.record(step.progress);
                }
            }
            Ok(None) => {
                console.out.line(&json!({ "result": "done" }).to_string())?;
                return Ok(Ok(transcript));
            }
            Err(ClientError::Refused(refusal)) => {
                console.out.line(result(&refusal).get())?;
                return Ok(Err(refusal));
            }
            Err(error) => return Err(error.into()),
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
            let time = span(std::time::Duration::from_millis(news.watch.unwrap_or_default()));
            format!(
                "{} serves. Its workers are watched for {time}; the old ones are kept meanwhile.",
                shown(&news.release)
            )
        }
        DeployStep::Confirmed => "The new workers have done well. The old ones go.".to_owned(),
        DeployStep::RollingBack => format!("Rolling back: {}", shown(&news.reason)),
    }
}
