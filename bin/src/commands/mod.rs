//! The client commands: each sends one request and says how it went. `history` and `logs` read files instead.

mod app;
mod change;
mod deploy;
mod events;
mod history;
mod logs;
mod read;
mod start;
mod succession;
mod terminate;

use std::cell::Cell;
use std::time::Duration;

use crate::cli::ClientCommand;
use crate::client::connect;
use crate::exit::{Exit, Failure};
use crate::locate::socket;
use crate::out::Console;
use crate::render::span;
use crate::top::top;

/// Runs one client command.
///
/// # Errors
///
/// Why it failed, with its exit code. What is known by then is printed already.
pub async fn run(mut command: ClientCommand, console: &mut Console) -> Result<Exit, Failure> {
    let target = command.target_mut().clone();
    let begun = Cell::new(!matches!(&command, ClientCommand::Restart(args) if args.wait));
    let work = async {
        if let ClientCommand::History(args) = &command {
            return history::history(args, console);
        }
        if let ClientCommand::Logs(args) = &command {
            return logs::logs(args, console).await;
        }
        let path = socket(&target, console)?;
        let mut client = connect(&path).await?;
        match command {
            ClientCommand::Top(_) => top(client, &path, console).await,
            ClientCommand::Status(args) if args.watch => top(client, &path, console).await,
            ClientCommand::Status(args) => read::status(&mut client, &args, console).await,
            ClientCommand::Config(args) => read::config(&mut client, args.json, console).await,
            ClientCommand::Metrics(args) => read::metrics(&mut client, args.json, console).await,
            ClientCommand::Start(args) => start::start(&mut client, &args.starting, console).await,
            ClientCommand::Restart(args) => start::restart(client, &path, &args, &begun, console).await,
            ClientCommand::Deploy(args) => deploy::deploy(&mut client, &args, console).await,
            ClientCommand::History(args) => history::history(&args, console),
            ClientCommand::Events(args) => events::events(&mut client, args.json, console).await,
            ClientCommand::Logs(args) => logs::logs(&args, console).await,
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
    match target.timeout {
        None => work.await,
        Some(limit) => {
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out(limit, begun.get())))
        }
    }
}

/// The daemon has not answered in time. A restart that waits for its turn ends with its client (docs/05-ipc.md).
fn timed_out(limit: Duration, begun: bool) -> Failure {
    let failure = Failure::new(Exit::TimeOut, format!("the daemon has not answered within {}", span(limit)));
    failure.help(if begun {
        "what it was asked for goes on; see `nodesockd status`"
    } else {
        "no worker was started yet: a restart that still waits for its turn will not run; see `nodesockd status`"
    })
}
