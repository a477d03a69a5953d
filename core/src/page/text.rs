//! As text, for those who ask by a command.

use std::fmt::Write;

use crate::time::Time;

use super::{Page, lines};

/// The page as text.
#[must_use]
pub fn text(page: &Page, now: Time) -> String {
    let mut text = format!("{}\n\n", page.title());
    for words in page.failure().into_iter().chain([page.next(now)]) {
        let _ = writeln!(text, "{words}");
    }
    if let (Some(heading), Some(worker)) = (page.heading(), &page.worker) {
        let _ = writeln!(text, "\n{heading}");
        for line in lines(worker) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
