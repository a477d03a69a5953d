//! nginx's configuration language: words, quoted or not, that end in `;` or begin a block. Read as nginx reads it
//! (`ngx_conf_read_token`); parsers made for highlighting or linting split words where nginx does not.

use std::fmt;
use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

/// Blocks within blocks; nginx itself knows no more than five kinds that nest.
const DEEPEST: usize = 64;

/// A file and a line of it, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as nginx names it.
    pub file: Rc<str>,
    /// The line.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", nodesockd_core::text::escape(&self.file, 4096), self.line)
    }
}

/// One directive, with all that is in its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name: the first word.
    pub name: String,
    /// The other words, without their quotes.
    pub args: Vec<String>,
    /// What its block holds, if it has one. That of another language, such as Lua, counts as empty.
    pub block: Option<Vec<Self>>,
    /// Where its name is.
    pub place: Place,
}

impl Directive {
    /// An argument.
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.args.get(index).map(String::as_str)
    }

    /// The directives in its block.
    pub fn inside(&self) -> impl DoubleEndedIterator<Item = &Self> {
        self.block.iter().flatten()
    }
}

/// Why a text is no configuration of nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: &'static str,
}

/// Reads the directives of `file`, whose text is `text`. What an `include` names is not part of them.
///
/// # Errors
///
/// The first mistake.
pub fn parse(file: &Rc<str>, text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut reader = Reader { file, chars: text.chars().peekable(), line: 1 };
    reader.block(0)
}

enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
    End,
}

struct Reader<'a> {
    file: &'a Rc<str>,
    chars: Peekable<Chars<'a>>,
    line: u32,
}

