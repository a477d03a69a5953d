//! Where words go: standard output for data, standard error for everything else.

use std::io::{self, IsTerminal, Write};

use crate::exit::{Exit, Failure};

/// How a stream wants its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colours and symbols: the stream is a terminal, and `NO_COLOR` is not set.
    pub colour: bool,
}

impl Style {
    /// Text without any decoration.
    pub const PLAIN: Self = Self { colour: false };
    /// Text with colours.
    pub const COLOUR: Self = Self { colour: true };

    /// `text` in `style`, if colours are wanted.
    #[must_use]
    pub fn paint(self, style: anstyle::Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Whether escape sequences move the cursor of whoever reads `stream`.
pub(crate) fn is_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// Whether the person has not asked for text without colours (<https://no-color.org>: `NO_COLOR` set and not empty).
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A stream of text for whoever reads it.
pub struct Out {
    stream: Box<dyn Write>,
    /// Whether lines can be redrawn.
    terminal: bool,
    style: Style,
    closed: bool,
}

/// Both streams of a command.
#[derive(Debug)]
pub struct Console {
    /// Standard output: data.
    pub out: Out,
    /// Standard error: everything else.
    pub err: Out,
}

impl Console {
    /// The process's own streams.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            out: Out::to(Box::new(io::stdout()), is_terminal(&io::stdout())),
            err: Out::to(Box::new(io::stderr()), is_terminal(&io::stderr())),
        }
    }

    /// Says why a command failed.
    pub fn report(&mut self, failure: &Failure) {
        let text = crate::render::failure(failure, self.err.style());
        // There is nowhere left to complain that standard error cannot be written to.
        let _ = self.err.text(&text);
    }
}

impl Out {
    /// A stream that writes to `stream`.
    #[must_use]
    pub fn to(stream: Box<dyn Write>, terminal: bool) -> Self {
        Self { stream, terminal, style: Style { colour: terminal && colours_wanted() }, closed: false }
    }

    /// How to write to it.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Whether it is a terminal, on which lines can be redrawn.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether its reader has gone: `nodesockd send-req … | head -1`.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes `text` as it is, at once. Once the reader has gone nothing is written any more, which is no error.
    ///
    /// # Errors
    ///
    /// Exit code 1 with the operating system's reason, e.g. a full disk.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        match self.stream.write_all(text.as_bytes()).and_then(|()| self.stream.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::new(Exit::Unexpected, format!("cannot write the output: {error}"))),
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    ///
    /// See [`text`](Self::text).
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out")
            .field("terminal", &self.terminal)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_pipe_ends_output_without_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out = Out::to(Box::new(writer), false);
        assert_eq!(out.line("nobody"), Ok(()));
        assert!(out.is_closed());
        assert_eq!(out.line("still nobody"), Ok(()));
    }

    #[test]
    fn full_disk_is_an_error() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failure = Out::to(Box::new(full), false).line("lost").unwrap_err();
        assert_eq!(failure.exit, Exit::Unexpected);
    }
}
