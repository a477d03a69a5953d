//! The picture, by ratatui.

use std::time::Duration;

use nodesockd_core::text::escape;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Sparkline, Table};

use super::board::{Board, Order, Row, Sums};
use crate::render::{SENTENCE, ago, because, sentence, span, suspension, word};
use crate::view::{StatusView, short};

/// Lines of the last changes, if there is room.
const CHANGES: u16 = 6;
/// Rows that the table has at least before the changes get any.
const TABLE: u16 = 6;
/// Columns of the line of the past.
const PAST: u16 = 40;

const KEYS: &str = "q quit  s slot  c CPU  m memory  w waiting  a age  / filter  ↑↓ scroll";

/// Draws all of it. `colour`: the person wants colours.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, colour: bool) {
    let Some(status) = board.status() else {
        let words = board.trouble.clone().unwrap_or_else(|| "looking …".to_owned());
        frame.render_widget(Paragraph::new(words), frame.area());
        return;
    };
    let paint = Paint(colour);
    let troubles = troubles(board, status, paint);
    let height = frame.area().height;
    let fixed = 3 + u16::try_from(troubles.len()).unwrap_or(u16::MAX);
    let changes = height.saturating_sub(fixed + TABLE).min(CHANGES);
    let [head, middle, table, below, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(fixed - 3),
        Constraint::Fill(1),
        Constraint::Length(changes),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    header(frame, head, board, status, paint);
    frame.render_widget(Paragraph::new(troubles), middle);
    workers(frame, table, board, paint);
    let now = board.look.as_ref().map_or(0, |look| look.now);
    let lines = board.changes.iter().take(usize::from(changes)).map(|(at, what)| {
        Line::from(vec![paint.dim(format!("{:>8}  ", ago(*at, now))), Span::raw(what.clone())])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), below);
    let foot = if board.typing || !board.filter.is_empty() {
        format!("filter: {}{}  (Esc clears)", board.filter, if board.typing { "_" } else { "" })
    } else {
        KEYS.to_owned()
    };
    frame.render_widget(Paragraph::new(Line::from(paint.dim(foot))), keys);
}

/// Who runs, how many, and what they use together.
fn header(frame: &mut Frame<'_>, area: Rect, board: &Board, status: &StatusView, paint: Paint) {
    let now = board.look.as_ref().map_or(0, |look| look.now);
    let up = span(Duration::from_millis(now.saturating_sub(status.start_ts)));
    let name = status.name.as_deref().map_or_else(String::new, |name| format!("{}  ", word(name)));
    let daemon = format!("nodesockd {}, pid {}, up {up}", word(&status.version), status.pid);
    let release = match (status.generation, status.release.as_deref()) {
        (Some(number), Some(release)) => format!("  generation {number}: {}", sentence(release)),
        (Some(number), None) => format!("  generation {number}"),
        (None, _) => String::new(),
    };
    let first = Line::from(vec![paint.bold(name), Span::raw(daemon), paint.dim(release)]);

    let Sums { cpu, memory, queue } = board.sums();
    let serving = status.workers.iter().filter(|worker| worker.idx.is_some()).count();
    let sums = format!(
        "{serving} serving of {} workers   CPU {cpu:.0} %   memory {}   waiting {queue}  ",
        status.workers.len(),
        size(memory)
    );
    let [first_line, second_line] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    frame.render_widget(Paragraph::new(first), first_line);
    let width = u16::try_from(sums.chars().count()).unwrap_or(u16::MAX);
    let [text, past] =
        Layout::horizontal([Constraint::Length(width), Constraint::Max(PAST)]).areas(second_line);
    frame.render_widget(Paragraph::new(sums), text);
    let shown = usize::from(past.width).min(board.past.len());
    let bars: Vec<u64> = board.past.iter().skip(board.past.len() - shown).copied().collect();
    // A full bar is one CPU, or the most that there was.
    let most = bars.iter().copied().max().unwrap_or(0).max(100);
    frame.render_widget(Sparkline::default().data(bars).max(most).style(paint.style(Color::Cyan)), past);
}

/// What somebody may have to do something about.
fn troubles(board: &Board, status: &StatusView, paint: Paint) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(trouble) = &board.trouble {
        lines.push(Line::from(
            paint.colour(Color::Red, format!("what follows is old: {}", sentence(trouble))),
        ));
    }
    if let Some(words) = suspension(status, board.look.as_ref().map_or(0, |look| look.now)) {
        lines.push(Line::from(paint.colour(Color::Yellow, format!("the app {words} (`nodesockd resume`)"))));
    }
    if let Some(operation) = &status.operation {
        lines.push(Line::from(paint.colour(Color::Cyan, format!("in progress: {}", sentence(operation)))));
    }
    lines.extend(status.vacant.iter().map(|slot| {
        let reason = because(slot.reason.as_deref(), SENTENCE);
        Line::from(paint.colour(Color::Red, format!("{}{reason}", slot.words())))
    }));
    if let Some(standby) = &status.failing_standby {
        let reason = because(standby.reason.as_deref(), SENTENCE);
        lines.push(Line::from(
            paint.colour(Color::Red, format!("{} standby missing{reason}", standby.missing)),
        ));
    }
    lines
}

