//! `check`, for people.

use std::fmt::Write;

use super::{CYAN, GREEN, RED, YELLOW};
use crate::check::{Finding, Verdict};
use crate::out::Style;

/// A line for each finding, with what to do below those that need it.
#[must_use]
pub fn check(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.verdict {
            Verdict::Good => style.paint(GREEN, "✓"),
            Verdict::Warning => style.paint(YELLOW, "!"),
            Verdict::Bad => style.paint(RED, "✗"),
        };
        let mut lines = finding.message.lines();
        let _ = writeln!(text, "{mark} {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(text, "  {} {help}", style.paint(CYAN, "help:"));
        }
    }
    text
}