impl Reader<'_> {
    /// Directives up to the end of the block; at depth 0, of the file.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let mut directives = Vec::new();
        loop {
            let token = self.token()?;
            let place = self.place();
            match token {
                Token::Word(name) => directives.push(self.directive(name, place, depth)?),
                Token::Close if depth > 0 => return Ok(directives),
                Token::End if depth == 0 => return Ok(directives),
                Token::Close => return Err(self.error("there is no block that this `}` could end")),
                Token::End => return Err(self.error("the file ends within a block")),
                Token::Semicolon => return Err(self.error("nothing is in front of this `;`")),
                Token::Open => return Err(self.error("nothing is in front of this `{`")),
            }
        }
    }

    fn directive(&mut self, name: String, place: Place, depth: usize) -> Result<Directive, SyntaxError> {
        let mut args = Vec::new();
        let block = loop {
            match self.token()? {
                Token::Word(word) => args.push(word),
                Token::Semicolon => break None,
                Token::Open if name.ends_with("_by_lua_block") => {
                    self.skip_lua()?;
                    break Some(Vec::new());
                }
                Token::Open if depth == DEEPEST => return Err(self.error("too many blocks within blocks")),
                Token::Open => break Some(self.block(depth + 1)?),
                Token::Close | Token::End => return Err(self.error("a directive does not end in `;`")),
            }
        };
        Ok(Directive { name, args, block, place })
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        loop {
            match self.next() {
                None => return Ok(Token::End),
                Some(c) if is_space(c) => {}
                Some('#') => while self.chars.peek().is_some_and(|c| *c != '\n') && self.next().is_some() {},
                Some(';') => return Ok(Token::Semicolon),
                Some('{') => return Ok(Token::Open),
                Some('}') => return Ok(Token::Close),
                Some(quote @ ('"' | '\'')) => return self.quoted(quote).map(Token::Word),
                Some(first) => return Ok(Token::Word(self.bare(first))),
            }
        }
    }

    /// A word that a quote began: up to the same quote, whatever is in between.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let begun = self.place();
        let mut word = String::new();
        loop {
            match self.next() {
                None => return Err(SyntaxError { place: begun, message: "a quote is not closed" }),
                Some('\\') => self.escaped(&mut word),
                Some(c) if c == quote => break,
                Some(c) => word.push(c),
            }
        }
        match self.chars.peek() {
            Some(c) if !is_space(*c) && !matches!(c, ';' | '{' | ')') => {
                Err(self.error("a space has to follow the closing quote"))
            }
            Some(_) | None => Ok(word),
        }
    }

    /// A word without quotes around it. Quotes, `#` and `}` within are parts of it, and so is the brace of `${name}`.
    fn bare(&mut self, first: char) -> String {
        let mut word = String::new();
        let mut variable = first == '$';
        match first {
            '\\' => self.escaped(&mut word),
            first => word.push(first),
        }
        while let Some(&c) = self.chars.peek() {
            if is_space(c) || c == ';' || (c == '{' && !variable) {
                break;
            }
            self.next();
            variable = c == '$';
            match c {
                '\\' => self.escaped(&mut word),
                c => word.push(c),
            }
        }
        word
    }

    /// What follows a backslash: it protects quotes and itself, makes three control characters, and else means itself.
    fn escaped(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// A block of Lua: up to its closing brace, those in strings and comments not counted.
    fn skip_lua(&mut self) -> Result<(), SyntaxError> {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                None => return Err(self.error("the file ends within a block of Lua")),
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(quote @ ('"' | '\'')) => {
                    while let Some(c) = self.next().filter(|c| *c != quote) {
                        if c == '\\' {
                            self.next();
                        }
                    }
                }
                Some('-') if self.chars.peek() == Some(&'-') => {
                    self.next();
                    if !self.skip_long_bracket() {
                        while self.chars.peek().is_some_and(|c| *c != '\n') && self.next().is_some() {}
                    }
                }
                Some('[') => {
                    self.skip_rest_of_long_bracket();
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// `[[ … ]]` or `[=[ … ]=]`, if that is what comes.
    fn skip_long_bracket(&mut self) -> bool {
        self.chars.next_if_eq(&'[').is_some() && self.skip_rest_of_long_bracket()
    }

    /// The same, after its first bracket.
    fn skip_rest_of_long_bracket(&mut self) -> bool {
        let mut level = 0;
        while self.chars.next_if_eq(&'=').is_some() {
            level += 1;
        }
        if self.chars.next_if_eq(&'[').is_none() {
            return false;
        }
        let end = format!("]{}]", "=".repeat(level));
        let mut seen = String::new();
        while !seen.ends_with(&end) {
            let Some(c) = self.next() else { break };
            seen.push(c);
        }
        true
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += u32::from(next == Some('\n'));
        next
    }

    fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.line }
    }

    fn error(&self, message: &'static str) -> SyntaxError {
        SyntaxError { place: self.place(), message }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Directive>, (u32, &'static str)> {
        parse(&"f".into(), text).map_err(|error| (error.place.line, error.message))
    }

    /// Name and arguments of each directive, blocks in braces.
    fn outline(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let words = [std::slice::from_ref(&directive.name), &directive.args].concat();
            let block =
                directive.block.as_ref().map_or_else(String::new, |inner| format!("{{{}}}", outline(inner)));
            format!("{}{block}", words.join("|"))
        };
        directives.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn words(text: &str) -> String {
        outline(&read(text).unwrap())
    }

    #[test]
    fn words_are_split_as_by_nginx() {
        assert_eq!(words("a b  c\t\n d;"), "a|b|c|d");
        assert_eq!(words("a;b;#c;\n d;"), "a b d");
        assert_eq!(words("a b#c d}e;"), "a|b#c|d}e");
        assert_eq!(words(r#"a "b; {c} # d" 'e "f"';"#), r#"a|b; {c} # d|e "f""#);
        assert_eq!(words(r#"a b"c d"e;"#), r#"a|b"c|d"e"#);
        assert_eq!(words("set $a ${b}c; if ($a){d;}"), "set|$a|${b}c if|($a){d}");
        assert_eq!(words(r#"if ($a = "b") { c; }"#), r#"if|($a|=|b|){c}"#);
        assert_eq!(words("location ~ ^/a\\{2\\}$ { b; }"), "location|~|^/a\\{2\\}${b}");
        assert_eq!(words(r"a b\ c\;d \\e \'f;"), r"a|b\ c\;d|\e|'f");
        assert_eq!(words("a \"b\\nc\\d\";"), "a|b\nc\\d");
        assert_eq!(words("a { } b{c d{e f;}}"), "a{} b{c|d{e|f}}");
        assert_eq!(words("\u{e4} '';"), "\u{e4}|");
    }

    #[test]
    fn directive_line_is_that_of_its_name() {
        let directives = read("a 'x\ny';\n\nb {\n  c\n   d;\n}").unwrap();
        let lines = [
            directives[0].place.line,
            directives[1].place.line,
            directives[1].inside().next().unwrap().place.line,
        ];
        assert_eq!(lines, [1, 4, 5]);
    }

    #[test]
    fn lua_blocks_are_skipped() {
        let text = "a_by_lua_block {\n -- don't {\n --[[ } ]] local t = { '}', \"\\\"}\", [==[ }]] ]==], x[1] }\n} b;";
        assert_eq!(words(text), "a_by_lua_block{} b");
    }

    #[test]
    fn syntax_errors_name_their_line() {
        assert_eq!(read("a;\nb"), Err((2, "a directive does not end in `;`")));
        assert_eq!(read("a { b;\n"), Err((2, "the file ends within a block")));
        assert_eq!(read("a;\n}"), Err((2, "there is no block that this `}` could end")));
        assert_eq!(read("\n'a\n\n"), Err((2, "a quote is not closed")));
        assert_eq!(read("a 'b'c;"), Err((1, "a space has to follow the closing quote")));
        assert_eq!(read(";"), Err((1, "nothing is in front of this `;`")));
        assert!(read(&"a{".repeat(100_000)).is_err());
    }
}
