//! What is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

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
    /// The line's text.
    pub text: String,
    /// How many characters of it are meant, from `column` on; at least 1.
    pub length: u32,
}

impl Problem {
    /// A problem that is in no file.
    pub fn general(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), help: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:", place.file.display())?;
            if place.line > 0 {
                write!(f, "{}:{}:", place.line, place.column)?;
            }
            write!(f, " ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}