fn workers(frame: &mut Frame<'_>, area: Rect, board: &Board, paint: Paint) {
    let now = board.look.as_ref().map_or(0, |look| look.now);
    let titles = [
        ("SLOT", Some(Order::Slot)),
        ("WORKER", None),
        ("PID", None),
        ("GEN", None),
        ("STATE", None),
        ("SINCE", Some(Order::Age)),
        ("CPU %", Some(Order::Cpu)),
        ("MEMORY", Some(Order::Memory)),
        ("WAITING", Some(Order::Queue)),
    ];
    let head = titles.iter().enumerate().map(|(column, (title, order))| {
        let sorted = *order == Some(board.order);
        let text =
            Line::from(if sorted { paint.bold((*title).to_owned()) } else { paint.dim((*title).to_owned()) });
        Cell::from(text.alignment(alignment(column)))
    });
    let rows = board.rows();
    let room = usize::from(area.height.saturating_sub(1));
    let first = board.first.min(rows.len().saturating_sub(room));
    let shown = rows.iter().skip(first).map(|row| cells(row, now, paint));
    let widths = [9, 7, 8, 5, 12, 10, 7, 9, 8].map(Constraint::Length);
    let table = Table::new(shown, widths).header(Cells::new(head)).column_spacing(0);
    frame.render_widget(table, area);
}

fn cells(row: &Row, now: u64, paint: Paint) -> Cells<'static> {
    let worker = &row.worker;
    let dash = || "-".to_owned();
    let texts = [
        worker.place(),
        escape(short(&worker.id), 5),
        worker.pid.map_or_else(dash, |pid| pid.to_string()),
        worker.generation.map_or_else(dash, |number| number.to_string()),
        escape(&worker.state, 11),
        ago(worker.state_ts, now),
        row.figures.cpu.map_or_else(dash, |cpu| format!("{cpu:.0}")),
        row.figures.memory.map_or_else(dash, size),
        row.figures.queue.map_or_else(dash, |queue| queue.to_string()),
    ];
    Cells::new(texts.into_iter().enumerate().map(|(column, text)| {
        let text = if column == 4 { paint.colour(state(&worker.state), text) } else { Span::raw(text) };
        Cell::from(Line::from(text).alignment(alignment(column)))
    }))
}

/// Numbers that are compared stand on the right.
fn alignment(column: usize) -> Alignment {
    if column >= 6 { Alignment::Right } else { Alignment::Left }
}

fn state(state: &str) -> Color {
    match state {
        "online" => Color::Green,
        "suspended" => Color::Yellow,
        "running" | "waiting" => Color::Cyan,
        "broken" | "dead" => Color::Red,
        _ => Color::Reset,
    }
}

/// Bytes, as people read them: three digits at most, and a unit of 1024 of the one below.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} K", bytes >> 10),
        1_048_576..1_048_576_000 => format!("{} M", bytes >> 20),
        _ => format!("{}.{} G", bytes >> 30, ((bytes >> 20) % 1024) * 10 / 1024),
    }
}

/// Whether to use colours and the like.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn style(self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    fn colour(self, colour: Color, text: String) -> Span<'static> {
        Span::styled(text, self.style(colour))
    }

    fn dim(self, text: String) -> Span<'static> {
        if self.0 { text.dim() } else { Span::raw(text) }
    }

    fn bold(self, text: String) -> Span<'static> {
        if self.0 { text.bold() } else { Span::raw(text) }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::top::board::Key;
    use crate::top::board::tests::look;

    fn picture(board: &Board, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board, false)).unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content().chunks(usize::from(width)).map(|line| {
            let text: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
            text.trim_end().to_owned() + "\n"
        });
        lines.collect()
    }

    #[test]
    fn the_picture_of_a_small_terminal() {
        let mut board = Board::new();
        board.sees(look(10_000));
        let mut later = look(12_000);
        later.status.workers[2].state = "online".to_owned();
        later.status.suspended = true;
        board.sees(later);
        board.press(Key::Letter('c'));
        insta::assert_snapshot!(picture(&board, (80, 24)));
    }

    #[test]
    fn the_picture_while_the_daemon_is_away() {
        let mut board = Board::new();
        assert_eq!(picture(&board, (20, 2)), "looking …\n\n");
        board.sees(look(10_000));
        board.misses("no daemon is running: /run/shop/nodesockd.ipc does not exist".to_owned());
        insta::assert_snapshot!(picture(&board, (100, 10)));
    }

    #[test]
    fn a_terminal_of_any_size_gets_a_picture() {
        let mut board = Board::new();
        board.sees(look(10_000));
        for size in [(1, 1), (10, 3), (300, 5), (40, 100)] {
            picture(&board, size);
        }
    }

    #[test]
    fn sizes_have_few_digits() {
        let said = [0, 900 << 10, 81 << 20, 999 << 20, 1536 << 20].map(size);
        assert_eq!(said, ["0 K", "900 K", "81 M", "999 M", "1.5 G"]);
    }
}
