//! `top`, `status --watch`: a live picture of the workers.
//!
//! | module | is about |
//! | --- | --- |
//! | `source` | asking the daemon, and the kernel |
//! | `board` | what is on the screen, and what keys do to it |
//! | `changes` | what has happened between two looks |
//! | `draw` | the picture |
//! | `keys` | keys of the terminal |

mod board;
mod changes;
mod draw;
mod keys;
mod source;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use ratatui::DefaultTerminal;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::out::{Console, colours_wanted};
use crate::render;
use board::Board;
use keys::{Input, inputs};
use source::{Look, Source};

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows the workers of the daemon that listens on `path` until somebody quits; where there is no terminal, what happens to them,
/// a line each, until the reader goes.
///
/// # Errors
///
/// Nobody answers at the beginning, or the terminal cannot be used. A daemon that goes later is waited for.
pub(crate) async fn top(
    client: Client<UnixStream>,
    path: &Path,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut source = Source::new(path, client).await;
    let first = source.look().await?;
    if !console.out.is_terminal() || !io::stdin().is_terminal() {
        return follow(&mut source, first, console).await;
    }
    let unusable =
        |error: io::Error| Failure::new(Exit::Unexpected, format!("cannot use the terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    // Also where a time-out ends this.
    let _restored = Restored;
    show(&mut terminal, &mut source, first).await.map(|()| Exit::Done).map_err(unusable)
}

/// Gives the terminal back when it is dropped.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(terminal: &mut DefaultTerminal, source: &mut Source, first: Look) -> io::Result<()> {
    let colour = colours_wanted();
    let mut board = Board::new();
    board.sees(first);
    let mut inputs = inputs();
    let end = asked_to_end()?;
    tokio::pin!(end);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        terminal.draw(|frame| draw::draw(frame, &board, colour))?;
        tokio::select! {
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if !board.press(key) => {}
                Some(Input::Resized) => {}
                Some(Input::Key(_)) | None => return Ok(()),
            },
            () = &mut end => return Ok(()),
            _ = ticks.tick() => match source.look().await {
                Ok(look) => board.sees(look),
                Err(failure) => board.misses(failure.messages.join("; ")),
            },
        }
    }
}

/// Waits for a signal that would end the process, before it could give the terminal back.
fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Prints the state once, then what changes.
async fn follow(source: &mut Source, first: Look, console: &mut Console) -> Result<Exit, Failure> {
    console.out.text(&render::status(&first.status, first.now, console.out.style()))?;
    let (mut before, mut away) = (first.status, false);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    while !console.out.is_closed() {
        ticks.tick().await;
        let lines = match source.look().await {
            Ok(look) => {
                away = false;
                let lines = changes::changes(&before, &look.status);
                before = look.status;
                lines
            }
            Err(_) if away => Vec::new(),
            Err(failure) => {
                away = true;
                failure.messages
            }
        };
        lines.iter().try_for_each(|line| console.out.line(line))?;
    }
    Ok(Exit::Done)
}
