//! JSON for terminals and pipes alike.

use std::fmt::Write;

use nodesockd_core::text::escape;

/// `json` on one line, in which no character moves a cursor or hides: those are written as JSON's own escapes, so the
/// value stays the same. `json` must be valid JSON.
#[must_use]
pub fn json_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Valid JSON has these between tokens only.
            '\t' | '\r' | '\n' => line.push(' '),
            ' '..='~' => line.push(c),
            c => {
                let char = c.to_string();
                if escape(&char, 1) == char {
                    line.push(c);
                } else {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(line, "\\u{unit:04x}");
                    }
                }
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_value_and_escapes_control_characters() {
        let json = "{\t\"a\":\r\"x\u{9b}y\u{7f}\u{202e}\",\"b\":\"ü\\u001b\"}";
        let line = json_line(json);
        assert_eq!(line, "{ \"a\": \"x\\u009by\\u007f\\u202e\",\"b\":\"ü\\u001b\"}");
        let value = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(json), value(&line));
    }
}
