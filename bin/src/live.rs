//! A restart's progress on standard error: redrawn in place on a terminal, a line a step elsewhere.

use nodesockd_core::wire::Progress;

use crate::exit::Failure;
use crate::out::Out;
use crate::render::Transcript;

/// Lines of a terminal that does not say how many it has.
const DEFAULT_HEIGHT: usize = 24;

/// Shows steps as they come.
#[derive(Debug)]
pub struct Live<'a> {
    out: &'a mut Out,
    transcript: Transcript,
    /// Lines of the picture that is on the terminal now.
    drawn: usize,
}

impl<'a> Live<'a> {
    /// Nothing is shown yet of workers that are to be suspended, or not.
    pub fn new(out: &'a mut Out, suspended: bool) -> Self {
        Self { out, transcript: Transcript::new(suspended), drawn: 0 }
    }

    /// Shows a worker's step.
    ///
    /// # Errors
    ///
    /// See [`Out::text`].
    pub fn show(&mut self, step: Progress) -> Result<(), Failure> {
        let lines: Vec<String> = self.transcript.record(step).into_iter().collect();
        self.tell(&lines)
    }

    /// What was asked for has failed: shows what that means for workers that were on their way.
    ///
    /// # Errors
    ///
    /// See [`Out::text`].
    pub fn give_up(mut self) -> Result<(), Failure> {
        let lines = self.transcript.give_up();
        self.tell(&lines)
    }

    /// Says something that stays above the picture.
    ///
    /// # Errors
    ///
    /// See [`Out::text`].
    pub fn say(&mut self, line: &str) -> Result<(), Failure> {
        if !self.out.is_terminal() {
            return self.out.line(line);
        }
        let above = std::mem::take(&mut self.drawn);
        self.out.text(&redrawn(above, &format!("{line}\n")))?;
        self.draw()
    }

    /// Shows the transcript, to which these lines have been added.
    fn tell(&mut self, lines: &[String]) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        if !self.out.is_terminal() {
            return lines.iter().try_for_each(|line| self.out.line(line));
        }
        self.draw()
    }

    fn draw(&mut self) -> Result<(), Failure> {
        // One line stays free for the cursor.
        let picture = self.transcript.picture(height() - 1, self.out.style());
        let frame = redrawn(self.drawn, &picture);
        self.drawn = picture.lines().count();
        self.out.text(&frame)
    }

    /// All steps. The picture stays.
    pub fn finish(self) -> Transcript {
        self.transcript
    }
}

/// What to write so that `picture` takes the place of the `drawn` lines above the cursor. Lines are not wrapped in the
/// meantime (DECAWM off), as one line must stay one.
fn redrawn(drawn: usize, picture: &str) -> String {
    let up = if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
    format!("{up}\x1b[J\x1b[?7l{picture}\x1b[?7h")
}

/// Lines of the terminal; at least 2.
fn height() -> usize {
    let rows = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| size.ws_row);
    // A terminal that nobody has told its size says 0.
    if rows == 0 { DEFAULT_HEIGHT } else { usize::from(rows).max(2) }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What two steps of one worker leave on a stream, by then closed.
    fn shown(terminal: bool) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut out = Out::to(Box::new(writer), terminal);
        let mut live = Live::new(&mut out, false);
        for stage in ["starting", "starting", "online"] {
            let id = "3f2a1c9e-5b7d-4e8f-9a0b-1c2d3e4f5a6b";
            live.show(serde_json::from_value(serde_json::json!({ "id": id, "stage": stage })).unwrap())
                .unwrap();
        }
        live.finish();
        drop(out);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn elsewhere_each_step_is_a_line() {
        assert_eq!(shown(false), "standby: worker f5a6b starting\nstandby: worker f5a6b online\n");
    }

    #[test]
    fn on_a_terminal_a_picture_takes_the_place_of_the_one_before() {
        let text = shown(true);
        let frames: Vec<&str> = text.split("\x1b[?7h").collect();
        assert_eq!(frames.len(), 3, "{text:?}");
        assert!(frames[0].starts_with("\x1b[J\x1b[?7l"), "{text:?}");
        assert!(frames[1].starts_with("\x1b[1A\r\x1b[J\x1b[?7l"), "{text:?}");
        assert!(frames[..2].iter().all(|frame| frame.ends_with('\n')), "{text:?}");
        assert!(frames[2].is_empty(), "{text:?}");
    }
}
