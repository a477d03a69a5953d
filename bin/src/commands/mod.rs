//! The client commands: each sends one request and says how it went.

mod app;
mod change;
mod read;
mod start;
mod succession;
mod terminate;

use std::time::Duration;

use crate::cli::ClientCommand;
use crate::client::connect;
use crate::exit::{Exit, Failure};
use crate::locate::socket;
use crate::out::Console;
use crate::render::span;

/// Runs one client command.
///
/// # Errors
///
/// Why it failed, with its exit code. What is known by then is printed already.
pub async fn run(mut command: ClientCommand, console: &mut Console) -> Result<Exit, Failure> {
    let target = command.target_mut().clone();
    let work = async {
        let path = socket(&target, console)?;
        let mut client = connect(&path).await?;
        match command {
            ClientCommand::Status(args) => read::status(&mut client, args.json, console).await,
            ClientCommand::Config(args) => read::config(&mut client, args.json, console).await,
            ClientCommand::Start(args) => start::start(&mut client, &args.starting, console).await,
            ClientCommand::Restart(args) => start::restart(client, &path, &args, console).await,
            ClientCommand::Resume(_) => change::resume(&mut client, console).await,
            ClientCommand::Stop(_) => change::stop(&mut client, console).await,
            ClientCommand::SetWorkers(args) => change::set_workers(&mut client, args.count, console).await,
            ClientCommand::SetStandby(args) => change::set_standby(&mut client, args.count, console).await,
            ClientCommand::Reload(_) => change::reload(&mut client, console).await,
            ClientCommand::Terminate(_) => terminate::terminate(client, console).await,
            ClientCommand::SendMsg(args) => app::send_message(&mut client, args, console).await,
            ClientCommand::SendReq(args) => app::send_request(&mut client, args, console).await,
        }
    };
    within(target.timeout, work).await
}

/// `work`, unless it takes longer than `limit`.
async fn within(
    limit: Option<Duration>,
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Failure::new(Exit::TimeOut, format!("the daemon has not answered within {}", span(limit)))
            .help("what it was asked for goes on; see `nodesockd status`"))
    })
}
