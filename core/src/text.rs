//! Words from outside, made safe for logs and terminals.

use std::fmt::Write;

/// `text` with control, format and invisible characters written as escapes (`\n`, `\x1b`, `\u{202e}`), cut after
/// `limit` characters.
///
/// C0 and C1 controls could drive a terminal, line ends could forge log lines, bidirectional marks could reorder what
/// a reader sees.
#[must_use]
pub fn escape(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// `text` with each control, format and invisible character replaced by one harmless character, cut after `limit`
/// characters: columns stay what they are.
#[must_use]
pub fn one_to_one(text: &str, limit: usize) -> String {
    let harmless = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || is_invisible(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().take(limit).map(harmless).collect()
}

/// Zero-width and bidirectional format characters, line and paragraph separators.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{escape, one_to_one};

    #[test]
    fn nothing_that_moves_a_cursor_survives() {
        assert_eq!(escape("a\x1b[2Jb\r\nc\u{9b}d\u{202e}e", 100), "a\\x1b[2Jb\\r\\nc\\u{9b}d\\u{202e}e");
        assert_eq!(escape("äöü", 2), "äö…");
    }

    #[test]
    fn columns_survive_one_to_one() {
        assert_eq!(one_to_one("a\tb\x1b[2J\u{202e}ü!", 8), "a b\u{fffd}[2J\u{fffd}");
    }
}
