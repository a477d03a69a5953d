//! The daemon's log, on standard error.

mod lines;
mod stamp;

use std::io;
use std::time::Duration;

use nodesockd_os::Log;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt as format};

use crate::exit::{Exit, Failure};
use crate::logging::lines::Lines;
use crate::logging::stamp::Stamp;
use crate::out::{Style, colours_wanted, is_terminal};

/// How long the end of the daemon waits for somebody who reads its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Turns `debug` on and off while the daemon runs.
#[derive(Debug, Clone)]
pub struct Verbosity(reload::Handle<LevelFilter, Registry>);

impl Verbosity {
    /// Follows the configuration's `debug`.
    pub fn set(&self, debug: bool) {
        // The only error is that there is no log any more: the process is ending.
        let _ = self.0.modify(|level| *level = level_for(debug));
    }
}

/// Starts the log. To be called once.
///
/// # Errors
///
/// Exit code 1 if there can be no thread for it.
pub fn start() -> Result<Log, Failure> {
    let log = Log::start(lines::missed)
        .map_err(|error| Failure::new(Exit::Unexpected, format!("cannot start the log: {error}")))?;
    let last_words = log.clone();
    // What the standard library would write could wait for ever, for somebody who reads it.
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("nodesockd has made a mistake and cannot go on; please report this: {panic}");
        last_words.flush(LAST_LINES);
    }));
    Ok(log)
}

/// Lets the supervisor's words, and all others, go to the log. To be called once.
#[must_use]
pub fn listen(log: Log, debug: bool) -> Verbosity {
    let (filter, handle) = reload::Layer::new(level_for(debug));
    let journal = stamp::is_journal();
    let layer = format::layer()
        .with_writer(Lines { log, priorities: journal })
        .with_target(false)
        .with_ansi(style().colour)
        .with_timer(Stamp::for_stderr(journal));
    tracing_subscriber::registry().with(filter).with(layer).init();
    Verbosity(handle)
}

/// Says why the daemon ends, if it is for a failure, and waits for a moment until all lines are written. Returned is a
/// failure that could not be said, because there is no log.
///
/// # Errors
///
/// That failure.
pub fn close(ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
    let Some(log) = Log::ours() else { return ended };
    let exit = ended.unwrap_or_else(|failure| {
        log.text(&crate::render::failure(&failure, style()));
        failure.exit
    });
    log.flush(LAST_LINES);
    Ok(exit)
}

fn style() -> Style {
    Style { colour: is_terminal(&io::stderr()) && colours_wanted() }
}

fn level_for(debug: bool) -> LevelFilter {
    if debug { LevelFilter::DEBUG } else { LevelFilter::INFO }
}
