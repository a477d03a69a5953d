//! `HAProxy`'s configuration language: a line is a keyword with its arguments, some keywords begin a section. Read as
//! `HAProxy`'s manual has it (configuration.txt, 2.2, "Quoting and escaping").

/// Keywords that begin a section.
const SECTIONS: [&str; 18] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "program",
    "cache",
    "ring",
    "http-errors",
    "fcgi-app",
    "log-forward",
    "crt-store",
    "log-profile",
    "traces",
];

/// A keyword with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its words; there is at least one.
    pub(super) words: Vec<String>,
    /// Its number, from 1.
    pub(super) number: u32,
}

impl Line {
    /// Whether it begins with these words.
    pub(super) fn is(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len()
            && self.words.iter().zip(words).all(|(word, expected)| word == expected)
    }

    /// A word.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// The line that begins it.
    pub(super) head: Line,
    /// The others.
    pub(super) lines: Vec<Line>,
}

/// All sections of a file.
pub(super) fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = split(line);
        let Some(first) = words.first() else { continue };
        let line = Line { number, words: words.clone() };
        if SECTIONS.contains(&first.as_str()) {
            sections.push(Section { head: line, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        }
    }
    sections
}

/// The words of a line. Variables within `"…"` stay as they are written.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                word.extend(chars.next());
                begun = true;
            }
            (c, Some(_)) => word.push(c),
            ('"' | '\'', None) => (quote, begun) = (Some(c), true),
            ('#', None) => break,
            (c, None) if c.is_whitespace() => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, None) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_by_haproxy() {
        assert_eq!(split("  server a unix@/run/a\\ b.sock # c"), ["server", "a", "unix@/run/a b.sock"]);
        assert_eq!(split("a \"b c\" 'd \"e\\' f\\#g \"\""), ["a", "b c", "d \"e\\", "f#g", ""]);
        assert_eq!(split("# nothing"), Vec::<String>::new());
    }

    #[test]
    fn sections_have_their_lines_with_numbers() {
        let sections = parse("global\n  daemon\n\nbackend a\n  mode http\n");
        assert_eq!(sections.len(), 2);
        assert_eq!((sections[1].head.word(1), sections[1].lines[0].number), ("a", 5));
        assert!(sections[1].lines[0].is(&["mode", "http"]));
    }
}
