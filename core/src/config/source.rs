//! A file's text, and places in it.

use std::path::{Path, PathBuf};

use super::problem::{Place, Problem};
use super::tree::Span;
use crate::text;

/// How much of a line is kept to be shown.
const SHOWN_LINE: usize = 200;

/// A file that has been read.
#[derive(Debug)]
pub(super) struct Source {
    /// What to call it: relative to the working directory where it is inside.
    name: PathBuf,
    text: String,
    /// The offset at which each line starts.
    lines: Vec<usize>,
}

impl Source {
    pub(super) fn new(name: PathBuf, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name, text, lines }
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where `span` starts, and how much of its first line it covers.
    pub(super) fn place(&self, span: &Span) -> Place {
        let start = self.floor(span.start);
        let index = self.lines.partition_point(|&line| line <= start).saturating_sub(1);
        let from = self.lines.get(index).copied().unwrap_or(0);
        let line = self.text.get(from..).unwrap_or_default();
        let line = line.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = self.floor(span.end).clamp(start, (from + line.len()).max(start));
        Place {
            file: self.name.clone(),
            line: number(index + 1),
            column: number(self.text.get(from..start).unwrap_or_default().chars().count() + 1),
            text: text::one_to_one(line, SHOWN_LINE),
            length: number(self.text.get(start..end).unwrap_or_default().chars().count()).max(1),
        }
    }

    /// A problem at `span`.
    pub(super) fn problem(&self, span: &Span, message: impl Into<String>, help: Option<String>) -> Problem {
        Problem { place: Some(self.place(span)), message: message.into(), help }
    }

    /// The nearest boundary of a character at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        (0..=offset.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
