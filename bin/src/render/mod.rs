//! From facts to text: pure functions, so that every sentence can be read in a snapshot.

mod batch;
mod config;
mod event;
mod failure;
mod history;
mod json;
mod progress;
mod status;
mod suspension;
mod table;
mod time;
mod troubles;

pub use batch::batch_line;
pub use config::config;
pub use event::{EventView, event};
pub use failure::{failure, last_lines_of, log_end};
pub use history::history;
pub use json::json_line;
pub use progress::Transcript;
pub use status::status;
pub use suspension::suspension;
pub use time::{ago, span};
pub use troubles::troubles;

use std::path::Path;

use anstyle::{AnsiColor, Style};
use nodesockd_core::text::escape;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// A word from outside, safe to show.
pub(crate) fn word(word: &str) -> String {
    escape(word, 200)
}

/// Characters of a sentence from outside that are shown, where there is room for them.
pub(crate) const SENTENCE: usize = 1000;

/// A sentence from outside, safe to show.
pub(crate) fn sentence(sentence: &str) -> String {
    escape(sentence, SENTENCE)
}

/// What to say after something that has a reason, if that is known: `: ` and so many characters of it.
pub(crate) fn because(reason: Option<&str>, shown: usize) -> String {
    reason.map_or_else(String::new, |reason| format!(": {}", escape(reason, shown)))
}

/// A path that is safe to show.
pub(crate) fn path(path: &Path) -> String {
    escape(&path.to_string_lossy(), 4096)
}
