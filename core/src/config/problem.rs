//! What is wrong with a configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::escape;

/// One thing that is wrong, with its place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is in a file.
    pub place: Option<Place>,
    /// What is wrong, in one sentence that names the key or path.
    pub message: String,
    /// What to do: the nearest valid key, the accepted values.
    pub help: Option<String>,
}

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 when the problem is about the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 when the problem is about the file as a whole.
    pub column: u32,
    /// The line's text, made safe for a terminal: one harmless character for each of the file's; cut if very long.
    pub text: String,
    /// How many characters of it are meant, from `column` on; at least 1.
    pub length: u32,
}

impl Place {
    /// `file` as a whole.
    pub(super) fn whole(file: &Path) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, text: String::new(), length: 1 }
    }

    /// File, line and column as editors and terminals know to open them: `FILE:LINE:COLUMN`.
    fn link(&self) -> String {
        let file = escape(&self.file.to_string_lossy(), 4096);
        if self.line == 0 { file } else { format!("{file}:{}:{}", self.line, self.column) }
    }

    /// The line, what is meant in it underlined.
    fn excerpt(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let before = usize::try_from(self.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let visible = self.text.chars().count().saturating_sub(before);
        let length = usize::try_from(self.length).unwrap_or(usize::MAX).min(visible).max(1);
        let mut excerpt = format!(" {margin} |\n {number} | {}\n", self.text);
        // A place beyond the part of a long line that is kept cannot be underlined.
        if before <= self.text.chars().count() {
            excerpt += &format!(" {margin} | {}{}\n", " ".repeat(before), "^".repeat(length));
        }
        excerpt
    }
}

impl Problem {
    /// A problem that is in no file.
    pub fn general(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), help: None }
    }

    /// The problem in several lines for a person: what, where, the line with the place underlined, and what to do. Ends
    /// in a line end; without colours, safe for a terminal.
    ///
    /// ```text
    /// error: unknown key `tmpdir`
    ///   --> nodesockd.toml:3:1
    ///    |
    ///  3 | tmpdir = "x"
    ///    | ^^^^^^
    ///    = help: did you mean `tmpDir`?
    /// ```
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        let mut margin = " ".to_owned();
        if let Some(place) = &self.place {
            margin = " ".repeat(place.line.to_string().len());
            text += &format!("{margin} --> {}\n", place.link());
            if place.line > 0 {
                text += &place.excerpt();
            }
        }
        if let Some(help) = &self.help {
            text += &format!(" {margin} = help: {help}\n");
        }
        text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}: ", place.link())?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}
