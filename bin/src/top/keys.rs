//! Keys of the terminal, by crossterm.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, read};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::board::Key;

/// Rows of a page.
const PAGE: i32 = 10;

/// What comes from the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Key(Key),
    Resized,
}

/// Keys as they are pressed, read by a thread that ends with the process; closed when the terminal is.
pub(super) fn inputs() -> UnboundedReceiver<Input> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = read() {
            if let Some(input) = input(&event)
                && sender.send(input).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn input(event: &Event) -> Option<Input> {
    if let Event::Key(KeyEvent {
        code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, ..
    }) = event
    {
        key(*code, *modifiers).map(Input::Key)
    } else {
        matches!(event, Event::Resize(..)).then_some(Input::Resized)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a terminal has many keys that mean nothing here")]
fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        // In raw mode it is no signal.
        KeyCode::Char('c' | 'd') if modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Backspace => Key::Erase,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Up => Key::Scroll(-1),
        KeyCode::Down => Key::Scroll(1),
        KeyCode::PageUp => Key::Scroll(-PAGE),
        KeyCode::PageDown => Key::Scroll(PAGE),
        KeyCode::Home => Key::Scroll(i32::MIN),
        KeyCode::End => Key::Scroll(i32::MAX),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_c_quits_whatever_is_typed() {
        let pressed = |code, modifiers| input(&Event::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Key(Key::Quit)));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), Some(Input::Key(Key::Letter('c'))));
        assert_eq!(pressed(KeyCode::F(1), KeyModifiers::NONE), None);
        assert_eq!(input(&Event::Resize(80, 24)), Some(Input::Resized));
    }
}
