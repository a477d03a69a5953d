//! The picture, by ratatui.

use std::collections::VecDeque;
use std::time::Duration;

use nodesockd_core::text::escape;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as Cells, Sparkline, Table};

use super::board::{Board, Now, Order, Row, Sums};
use crate::render::{SENTENCE, ago, because, sentence, span, suspension, word};
use crate::view::{StatusView, short};

/// Lines of the last changes, if there is room.
const CHANGES: u16 = 6;
/// Rows that the table has at least before the changes get any.
const TABLE: u16 = 6;
/// Columns of a line of the past.
const PAST: u16 = 40;
/// The same, where there are two of them in a row.
const SHORT_PAST: u16 = 20;

const KEYS: &str = "q quit  sort by s slot c CPU m memory w waiting a age r rate l lag  / filter  ↑↓";

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
    let sums = board.sums();
    let head = if sums.served.is_some() { 3 } else { 2 };
    let fixed = head + 1 + u16::try_from(troubles.len()).unwrap_or(u16::MAX - head - 1);
    let changes = height.saturating_sub(fixed + TABLE).min(CHANGES);
    let [top, middle, table, below, keys] = Layout::vertical([
        Constraint::Length(head),
        Constraint::Length(fixed - head - 1),
        Constraint::Fill(1),
        Constraint::Length(changes),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    header(frame, top, board, status, sums, paint);
    frame.render_widget(Paragraph::new(troubles), middle);
    workers(frame, table, board, sums.served.is_some(), paint);
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
fn header(
    frame: &mut Frame<'_>,
    area: Rect,
    board: &Board,
    status: &StatusView,
    Sums { cpu, memory, queue, served }: Sums,
    paint: Paint,
) {
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

    let serving = status.workers.iter().filter(|worker| worker.idx.is_some()).count();
    let sums = format!(
        "{serving} serving of {} workers   CPU {cpu:.0} %   memory {}   waiting {queue}  ",
        status.workers.len(),
        size(memory)
    );
    let [first_line, second_line, third_line] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(first), first_line);
    let [text, line] =
        Layout::horizontal([Constraint::Length(width(&sums)), Constraint::Max(PAST)]).areas(second_line);
    frame.render_widget(Paragraph::new(sums), text);
    // A full bar is one CPU, or the most that there was.
    past(frame, line, &board.past, 100, paint);
    let Some(Now { rate, in_flight, lag }) = served else { return };
    let rate = format!("{rate:.0} requests/s   {in_flight} open  ");
    let lag = format!("  lag {} ms  ", millis(lag));
    let [text, rates, late, lags] = Layout::horizontal([
        Constraint::Length(width(&rate)),
        Constraint::Max(SHORT_PAST),
        Constraint::Length(width(&lag)),
        Constraint::Max(SHORT_PAST),
    ])
    .areas(third_line);
    frame.render_widget(Paragraph::new(rate), text);
    past(frame, rates, &board.served.rates, 1, paint);
    frame.render_widget(Paragraph::new(lag), late);
    // A full bar is 10 ms, or the latest that there was.
    past(frame, lags, &board.served.lags, 10_000, paint);
}

fn width(text: &str) -> u16 {
    u16::try_from(text.chars().count()).unwrap_or(u16::MAX)
}

/// A line of the past. A full bar is the most that there was, and at least `most`.
fn past(frame: &mut Frame<'_>, area: Rect, past: &VecDeque<u64>, most: u64, paint: Paint) {
    let shown = usize::from(area.width).min(past.len());
    let bars: Vec<u64> = past.iter().skip(past.len() - shown).copied().collect();
    let most = bars.iter().copied().max().unwrap_or(0).max(most);
    frame.render_widget(Sparkline::default().data(bars).max(most).style(paint.style(Color::Cyan)), area);
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

/// A column of the table.
#[derive(Clone, Copy)]
struct Column {
    title: &'static str,
    /// The order that it shows.
    order: Option<Order>,
    width: u16,
    alignment: Alignment,
    /// What a row has in it at a time.
    text: fn(&Row, u64) -> String,
    colour: Option<fn(&Row) -> Color>,
}

impl Column {
    const fn left(
        title: &'static str,
        order: Option<Order>,
        width: u16,
        text: fn(&Row, u64) -> String,
    ) -> Self {
        Self { title, order, width, alignment: Alignment::Left, text, colour: None }
    }

    /// Of numbers that are compared.
    const fn right(
        title: &'static str,
        order: Option<Order>,
        width: u16,
        text: fn(&Row, u64) -> String,
    ) -> Self {
        Self { alignment: Alignment::Right, ..Self::left(title, order, width, text) }
    }
}

const SLOT: Column = Column::left("SLOT", Some(Order::Slot), 9, |row, _| row.worker.place());
const WORKER: Column = Column::left("WORKER", None, 7, |row, _| escape(short(&row.worker.id), 5));
const PID: Column = Column::left("PID", None, 8, |row, _| shown(row.worker.pid));
const GENERATION: Column = Column::left("GEN", None, 5, |row, _| shown(row.worker.generation));
const STATE: Column = Column {
    colour: Some(|row| state(&row.worker.state)),
    ..Column::left("STATE", None, 12, |row, _| escape(&row.worker.state, 11))
};
const SINCE: Column = Column::left("SINCE", Some(Order::Age), 10, |row, now| ago(row.worker.state_ts, now));
const CPU: Column = Column::right("CPU %", Some(Order::Cpu), 7, |row, _| whole(row.figures.cpu));
const MEMORY: Column =
    Column::right("MEMORY", Some(Order::Memory), 9, |row, _| shown(row.figures.memory.map(size)));
const WAITING: Column = Column::right("WAITING", Some(Order::Queue), 8, |row, _| shown(row.figures.queue));
const RATE: Column = Column::right("REQ/S", Some(Order::Rate), 7, |row, _| whole(row.figures.rate));
const OPEN: Column = Column::right("OPEN", None, 6, |row, _| shown(row.figures.in_flight));
const LAG: Column = Column::right("LAG MS", Some(Order::Lag), 7, |row, _| shown(row.figures.lag.map(millis)));

const OF_ALL: [Column; 9] = [SLOT, WORKER, PID, GENERATION, STATE, SINCE, CPU, MEMORY, WAITING];
/// Where workers count, and there is room.
const COUNTED: [Column; 12] =
    [SLOT, WORKER, PID, GENERATION, STATE, SINCE, CPU, MEMORY, WAITING, RATE, OPEN, LAG];
/// Where workers count, and there are but 80 columns.
const NARROW: [Column; 10] = [SLOT, WORKER, PID, STATE, CPU, MEMORY, WAITING, RATE, OPEN, LAG];

/// `counted`: workers count.
fn workers(frame: &mut Frame<'_>, area: Rect, board: &Board, counted: bool, paint: Paint) {
    let columns: &[Column] = if !counted {
        &OF_ALL
    } else if area.width < COUNTED.iter().map(|column| column.width).sum() {
        &NARROW
    } else {
        &COUNTED
    };
    let now = board.look.as_ref().map_or(0, |look| look.now);
    let head = columns.iter().map(|Column { title, order, alignment, .. }| {
        let title = (*title).to_owned();
        let is_order = *order == Some(board.order);
        let text = Line::from(if is_order { paint.bold(title) } else { paint.dim(title) });
        Cell::from(text.alignment(*alignment))
    });
    let rows = board.rows();
    let room = usize::from(area.height.saturating_sub(1));
    let first = board.first.min(rows.len().saturating_sub(room));
    let shown = rows.iter().skip(first).map(|row| cells(columns, row, now, paint));
    let widths = columns.iter().map(|column| Constraint::Length(column.width));
    let table = Table::new(shown, widths).header(Cells::new(head)).column_spacing(0);
    frame.render_widget(table, area);
}

fn cells(columns: &[Column], row: &Row, now: u64, paint: Paint) -> Cells<'static> {
    Cells::new(columns.iter().map(|column| {
        let text = (column.text)(row, now);
        let text = match column.colour {
            Some(colour) => paint.colour(colour(row), text),
            None => Span::raw(text),
        };
        Cell::from(Line::from(text).alignment(column.alignment))
    }))
}

fn whole(value: Option<f64>) -> String {
    shown(value.map(|value| format!("{value:.0}")))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// So many milliseconds, with few digits.
fn millis(millis: f64) -> String {
    if millis < 9.95 { format!("{millis:.1}") } else { format!("{millis:.0}") }
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
    use crate::top::board::tests::{counting, look};

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
    fn the_picture_of_workers_that_count() {
        let mut board = Board::new();
        board.sees(counting(10_000));
        board.sees(counting(11_000));
        board.press(Key::Letter('r'));
        insta::assert_snapshot!("counting_narrow", picture(&board, (80, 14)));
        insta::assert_snapshot!("counting_wide", picture(&board, (120, 14)));
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
