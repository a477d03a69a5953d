//! The findings of `check` and `doctor`, for people.

use std::fmt::Write;

use super::check::{Finding, Verdict};
use super::doctor::Area;
use crate::out::Style;
use crate::render::{BOLD, CYAN, GREEN, RED, YELLOW};

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

/// Each area with its findings, and the sum of it.
#[must_use]
pub fn doctor(areas: &[Area], style: Style) -> String {
    let mut text = String::new();
    for area in areas {
        let _ = writeln!(text, "{}", style.paint(BOLD, area.name));
        for line in check(&area.findings, style).lines() {
            let _ = writeln!(text, "  {line}");
        }
        text.push('\n');
    }
    let count = |verdict| {
        areas.iter().flat_map(|area| &area.findings).filter(|found| found.verdict == verdict).count()
    };
    let sum = match (count(Verdict::Bad), count(Verdict::Warning)) {
        (0, 0) => style.paint(GREEN, "Everything is as it should be."),
        (0, warnings) => {
            style.paint(YELLOW, &format!("Nothing is wrong; {} to think about.", things(warnings)))
        }
        (bad, 0) => style.paint(RED, &format!("{} wrong.", are(bad))),
        (bad, warnings) => {
            style.paint(RED, &format!("{} wrong, and {} to think about.", are(bad), things(warnings)))
        }
    };
    let _ = writeln!(text, "{sum}");
    text
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

fn are(count: usize) -> String {
    format!("{} {}", things(count), if count == 1 { "is" } else { "are" })
}
