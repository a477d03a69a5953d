//! Columns that line up.

use anstyle::Style as Paint;

use crate::out::Style;

/// A cell: its text, which must not hold what is not printed, and how to paint it.
pub(crate) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), paint: None }
    }

    pub(crate) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint: Some(paint) }
    }
}

/// `rows` with their columns aligned, two spaces between them, each line ended; the last column is not padded.
pub(crate) fn table(rows: &[Vec<Cell>], style: Style) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths =
            rows.iter().filter(|row| row.len() > column + 1).map(|row| row[column].text.chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(&match cell.paint {
                Some(paint) => style.paint(paint, &cell.text),
                None => cell.text.clone(),
            });
            if column + 1 < row.len() {
                let padding = widths[column] - cell.text.chars().count() + 2;
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.push('\n');
    }
    text
}
