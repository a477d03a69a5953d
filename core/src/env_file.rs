//! Files of environment variables, as `systemd.exec(5)` describes them for `EnvironmentFile=`.
//!
//! One `NAME=value` a line. Lines that begin with `#` or `;` are comments. In quotes, `'` keeps all as it is, and `"` lets `\` stand
//! before `"`, `\`, `` ` `` and `$`; outside of them `\` stands before any character. A value in quotes may go on over lines, and so may any by
//! a `\` at the end of its line. Blanks around a value that is not in quotes do not belong to it. Beyond that page, `export` may
//! stand before a name, as in files that are meant for a shell; nothing is substituted.

use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;

use serde::{Deserialize, Serialize};

/// A file of environment variables, which is read for each generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    /// The file, absolute; symlinks are resolved when it is read.
    pub path: PathBuf,
    /// It need not exist.
    pub optional: bool,
}

/// Names and values in the order of the file; of a name that comes twice, the last value counts.
///
/// # Errors
///
/// What is wrong, and in which line: a line that sets nothing, a name that no variable can have, a quote that is not closed.
///
/// ```
/// use nodesockd_core::env_file::parse;
///
/// let set = parse("# the database\nURL=\"postgres://db/shop\"\n").unwrap();
/// assert_eq!(set, [("URL".to_owned(), "postgres://db/shop".to_owned())]);
/// assert_eq!(parse("A=1\nB"), Err("line 2 has no `=`: B".to_owned()));
/// ```
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut set = Vec::new();
    while let Some(variable) = reader.variable()? {
        set.push(variable);
    }
    Ok(set)
}

/// Reads a file from its beginning to its end.
struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    /// The line of what comes next, from 1.
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|next| next != '\n') {}
    }

    /// The next name with its value; `None` at the end.
    fn variable(&mut self) -> Result<Option<(String, String)>, String> {
        while let Some(first) = self.rest.peek() {
            match first {
                '#' | ';' => self.skip_line(),
                blank if blank.is_whitespace() => {
                    self.next();
                }
                _ => return Ok(Some((self.name()?, self.value()?))),
            }
        }
        Ok(None)
    }

    fn name(&mut self) -> Result<String, String> {
        let line = self.line;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                Some('\n') | None => {
                    return Err(format!(
                        "line {line} has no `=`: {}",
                        crate::text::escape(text.trim(), SHOWN)
                    ));
                }
                Some(other) => text.push(other),
            }
        }
        let name = text.trim();
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with(' ')).map_or(name, str::trim);
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty()
            || !name.chars().all(fits)
            || name.starts_with(|first: char| first.is_ascii_digit())
        {
            let shown = crate::text::escape(name, SHOWN);
            return Err(format!(
                "line {line}: no variable can be called `{shown}`; a name has letters, digits and `_`"
            ));
        }
        Ok(name.to_owned())
    }

    fn value(&mut self) -> Result<String, String> {
        let mut value = String::new();
        // Once a part without quotes has begun, quotes are letters like others. It ends at `end`, before the blanks.
        let (mut bare, mut end) = (false, 0);
        while let Some(next) = self.next() {
            match next {
                '\n' => break,
                '\0' => return Err(format!("line {}: a value cannot contain a NUL", self.line)),
                quote @ ('\'' | '"') if !bare => self.quoted(quote, &mut value)?,
                blank if blank.is_whitespace() && !bare => continue,
                '\\' => {
                    bare = true;
                    value.extend(self.next().filter(|escaped| *escaped != '\n'));
                }
                blank if blank.is_whitespace() => {
                    value.push(blank);
                    continue;
                }
                other => {
                    bare = true;
                    value.push(other);
                }
            }
            end = value.len();
        }
        value.truncate(end);
        Ok(value)
    }

    /// The rest of what `quote` begins.
    fn quoted(&mut self, quote: char, value: &mut String) -> Result<(), String> {
        let line = self.line;
        loop {
            match self.next() {
                None => return Err(format!("line {line}: the quote {quote} is not closed")),
                Some('\0') => return Err(format!("line {}: a value cannot contain a NUL", self.line)),
                Some(closing) if closing == quote => return Ok(()),
                Some('\\') if quote == '"' => match self.next() {
                    Some('\n') | None => {}
                    Some(escaped @ ('"' | '\\' | '`' | '$')) => value.push(escaped),
                    Some(other) => {
                        value.push('\\');
                        value.push(other);
                    }
                },
                Some(other) => value.push(other),
            }
        }
    }
}

/// How much of a line that is wrong is shown.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        parse(text).unwrap().into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn names_have_letters_digits_and_underscores() {
        let name =
            |text: &str| parse(text).map(|read| read.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(name("A_1=x").unwrap(), ["A_1"]);
        for wrong in ["A-1=x", "1A=x", "=x", "A B=x"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_read_as_systemd_reads_them() {
        assert_eq!(values("A=1\nB = two words  \r\nC=\n"), ["1", "two words", ""]);
        assert_eq!(values("A='a $B \\n'\nB=\"say \\\"hi\\\" \\$5 \\n\""), ["a $B \\n", "say \"hi\" $5 \\n"]);
        // Quotes in the midst of a value are letters; parts in quotes are put together.
        assert_eq!(values("A=it's\nB='a' \"b\" c"), ["it's", "abc"]);
        assert_eq!(values("A=a\\\nb\nB=\"c\nd\"\nC='e\nf'"), ["ab", "c\nd", "e\nf"]);
        assert_eq!(values("A=a\\ \nB=\\#"), ["a ", "#"]);
        // In single quotes a backslash is a letter, before whatever it stands.
        assert_eq!(values("A='\\$5 \\\\ \\`'"), ["\\$5 \\\\ \\`"]);
    }

    #[test]
    fn comments_and_empty_lines_set_nothing() {
        assert_eq!(parse("# one\n\n"), Ok(Vec::new()));
        let set = parse("\n  # a=1\n; b=2\nexport C=3 # kept\nA=1\nA=2").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(set, [pair("C", "3 # kept"), pair("A", "1"), pair("A", "2")]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(parse("A=1\n\nexport B").unwrap_err(), "line 3 has no `=`: export B");
        let error = parse("A='\n\n'\n1B=2").unwrap_err();
        assert_eq!(error, "line 4: no variable can be called `1B`; a name has letters, digits and `_`");
        assert_eq!(parse("A=1\nB=\"2\n3").unwrap_err(), "line 2: the quote \" is not closed");
        assert!(parse("A=\0").unwrap_err().contains("NUL"));
        assert!(parse("=1").is_err());
    }
}
