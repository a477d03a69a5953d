//! The history, as people read it.

use std::time::Duration;

use anstyle::Style as Paint;
use nodesockd_core::history::{Line, Outcome};

use super::{DIM, GREEN, RED, YELLOW, sentence, span};
use crate::out::Style;

/// Columns of a line.
const WIDTH: usize = 80;

/// Before what an entry has to say beside its first line.
const INDENT: &str = "    ";

/// Entries, the newest last, in lines of at most 80 columns. Times are in UTC.
#[must_use]
pub fn history(lines: &[Line], style: Style) -> String {
    lines.iter().map(|line| entry(line, style)).collect()
}

fn entry(line: &Line, style: Style) -> String {
    let facts = &line.facts;
    let time = line.time.get(..19).unwrap_or(&line.time).replace('T', " ");
    let (outcome, paint) =
        facts.outcome.map_or(("", Paint::new()), |outcome| (outcome.words(), colour(outcome)));
    let slot = facts.slot.map(|slot| format!("slot {slot}"));
    let took = line.duration_ms.map(|millis| span(Duration::from_millis(millis)));
    let rest = slot.or(took).unwrap_or_default();
    let first = format!("{}  {:12}  {}", sentence(&time), facts.what.name(), style.paint(paint, outcome));
    let padding = 15_usize.saturating_sub(outcome.len());
    let mut text = format!("{first}{:padding$}  {rest}", "").trim_end().to_owned();
    text.push('\n');
    for detail in details(line) {
        for piece in wrap(&detail, WIDTH - INDENT.len()) {
            text.push_str(&format!("{INDENT}{}\n", style.paint(DIM, &piece)));
        }
    }
    text
}

fn colour(outcome: Outcome) -> Paint {
    match outcome {
        Outcome::Done => GREEN,
        Outcome::CalledOff | Outcome::Interrupted => YELLOW,
        Outcome::Failed | Outcome::Refused | Outcome::RolledBack | Outcome::NotRolledBack => RED,
    }
}

fn details(line: &Line) -> Vec<String> {
    let facts = &line.facts;
    let by = facts.cause.by.as_ref().map(|by| format!("by {}", sentence(&by.to_string())));
    let signal = facts.cause.signal.as_ref().map(|signal| format!("by {}", sentence(signal)));
    let release = facts.release.as_deref().map(sentence);
    let generation = match (facts.generation, release) {
        (Some(number), Some(release)) => Some(format!("generation {number}: {release}")),
        (Some(number), None) => Some(format!("generation {number}")),
        (None, Some(release)) => Some(format!("release {release}")),
        (None, None) => None,
    };
    let held = facts.held.map(|held| match held {
        0 => "no request waited when the suspension ended".to_owned(),
        1 => "1 request waited when the suspension ended".to_owned(),
        held => format!("{held} requests waited when the suspension ended"),
    });
    let reason = facts.reason.as_deref().map(sentence);
    [by, signal, generation, held, reason].into_iter().flatten().collect()
}

/// `text` in pieces of at most `width` characters, broken at spaces where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            pieces.push(String::new());
            used = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            pieces.extend([word.iter().collect(), String::new()]);
            word = rest;
        }
        let Some(piece) = pieces.last_mut() else { continue };
        if used > 0 {
            piece.push(' ');
            used += 1;
        }
        piece.extend(&word);
        used += word.len();
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let text = r#"{"v":1,"time":"2026-11-29T03:12:04.567Z","durationMs":31000,"number":1,"what":"deploy","by":{"pid":4711,"uid":1000,"command":"nodesockd deploy --release /srv/shop/releases/42 --migrate 'npm run migrate'"},"generation":7,"release":"/srv/shop/releases/42","held":3,"outcome":"done"}
{"v":1,"time":"2026-11-29T03:14:00.000Z","number":2,"what":"crash-loop","slot":0,"reason":"5 workers in a row have failed, the last one: it exited with status 1"}
{"v":1,"time":"2026-11-29T03:20:00.000Z","durationMs":1200,"number":3,"what":"reload","signal":"SIGHUP","outcome":"failed","reason":"/srv/shop/nodesockd.toml:3: unknown key `worker`; did you mean `workers`? And a word that is too long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}
"#;
        let (lines, useless) = nodesockd_core::history::parse(text);
        assert_eq!(useless, 0);
        lines
    }

    #[test]
    fn history_fits_into_80_columns() {
        let text = history(&lines(), Style::PLAIN);
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn what_comes_from_outside_moves_no_cursor() {
        let mut line = lines().remove(0);
        line.time = "\u{1b}[2J".into();
        line.facts.reason = Some("\u{1b}[2J\nnext".into());
        let text = history(&[line], Style::PLAIN);
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
