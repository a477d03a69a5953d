//! `socketFile`: names of links and sockets.

use std::fmt;

use uuid::fmt::Hyphenated;

use crate::id::{SlotIndex, WorkerId};

const PLACEHOLDER: &str = "{worker}";

/// A file name with one `{worker}` in it: filled with a slot's index it is a link, with a worker's id a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPattern {
    text: String,
    /// Where `{worker}` begins.
    at: usize,
}

/// Why a text is no [`SocketPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternError {
    /// It does not contain `{worker}` exactly once.
    Placeholder,
    /// It contains a slash or starts with a dot: not a plain file name.
    NotAName,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placeholder => "must contain `{worker}` exactly once, in the name of the file",
            Self::NotAName => "must name a file that does not start with `.`",
        })
    }
}

/// What a name that matches a pattern names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A slot's link.
    Link(SlotIndex),
    /// A link on its way to its place.
    TemporaryLink,
    /// A worker's socket.
    Socket(WorkerId),
}

impl SocketPattern {
    /// Parses `text`.
    ///
    /// # Errors
    ///
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (before, after) = text.split_once(PLACEHOLDER).ok_or(PatternError::Placeholder)?;
        if after.contains(PLACEHOLDER) {
            return Err(PatternError::Placeholder);
        }
        if text.contains(['/', '\0']) || text.starts_with('.') {
            return Err(PatternError::NotAName);
        }
        Ok(Self { text: text.to_owned(), at: before.len() })
    }

    /// The text that was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn before(&self) -> &str {
        &self.text[..self.at]
    }

    fn after(&self) -> &str {
        &self.text[self.at + PLACEHOLDER.len()..]
    }

    /// The name of a slot's link.
    #[must_use]
    pub fn link(&self, slot: SlotIndex) -> String {
        format!("{}{slot}{}", self.before(), self.after())
    }

    /// The name under which the link `link` is made before it is renamed to its place. One daemon makes one link at a
    /// time, so one name is enough, and what a crash leaves is found again.
    #[must_use]
    pub fn temporary(link: &str) -> String {
        format!(".{link}.new")
    }

    /// The name of a worker's socket.
    #[must_use]
    pub fn socket(&self, worker: WorkerId) -> String {
        format!("{}{worker}{}", self.before(), self.after())
    }

    /// How many bytes [`Self::socket`] has. No link's name is longer.
    #[must_use]
    pub fn socket_length(&self) -> usize {
        self.text.len() - PLACEHOLDER.len() + Hyphenated::LENGTH
    }

    /// What `name` names, if it is one of ours.
    #[must_use]
    pub fn matches(&self, name: &str) -> Option<Named> {
        if let Some(link) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new")) {
            return matches!(self.matches(link), Some(Named::Link(_))).then_some(Named::TemporaryLink);
        }
        let filled = name.strip_prefix(self.before())?.strip_suffix(self.after())?;
        // Only the names that are given: a number or an id can be written in other ways, too.
        if filled.len() == Hyphenated::LENGTH {
            return WorkerId::parse(filled).filter(|worker| worker.is_written(filled)).map(Named::Socket);
        }
        let plain = filled == "0" || !filled.starts_with(['0', '+']);
        filled.parse().ok().filter(|_| plain).map(SlotIndex).map(Named::Link)
    }
}

impl fmt::Display for SocketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BootId, Ids};

    #[test]
    fn names_are_recognised_and_foreign_ones_are_not() {
        let pattern = SocketPattern::parse("app.{worker}.sock").unwrap();
        let worker = Ids::new(BootId(1)).worker();
        assert_eq!(pattern.matches("app.12.sock"), Some(Named::Link(SlotIndex(12))));
        assert_eq!(pattern.matches(&pattern.socket(worker)), Some(Named::Socket(worker)));
        let temporary = SocketPattern::temporary(&pattern.link(SlotIndex(3)));
        assert_eq!(pattern.matches(&temporary), Some(Named::TemporaryLink));
        for foreign in
            ["app.012.sock", "app.-1.sock", "app.x.sock", "app.1.socket", "bpp.1.sock", ".app.x.sock.new"]
        {
            assert_eq!(pattern.matches(foreign), None, "{foreign}");
        }
        // The same id in capitals is another file's name.
        let other = format!("app.{}.sock", worker.to_string().to_uppercase());
        assert_eq!(pattern.matches(&other), None);
    }

    #[test]
    fn a_pattern_is_a_plain_name_with_one_placeholder() {
        assert_eq!(SocketPattern::parse("app.sock"), Err(PatternError::Placeholder));
        assert_eq!(SocketPattern::parse("{worker}{worker}"), Err(PatternError::Placeholder));
        assert_eq!(SocketPattern::parse("a/{worker}"), Err(PatternError::NotAName));
        assert_eq!(SocketPattern::parse(".{worker}"), Err(PatternError::NotAName));
    }
}
